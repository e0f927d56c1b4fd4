"""JSON with places, read as far as it can be (RFC 8259).

Python's own parser forgets where a value stood and gives up at the first slip. Evidence needs the place, and a
stranger's trailing comma must not silence what the file says. So every value keeps its line and byte offsets, and
every departure from the grammar is a `Fault`; a caller grants nothing on the strength of a text that has any.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

MAX_BYTES = 1_048_576
"""Bytes that are read; what follows is cut off and noted."""

MAX_DEPTH = 32
"""Values within values; deeper ones are not read and noted."""

_MAX_FAULTS = 50
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SINGLE = re.compile(rb"'(?:[^'\\]|\\.)*+'", re.DOTALL)
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![0-9A-Za-z_.+-])")
_WORD = re.compile(rb"[^\s\[\]{},:\"'/#]++")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_LINE_COMMENT = re.compile(rb"(?://|#)[^\r\n]*+")
_WHOLE_DIGITS = 18
_LITERALS: dict[bytes, bool | None] = {b"true": True, b"false": False, b"null": None}


class Fault(NamedTuple):
    """A departure from the grammar.

    Attributes:
        code: `bom`, `encoding`, `syntax`, `unclosed`, `trailing-text`, `too-deep` or `too-long`.
        line: counted from 1.
        offset: in bytes, from 0.
    """

    code: str
    line: int
    offset: int


class Node(NamedTuple):
    """A value and where it stands.

    Attributes:
        value: a scalar; an object's and an array's content.
        start: the offset of its first byte.
        end: the offset after its last byte.
        line: counted from 1.
    """

    value: Value
    start: int
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Object:
    """The members of an object in order, repeated names kept."""

    members: tuple[tuple[str, Node], ...]

    def all(self, name: str) -> tuple[Node, ...]:
        """Every value under a name."""
        return tuple(node for key, node in self.members if key == name)

    def get(self, name: str) -> Node | None:
        """The last value under a name, which is the one most parsers take."""
        return next((node for key, node in reversed(self.members) if key == name), None)


Value = None | bool | int | float | str | tuple[Node, ...] | Object


@dataclass(frozen=True, slots=True)
class Document:
    """A text as it was read.

    Attributes:
        root: its value; None where there is none.
        faults: in the order of the text.
        body: the bytes that the offsets count in.
    """

    root: Node | None
    faults: tuple[Fault, ...]
    body: bytes

    @property
    def well_formed(self) -> bool:
        """Whether it is JSON. A byte order mark is no fault of that kind (RFC 8259 section 8.1)."""
        return self.root is not None and all(fault.code == "bom" for fault in self.faults)

    def text(self, node: Node, limit: int = 200) -> str:
        """What a value looks like in the file, on one line and cut at `limit` characters."""
        return " ".join(
            self.body[node.start : min(node.end, node.start + 4 * limit)].decode("utf-8", "replace").split()
        )[:limit]


def parse(body: bytes) -> Document:
    """Read a JSON text; never raises."""
    reader = _Reader(body)
    root = reader.document()
    return Document(root, tuple(sorted(reader.faults, key=lambda fault: fault.offset)), reader.body)


class _Stop(Exception):
    """Nothing more can be read; it is caught where the reading began."""


class _Reader:
    """Goes through a text once, from token to token."""

    __slots__ = ("_at", "_depth", "_ends", "body", "faults")

    def __init__(self, body: bytes) -> None:
        self.faults: list[Fault] = []
        if body.startswith(_UTF16_MARKS):
            body = body.decode("utf-16", "replace").encode()
            self.faults.append(Fault("encoding", 1, 0))
        self.body = body[:MAX_BYTES]
        self._ends = [match.end() for match in re.finditer(rb"\r\n|\r|\n", self.body)]
        self._at = 0
        self._depth = 0
        if self.body.startswith(_UTF8_MARK):
            self._fault("bom")
            self._at = len(_UTF8_MARK)
        if len(body) > MAX_BYTES:
            self.faults.append(Fault("too-long", self._line(MAX_BYTES), MAX_BYTES))

    def document(self) -> Node | None:
        try:
            root = self._value()
        except _Stop:
            return None
        if root is not None and self._next():
            self._fault("trailing-text")
        return root

    def _line(self, offset: int) -> int:
        return bisect_right(self._ends, offset) + 1

    def _fault(self, code: str) -> None:
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(Fault(code, self._line(self._at), self._at))

    def _next(self) -> bytes:
        """The first byte of the next token, comments skipped; empty at the end."""
        while True:
            space = _SPACE.match(self.body, self._at)
            self._at = space.end() if space else self._at
            here = self.body[self._at : self._at + 2]
            if here[:1] != b"#" and here not in (b"//", b"/*"):
                return here[:1]
            self._fault("syntax")
            self._skip_comment(here)

    def _skip_comment(self, here: bytes) -> None:
        if here == b"/*":
            end = self.body.find(b"*/", self._at + 2)
            self._at = end + 2 if end >= 0 else len(self.body)
        elif comment := _LINE_COMMENT.match(self.body, self._at):
            self._at = comment.end()

    def _value(self) -> Node | None:
        """The value that begins here; None where there is none, with nothing taken."""
        first = self._next()
        start, line = self._at, self._line(self._at)
        match first:
            case b"" | b"]" | b"}" | b"," | b":":
                return None
            case b"[":
                return Node(self._array(), start, self._at, line)
            case b"{":
                return Node(self._object(), start, self._at, line)
            case b'"' | b"'":
                return Node(self._string(first), start, self._at, line)
            case _:
                return Node(self._scalar(), start, self._at, line)

    def _enter(self) -> None:
        self._at += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fault("too-deep")
            raise _Stop

    def _leave(self, closing: bytes) -> bool:
        """Whether the array or object ends here; a wrong bracket and the end of the text end it too."""
        first = self._next()
        if first not in (b"", b"]", b"}"):
            return False
        if first == closing:
            self._at += 1
        else:
            self._fault("unclosed")
        self._depth -= 1
        return True

    def _comma(self, *, first: bool) -> None:
        """Take the commas that stand here: exactly one between values, none before the first or the last."""
        commas = 0
        while self._next() == b",":
            self._at += 1
            commas += 1
        if commas != (0 if first else 1) or (commas and self._next() in (b"]", b"}")):
            self._fault("syntax")

    def _array(self) -> tuple[Node, ...]:
        self._enter()
        items: list[Node] = []
        while not self._leave(b"]"):
            self._comma(first=not items)
            if (node := self._value()) is not None:
                items.append(node)
            elif self._next() == b":":
                self._fault("syntax")
                self._at += 1
        return tuple(items)

    def _object(self) -> Object:
        self._enter()
        members: list[tuple[str, Node]] = []
        while not self._leave(b"}"):
            self._comma(first=not members)
            if (name := self._name()) is not None and (node := self._member()) is not None:
                members.append((name, node))
        return Object(tuple(members))

    def _name(self) -> str | None:
        first = self._next()
        if first in (b"", b"]", b"}"):
            return None
        if first in (b'"', b"'"):
            return self._string(first)
        self._fault("syntax")
        if word := _WORD.match(self.body, self._at):
            self._at = word.end()
            return word.group().decode("utf-8", "replace")
        self._at += 1
        return None

    def _member(self) -> Node | None:
        if self._next() == b":":
            self._at += 1
        else:
            self._fault("syntax")
        return self._value()

    def _string(self, quote: bytes) -> str:
        found = (_STRING if quote == b'"' else _SINGLE).match(self.body, self._at)
        if found is None:
            self._fault("unclosed")
            self._at = len(self.body)
            return ""
        if quote == b"'":
            self._fault("syntax")
        inner = found.group()[1:-1]
        text = self._unescaped(inner if quote == b'"' else inner.replace(b'"', b'\\"'))
        self._at = found.end()
        return text

    def _unescaped(self, inner: bytes) -> str:
        try:
            text = inner.decode()
        except UnicodeDecodeError:
            self._fault("encoding")
            text = inner.decode("utf-8", "replace")
        try:
            decoded = str(json.loads(f'"{text}"'))
        except ValueError:
            self._fault("syntax")
            decoded = text
        # A lone surrogate is legal in JSON and cannot be written out again.
        return decoded if decoded.isascii() else decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _scalar(self) -> bool | float | str | None:
        if number := _NUMBER.match(self.body, self._at):
            self._at = number.end()
            text = number.group().decode()
            whole = len(text) <= _WHOLE_DIGITS and text.lstrip("-").isdigit()
            return int(text) if whole else float(text)
        if word := _WORD.match(self.body, self._at):
            taken = word.group()
            if taken not in _LITERALS:
                self._fault("syntax")
            self._at = word.end()
            return _LITERALS[taken] if taken in _LITERALS else taken.decode("utf-8", "replace")
        self._fault("syntax")
        self._at += 1
        return ""
