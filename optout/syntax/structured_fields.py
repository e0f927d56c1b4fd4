"""Structured fields (RFC 9651), with the type of every value kept, and a lenient reading beside the strict one.

The strict parser is `http_sf`; what it returns is mutable and its failures are exceptions, so here both become
frozen values. The type matters: `train-ai=n` is a token and a statement, `train-ai="n"` is a string and none.

`salvage` is for what the strict parser rejects as a whole. It finds `key = value` pairs whatever surrounds
them, and must only ever be used to find reservations, never permissions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import http_sf

if TYPE_CHECKING:
    from collections.abc import Callable

    Scalar = str | int | bool | bytes | Decimal

MAX_BYTES = 65_536
"""Longer values are malformed: no server sends them, and the parser's cost is per byte."""


class Kind(StrEnum):
    """The types of a structured field's values (RFC 9651 section 3)."""

    TOKEN = "token"
    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BYTES = "bytes"
    DATE = "date"
    DISPLAY_STRING = "display-string"


@dataclass(frozen=True, slots=True)
class Bare:
    """A value without parameters; a date is given in seconds since 1970."""

    kind: Kind
    value: Scalar

    def is_token(self, text: str) -> bool:
        """Whether it is exactly this token; tokens are case-sensitive (RFC 9651 section 3.3.4)."""
        return self.kind is Kind.TOKEN and self.value == text


@dataclass(frozen=True, slots=True)
class Item(Bare):
    """A value with its parameters, in order, the last of duplicates only (RFC 9651 section 3.1.2)."""

    parameters: tuple[tuple[str, Bare], ...] = ()


@dataclass(frozen=True, slots=True)
class InnerList:
    """A parenthesised list of items with parameters of its own (RFC 9651 section 3.1.1)."""

    items: tuple[Item, ...]
    parameters: tuple[tuple[str, Bare], ...] = ()


Member = Item | InnerList


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A dictionary in its order.

    Attributes:
        members: key and value; the last of duplicate keys, at the place of the first (RFC 9651 section 4.2.2).
        duplicates: keys that occurred again, once for each repetition.
    """

    members: tuple[tuple[str, Member], ...] = ()
    duplicates: tuple[str, ...] = ()

    def get(self, key: str) -> Member | None:
        """The value of a key; keys are case-sensitive."""
        return next((member for name, member in self.members if name == key), None)


@dataclass(frozen=True, slots=True)
class FieldList:
    """A list in its order (RFC 9651 section 3.1)."""

    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a field is unreadable as a whole, and at which byte."""

    reason: str
    offset: int


def parse_dictionary(raw: bytes | str) -> Dictionary | Malformed:
    """Read a dictionary such as `Content-Usage` (RFC 9651 section 4.2.2)."""
    duplicates: list[str] = []

    def note(key: str, where: str) -> None:
        if where == "dictionary":
            duplicates.append(key)

    parsed = _parse(raw, "dictionary", note)
    if isinstance(parsed, Malformed):
        return parsed
    members = cast("dict[str, object]", parsed)
    return Dictionary(tuple((key, _member(value)) for key, value in members.items()), tuple(duplicates))


def parse_list(raw: bytes | str) -> FieldList | Malformed:
    """Read a list such as `Robots-Tag` (RFC 9651 section 4.2.1)."""
    parsed = _parse(raw, "list", None)
    if isinstance(parsed, Malformed):
        return parsed
    return FieldList(tuple(_member(value) for value in cast("list[object]", parsed)))


_PAIR = re.compile(
    # Looking back keeps the search from trying a long word again from each of its letters.
    r"(?<![\w.*-])([\w.*-]++)\s*+[=:]\s*+"
    r"""("[^"]*+"?|'[^']*+'?|[^\s,;]*+)""",
    re.ASCII,
)
_QUOTES = "\"'\u201c\u201d\u2018\u2019"


def salvage(raw: bytes | str) -> tuple[tuple[str, str], ...]:
    """Find `key = value` pairs in what is no structured field: keys in lower case, values as text without quotes.

    Order and duplicates are kept. A key without a value is not a pair. Meant for the conservative reading of
    malformed reservations alone.
    """
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return tuple((match[1].lower(), match[2].strip(_QUOTES).strip()) for match in _PAIR.finditer(text))


def _parse(raw: bytes | str, structure: str, note: Callable[[str, str], None] | None) -> object:
    # Every byte outside ASCII is a fault to the parser, so the choice of encoding decides nothing, and up to
    # the fault bytes and characters count alike.
    encoded = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    data = encoded.lstrip(b" \t")
    skipped = len(encoded) - len(data)
    if len(data) > MAX_BYTES:
        return Malformed(f"longer than {MAX_BYTES} bytes", MAX_BYTES)
    try:
        return http_sf.parse(data.rstrip(b" \t"), tltype=structure, on_duplicate_key=note)
    except http_sf.StructuredFieldError as fault:
        return Malformed(str(fault.args[0]), (fault.position or 0) + skipped)


def _member(value: object) -> Member:
    content, parameters = cast("tuple[object, dict[str, object]]", value)
    params = tuple((key, Bare(*_typed(bare))) for key, bare in parameters.items())
    if isinstance(content, list):
        return InnerList(tuple(cast("Item", _member(item)) for item in content), params)
    return Item(*_typed(content), params)


def _typed(value: object) -> tuple[Kind, Scalar]:
    if isinstance(value, http_sf.Token):
        return Kind.TOKEN, str(value)
    if isinstance(value, http_sf.DisplayString):
        return Kind.DISPLAY_STRING, str(value)
    if isinstance(value, datetime):
        return Kind.DATE, int(value.timestamp())
    return _PLAIN[type(value)], cast("Scalar", value)


_PLAIN = {
    str: Kind.STRING,
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    Decimal: Kind.DECIMAL,
    bytes: Kind.BYTES,
}
