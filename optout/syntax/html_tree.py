"""Where in the document a tag stands: in the head, in the body, or in nothing that is shown.

The insertion modes "before head", "in head", "after head" and "in body" of the HTML standard
(https://html.spec.whatwg.org/, sections 13.2.6.4.1 to 7), as far as they decide what is document metadata.
Two things are simpler than in the standard. `<noscript>` in the head is transparent: its content counts and
cannot end the head. And in the body only elements are tracked whose end tag is not optional.
"""

from __future__ import annotations

from enum import Enum
from html import unescape
from typing import TYPE_CHECKING

from optout.syntax.html_tokens import WHITESPACE

if TYPE_CHECKING:
    from optout.syntax.html_tokens import Token

MAX_DEPTH = 512
"""Deeper elements are not tracked; browsers stop nesting there as well."""

_OF_HEAD = frozenset(b"base basefont bgsound link meta noframes noscript script style template title".split())
_NEVER_A_PARENT = frozenset(
    # Elements without content, of raw text, and with an optional end tag.
    b"area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr "
    b"iframe noembed noframes plaintext script style textarea title xmp "
    b"body caption colgroup dd dt head html li optgroup option p rb rp rt rtc tbody td tfoot th thead tr".split()
)


class _Mode(Enum):
    BEFORE_HEAD = 1
    HEAD = 2
    AFTER_HEAD = 3
    BODY = 4


class Position:
    """Follows the tags of one page.

    Attributes:
        displaced: the byte at which the head was ended by what cannot stand in it, as long as the author has
            not closed it; None otherwise.
    """

    __slots__ = ("_ended", "_head_tag", "_mode", "_noscript", "_open", "_templates", "displaced")

    def __init__(self) -> None:
        self._mode = _Mode.BEFORE_HEAD
        self._head_tag = False
        self._noscript = False
        self._templates = 0
        self._open: list[bytes] = []
        self._ended = 0
        self.displaced: int | None = None

    @property
    def in_head(self) -> bool:
        """Whether an element of metadata here belongs to the head. After `</head>` it still does."""
        return self._mode is not _Mode.BODY

    @property
    def hidden(self) -> bool:
        """Whether this is inside a template, whose content is no part of the document."""
        return self._templates > 0

    @property
    def parent(self) -> str:
        """The element around this place."""
        if self.in_head:
            return "noscript" if self._noscript else "head"
        return self._open[-1].decode("latin-1") if self._open else "body"

    def text(self, raw: bytes, at: int) -> None:
        """Take the text between two tags, which begins at byte `at`."""
        text = raw.lstrip(WHITESPACE)
        if not text or not self.in_head or self.hidden or self._noscript:
            return
        # A character reference may stand for white space; nothing else in plain text needs decoding.
        if unescape(text.decode("latin-1")).strip(WHITESPACE.decode()):
            self._end_head(at + len(raw) - len(text))

    def tag(self, token: Token) -> None:
        """Take a start tag or an end tag."""
        if self.hidden:
            if token.name == b"template" and not token.foreign:
                self._templates += -1 if token.closing else 1
        elif self._mode is _Mode.BODY:
            self._tag_in_body(token)
        elif token.closing:
            self._close(token.name, token.start)
        else:
            self._start(token.name, token.start)

    def _start(self, name: bytes, at: int) -> None:
        if name == b"head":
            self._head_tag = True
            if self._mode is _Mode.BEFORE_HEAD:
                self._mode = _Mode.HEAD
        elif name in {b"body", b"frameset"}:
            self._mode = _Mode.BODY
        elif name in _OF_HEAD and not (name == b"noscript" and self._mode is _Mode.AFTER_HEAD):
            if self._mode is _Mode.BEFORE_HEAD:
                self._mode = _Mode.HEAD
            self._noscript = self._noscript or name == b"noscript"
            self._templates += name == b"template"
        elif name != b"html" and not self._noscript:
            self._end_head(at)

    def _close(self, name: bytes, at: int) -> None:
        if name == b"noscript":
            self._noscript = False
        elif self._noscript:
            return
        elif name == b"head":
            self._mode = _Mode.AFTER_HEAD
        elif name in {b"body", b"html", b"br"}:
            self._end_head(at)

    def _end_head(self, at: int) -> None:
        self._ended = at
        if self._head_tag and self._mode is _Mode.HEAD:
            self.displaced = at
        self._mode = _Mode.BODY

    def _tag_in_body(self, token: Token) -> None:
        name = token.name
        if name == b"head":
            # The author begins or ends a head here; the document's own is long over.
            self.displaced = None if token.closing else self._ended
        elif name == b"body":
            self.displaced = None
        elif token.closing:
            self._pop(name)
        elif name == b"template" and not token.foreign:
            self._templates = 1
        elif name not in _NEVER_A_PARENT and not token.empty and len(self._open) < MAX_DEPTH:
            self._open.append(name)

    def _pop(self, name: bytes) -> None:
        if name in self._open:
            while self._open.pop() != name:
                pass
