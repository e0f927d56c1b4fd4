"""Where the works of a complaint are: in the logs of crawls, in the rows of audited datasets, in kept pages."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from optout.errors import MalformedUrl
from optout.evidence.layout import each_once, find, read_description
from optout.evidence.query import Rows
from optout.evidence.spilling import named, spilling
from optout.syntax.list_index import host_keys, url_keys
from optout.syntax.listing import Match
from optout.urls import match_target, origin_of
from policies.complaints import SEPARATORS, ComplaintError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import duckdb

    from policies.complaints import Subject

LOG, DATASET, PAGE = "log", "dataset", "page"

_CONTENT = """json_extract_string("fetch", '$.sha256')"""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that a complaint is about.

    Attributes:
        subject: what of the complaint it answers to.
        place: `log` for a row of a log, `dataset` for a row of an audited dataset, `page` for a kept page.
        source: the log's origin, the audit's directory, the archive's file.
        item: the row: node and number, or file and number; the record of a page.
        url: as it stands there.
        effect: what was decided, where something was.
        reason: why.
        kept: whether it was kept.
    """

    subject: Subject
    place: str
    source: str
    item: str
    url: str
    effect: str = ""
    reason: str = ""
    kept: bool = False


class Finder:
    """Many subjects at once: a URL costs the same whatever their number."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        """Sort them by what they are looked up by."""
        self._by: dict[str, dict[str, list[Subject]]] = defaultdict(lambda: defaultdict(list))
        for subject in subjects:
            key = subject.text.rpartition("/")[2] if subject.kind == "post" else subject.text
            self._by[subject.kind][key].append(subject)

    @property
    def digests(self) -> frozenset[str]:
        """The content that is meant by its SHA-256."""
        return frozenset(self._by[Match.CONTENT])

    def of_digest(self, digest: str) -> Subject | None:
        """The subject that means a content."""
        return next(iter(self._by[Match.CONTENT].get(digest, ())), None)

    def of_url(self, url: str) -> Subject | None:
        """The subject that covers a URL; None where none does."""
        try:
            keys = self._keys(url)
        except MalformedUrl:
            return None
        found = (subject for kind, key in keys for subject in self._by[kind].get(key, ()))
        return next((subject for subject in found if subject.covers(url)), None)

    @property
    def posts(self) -> frozenset[str]:
        """The identifiers of posts that are meant."""
        return frozenset(self._by["post"])

    def may_hold(self, host: str) -> bool:
        """Whether some URL of a host could be meant; never False where one is."""
        return bool(self._by["post"]) or self.names_host(host)

    def may_name(self, origin: str) -> bool:
        """Whether a domain, host or URL that is meant could be of an origin; posts do not count."""
        try:
            return self.names_host(origin_of(origin).host)
        except MalformedUrl:
            return False

    def names_host(self, host: str) -> bool:
        """Whether a domain, host or URL that is meant could be of a host."""
        if host.count(":") > 1:
            return True
        above = host_keys(host)
        sites = {entry.partition("/")[0].partition("?")[0].partition(":")[0] for entry in self._by[Match.URL]}
        named = host in self._by[Match.HOST] or any(domain in self._by[Match.DOMAIN] for domain in above)
        return named or host in sites or host.removeprefix("www.") in sites

    def _keys(self, url: str) -> Iterator[tuple[str, str]]:
        host = origin_of(url).host
        yield Match.HOST, host
        yield from ((Match.DOMAIN, name) for name in host_keys(host))
        if self._by[Match.URL]:
            yield from ((Match.URL, key) for key in url_keys(url))
        if self._by["post"]:
            yield from (("post", part) for part in SEPARATORS.split(match_target(url)))


def search(subjects: Sequence[Subject], crawls: Sequence[Path], audits: Sequence[Path]) -> Iterator[Hit]:
    """Everything in logs and audits that the subjects mean.

    Content is known to logs by its digest and to datasets by its address, so an address at which a log has seen the
    content is looked for in datasets too.

    Raises:
        EvidenceError: a directory holds no log, or its journal is damaged.
        ComplaintError: a directory holds no audit.
    """
    finder = Finder(subjects)
    addresses: dict[str, Subject] = {}
    for directory in each_once(crawls):
        for hit in _in_log(finder, directory):
            if hit.subject.kind == Match.CONTENT:
                addresses[hit.url] = hit.subject
            yield hit
    for directory in {path.resolve(): path for path in audits}.values():
        yield from in_audit(finder, addresses, directory)


def _in_log(finder: Finder, directory: Path) -> Iterator[Hit]:
    place = find(directory)
    description = read_description(place)
    name = description.origin if description else directory.name
    with Rows(place) as rows:
        hosts = [row["host"] for row in rows.sql("select distinct host from rows where url is not null order by host")]
        wanted = [host for host in hosts if finder.names_host(plain_host(host))]
        conditions = [f"host in ({_listed(wanted)})"] if wanted else []
        if finder.posts:
            conditions.append(of_post(finder))
        if finder.digests:
            conditions.append(f"{_CONTENT} in ({_listed(sorted(finder.digests))})")
        if conditions:
            columns = f"node, seq, stage, effect, reason, url, {_CONTENT} as sha256"
            where = f"url is not null and ({' or '.join(conditions)})"
            yield from _log_hits(finder, name, rows.sql(f"select {columns} from rows where {where} order by node, seq"))  # noqa: S608 - quoted by `_listed`


def _log_hits(finder: Finder, name: str, rows: Iterable[dict[str, Any]]) -> Iterator[Hit]:
    for row in rows:
        found = finder.of_url(row["url"]) or finder.of_digest(row["sha256"] or "")
        if found is not None:
            yield Hit(
                found, LOG, name, f"{row['node']} {row['seq']}", row["url"], row["effect"] or "", row["reason"] or "",
                kept=row["stage"] == "kept",
            )  # fmt: skip


def plain_host(key: str) -> str:
    """The host of a SURT key; one that is an IPv6 address stays as it is."""
    name = key.removesuffix(")/")
    host = name if name.count(":") > 1 else name.partition(":")[0]
    return ".".join(reversed(host.split(","))) if "," in host else host


def of_post(finder: Finder) -> str:
    """The condition, in SQL, that a URL may be that of a post that is meant; some of it may be encoded there."""
    posts = _listed(sorted(finder.posts))
    return f"(contains(url, '%') or list_bool_or(list_transform([{posts}], lambda post: contains(url, post))))"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def in_audit(finder: Finder, addresses: dict[str, Subject], directory: Path) -> Iterator[Hit]:
    """The rows of an audited dataset that are meant, by file and row; of origins only the meant ones are remembered.

    Args:
        finder: knows the subjects.
        addresses: where content that is meant was seen, and the subject that means it.
        directory: the audit.

    Raises:
        ComplaintError: there is no audit.
    """
    shards = _shards(directory)
    with spilling() as connection:
        connection.read_parquet(named(shards), union_by_name=True, hive_partitioning=False).create_view("decided")
        wanted = [*_wanted(connection, finder), *(origin_of(url).text for url in addresses)]
        connection.register("wanted", pa.table({"origin": pa.array(wanted, pa.string())}))
        cursor = connection.execute(
            "select file, row, url, effect, reason, kept from decided where url is not null "  # noqa: S608 - our own conditions, values are bound
            f"and (origin in (select origin from wanted){f' or {of_post(finder)}' if finder.posts else ''}) "
            "order by file, row"
        )
        while rows := cursor.fetchmany(10_000):
            for file, row, url, effect, reason, kept in rows:
                found = finder.of_url(url) or addresses.get(url)
                if found is not None:
                    yield Hit(found, DATASET, directory.name, f"{file} {row}", url, effect, reason, bool(kept))


def _wanted(connection: duckdb.DuckDBPyConnection, finder: Finder) -> list[str]:
    """The origins of an audit whose rows have to be looked at."""
    connection.execute("select distinct origin from decided where origin is not null")
    found: list[str] = []
    while rows := connection.fetchmany(10_000):
        found += (text for (text,) in rows if finder.may_name(text))
    return found


def _shards(directory: Path) -> list[str]:
    paths = [str(path) for path in sorted((directory / "decisions").glob("*.parquet"))]
    if not paths:
        raise ComplaintError(f"{directory} holds no audit", mend="name the directory that was its --out")
    return paths
