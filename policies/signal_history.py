"""What became of signal files over time, from the index of the archive, whatever its size.

The index may name any number of files. It is read once into DuckDB, which keeps on disk what it cannot hold; what
comes back are counts, the changes that are listed, and the looks of the files that are drawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from optout.errors import MalformedUrl
from optout.evidence import warc
from optout.evidence.layout import find, read_description
from optout.evidence.query import surt
from optout.evidence.spilling import spilling
from optout.urls import origin_of
from policies.complaint_search import Finder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

    from policies.evidence_facts import Scope

DRAWN, LISTED = 40, 500
_BATCH = 50_000
_NAMES = ("url", "seen", "status", "digest")
_CHANGED = "was is not null and (was, was_digest) is distinct from (status, digest)"
_DATED = (
    "create temp table dated as select *, lag(status) over one as was, lag(digest) over one as was_digest, "
    "lag(seen) over one as was_seen from looks window one as (partition by url order by seen, status, digest)"
)


class Change(NamedTuple):
    """Two looks at a file between which it changed."""

    url: str
    before: datetime
    after: datetime
    was: str
    status: str
    digest: str


@dataclass(frozen=True, slots=True)
class History:
    """What the archive shows.

    Attributes:
        files: how many files were looked at.
        looks: how often.
        changes: how often a file was not as before.
        by_day: changes by day (UTC).
        listed: the first `LISTED` changes, by file and time.
        drawn: files with their looks and whether each found a change, those with the most changes first; `DRAWN`.
    """

    files: int = 0
    looks: int = 0
    changes: int = 0
    by_day: Mapping[str, int] = field(default_factory=dict)
    listed: tuple[Change, ...] = ()
    drawn: tuple[tuple[str, tuple[tuple[datetime, bool], ...]], ...] = ()


def history(directory: Path, scope: Scope) -> History:
    """The history of the signal files of the sites that are meant.

    Raises:
        EvidenceError: the index is damaged.
    """
    with spilling() as connection:
        columns = ", ".join(f"{name} varchar" for name in _NAMES)
        connection.execute(f"create temp table looks({columns})")
        for batch in _batches(directory, scope):
            connection.register("batch", batch)
            connection.execute("insert into looks select * from batch")
            connection.unregister("batch")
        connection.execute(_DATED)
        return _summed(connection)


def _summed(connection: duckdb.DuckDBPyConnection) -> History:
    files, looks, changes = connection.execute(
        f"select count(distinct url), count(*), count(*) filter ({_CHANGED}) from dated"  # noqa: S608 - our own condition
    ).fetchall()[0]
    days = connection.execute(
        f"select seen[1:8], count(*) from dated where {_CHANGED} group by all order by all"  # noqa: S608 - as above
    ).fetchall()
    listed = connection.execute(
        f"select url, was_seen, seen, was, status, digest from dated where {_CHANGED} order by url, seen limit {LISTED}"  # noqa: S608 - as above
    ).fetchall()
    return History(
        files, looks, changes, Counter({f"{day[:4]}-{day[4:6]}-{day[6:]}": count for day, count in days}),
        tuple(Change(url, _moment(before), _moment(after), *rest) for url, before, after, *rest in listed),
        tuple(_drawn(connection)),
    )  # fmt: skip


def _drawn(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, tuple[tuple[datetime, bool], ...]]]:
    urls = connection.execute(
        f"select url from dated group by url order by count(*) filter ({_CHANGED}) desc, count(*) desc, url "  # noqa: S608 - as above
        f"limit {DRAWN}"
    ).fetchall()
    for (url,) in urls:
        looks = connection.execute(
            f"select seen, bool_or({_CHANGED}) from dated where url = ? group by seen order by seen",  # noqa: S608 - as above
            [url],
        ).fetchall()
        yield url, tuple((_moment(at), bool(changed)) for at, changed in looks)


def _batches(directory: Path, scope: Scope) -> Iterator[pa.Table]:
    rows: list[tuple[str, str, str, str]] = []
    for row in _looks(directory, scope):
        rows.append(row)
        if len(rows) == _BATCH:
            yield _table(rows)
            rows.clear()
    yield _table(rows)


def _table(rows: Sequence[tuple[str, str, str, str]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(_NAMES)
    return pa.table({name: pa.array(values, pa.string()) for name, values in zip(_NAMES, columns, strict=True)})


def _looks(directory: Path, scope: Scope) -> Iterator[tuple[str, str, str, str]]:
    """URL, time as 14 digits, status and digest of every look that is meant."""
    place = find(directory)
    description = read_description(place)
    finder = Finder(scope.subjects) if scope.subjects else None
    for path in warc.archive_files(place.directory / description.archive) if description else ():
        for entry in warc.read_index(path) if warc.index_path(path).exists() else ():
            said = entry.fields
            url = str(said.get("requested", ""))
            if _meant(url, entry.key, scope, finder) and _in_period(_moment(entry.timestamp), scope):
                digest = str(said.get("digest", "")).removeprefix("sha256:")
                yield url, entry.timestamp, str(said.get("status", "none")), digest


def _moment(digits: str) -> datetime:
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _meant(url: str, key: str, scope: Scope, finder: Finder | None) -> bool:
    name = surt(scope.host).removesuffix(")/") if scope.host else ""
    if name and not key.startswith((f"{name})/", f"{name},", f"{name}:")):
        return False
    if finder is None:
        return True
    try:
        return finder.may_hold(origin_of(url).host)
    except MalformedUrl:
        return False


def _in_period(moment: datetime, scope: Scope) -> bool:
    day = moment.date()
    return (scope.first is None or day >= scope.first) and (scope.last is None or day <= scope.last)
