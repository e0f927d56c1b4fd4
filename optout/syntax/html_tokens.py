"""Cut an HTML page into tags, in bytes, with the place of each.

The states are those of the HTML standard's tokenizer (https://html.spec.whatwg.org/, section 13.2.5): comments,
bogus comments, attributes with and without quotes, raw text. They work on bytes because every encoding that the
standard knows, UTF-16 and ISO-2022-JP apart, keeps the bytes below 0x40 for ASCII alone; and offsets in bytes are
what evidence needs. Every pattern takes each byte a bounded number of times, so the time is linear in the input.
"""

from __future__ import annotations

import re
from html.entities import html5
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WHITESPACE = b"\t\n\f\r "
"""ASCII white space as HTML counts it (Infra standard section 4.6)."""

_WS = rb"[\t\n\f\r ]"
_VALUE = rb"""=[\t\n\f\r ]*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+|(?=>)|\Z)"""
_NAME = rb"[^\t\n\f\r />][^\t\n\f\r />=]*+"
# The first part alone is the common form, and saves a third of the time.
ATTRIBUTES = (
    rb'(?:[ \n][^\t\n\f\r />="\']++="[^"]*+")*+'
    rb"(?:[\t\n\f\r /]++|" + _NAME + rb"(?:" + _WS + rb"*+" + _VALUE + rb")?+)*+"
)
"""The source of a pattern that takes everything from a tag's name to its closing `>`, exclusive.

A quote that nothing closes takes the rest of the input, as in the standard.
"""

_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*+(" + _NAME + rb")(?:" + _WS + rb"*+=" + _WS + rb"*+"
    rb"""(?:"([^"]*+)"?|'([^']*+)'?|([^\t\n\f\r >"'][^\t\n\f\r >]*+)|))?+"""
)
_TOKEN = re.compile(rb"<(?:(/?)([A-Za-z][^\t\n\f\r />]*+)" + ATTRIBUTES + rb"(>?)|!--|[!?/])")
_COMMENT_START = re.compile(rb"-?>")
_COMMENT_END = re.compile(rb"--!?>")
_SCRIPT_STEP = re.compile(rb"(?i)<!--|-->|<(/?)script(?=[\t\n\f\r />])")
_RAW_TEXT = ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
_RAW_END = {name.encode(): re.compile(rb"(?i)</" + name.encode() + rb"(?=[\t\n\f\r />])") for name in _RAW_TEXT}
_FOREIGN = frozenset((b"svg", b"math"))
# Tags that end SVG and MathML, HTML standard section 13.2.6.5.
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta "
    b"nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)

_BREAKOUT_ENDS = frozenset((b"br", b"p"))


def _element_of_text(name: bytes, never: bytes) -> bytes:
    """A whole element of raw text; `never` is a further alternative of what may not follow a `<` in it."""
    tag = rb"(?i:" + name + rb")(?=[\t\n\f\r />])"
    return rb"<" + tag + ATTRIBUTES + rb">[^<]*+(?:<(?!/" + tag + never + rb")[^<]*+)*+</" + tag + ATTRIBUTES + rb">"


_COMMENT = rb"<!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)"
# A script with a comment in it has rules of its own, and is left to them.
_METADATA = re.compile(
    rb"(?:[\t\n\f\r ]++|<(?i:meta|link)(?=[\t\n\f\r />])"
    + ATTRIBUTES
    + rb">|"
    + _COMMENT
    + rb"|"
    + rb"|".join(starmap(_element_of_text, ((b"script", b"|!--"), (b"style", b""), (b"title", b""))))
    + rb")*+"
)


class Token(NamedTuple):
    """A tag, or another piece of markup.

    Attributes:
        gap: where the text before it begins.
        start: where it begins.
        end: where it ends.
        text_end: where the raw text that follows a `<script>`, `<title>`, … ends; else the same as `end`.
        name: the element's name in lower case; empty for comments and everything that is no tag.
        closing: whether it is an end tag.
        foreign: whether it belongs to SVG or MathML.
        empty: whether it is self-closing, which counts in those two alone.
        fault: what the page ended in the middle of: `tag`, `comment` or `text`.
    """

    gap: int
    start: int
    end: int
    text_end: int
    name: bytes = b""
    closing: bool = False
    foreign: bool = False
    empty: bool = False
    fault: str | None = None


def tokens(data: bytes, start: int, wanted: Sequence[int] | None = None) -> Iterator[Token]:
    """Yield the tags and comments of a page in order. The last token has a fault where the page ends inside it.

    Raw text (`<script>`, `<style>`, `<title>`, `<textarea>`, …) yields nothing. `<noscript>` is read as markup,
    which is what it is to a reader without scripting.

    Args:
        data: the page.
        start: where to begin.
        wanted: the places of the tags that matter, in order. Between them, what may stand in a head and in a body
            alike (`<meta>`, `<link>`, `<script>`, `<style>`, `<title>`, comments) is left out, and nothing comes
            after them. None: everything matters.
    """
    foreign = 0
    at = start
    ahead = iter(wanted or ())
    goal = -1
    while True:
        if wanted is not None:
            while goal < at:
                goal = next(ahead, len(data) + 1)
            if goal > len(data):
                return
            if not foreign and (skipped := _METADATA.match(data, at, goal)):
                at = skipped.end()
        match = _TOKEN.search(data, at)
        if match is None:
            return
        token, foreign = _token(data, at, match, foreign)
        yield token
        if token.fault:
            return
        at = token.text_end


def attributes(tag: bytes, name_length: int) -> dict[bytes, bytes]:
    """The attributes of a start tag, raw, names in lower case; the first of duplicates counts.

    Args:
        tag: the tag from `<` to `>`.
        name_length: how long its name is.
    """
    found: dict[bytes, bytes] = {}
    for match in _ATTRIBUTE.finditer(tag, 1 + name_length, len(tag) - 1):
        found.setdefault(match[1].lower(), match[2] or match[3] or match[4] or b"")
    return found


def unescape(text: str) -> str:
    """Resolve the character references of an attribute value (HTML standard section 13.2.5.72 and following).

    Unlike `html.unescape` it leaves `&copy=1` alone, as the standard asks inside attributes, and drops nothing.
    """
    return _REFERENCE.sub(_resolve, text) if "&" in text else text


_REFERENCE = re.compile(r"&(?:#(?:([0-9]++)|[xX]([0-9a-fA-F]++));?|([0-9A-Za-z]++)(;?)(=?))")


def _resolve(match: re.Match[str]) -> str:
    decimal, hexadecimal, name, semicolon, equals = match.groups()
    if name is None:
        return _character(
            int(decimal.lstrip("0")[:8] or "0") if decimal else int(hexadecimal.lstrip("0")[:8] or "0", 16)
        )
    # Without its semicolon a name counts only where neither "=" nor a letter or digit follows.
    character = html5.get(name + semicolon) if semicolon or not equals else None
    return character + equals if character else match[0]


def _character(code: int) -> str:
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    if 0x80 <= code <= 0x9F:
        return bytes((code,)).decode("cp1252", "ignore") or chr(code)
    return chr(code)


def _token(data: bytes, gap: int, match: re.Match[bytes], foreign: int) -> tuple[Token, int]:
    """The token that was found, and how many `<svg>` and `<math>` are open after it."""
    name = match[2]
    if name is None:
        return _markup(data, gap, match.start(), foreign), foreign
    if not match[3]:
        return Token(gap, match.start(), len(data), len(data), fault="tag"), foreign
    name = name.lower()
    if foreign or name in _FOREIGN:
        empty = data.endswith(b"/>", 0, match.end())
        foreign = _foreign_depth(name, foreign, closing=bool(match[1]), empty=empty)
    return _tag(data, gap, match, name, foreign), foreign


def _markup(data: bytes, gap: int, begin: int, foreign: int) -> Token:
    """A comment, a doctype, or what the standard calls a bogus comment."""
    kind = data[begin : begin + 9]
    fault = None
    if kind.startswith(b"<!--"):
        match = _COMMENT_START.match(data, begin + 4) or _COMMENT_END.search(data, begin + 4)
        end = match.end() if match else 0
    elif foreign and kind == b"<![CDATA[":
        close = data.find(b"]]>", begin)
        end = close + 3 if close >= 0 else 0
    else:
        end = data.find(b">", begin + 1) + 1
    if not end:
        end, fault = len(data), "comment"
    return Token(gap=gap, start=begin, end=end, text_end=end, fault=fault)


def _tag(data: bytes, gap: int, match: re.Match[bytes], name: bytes, foreign: int) -> Token:
    closing = bool(match[1])
    end = match.end()
    inside = foreign > 0
    token = Token(gap, match.start(), end, end, name, closing, inside, inside and data.endswith(b"/>", 0, end))
    if closing or inside or (name not in _RAW_END and name != b"plaintext"):
        return token
    text_end = _raw_text_end(data, name, end)
    if text_end is None:
        return token._replace(text_end=len(data), fault="text")
    return token._replace(text_end=text_end)


def _foreign_depth(name: bytes, depth: int, *, closing: bool, empty: bool) -> int:
    """How many `<svg>` and `<math>` are open after this tag; inside them, `<title>` and `<style>` are plain markup."""
    if name in _FOREIGN:
        return max(0, depth - 1) if closing else depth + (not empty)
    return 0 if depth and name in (_BREAKOUT_ENDS if closing else _BREAKOUT) else depth


def _raw_text_end(data: bytes, name: bytes, at: int) -> int | None:
    pattern = _RAW_END.get(name)
    match = pattern.search(data, at) if pattern else None
    if match is None:
        return None
    if name == b"script" and (comment := data.find(b"<!--", at, match.start())) >= 0:
        return _escaped_script_end(data, comment)
    return match.start()


def _escaped_script_end(data: bytes, at: int) -> int | None:
    """The end of a script that contains `<!--`, in which `<script>` may nest (HTML standard, 13.2.5.20 to 32)."""
    escaped = nested = False
    while match := _SCRIPT_STEP.search(data, at):
        text = match[0]
        if text == b"<!--":
            escaped = True
        elif text == b"-->":
            escaped = nested = False
        elif match[1] and not nested:
            return match.start()
        else:
            nested = escaped and not match[1]
        # Its two dashes may be those of the "-->" that ends it.
        at = match.start() + 2
    return None
