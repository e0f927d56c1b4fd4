"""Where the works of a complaint are: in the logs of crawls, in the rows of audited datasets, in kept pages."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import duckdb
from fastwarc.warc import ArchiveIterator, WarcRecordType

from optout.errors import MalformedUrl
from optout.evidence.layout import find, read_description
from optout.evidence.query import Rows
from optout.syntax.list_index import host_keys, url_keys
from optout.syntax.listing import Match
from optout.urls import match_target, origin_of
from policies.complaints import SEPARATORS, ComplaintError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

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

    def may_hold(self, host: str) -> bool:
        """Whether some URL of a host could be meant; never False where one is."""
        if self._by["post"] or host.count(":") > 1:
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
    for directory in crawls:
        for hit in _in_log(finder, directory):
            if hit.subject.kind == Match.CONTENT:
                addresses[hit.url] = hit.subject
            yield hit
    for directory in audits:
        yield from _in_audit(finder, addresses, directory)


def _in_log(finder: Finder, directory: Path) -> Iterator[Hit]:
    place = find(directory)
    description = read_description(place)
    name = description.origin if description else directory.name
    with Rows(place) as rows:
        hosts = [row["host"] for row in rows.sql("select distinct host from rows where url is not null order by host")]
        wanted = [host for host in hosts if finder.may_hold(_plain(host))]
        conditions = [f"host in ({_listed(wanted)})"] if wanted else []
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


def _plain(key: str) -> str:
    """The host of a SURT key; one that is an IPv6 address stays as it is."""
    name = key.removesuffix(")/")
    host = name if name.count(":") > 1 else name.partition(":")[0]
    return ".".join(reversed(host.split(","))) if "," in host else host


def _listed(texts: Iterable[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def _in_audit(finder: Finder, addresses: dict[str, Subject], directory: Path) -> Iterator[Hit]:
    paths = _shards(directory)
    with duckdb.connect() as connection:
        origins = connection.execute("select distinct origin from read_parquet(?) where origin is not null", [paths])
        wanted = {text for (text,) in origins.fetchall() if finder.may_hold(origin_of(text).host)}
        wanted |= {origin_of(url).text for url in addresses}
        cursor = connection.execute(
            "select file, row, url, effect, reason, kept from read_parquet(?) where list_contains(?, origin) "
            "order by file, row",
            [paths, sorted(wanted)],
        )
        while rows := cursor.fetchmany(10_000):
            for file, row, url, effect, reason, kept in rows:
                found = finder.of_url(url) or addresses.get(url)
                if found is not None:
                    yield Hit(found, DATASET, directory.name, f"{file} {row}", url, effect, reason, bool(kept))


def _shards(directory: Path) -> list[str]:
    paths = [str(path) for path in sorted((directory / "decisions").glob("*.parquet"))]
    if not paths:
        raise ComplaintError(f"{directory} holds no audit", mend="name the directory that was its --out")
    return paths


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked through for what should be gone.

    Attributes:
        files: name, SHA-256 and items of every file.
        left: what is still there.
    """

    files: tuple[tuple[str, str, int], ...]
    left: tuple[Hit, ...]


def look_for_rest(subjects: Sequence[Subject], crawls: Sequence[Path], audits: Sequence[Path]) -> Looked:
    """Read every kept page and every kept row of a dataset, and tell what of the subjects is among them.

    Args:
        subjects: what should be gone.
        crawls: crawl directories; every WARC file in their `pages/` is read, whatever an index says.
        audits: audits that were run after the removal; their decision shards are read.

    Raises:
        ComplaintError: a directory holds neither pages nor an audit, or an archive cannot be read to its end.
    """
    finder = Finder(subjects)
    files: list[tuple[str, str, int]] = []
    left: list[Hit] = []
    for directory in crawls:
        for path in _archives(directory):
            data = path.read_bytes()
            count, found = _pages(finder, path.name, data)
            files.append((f"{directory.name}/pages/{path.name}", sha256(data).hexdigest(), count))
            left += found
    for directory in audits:
        left += [hit for hit in _in_audit(finder, {}, directory) if hit.kept]
        files += [_shard(directory, shard) for shard in _shards(directory)]
    return Looked(tuple(files), tuple(left))


def _shard(directory: Path, shard: str) -> tuple[str, str, int]:
    with duckdb.connect() as connection:
        (count,) = connection.execute("select count(*) from read_parquet(?)", [shard]).fetchall()[0]
    path = directory / "decisions" / shard.rpartition("/")[2]
    return f"{directory.name}/decisions/{path.name}", sha256(path.read_bytes()).hexdigest(), int(count)


def _archives(directory: Path) -> list[Path]:
    folder = directory / "pages"
    if not folder.is_dir():
        raise ComplaintError(f"{directory} holds no pages", mend="name the directory that was the crawl's --out")
    return sorted([*folder.glob("*.warc.gz"), *folder.glob("*.warc")])


def _pages(finder: Finder, name: str, data: bytes) -> tuple[int, list[Hit]]:
    found: list[Hit] = []
    count = 0
    try:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response, parse_http=True):
            count += 1
            url = record.headers.get("WARC-Target-URI") or ""
            meant = finder.of_url(url)
            if meant is None and finder.digests:
                meant = finder.of_digest(sha256(record.reader.read()).hexdigest())
            if meant is not None:
                found.append(Hit(meant, PAGE, name, record.record_id or "", url, kept=True))
    except (OSError, ValueError, RuntimeError) as error:
        raise ComplaintError(f"{name} cannot be read", place=str(error), mend="restore it, or remove it") from error
    return count, found
