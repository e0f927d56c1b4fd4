"""Find the tags of a page that may hold one of a set of words, without reading the page.

This is what makes the common page cheap: one pass of a pattern collects every `<meta>`, `<link>` and `<script>`
tag, a few kilobytes, whether it stands in the document or in a comment, and the words are searched in those.
What is found is never too little: every tag that matters is collected or stands inside one that is, because a
tag is read from its own start; and a character of a word is written as it is, or as a reference to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5
from itertools import groupby
from typing import TYPE_CHECKING

from optout.syntax.html_tokens import ATTRIBUTES, WHITESPACE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

# Most tags of a head, in their usual spelling, never carry a reservation. Whoever reads tags leaves the same ones out
# however they are spelt (`is_other`, `is_resource`, `is_program`), so that skipping them changes only the time.
_OTHER_PREFIXES = ("al:", "article:", "fb:", "msapplication-", "og:", "twitter:")
_OTHER_NAMES = frozenset(("description", "generator", "keywords", "news_keywords", "theme-color", "viewport"))
_RESOURCES = frozenset((
    "amphtml", "apple-touch-icon", "apple-touch-icon-precomposed", "apple-touch-startup-image", "canonical",
    "dns-prefetch", "edituri", "icon", "manifest", "mask-icon", "modulepreload", "preconnect", "prefetch", "preload",
    "shortcut", "shortlink", "stylesheet", "wlwmanifest",
))  # fmt: skip
_PROGRAMS = frozenset(("", "application/ld+json", "module", "text/javascript"))
_USUAL_META = (
    rb' (?:property|name)="(?:(?:al|article|fb|og|twitter):[^"]*+|msapplication-[^"]*+|description|viewport|generator|'
    rb'(?:news_)?keywords|theme-color)" content="[^"]*+"[\t\n\f\r /]*+>'
)
_USUAL_LINK = (
    rb" rel=[\"'](?:stylesheet|pre(?:load|connect)|dns-prefetch|canonical|(?:shortcut |mask-)?icon|amphtml|shortlink|"
    rb"apple-touch-(?:icon(?:-precomposed)?|startup-image)|manifest|EditURI|wlwmanifest)[\"']"
)
_USUAL_SCRIPT = (
    rb" (?:type=[\"'](?:text/javascript|module|application/ld\+json)[\"']|"
    rb"(?:[ \n]*+(?:(?:src|id|class)=\"[^\"]*+\"|async|defer))++[\t\n\f\r /]*+>)"
)
# One look at the letter after "<" turns most of them away, at half the cost of trying three names; that it also
# takes in <leta> does no harm.
_TAG = re.compile(
    rb"<[lmsLMS](?:[eE][tT][aA](?=[\t\n\f\r /])(?!" + _USUAL_META + rb")"
    rb"|[iI][nN][kK](?=[\t\n\f\r /])(?!" + _USUAL_LINK + rb")"
    rb"|[cC][rR][iI][pP][tT](?=[\t\n\f\r /])(?!" + _USUAL_SCRIPT + rb"))" + ATTRIBUTES
)
_OPENING = re.compile(rb"(?i)<(?:meta|link|script)(?=[\t\n\f\r /])")
_LOOSE_COLON = rb":[\t\n\f\r ]*+"


def is_other(name: str) -> bool:
    """Whether a metadata name, in lower case, belongs to social networks, to the display or to a search result."""
    return name in _OTHER_NAMES or name.startswith(_OTHER_PREFIXES)


def is_resource(relations: tuple[str, ...]) -> bool:
    """Whether a link with these relations only loads something or names an address."""
    return bool(relations) and _RESOURCES.issuperset(relations)


def is_program(media_type: str) -> bool:
    """Whether a script of this media type holds a program, or structured data that no protocol uses."""
    return media_type in _PROGRAMS


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a page in which words may stand.

    Attributes:
        found: each from its `<` to its `>`, exclusive.
        joined: all of them, one after the other.
        lower: the same in lower case.
        nested: whether one of them stands inside the attributes of another, so that not all were collected.
    """

    found: Sequence[bytes]
    joined: bytes
    lower: bytes
    nested: bool


def collect(data: bytes) -> Tags:
    """Collect the tags of a page in which words may stand."""
    found = _TAG.findall(data)
    joined = b"\n".join(found)
    count = len(found)
    nested = joined.count(b"<") != count and len(_OPENING.findall(joined)) != count
    return Tags(found, joined, joined.lower(), nested)


def openings(data: bytes) -> tuple[int, ...]:
    """Where anything begins that looks like one of these tags, in order."""
    return tuple(match.start() for match in _OPENING.finditer(data))


@dataclass(frozen=True, slots=True)
class Words:
    """A set of words, compiled by `compile_words`."""

    patterns: tuple[re.Pattern[bytes], ...]
    reference: re.Pattern[bytes]

    def stand_in(self, *values: str | None) -> bool:
        """Whether a word stands in one of these values."""
        lower = [value.encode("utf-8", "replace").lower() for value in values if value]
        return any(pattern.search(value) for value in lower for pattern in self.patterns)

    def candidates(self, data: bytes, tags: Tags) -> Sequence[int]:
        """Where the tags begin that may hold a word, in order: all that do, and perhaps more.

        Args:
            data: the page.
            tags: what was collected from it.
        """
        if tags.nested:
            return openings(data)
        hits = set(self._hits(tags))
        return tuple(_starts(data, _with_hits(tags, hits))) if hits else ()

    def _hits(self, tags: Tags) -> Iterator[int]:
        for pattern in self.patterns:
            # Most pages hold no word, and the search alone is cheaper than to begin an iteration.
            if pattern.search(tags.lower):
                yield from (match.start() for match in pattern.finditer(tags.lower))
        if b"&" in tags.joined and self.reference.search(tags.joined):
            yield from (match.start() for match in self.reference.finditer(tags.joined))


def _with_hits(tags: Tags, hits: Collection[int]) -> Iterator[bytes]:
    """The tags in which these places among the joined tags are."""
    ahead = iter(sorted(hits))
    hit = next(ahead)
    end = -1
    for tag in tags.found:
        end += 1 + len(tag)
        if hit < end:
            yield tag
        while hit < end:
            hit = next(ahead, len(tags.joined) + 1)


def _starts(data: bytes, tags: Iterable[bytes]) -> Iterator[int]:
    """Where tags stand that were collected in this order. An equal tag before one of them holds the same word."""
    at = -1
    for tag in tags:
        closed = data.find(tag + b">", at + 1)
        at = closed if closed >= 0 else len(data) - len(tag)
        yield at


@lru_cache(maxsize=64)
def compile_words(words: frozenset[bytes]) -> Words:
    """Compile words: ASCII in lower case. White space after a colon does not matter in them."""
    # A pattern with a literal beginning is searched ten times faster than an alternation without one.
    groups = (tuple(group) for _, group in groupby(sorted(words), key=lambda word: word[:2]))
    return Words(tuple(re.compile(_with_common_beginning(group)) for group in groups), _references(words))


def _with_common_beginning(group: tuple[bytes, ...]) -> bytes:
    if len(group) == 1:
        return _loose(group[0])
    return re.escape(group[0][:2]) + _either(_loose(word[2:]) for word in group)


def _loose(word: bytes) -> bytes:
    return re.escape(word).replace(b":", _LOOSE_COLON)


def _either(sources: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(sources) + b")"


def _references(words: frozenset[bytes]) -> re.Pattern[bytes]:
    """What may stand for a character of a word, or for white space inside one."""
    letters = b"".join(words).decode("ascii")
    characters = sorted(set(letters + letters.upper() + WHITESPACE.decode()))
    names = sorted(name.rstrip(";") for name, text in html5.items() if set(text).intersection(characters))
    decimal = _either(b"%d" % ord(character) for character in characters) + rb"(?![0-9])"
    hexadecimal = _either(b"%x" % ord(character) for character in characters) + rb"(?![0-9a-fA-F])"
    named = _either(name.encode() for name in names)
    return re.compile(rb"&(?:#0*+" + decimal + rb"|#[xX]0*+(?i:" + hexadecimal + rb")|" + named + rb")")
