"""The `<meta>`, `<link>` and `<script>` elements of a page that may carry a reservation, each with its place.

An element is given when one of the caller's words stands in its attributes; what is there for social networks
(`og:`, `twitter:`) or to load resources (`stylesheet`, `icon`) is not. That makes the common page cheap:
one pass of a regular expression collects the few kilobytes of such tags, and where no word stands in them, no
reading is needed. Else the page is cut into tags and their place in the document follows the tree construction
of the HTML standard (https://html.spec.whatwg.org/, section 13.2.6): what stands in comments, templates or raw
text is nothing, the head needs no tags of its own, and it ends at the first thing that cannot stand in it.

`<noscript>` is read both ways, and the reading with more signals wins: its content counts, as for a reader
without scripting, and whatever it contains does not end the head, as for a reader with scripting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5
from itertools import groupby
from typing import TYPE_CHECKING

from optout.syntax import encoding
from optout.syntax.html_tokens import ATTRIBUTES, WHITESPACE, attributes, tokens, unescape
from optout.syntax.html_tree import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.syntax.encoding import Encoding
    from optout.syntax.html_tokens import Token

DEFAULT_LIMIT = 4 << 20
"""How many bytes of a page are read. Real heads reach 250 KB."""

DEFAULT_WORDS = frozenset((
    b"max-snippet:0", b"noai", b"noarchive", b"nocache", b"noimageai", b"noindex", b"noml", b"none", b"nosnippet",
    b"rsl", b"tdm",
))  # fmt: skip
"""Words of the protocols that speak in pages; a registry gives its own as the union of `Protocol.page_words`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the page, and at which byte.

    Codes: `html.truncated` (longer than the limit), `html.head-ended-early` (an element or text that cannot stand
    in the head ended it there, although its author went on with it), `html.tag-unclosed`, `html.comment-unclosed`
    and `html.text-unclosed` (the page ends inside a construct, which may hide a signal).
    """

    code: str
    offset: int


@dataclass(frozen=True, slots=True)
class Meta:
    """A `<meta>` element.

    Attributes:
        name: the value of the attribute that names it, trimmed, in lower case.
        content: its content, character references resolved; empty where the attribute is missing.
        offset: the byte at which it begins.
        in_head: whether it is metadata of the document.
        parent: the element around it; see `Link.parent`.
        attribute: which attribute names it: `name`, `property` or `http-equiv`.
    """

    name: str
    content: str
    offset: int
    in_head: bool = True
    parent: str = "head"
    attribute: str = "name"


@dataclass(frozen=True, slots=True)
class Link:
    """A `<link>` element.

    Attributes:
        rel: its relation types, in lower case.
        type: its media type in lower case, without parameters; None where it has none.
        href: its target as written, trimmed, to be resolved against `Head.base_href` and the page's URL.
        offset: the byte at which it begins.
        in_head: whether it stands in the head, so that it speaks for the whole document.
        parent: the element around it: `head`, `noscript`, or in the body the nearest open one whose end tag is
            not optional, and `body` where there is none.
    """

    rel: tuple[str, ...]
    type: str | None
    href: str
    offset: int
    in_head: bool = True
    parent: str = "head"


@dataclass(frozen=True, slots=True)
class InlineScript:
    """A data block: a `<script>` whose type names a format, such as `application/rsl+xml`, and its text."""

    type: str
    text: str
    offset: int
    in_head: bool = True
    parent: str = "head"


@dataclass(frozen=True, slots=True)
class Head:
    """What one page carries.

    Attributes:
        metas: in the order of the page, as `links` and `scripts`.
        base_href: of the first `<base>` before the last of these elements; None where they are none.
        language: the `lang` of the page's `<html>` tag as written.
        encoding: its name in the Encoding standard, in lower case.
        problems: what was wrong, in the order of the page.
    """

    metas: tuple[Meta, ...] = ()
    links: tuple[Link, ...] = ()
    scripts: tuple[InlineScript, ...] = ()
    base_href: str | None = None
    language: str | None = None
    encoding: str = encoding.DEFAULT
    problems: tuple[Fault, ...] = ()


def read_head(
    body: bytes, content_type: str | None = None, *, words: frozenset[bytes] = DEFAULT_WORDS, limit: int = DEFAULT_LIMIT
) -> Head:
    """Read the elements of a page in whose attributes one of `words` stands.

    Args:
        body: the page as received, content codings removed.
        content_type: the value of its `Content-Type` field.
        words: what to look for: ASCII in lower case, two letters or more. The page's case does not matter, nor
            white space after a colon; its character references are resolved.
        limit: how many bytes to read.
    """
    data = body[:limit] if len(body) > limit else body
    form = encoding.sniff(data, content_type)
    page = _Page(data, form)
    search = _compile(words)
    language = page.language()
    problems = (Fault("html.truncated", limit),) if len(body) > limit else ()
    candidates = search.candidates(page.data)
    if not candidates:
        return Head(language=language, encoding=form.name, problems=problems)
    reader = _Reader(page, search, candidates)
    for token in tokens(page.data, page.start, max(candidates)):
        reader.feed(token)
    return reader.head(language, problems)


# Tags that are most of a head and never carry a reservation, in their usual spelling. `_Reader` leaves out the same
# elements however they are spelt, so that skipping them here changes nothing but the time.
_SOCIAL = ("al:", "article:", "fb:", "og:", "twitter:")
_RESOURCES = frozenset((
    "apple-touch-icon", "canonical", "dns-prefetch", "icon", "modulepreload", "preconnect", "prefetch", "preload",
    "shortcut", "stylesheet",
))  # fmt: skip
_PROGRAMS = frozenset(("application/ld+json", "module", "text/javascript"))
_USUAL_META = rb' (?:property|name)="(?:al|article|fb|og|twitter):[^"]*+" content="[^"]*+"[\t\n\f\r /]*+>'
_USUAL_LINK = rb""" rel=["'](?:stylesheet|preload|preconnect|dns-prefetch|canonical|(?:shortcut )?icon)["']"""
_USUAL_SCRIPT = rb""" type=["'](?:text/javascript|module|application/ld\+json)["']"""
_CANDIDATE = re.compile(
    rb"<(?:[mM][eE][tT][aA](?=[\t\n\f\r /])(?!" + _USUAL_META + rb")"
    rb"|[lL][iI][nN][kK](?=[\t\n\f\r /])(?!" + _USUAL_LINK + rb")"
    rb"|[sS][cC][rR][iI][pP][tT](?=[\t\n\f\r /])(?!" + _USUAL_SCRIPT + rb"))" + ATTRIBUTES
)
_OPENING = re.compile(rb"(?i)<(?:meta|link|script)(?=[\t\n\f\r /])")
_HTML_TAG = re.compile(
    rb"(?:[\t\n\f\r ]++|<!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)|<[!?](?!--)[^>]*+>)*+"
    rb"(<(?i:html)(?=[\t\n\f\r />])" + ATTRIBUTES + rb">)"
)


class _Page:
    """A page in a form in which its tags can be found by their bytes, and the way back to its own bytes."""

    def __init__(self, data: bytes, form: Encoding) -> None:
        self.form = form
        self._codec = form.name
        self.data, self.start = data, form.bom
        if form.opaque:
            self.data = encoding.decode(data[form.bom :], form.name).encode("utf-8", "replace")
            self.start, self._codec = 0, "utf-8"
        self._known = (0, form.bom)

    def offset(self, at: int) -> int:
        """Where in the original bytes a place is. Each call is linear in the distance from the last one."""
        if not self.form.opaque:
            return at
        here, there = self._known if self._known[0] <= at else (0, self.form.bom)
        there += encoding.encoded_length(self.data[here:at].decode("utf-8", "replace"), self.form.name)
        self._known = (at, there)
        return there

    def text(self, raw: bytes) -> str:
        """Decode raw text as the standard's input stream does."""
        return encoding.decode(raw, self._codec).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")

    def value(self, raw: bytes | None) -> str | None:
        """The value of an attribute."""
        return None if raw is None else unescape(self.text(raw)).strip()

    def language(self) -> str | None:
        """The language that the `<html>` tag at the beginning names."""
        match = _HTML_TAG.match(self.data, self.start)
        if match is None or b"lang" not in match[1].lower():
            return None
        return self.value(attributes(match[1], 4).get(b"lang")) or None


@dataclass(frozen=True, slots=True)
class _Search:
    """A set of words, compiled."""

    patterns: tuple[re.Pattern[bytes], ...]
    reference: re.Pattern[bytes]

    def candidates(self, data: bytes) -> frozenset[int]:
        """Where the tags begin that may hold a word: all that do, and perhaps more.

        Every tag that matters is found here or stands inside one that is found, because a tag is read from its
        own start; and a character of a word is written as it is, or as a reference to it.
        """
        tags = _CANDIDATE.findall(data)
        joined = b"\n".join(tags)
        if joined.count(b"<") == len(tags):
            indexes = self._indexes(joined)
            return (
                frozenset(m.start() for at, m in enumerate(_CANDIDATE.finditer(data)) if at in indexes)
                if indexes
                else _NONE
            )
        if len(_OPENING.findall(joined)) == len(tags):
            return frozenset(match.start() for match in _CANDIDATE.finditer(data) if self._indexes(match[0]))
        return frozenset(match.start() for match in _OPENING.finditer(data))

    def holds(self, *values: str | None) -> bool:
        """Whether a word stands in one of these values."""
        folded = [value.encode("utf-8", "replace").lower() for value in values if value]
        return any(pattern.search(value) for value in folded for pattern in self.patterns)

    def _indexes(self, joined: bytes) -> set[int]:
        """Which of the joined tags may hold a word; each tag has one `<`, at its beginning."""
        lower = joined.lower()
        found: set[int] = set()
        for pattern in self.patterns:
            if pattern.search(lower):
                found.update(_ordinals(lower, pattern))
        if b"&" in joined and self.reference.search(joined):
            found.update(_ordinals(joined, self.reference))
        return found


_NONE: frozenset[int] = frozenset()


def _ordinals(joined: bytes, pattern: re.Pattern[bytes]) -> Iterator[int]:
    at = 0
    tag = -1
    for match in pattern.finditer(joined):
        tag += joined.count(b"<", at, match.start())
        at = match.start()
        yield tag


@lru_cache(maxsize=64)
def _compile(words: frozenset[bytes]) -> _Search:
    # A pattern with a literal beginning is searched ten times faster than an alternation without one.
    groups = (tuple(group) for _, group in groupby(sorted(words), key=lambda word: word[:2]))
    return _Search(tuple(re.compile(_common_beginning(group)) for group in groups), _references(words))


def _common_beginning(group: tuple[bytes, ...]) -> bytes:
    return group[0][:2] + (_either(word[2:] for word in group) if len(group) > 1 else _loose(group[0][2:]))


def _either(words: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(map(_loose, words)) + b")"


def _loose(word: bytes) -> bytes:
    # `max-snippet: 0` is as good as `max-snippet:0`.
    return re.escape(word).replace(b":", rb":[\t\n\f\r ]*+")


def _references(words: frozenset[bytes]) -> re.Pattern[bytes]:
    """What may stand for a character of a word, or for white space inside one."""
    letters = b"".join(words).decode("ascii")
    characters = set(letters + letters.upper()) | set(WHITESPACE.decode())
    names = {name.rstrip(";") for name, text in html5.items() if characters & set(text)}
    decimal = _either(str(ord(character)).encode() for character in sorted(characters))
    hexadecimal = _either(f"{ord(character):x}".encode() for character in sorted(characters))
    return re.compile(
        rb"&(?:#0*+"
        + decimal
        + rb"(?![0-9])|#[xX]0*+(?i:"
        + hexadecimal
        + rb")(?![0-9a-fA-F])|"
        + _either(name.encode() for name in sorted(names))
        + rb")"
    )


def _essence(media_type: str | None) -> str:
    return (media_type or "").partition(";")[0].strip().lower()


class _Reader:
    """Collects the elements of one page."""

    def __init__(self, page: _Page, search: _Search, candidates: frozenset[int]) -> None:
        self._page = page
        self._search = search
        self._candidates = candidates
        self._position = Position()
        self._metas: list[Meta] = []
        self._links: list[Link] = []
        self._scripts: list[InlineScript] = []
        self._base: str | None = None
        self._problems: list[Fault] = []

    def feed(self, token: Token) -> None:
        """Take the next token of the page."""
        if token.gap < token.start:
            self._position.text(self._page.data[token.gap : token.start], token.gap)
        if token.fault:
            self._problems.append(Fault(f"html.{token.fault}-unclosed", self._page.offset(token.start)))
        if not token.name:
            return
        self._position.tag(token)
        if token.closing or token.fault or self._position.hidden:
            return
        if token.start in self._candidates:
            _TAKERS[token.name](self, token)
        elif token.name == b"base" and self._base is None:
            self._base = self._page.value(self._attributes(token).get(b"href"))

    def head(self, language: str | None, problems: tuple[Fault, ...]) -> Head:
        """What was collected."""
        faults = sorted(self._problems, key=lambda fault: fault.offset)
        return Head(
            metas=tuple(self._metas),
            links=tuple(self._links),
            scripts=tuple(self._scripts),
            base_href=self._base,
            language=language,
            encoding=self._page.form.name,
            problems=(*faults, *problems),
        )

    def _meta(self, token: Token) -> None:
        found = self._attributes(token)
        content = self._page.value(found.get(b"content")) or ""
        for attribute in ("name", "property", "http-equiv"):
            name = self._page.value(found.get(attribute.encode()))
            if name and not name.lower().startswith(_SOCIAL) and self._search.holds(name, content):
                offset, in_head, parent = self._place(token)
                self._metas.append(Meta(name.lower(), content, offset, in_head, parent, attribute))

    def _link(self, token: Token) -> None:
        found = self._attributes(token)
        rel, kind, href = (self._page.value(found.get(name)) for name in (b"rel", b"type", b"href"))
        relations = tuple((rel or "").lower().split())
        if not _RESOURCES.issuperset(relations or ("",)) and self._search.holds(rel, kind, href):
            self._links.append(Link(relations, _essence(kind) or None, href or "", *self._place(token)))

    def _script(self, token: Token) -> None:
        kind = self._page.value(self._attributes(token).get(b"type"))
        if _essence(kind) not in _PROGRAMS and self._search.holds(kind):
            text = self._page.text(self._page.data[token.end : token.text_end])
            self._scripts.append(InlineScript(_essence(kind), text, *self._place(token)))

    def _attributes(self, token: Token) -> dict[bytes, bytes]:
        return attributes(self._page.data[token.start : token.end], len(token.name))

    def _place(self, token: Token) -> tuple[int, bool, str]:
        position = self._position
        if position.displaced is not None and not position.in_head:
            self._problems.append(Fault("html.head-ended-early", self._page.offset(position.displaced)))
            position.displaced = None
        return self._page.offset(token.start), position.in_head, position.parent


_TAKERS = {b"meta": _Reader._meta, b"link": _Reader._link, b"script": _Reader._script}  # noqa: SLF001
