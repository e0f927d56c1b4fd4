"""The `<meta>`, `<link>` and `<script>` elements of a page that may carry a reservation, each with its place.

An element is given when one of the caller's words stands in its attributes; what is there for social networks
(`og:`, `twitter:`), for display (`viewport`, `description`) or to load resources (`stylesheet`, `icon`) is not. A
page in whose tags no word stands is done with after one pass. Else it is cut into tags, and their place in the
document follows the tree construction of the HTML standard (https://html.spec.whatwg.org/, section 13.2.6): what
stands in comments, templates or raw text is nothing, the head needs no tags of its own, and it ends at the first
thing that cannot stand in it.

`<noscript>` is read both ways, and the reading with more signals wins: its content counts, as for a reader
without scripting, and whatever it contains does not end the head, as for a reader with scripting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from optout.syntax import encoding
from optout.syntax.html_search import Tags, Words, collect, compile_words, is_other, is_program, is_resource
from optout.syntax.html_tokens import ATTRIBUTES, attributes, tokens, unescape
from optout.syntax.html_tree import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optout.syntax.html_tokens import Token

DEFAULT_LIMIT = 4 << 20
"""How many bytes of a page are read. Real heads reach 250 KB."""

_SCRIPT_END = len("</script>")

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
    and `html.text-unclosed` (the page ends inside a construct, which may hide a signal). All but the first are
    looked for only in pages in which one of the words stands.
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
        end: how many bytes of the page are enough to read the same elements in it again.
    """

    metas: tuple[Meta, ...] = ()
    links: tuple[Link, ...] = ()
    scripts: tuple[InlineScript, ...] = ()
    base_href: str | None = None
    language: str | None = None
    encoding: str = encoding.DEFAULT
    problems: tuple[Fault, ...] = ()
    end: int = 0


def read_head(
    body: bytes, content_type: str | None = None, *, words: frozenset[bytes] = DEFAULT_WORDS, limit: int = DEFAULT_LIMIT
) -> Head:
    """Read the elements of a page in whose attributes one of `words` stands. Any bytes can be read.

    Args:
        body: the page as received, content codings removed.
        content_type: the value of its `Content-Type` field.
        words: what to look for: ASCII in lower case, two letters or more. The page's case does not matter, nor
            white space after a colon; its character references are resolved.
        limit: how many bytes to read.
    """
    page = _open(_Key(body, content_type, limit))
    compiled = compile_words(words)
    problems = (Fault("html.truncated", limit),) if len(body) > limit else ()
    candidates = compiled.candidates(page.data, page.tags)
    if not candidates:
        return Head(language=page.language, encoding=page.encoding, problems=problems)
    reader = _Reader(page, compiled, candidates)
    for token in tokens(page.data, page.start, candidates):
        reader.feed(token)
    return reader.head(problems)


_HTML_TAG = re.compile(
    rb"(?:[\t\n\f\r ]++|<!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)|<[!?](?!--)[^>]*+>)*+"
    rb"(<(?i:html)(?=[\t\n\f\r />])" + ATTRIBUTES + rb">)"
)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page in a form in which its tags can be found by their bytes.

    Attributes:
        data: the page's own bytes, or where those hide its tags, the page in UTF-8.
        start: where it begins, after a byte-order mark.
        codec: the encoding of `data`.
        encoding: the encoding of the page.
        origin: where in the page's own bytes `start` is.
        size: how many of the page's own bytes are read.
        tags: the tags in which words may stand.
        language: what the `<html>` tag at the beginning says.
    """

    data: bytes
    start: int
    codec: str
    encoding: str
    origin: int
    size: int
    tags: Tags
    language: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Key:
    """A page by the identity of its bytes, because hashing them would cost as much as reading them."""

    body: bytes
    content_type: str | None
    limit: int

    def __hash__(self) -> int:
        return hash((id(self.body), self.content_type, self.limit))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Key) or self.body is not other.body:
            return False
        return (self.content_type, self.limit) == (other.content_type, other.limit)


@lru_cache(maxsize=1)
def _open(key: _Key) -> _Page:
    # Each protocol asks for its own words in the same page, one after the other.
    data = key.body[: key.limit]
    form = encoding.sniff(data, key.content_type)
    start, codec, size = form.bom, form.name, len(data)
    if form.opaque:
        data = encoding.decode(data[form.bom :], form.name).encode("utf-8", "replace")
        start, codec = 0, "utf-8"
    return _Page(data, start, codec, form.name, form.bom, size, collect(data), _language(data, start, codec))


def _language(data: bytes, start: int, codec: str) -> str | None:
    match = _HTML_TAG.match(data, start)
    if match is None or b"lang" not in match[1].lower():
        return None
    return _value(attributes(match[1], 4).get(b"lang"), codec) or None


def _text(raw: bytes, codec: str) -> str:
    """Decode raw text as the standard's input stream does."""
    return encoding.decode(raw, codec).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _value(raw: bytes | None, codec: str) -> str | None:
    return None if raw is None else unescape(_text(raw, codec)).strip()


def _essence(media_type: str | None) -> str:
    return (media_type or "").partition(";")[0].strip().lower()


class _Reader:
    """Collects the elements of one page."""

    def __init__(self, page: _Page, words: Words, candidates: Sequence[int]) -> None:
        self._page = page
        self._words = words
        self._candidates = frozenset(candidates)
        self._position = Position()
        self._metas: list[Meta] = []
        self._links: list[Link] = []
        self._scripts: list[InlineScript] = []
        self._base: str | None = None
        self._problems: list[Fault] = []
        self._known = (page.start, page.origin)
        self._end = 0

    def feed(self, token: Token) -> None:
        """Take the next token of the page."""
        if token.gap < token.start:
            self._position.text(self._page.data[token.gap : token.start], token.gap)
        if token.fault:
            self._problems.append(Fault(f"html.{token.fault}-unclosed", self._offset(token.start)))
        if not token.name:
            return
        self._position.tag(token)
        if token.closing or token.fault or self._position.hidden:
            return
        if token.start in self._candidates and token.name in _TAKERS:
            _TAKERS[token.name](self, token)
        elif token.name == b"base" and self._base is None:
            self._base = self._value(self._attributes(token).get(b"href"))

    def head(self, problems: tuple[Fault, ...]) -> Head:
        """What was collected."""
        faults = sorted(self._problems, key=lambda fault: fault.offset)
        return Head(
            metas=tuple(self._metas),
            links=tuple(self._links),
            scripts=tuple(self._scripts),
            base_href=self._base,
            language=self._page.language,
            encoding=self._page.encoding,
            problems=(*faults, *problems),
            end=self._enough(),
        )

    def _enough(self) -> int:
        """Where the last element ends. Where the page's bytes hide its tags, they tell no place to cut at."""
        return self._end if self._page.codec == self._page.encoding else self._page.size

    def _meta(self, token: Token) -> None:
        found = self._attributes(token)
        content = self._value(found.get(b"content")) or ""
        for attribute in ("name", "property", "http-equiv"):
            name = self._value(found.get(attribute.encode()))
            if name and not is_other(name.lower()) and self._words.stand_in(name, content):
                offset, in_head, parent = self._place(token)
                self._metas.append(Meta(name.lower(), content, offset, in_head, parent, attribute))
                self._end = token.end

    def _link(self, token: Token) -> None:
        found = self._attributes(token)
        rel, kind, href = (self._value(found.get(name)) for name in (b"rel", b"type", b"href"))
        relations = tuple((rel or "").lower().split())
        if not is_resource(relations) and self._words.stand_in(rel, kind, href):
            self._links.append(Link(relations, _essence(kind) or None, href or "", *self._place(token)))
            self._end = token.end

    def _script(self, token: Token) -> None:
        kind = self._value(self._attributes(token).get(b"type"))
        if not is_program(_essence(kind)) and self._words.stand_in(kind):
            text = _text(self._page.data[token.end : token.text_end], self._page.codec)
            self._scripts.append(InlineScript(_essence(kind), text, *self._place(token)))
            self._end = token.text_end + _SCRIPT_END

    def _attributes(self, token: Token) -> dict[bytes, bytes]:
        return attributes(self._page.data[token.start : token.end], len(token.name))

    def _value(self, raw: bytes | None) -> str | None:
        return _value(raw, self._page.codec)

    def _offset(self, at: int) -> int:
        """Where in the page's own bytes a place is. Each call is linear in the distance from the last one."""
        page = self._page
        if page.codec == page.encoding:
            return at
        here, there = self._known if self._known[0] <= at else (page.start, page.origin)
        there += encoding.encoded_length(page.data[here:at].decode("utf-8", "replace"), page.encoding)
        self._known = (at, there)
        return there

    def _place(self, token: Token) -> tuple[int, bool, str]:
        position = self._position
        if position.displaced is not None and not position.in_head:
            self._problems.append(Fault("html.head-ended-early", self._offset(position.displaced)))
            position.displaced = None
        return self._offset(token.start), position.in_head, position.parent


_TAKERS = {b"meta": _Reader._meta, b"link": _Reader._link, b"script": _Reader._script}  # noqa: SLF001
