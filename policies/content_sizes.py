"""How much content came from which domain: kept pages of a crawl, kept rows of an audited dataset.

A page counts only where the log has a row that it was kept. Domains are registrable domains, by the snapshot of the
public suffix list that the installed tldextract carries.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import duckdb
from fastwarc.warc import ArchiveIterator, WarcRecordType

from optout.errors import EvidenceError, MalformedUrl
from optout.evidence.layout import find
from optout.evidence.query import Rows
from optout.evidence.spilling import named
from optout.urls import origin_of, registrable_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from policies.document import Source
    from policies.evidence_facts import AuditFacts, LogFacts

SUFFIXES = f"public suffix list of tldextract {version('tldextract')}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What was kept, by registrable domain.

    Attributes:
        octets: domain and bytes.
        items: domain and pages or rows.
        kinds: media type and bytes; of pages only.
        unlogged: pages in the archive that the log does not have as kept; they are not counted.
        unsized: rows whose size the dataset does not tell; they count as items and not as bytes.
        sources: what it was counted from.
    """

    octets: Mapping[str, int]
    items: Mapping[str, int]
    kinds: Mapping[str, int]
    unlogged: int
    unsized: int
    sources: tuple[Source, ...]

    @property
    def ranked(self) -> tuple[tuple[str, int, int], ...]:
        """Domain, bytes and items, the largest first; a tie is broken by the name."""
        names = sorted(self.items, key=lambda name: (-self.octets.get(name, 0), -self.items[name], name))
        return tuple((name, self.octets.get(name, 0), self.items[name]) for name in names)


def most_relevant(count: int, *, sme: bool) -> int:
    """How many of so many domains the official form asks for: the top 10 %, of an SME 5 % or 1,000 if that is less.

    A part of a domain counts as a whole one, so that nobody who has crawled lists nothing.
    """
    return min(-(-count * 5 // 100), 1000) if sme else -(-count * 10 // 100)


def together(parts: Iterable[Contents]) -> Contents:
    """Several as one."""
    octets, items, kinds = Counter[str](), Counter[str](), Counter[str]()
    unlogged = unsized = 0
    sources: dict[Source, None] = {}
    for part in parts:
        octets.update(part.octets)
        items.update(part.items)
        kinds.update(part.kinds)
        unlogged, unsized = unlogged + part.unlogged, unsized + part.unsized
        sources.update(dict.fromkeys(part.sources))
    return Contents(octets, items, kinds, unlogged, unsized, tuple(sources))


def of_crawl(log: LogFacts) -> Contents:
    """The kept pages of a crawl; nothing where it kept none or its pages are elsewhere.

    Raises:
        EvidenceError: an archive of pages cannot be read.
    """
    octets, items, kinds = Counter[str](), Counter[str](), Counter[str]()
    logged = _kept(log)
    unlogged = 0
    for record, url, body, kind in _pages(log.directory):
        if record not in logged:
            unlogged += 1
            continue
        logged.discard(record)
        domain, size = _domain(url), len(body)
        octets[domain] += size
        items[domain] += 1
        kinds[kind] += size
    rows = [row for row in log.rows if row.kind == "kept"]
    return Contents(octets, items, kinds, unlogged, 0, (log.pointer(rows, "kept"),))


def kept_pages(log: LogFacts) -> Iterator[tuple[str, bytes, str]]:
    """URL, body and media type of each archived page that the log has as kept, once.

    Raises:
        EvidenceError: an archive of pages cannot be read.
    """
    logged = _kept(log)
    for record, url, body, kind in _pages(log.directory):
        if record in logged:
            logged.discard(record)
            yield url, body, kind


def _kept(log: LogFacts) -> set[str]:
    """The records of the pages that the log has as kept."""
    if log.directory is None:
        return set()
    with Rows(find(log.directory)) as rows:
        said = rows.sql("""select json_extract_string("fetch", '$.record') as record from rows where stage = 'kept'""")
        return {row["record"] for row in said if row["record"]}


def _pages(directory: Path | None) -> Iterator[tuple[str, str, bytes, str]]:
    """Record, URL, body and media type of every archived page."""
    folder = directory / "pages" if directory else None
    for path in sorted([*folder.glob("*.warc.gz"), *folder.glob("*.warc")]) if folder and folder.is_dir() else ():
        try:
            with path.open("rb") as file:
                for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                    said = record.http_headers.get("Content-Type", "") if record.http_headers else ""
                    kind = str(said).partition(";")[0].strip().lower() or "not stated"
                    name = str(record.record_id or "").strip("<>")
                    yield name, str(record.headers.get("WARC-Target-URI") or ""), record.reader.read(), kind
        except (OSError, ValueError, RuntimeError) as error:
            raise EvidenceError(f"{path} cannot be read", place=str(error)) from error


def of_audit(audit: AuditFacts) -> Contents:
    """The kept rows of an audited dataset; nothing where its decisions are elsewhere."""
    octets, items = Counter[str](), Counter[str]()
    unsized = 0
    folder = audit.directory / "decisions" if audit.directory else None
    paths = named(sorted(folder.glob("*.parquet"))) if folder else []
    if paths:
        with duckdb.connect() as connection:
            rows = connection.execute(
                "select origin, coalesce(sum(bytes), 0)::bigint, count(*), count(*) filter (bytes is null) "
                "from read_parquet(?, union_by_name=true, hive_partitioning=false) where kept and origin is not null "
                "group by origin order by origin",
                [paths],
            ).fetchall()
        for origin, size, count, without in rows:
            domain = _domain(origin)
            octets[domain] += int(size)
            items[domain] += int(count)
            unsized += int(without)
    return Contents(octets, items, {}, 0, unsized, (audit.pointer("and decisions/, kept rows"),))


def _domain(url: str) -> str:
    try:
        return registrable_domain(origin_of(url).host)
    except MalformedUrl:
        return "not a web address"
