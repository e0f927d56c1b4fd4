"""Passages of kept pages as hashes, for tests of what a model has memorised (Code of Practice, Measure 1.4).

A passage is a run of 13 words, in lower case, joined by single spaces; its hash is the first 16 hexadecimal digits of
its SHA-256. Of each page the passages are kept whose hash ends in 0, which is one in sixteen, and always the smallest.
Whoever makes the same hashes of a model's output finds verbatim passages without being given a word of the works.

The pages may be any number: hashes go to DuckDB, which keeps on disk what it cannot hold.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from selectolax.lexbor import LexborHTMLParser

from optout.evidence.spilling import MEMORY, spilling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

WORDS = 13
NEAR = 0.8
"""Two pages are near duplicates where at least this share of their kept hashes, taken together, is the same."""
LISTED = 10_000
"""A document lists no more pairs."""

_WORD = re.compile(r"\w+")
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the hashes of its passages."""

    url: str
    hashes: frozenset[str]


def page(url: str, body: bytes, kind: str) -> Page:
    """The passages of a page; a page of fewer than 13 words, or without text, has none."""
    return Page(url, _kept(hashes(text_of(body, kind))))


def text_of(body: bytes, kind: str) -> str:
    """The words of an HTML or plain text body; nothing of any other media type."""
    if kind in {"text/html", "application/xhtml+xml"}:
        tree = LexborHTMLParser(body)
        tree.strip_tags(["script", "style", "template"])
        return tree.body.text(separator=" ") if tree.body else ""
    return body.decode("utf-8", "replace") if kind == "text/plain" else ""


def hashes(text: str) -> frozenset[str]:
    """The hash of every passage of a text."""
    words = _WORD.findall(text.lower())
    runs = (" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
    return frozenset(sha256(run.encode()).hexdigest()[:16] for run in runs)


def _kept(found: frozenset[str]) -> frozenset[str]:
    return frozenset({one for one in found if one.endswith("0")} | ({min(found)} if found else set()))


class Sums(NamedTuple):
    """How much there is."""

    pages: int
    with_passages: int
    hashes: int


class Passages:
    """Pages with their passages, each URL once: the first page that has it. `gathered` makes one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, pages: Iterable[Page]) -> None:
        """Take pages in, a batch at a time."""
        self._db = connection
        self._db.execute("create temp table taken(place bigint, url varchar, hashes ubigint[])")
        place = 0
        waiting = iter(pages)
        while part := list(islice(waiting, _BATCH)):
            found = [sorted(int(one, 16) for one in item.hashes) for item in part]
            places = pa.array(range(place, place + len(part)), pa.int64())
            urls = pa.array([_storable(item.url) for item in part], pa.string())
            lists = pa.array(found, pa.list_(pa.uint64()))
            self._db.register("part", pa.table({"place": places, "url": urls, "hashes": lists}))
            self._db.execute("insert into taken select * from part")
            self._db.unregister("part")
            place += len(part)
        self._db.execute(
            "create temp table page as select number, url, hashes from taken join (select place, row_number() over "
            "(order by url) as number from (select min(place) as place, url from taken group by url)) using (place)"
        )
        self._db.execute("drop table taken")

    @property
    def sums(self) -> Sums:
        """How much there is."""
        ask = "select count(*), count(*) filter (len(hashes) > 0), coalesce(sum(len(hashes)), 0) from page"
        return Sums(*(int(number) for number in self._db.execute(ask).fetchall()[0]))

    def lines(self) -> Iterator[bytes]:
        """The export: one JSON object a page, in the order of URLs."""
        cursor = self._db.execute("select url, hashes from page where len(hashes) > 0 order by number")
        while rows := cursor.fetchmany(_BATCH):
            for url, found in rows:
                said = {"url": url, "words": WORDS, "hashes": [f"{one:016x}" for one in found]}
                yield json.dumps(said, sort_keys=True).encode() + b"\n"

    def near_duplicates(self, most: int = LISTED) -> tuple[int, list[tuple[str, str, int]]]:
        """How many pairs of near duplicates were found, and the first of them with their share in percent.

        Of two pages that share so much, one of the smallest fifth of their hashes is the same. Each page is compared
        with the first page that has such a hash too, and with the one before it, in the order of URLs; so the work
        grows with the pages and not with the pairs, and of many copies each is named with at least one other.
        """
        self._db.execute(_PAIRS.replace("$near", str(NEAR)))
        (count,) = self._db.execute("select count(*) from pair").fetchall()[0]
        found = self._db.execute(
            "select one.url, other.url, share from pair join page one on one.number = pair.one "
            "join page other on other.number = pair.other order by one.url, other.url limit ?",
            [most],
        ).fetchall()
        return int(count), [(first, second, int(share)) for first, second, share in found]


_PAIRS = """
create or replace temp table pair as
with passage as (select number, len(hashes) as size, unnest(hashes) as hash from page where len(hashes) > 0),
placed as (select *, row_number() over (partition by number order by hash) as place from passage),
telling as (select number, hash from placed where place <= size - ceil($near * size) + 1),
linked as (
  select number, first_value(number) over same as first, lag(number) over same as previous from telling
  window same as (partition by hash order by number)
),
candidate as (
  select distinct one, other from (
    select first as one, number as other from linked where first < number
    union all select previous, number from linked where previous is not null and previous <> first
  )
),
shared as (
  select one, other, one_size, other_size, len(list_intersect(one_hashes, other_hashes)) as common from (
    select candidate.one, candidate.other, len(a.hashes) as one_size, len(b.hashes) as other_size,
      a.hashes as one_hashes, b.hashes as other_hashes
    from candidate join page a on a.number = candidate.one join page b on b.number = candidate.other
    where least(len(a.hashes), len(b.hashes)) >= $near * greatest(len(a.hashes), len(b.hashes))
  )
)
select one, other, 100 * common // (one_size + other_size - common) as share from shared
where common >= $near * (one_size + other_size - common)
"""


def _storable(url: str) -> str:
    """A URL as UTF-8 can carry it: half characters, which servers do send, are spelt out."""
    return url.encode("utf-8", "backslashreplace").decode()


@contextmanager
def gathered(pages: Iterable[Page], memory: str = MEMORY) -> Iterator[Passages]:
    """Pages with their passages; what is larger than the memory is on disk, until the end of the `with`."""
    with spilling(memory) as connection:
        yield Passages(connection, pages)
