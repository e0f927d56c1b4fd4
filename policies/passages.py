"""Passages of kept pages as hashes, for tests of what a model has memorised (Code of Practice, Measure 1.4).

A passage is a run of 13 words, in lower case, joined by single spaces; its hash is the first 16 hexadecimal digits of
its SHA-256. Of each page the passages are kept whose hash ends in 0, which is one in sixteen, and always the smallest.
Whoever makes the same hashes of a model's output finds verbatim passages without being given a word of the works.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from typing import TYPE_CHECKING

from selectolax.lexbor import LexborHTMLParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WORDS = 13
NEAR = 0.8
"""Two pages are near duplicates where at least this share of their kept hashes, taken together, is the same."""

_WORD = re.compile(r"\w+")
_COMMON = 50


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


def lines(pages: Iterable[Page]) -> Iterator[bytes]:
    """The export: one JSON object a page, in the order of URLs."""
    for one in sorted(pages, key=lambda page: page.url):
        if one.hashes:
            said = {"url": one.url, "words": WORDS, "hashes": sorted(one.hashes)}
            yield json.dumps(said, sort_keys=True).encode() + b"\n"


def near_duplicates(pages: Sequence[Page]) -> list[tuple[str, str, int]]:
    """Pairs of pages that share passages, with the share in percent.

    A passage that stands on more than 50 pages is a site's own furniture and brings no pair together.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(pages):
        for passage in one.hashes:
            holders[passage].append(number)
    pairs = {pair for found in holders.values() if len(found) <= _COMMON for pair in combinations(found, 2)}
    alike: list[tuple[str, str, int]] = []
    for first, second in pairs:
        a, b = pages[first], pages[second]
        share = len(a.hashes & b.hashes) / len(a.hashes | b.hashes)
        if share >= NEAR:
            alike.append((min(a.url, b.url), max(a.url, b.url), int(100 * share)))
    return sorted(alike)
