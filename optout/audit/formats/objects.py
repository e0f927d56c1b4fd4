"""Rows that are JSON objects: lines of JSON Lines, and members of samples."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from optout.audit.dates import NO_DATE, seconds
from optout.audit.formats.base import Columns, Report, counts

Row = dict[str, Any]

_BOM = b"\xef\xbb\xbf"
# An escape of a printable ASCII character, with which a key can be written so that a search does not find it.
_ESCAPE = re.compile(rb"\\u00[2-7]")


class Unclear(ValueError):
    """A text that is no JSON object, or of which readers differ about what it says."""


def value_at(row: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of a key, or where there is none of that name, of `key.key` in the object in the object."""
    return _found(row, name)[0]


def _found(row: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """The same, and whether it is there at all."""
    if name in row or "." not in name:
        return row.get(name), name in row
    first, _, rest = name.partition(".")
    inner = row.get(first)
    return _found(inner, rest) if isinstance(inner, dict) else (None, False)


def _paths(row: Row) -> Iterator[str]:
    """The keys, and those of objects in the object behind theirs."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


class Objects:
    """Reads the objects of a file, and notes which columns none of them has although they must be there."""

    def __init__(self, columns: Columns) -> None:
        """Begin with nothing read."""
        self._names = (columns.url, columns.html, columns.headers, columns.date)
        self._quoted = {f'"{name.rpartition(".")[2]}"'.encode() for name in self._names if name.isascii()}
        self._missing = {columns.url, *columns.named}
        self._keys: list[str] = []

    def read(self, text: bytes) -> Row:
        """Read an object. A byte order mark before it is passed over (RFC 8259 section 8.1).

        Raises:
            Unclear: it is none, or has a key twice where a column is looked for (section 4 does not say what counts).
        """
        text = text.removeprefix(_BOM)
        try:
            row = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Unclear(f"not JSON: {error}") from error
        if not isinstance(row, dict):
            raise Unclear("not a JSON object")
        if self._is_doubtful(text) and (twice := _twice(text, self._names)):
            raise Unclear(f"has {twice!r} twice, and readers differ about which counts")
        return row

    def _is_doubtful(self, text: bytes) -> bool:
        """Whether a key may stand there twice; quick, because every row is asked."""
        return any(text.count(key) > 1 for key in self._quoted) or (b"\\u00" in text and bool(_ESCAPE.search(text)))

    def note(self, row: Row) -> None:
        """Look which columns a row has, until all have been seen."""
        if self._missing and row:
            self._keys = self._keys or [*_paths(row)]
            self._missing = {name for name in self._missing if not _found(row, name)[1]}

    def tell(self, fault: Report) -> None:
        """Report the columns that no row had, where there was one that might have had them."""
        for name in sorted(self._missing) if self._keys else ():
            fault("all rows", f"none has {name!r}; name one of these with its option: {', '.join(self._keys[:20])}")


def numbers_at(rows: Iterable[Row], name: str | None) -> pa.Array | None:
    """The counts of a column; None where none was named."""
    if name is None:
        return None
    found = (value_at(row, name) for row in rows)
    return counts(pa.array([float(value) if type(value) in _NUMBERS else None for value in found], pa.float64()))


def texts_at(rows: Iterable[Row], name: str) -> pa.Array:
    """The texts of a column, null where a row has none."""
    found = (value_at(row, name) for row in rows)
    return pa.array([value if isinstance(value, str) else None for value in found], pa.string())


def dates_at(rows: Iterable[Row], name: str) -> np.ndarray | None:
    """The dates of a column in seconds; None where no row has one."""
    dates = [value_at(row, name) for row in rows]
    if all(date is None for date in dates):
        return None
    # All texts at once and all numbers at once: Arrow takes as long for one as for thousands.
    texts = seconds(pa.array([date if isinstance(date, str) else None for date in dates], pa.string()))
    numbers = seconds(pa.array([float(date) if type(date) in _NUMBERS else None for date in dates], pa.float64()))
    found: np.ndarray = np.where(texts == NO_DATE, numbers, texts)
    return found


_NUMBERS = (int, float)


class _Pairs(list[tuple[str, Any]]):
    """An object as its keys and values stand there."""


def _twice(text: bytes, names: Iterable[str]) -> str | None:
    """A key that an object on the way to a name has twice."""
    try:
        whole = json.loads(text, object_pairs_hook=_Pairs)
    except RecursionError:
        return "a deeply nested key"
    levels = [level for name in names for level in _levels(whole, name)]
    return next((key for level in levels for key, count in Counter(key for key, _ in level).items() if count > 1), None)


def _levels(pairs: _Pairs, name: str) -> Iterator[_Pairs]:
    """The objects on the way to a name."""
    yield pairs
    first, _, rest = name.partition(".")
    inner = dict(pairs).get(first)
    if rest and isinstance(inner, _Pairs):
        yield from _levels(inner, rest)
