"""What a person reads on a page: paragraphs with their places, their sentences, and what of them is quoted.

Only the paragraphs in which something of interest stands are turned into text, because that takes a parser: the page
is cut at its block elements first, by the tokenizer of the HTML standard, and each piece is given to BeautifulSoup,
whose time grows with the square of what it is given where elements are badly nested.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

from optout.syntax import encoding
from optout.syntax.html_tokens import attributes, tokens, unescape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from optout.syntax.html_tokens import Token

LONGEST_PIECE = 8_192
"""Bytes of a paragraph that are read around what is looked for; a longer one is no paragraph of a person's."""

LONGEST_SENTENCE = 1_500
"""Characters; where nobody ended a sentence, one is cut there."""

_BLOCKS = frozenset(
    b"address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer "
    b"form h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe legend li main menu nav noscript ol option p pre script "
    b"search section select style summary table tbody td template textarea tfoot th thead title tr ul".split()
)
_LISTS = frozenset((b"dl", b"menu", b"ol", b"ul"))
# What stands in them is somebody else's words, an example, or nothing that is shown.
_SET_APART = frozenset((b"blockquote", b"pre", b"select", b"template"))
_LEFT_OUT = ("br", "code", "kbd", "math", "samp", "svg")
_DEEPEST = 64
"""Lists within lists beyond this depth have no introduction."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """The text of a block.

    Attributes:
        text: as it is read, white space collapsed.
        offset: the byte of the page at which it begins.
        introduction: of an item of a list, the text before the list, where that ends in the middle of a sentence.
    """

    text: str
    offset: int
    introduction: str = ""


def paragraphs(data: bytes, codec: str, wanted: Sequence[int]) -> Iterator[Paragraph]:
    """The paragraphs in which wanted places stand, in order.

    Args:
        data: the page.
        codec: its encoding, as `encoding.sniff` names it.
        wanted: offsets of what is looked for, in order.
    """
    if not wanted:
        return
    for piece in _pieces(data, wanted):
        introduction = _text(data, codec, piece.introduction, ()) if piece.introduction else ""
        text = _text(data, codec, (piece.start, piece.end), wanted)
        if text:
            yield Paragraph(text, piece.start, "" if introduction.endswith((".", "!", "?")) else introduction)


RIGHTS_ELEMENTS = frozenset(
    b"copyright rights dc.rights dcterms.rights dc.rights.license dcterms.license dcterms.accessrights".split()
)
"""Names of `<meta>` elements whose content is a statement of rights (DCMI Metadata Terms, section 2)."""

_RIGHTS_MEMBER = re.compile(
    rb'"(?:conditionsOfAccess|copyrightNotice|license|rights|usageInfo)"\s*+:\s*+"((?:[^"\\]|\\.)*+)"', re.DOTALL
)


def notices(data: bytes, codec: str, wanted: Sequence[int]) -> Iterator[Paragraph]:
    """What the page's metadata says of rights where wanted places stand: `<meta>` elements, and schema.org as JSON-LD.

    Args:
        data: the page.
        codec: its encoding, as `encoding.sniff` names it.
        wanted: offsets of what is looked for, in order.
    """
    for token in tokens(data, 0):
        if not wanted or token.start > wanted[-1]:
            return
        if token.name == b"meta" and _holds(token.start, token.end, wanted):
            found = attributes(data[token.start : token.end], len(token.name))
            name = found.get(b"name") or found.get(b"property") or b""
            if name.strip().lower() in RIGHTS_ELEMENTS:
                yield Paragraph(" ".join(_unescaped(found.get(b"content", b""), codec).split()), token.start)
        elif token.name == b"script" and not token.closing and _holds(token.end, token.text_end, wanted):
            yield from _members(data, codec, token)


def _members(data: bytes, codec: str, script: Token) -> Iterator[Paragraph]:
    """The statements of rights in a script that is JSON-LD (schema.org, CreativeWork)."""
    kind = attributes(data[script.start : script.end], len(script.name)).get(b"type", b"")
    if kind.strip().lower() != b"application/ld+json":
        return
    for member in _RIGHTS_MEMBER.finditer(data, script.end, script.text_end):
        with suppress(ValueError):
            words = json.loads(f'"{encoding.decode(member[1], codec)}"', strict=False).split()
            if len(words) > 1:  # One alone is the URL of a statement.
                yield Paragraph(" ".join(words), member.start(1))


@dataclass(frozen=True, slots=True)
class _Piece:
    """The bytes between two tags of blocks, and those before the list in which they stand."""

    start: int
    end: int
    introduction: tuple[int, int] | None


class _Cutter:
    """Cuts a page at its block elements and remembers what precedes each list."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self._apart = 0
        self._last: tuple[int, int] | None = None
        self._lists: list[tuple[int, int] | None] = []
        self._after_break = -1

    def feed(self, token: Token) -> _Piece | None:
        """Take a tag; give the piece that it ends, where it ends one that counts."""
        if token.name == b"br":
            return self._break(token)
        if token.name not in _BLOCKS:
            return None
        piece = self.cut(token.start, token.text_end)
        if token.name in _SET_APART:
            self._apart = max(0, self._apart - 1) if token.closing else self._apart + 1
        if token.name in _LISTS and token.closing:
            self._last = self._lists.pop() if self._lists else None
        elif token.name in _LISTS and len(self._lists) < _DEEPEST:
            self._lists.append(self._last)
        return piece

    def cut(self, end: int, start: int) -> _Piece | None:
        """End the piece here and begin the next one there."""
        begin, self._start = self._start, start
        length = len(self._data[begin:end].lstrip())
        if self._apart or not length:
            return None
        begin = end - length
        piece = _Piece(begin, end, self._lists[-1] if self._lists else None)
        if not self._lists:
            self._last = (begin, end)
        return piece

    def _break(self, token: Token) -> _Piece | None:
        """Two line breaks in a row divide as a paragraph does; a single one does not end a sentence."""
        double = self._after_break >= 0 and not self._data[self._after_break : token.start].strip()
        self._after_break = token.end
        return self.cut(token.start, token.end) if double else None


def _pieces(data: bytes, wanted: Sequence[int]) -> Iterator[_Piece]:
    cutter = _Cutter(data)
    for token in tokens(data, 0):
        piece = cutter.feed(token)
        if piece is not None and _holds(piece.start, piece.end, wanted):
            yield piece
        if token.start > wanted[-1] and piece is not None:
            return
    if (piece := cutter.cut(len(data), len(data))) is not None and _holds(piece.start, piece.end, wanted):
        yield piece


def _holds(start: int, end: int, wanted: Sequence[int]) -> bool:
    index = bisect_left(wanted, start)
    return index < len(wanted) and wanted[index] < end


def _text(data: bytes, codec: str, span: tuple[int, int], wanted: Sequence[int]) -> str:
    """The text of a piece; of a very long one, what stands around the first wanted place, or at its end."""
    start, end = span
    if end - start > LONGEST_PIECE:
        first = wanted[bisect_left(wanted, start)] if wanted else end
        start = max(start, first - LONGEST_PIECE // 2)
        end = min(end, start + LONGEST_PIECE)
    from bs4 import BeautifulSoup  # noqa: PLC0415 - It takes half a second to load, and most pages need none of it.

    soup = BeautifulSoup(f"<p>{encoding.decode(data[start:end], codec)}", "lxml")
    for element in soup.find_all(_LEFT_OUT):
        element.replace_with(" ")
    for quotation in soup.find_all("q"):
        quotation.insert(0, "“")
        quotation.append("”")
    return " ".join(soup.get_text().split())


@dataclass(frozen=True, slots=True)
class Anchor:
    """An `<a>` element: where it leads, as written, and its text."""

    address: str
    text: str


_ANY_TAG = re.compile(rb"<[^<>]*+>")
_LONGEST_ANCHOR = 1_024


def links(data: bytes, codec: str) -> Iterator[Anchor]:
    """The links of a page in order; of a very long text only the beginning."""
    address, begin = b"", 0
    for token in tokens(data, 0):
        if token.name != b"a":
            continue
        if address:
            inner = data[begin : min(token.start, begin + _LONGEST_ANCHOR)]
            yield Anchor(_unescaped(address, codec), " ".join(_unescaped(_ANY_TAG.sub(b" ", inner), codec).split()))
        found = {} if token.closing else attributes(data[token.start : token.end], 1)
        address, begin = found.get(b"href", b"").strip(), token.end


def _unescaped(raw: bytes, codec: str) -> str:
    return unescape(encoding.decode(raw, codec))


_END = re.compile(r"[.!?…][\"'”“»«)\]]*+ (?=[\"'“”„«»(\[]*[^\W\d_])")


def sentences(text: str, abbreviations: Collection[str]) -> list[str]:
    """Divide a paragraph into sentences.

    A full stop ends none where a small letter follows, nor after an abbreviation, a single letter or an ordinal.

    Args:
        text: white space collapsed.
        abbreviations: words in lower case that are written with a full stop.
    """
    found = []
    start = 0
    for match in _END.finditer(text):
        if text[match.end() :].lstrip("\"'“”„«»([")[:1].islower() or _abbreviated(text, match.start(), abbreviations):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [part for sentence in found if sentence for part in _cut(sentence)]


def _abbreviated(text: str, stop: int, abbreviations: Collection[str]) -> bool:
    word = re.split(r"[\s(\[,/'’-]", text[max(0, stop - 24) : stop])[-1].lower()
    if text[stop] != ".":
        return False
    ordinal = word.isdigit() and len(word) < 3
    return ordinal or len(word.rpartition(".")[2]) < 2 or word in abbreviations


def _cut(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST_SENTENCE:
        at = sentence.rfind(" ", 1, LONGEST_SENTENCE)
        at = at if at > 0 else LONGEST_SENTENCE
        yield sentence[:at]
        sentence = sentence[at:].lstrip()
    if sentence:
        yield sentence


_ALIKE = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "´": "'", "`": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-"}
    | {"ł": "l", "Ł": "L"}
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", "")
)


def fold(text: str) -> str:
    """A text in the form that patterns are written in: lower case, without accents, one kind of dash and apostrophe.

    Letters that only look accented to a foreign eye stay: `ß`, `æ`, `ø`.
    """
    plain = normalize("NFKC", text.translate(_ALIKE)).lower()
    return " ".join("".join(mark for mark in normalize("NFD", plain) if not combining(mark)).split())


_MARK = re.compile('["“”„«»]')
_CLOSING = {'"': '"“”', "“": '”"', "„": '“”"', "«": "»", "»": "«", "”": "”"}


def without_quotations(text: str, longest: int) -> str:
    """A text with an ellipsis for whatever more than `longest` characters stand in quotation marks.

    Shorter ones are expressions that the author uses. A mark that nothing closes quotes nothing.
    """
    kept = []
    start = 0
    for opened, closed in _quotations(text):
        if closed - opened - 2 > longest:
            kept += [text[start : opened + 1], "…"]
            start = closed - 1
    return "".join([*kept, text[start:]])


def _quotations(text: str) -> Iterator[tuple[int, int]]:
    opened: re.Match[str] | None = None
    for mark in _MARK.finditer(text):
        if opened is None:
            opened = mark
        elif mark[0] in _CLOSING[opened[0]]:
            yield opened.start(), mark.end()
            opened = None
