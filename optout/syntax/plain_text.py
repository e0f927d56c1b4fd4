"""Text files at fixed paths, such as `/trust.txt`: whether the body is one at all, and its lines with their places.

Many sites answer every path with status 200 and a page, so the first question is always whether this is markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SNIFFED = 4096
_TAG = re.compile(rb"<(?:!doctype|\?xml|html|head|body|title|meta|link|script|style|div|p|h[1-6])\b", re.IGNORECASE)
_BLANK = b" \t\r\n\v\f\0"
_WHITE = " \t\r\n\v\f\0\ufeff\u200b\xa0"
_UTF8_MARKS = (b"\xef\xbb\xbf", b"\xc3\xaf\xc2\xbb\xc2\xbf")
"""The byte order mark, and what becomes of it where a program took it for Latin-1 and wrote it as UTF-8."""

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Line(NamedTuple):
    """One line of a text.

    Attributes:
        number: counted from 1.
        offset: of its first byte, from 0; in a body that was UTF-16, as if it had been UTF-8.
        text: decoded, without its end and without white space around it.
        indent: how many characters of white space stand before it.
    """

    number: int
    offset: int
    text: str
    indent: int = 0


def is_markup(body: bytes) -> bool:
    """Whether a body is an HTML or XML page instead of the text that was asked for."""
    head = _without_mark(body[:_SNIFFED]).lstrip(_BLANK)
    return head.startswith(b"<") and _TAG.search(head) is not None


def lines(body: bytes, limit: int) -> Iterator[Line]:
    """The lines of the first `limit` bytes of a text. Only CR, LF and CRLF end a line; undecodable bytes are U+FFFD.

    A line that the limit cuts is left out, because half a statement may be the opposite of the whole.
    """
    if body.startswith(_UTF16_MARKS):
        body = body.decode("utf-16", "replace").encode()
    offset = 0
    for number, line in enumerate(_within(body, limit).splitlines(keepends=True), 1):
        text = (_without_mark(line) if number == 1 else line).decode("utf-8", "replace").rstrip(_WHITE)
        shown = text.lstrip(_WHITE)
        yield Line(number, offset, shown, len(text) - len(shown))
        offset += len(line)


def _without_mark(data: bytes) -> bytes:
    return next((data.removeprefix(mark) for mark in _UTF8_MARKS if data.startswith(mark)), data)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) <= limit:
        return body
    return body[: max(body.rfind(b"\n", 0, limit), body.rfind(b"\r", 0, limit)) + 1]
