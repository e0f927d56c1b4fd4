"""Asking the log: decisions per host, URL, reason, effect and day, also while a crawl is running.

Sealed rows are read by DuckDB straight from the segment files, rows that are not sealed yet from the journals. The
view `rows` has the fields of `optout.evidence.rows` as columns, and `file`, `day` (UTC) and `decided_at`.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from optout.errors import EvidenceError, MalformedUrl
from optout.evidence import journal, segment
from optout.evidence.rows import FIELDS, host_of
from optout.evidence.spilling import named, spilling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from optout.evidence.layout import Layout

GROUPS = ("host", "reason", "effect", "purpose", "day", "node", "agent", "policy")
"""What decisions can be counted by."""

_NO_HOST = re.compile(r"[/?#@\\\s]")
"""What ends or goes before the host of a URL, and so shows that more than a host was written."""

_COLUMNS = [f'"{name}"' for name in FIELDS if name not in {"v", "kind"}]
_TIME = "make_timestamp(t) as decided_at, strftime(make_timestamp(t), '%Y-%m-%d') as day"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are meant; what is None does not matter.

    Attributes:
        host: as people write it, such as `blog.example.org`; with a port where it is unusual.
        url: exactly.
        reason: the code, or its beginning followed by `*`.
        effect: `permit`, `deny` or `review`.
        first: the first day (UTC).
        last: the last day, which counts.
    """

    host: str | None = None
    url: str | None = None
    reason: str | None = None
    effect: str | None = None
    first: date | None = None
    last: date | None = None

    def sql(self) -> tuple[str, list[str]]:
        """The condition and its values."""
        parts: list[tuple[str, str]] = []
        if self.host is not None:
            parts.append(("host = ?", surt(self.host)))
        if self.url is not None:
            parts += [("host = ?", host_of(self.url)), ("url = ?", self.url)]
        if self.reason is not None:
            parts.append(("reason glob ?", self.reason))
        if self.effect is not None:
            parts.append(("effect = ?", self.effect))
        if self.first is not None:
            parts.append(("day >= ?", self.first.isoformat()))
        if self.last is not None:
            parts.append(("day <= ?", self.last.isoformat()))
        return " and ".join(part for part, _ in parts) or "true", [value for _, value in parts]


class Rows:
    """The rows of an evidence directory as they stand now. Close it, or use it in a `with`."""

    def __init__(self, layout: Layout) -> None:
        """Open them.

        Raises:
            EvidenceError: a journal is damaged.
        """
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(spilling())
        # Journals first: what is sealed meanwhile is then in both, and counts as sealed; else it could be in neither.
        waiting = _rows_waiting(layout)
        sealed = sorted(layout.segments.glob("*.parquet"))
        parts = [self._sealed(sealed), self._waiting(waiting, {path.stem for path in sealed})]
        select = " union all by name ".join(part for part in parts if part)
        fields = ", ".join(_COLUMNS)
        self._connection.execute(f"create view rows as select file, {fields}, {_TIME} from ({select})")  # noqa: S608 - our own names

    def decisions(self, chosen: Filter, limit: int) -> Iterator[dict[str, Any]]:
        """The rows that are meant, the newest first."""
        where, values = chosen.sql()
        order = "order by t desc, node, seq desc limit ?"
        yield from self._dicts(f"select * from rows where {where} {order}", [*values, limit])  # noqa: S608 - values are bound

    def counts(self, chosen: Filter, by: str, limit: int) -> Iterator[dict[str, Any]]:
        """How many decisions there are by a field, and how many of them deny; the most frequent first.

        Raises:
            EvidenceError: nothing is counted by that field.
        """
        if by not in GROUPS:
            raise EvidenceError(f"decisions are not counted by {by!r}", mend=f"use one of {', '.join(GROUPS)}")
        where, values = chosen.sql()
        numbers = "count(*) as decisions, count(*) filter (effect = 'deny') as denied"
        order = f"group by {by} order by decisions desc, {by} limit ?"
        yield from self._dicts(f"select {by}, {numbers} from rows where {where} {order}", [*values, limit])  # noqa: S608 - as above

    def sql(self, statement: str) -> Iterator[dict[str, Any]]:
        """Whatever is asked of the view `rows`.

        Raises:
            EvidenceError: the statement cannot be carried out.
        """
        yield from self._dicts(statement, [])

    def close(self) -> None:
        """Let go of the files."""
        self._stack.close()

    def __enter__(self) -> Rows:  # noqa: PYI034 - nobody derives from it
        """Give the rows themselves."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close them."""
        self.close()

    def _sealed(self, files: Sequence[Path]) -> str:
        if not files:
            return ""
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in named(files))
        return (
            f"select parse_filename(filename) as file, {', '.join(_COLUMNS)} "  # noqa: S608 - our own file names
            f"from read_parquet([{listed}], filename=true, hive_partitioning=false) where leaf is null"
        )

    def _waiting(self, waiting: Iterable[tuple[str, dict[str, Any]]], sealed: set[str]) -> str:
        found = [(file, row) for file, row in waiting if file.removesuffix(".jsonl.zst") not in sealed]
        table = segment.table_of([row for _, row in found]).append_column(
            "file", pa.array([name for name, _ in found], pa.string())
        )
        self._connection.register("waiting", table)
        return f"select file, {', '.join(_COLUMNS)} from waiting"  # noqa: S608 - our own names

    def _dicts(self, statement: str, values: list[Any]) -> Iterator[dict[str, Any]]:
        try:
            cursor = self._connection.execute(statement, values)
            names = [item[0] for item in cursor.description or ()]
            while batch := cursor.fetchmany(1000):
                yield from (dict(zip(names, row, strict=True)) for row in batch)
        except duckdb.Error as fault:
            raise EvidenceError("the log cannot be asked that", place=str(fault).split("\n")[0]) from fault


def _rows_waiting(layout: Layout) -> list[tuple[str, dict[str, Any]]]:
    """The rows in journals, each with its file."""
    nodes = sorted({path.name[:-26] for path in layout.directory.glob("*.jsonl.zst")})
    return [(place.file, row) for node in nodes for place, row in journal.rows(layout.directory, node=node)]


def surt(host: str) -> str:
    """A host as rows keep it.

    Raises:
        MalformedUrl: it names no host, so that nothing on record about it would mean nothing.
    """
    if host.endswith(")/"):
        return host
    key = "" if _NO_HOST.search(host) else host_of(f"https://{host}/")
    if not key:
        raise MalformedUrl(
            f"{host[:200]!r} is no host", mend="write it as blog.example.org, with a port where that is unusual"
        )
    return key
