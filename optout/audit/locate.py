"""Which origin each URL of a column belongs to, found for all rows at once.

An origin depends on the text before the third slash, and a column has few distinct ones. So Arrow, or the compiled
tier, cuts the column and numbers what it finds, and `optout.urls.origin_of` is asked once for each distinct text. Rows
whose origin that text alone does not tell (a `?` before the slash, a line break, a missing scheme) are asked about one
by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optout.errors import MalformedUrl
from optout.urls import MAX_URL_LENGTH, origin_of

_BARE = re.compile(r"(?://)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]{1,5})?(?:[/?#].*)?)", re.DOTALL)

NOWHERE = -1
"""The number of the origin of a URL that names none."""

PIECE = 1 << 22
"""About how many octets of URLs are made ready to be matched at a time, which bounds what that needs of memory."""


class Origins(list[str]):
    """Origins as `Origin.text`, by number."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._column = pa.array([], pa.string())

    def column(self) -> pa.StringArray:
        """The same for Arrow, which is told only what is new since."""
        if len(self._column) < len(self):
            new = pa.array(self[len(self._column) :], pa.string())
            self._column = pa.concat_arrays([self._column, new])
        return self._column


@dataclass(frozen=True, slots=True)
class Located:
    """Where the URLs of a column point.

    Attributes:
        urls: the column, as text; null where a row has no URL that could be written as text.
        codes: for each row the number of its origin, or `NOWHERE`.
        origins: the origins by number, as `Origin.text`; those of earlier columns among them.
        odd: rows whose match target is not simply what follows the third slash.
        parts: of each URL what stands before the third slash, and what does from it on; None where `starts` tells it.
        starts: the place of the third slash of each URL, -2 less that place where what follows is not in normal form,
            or `NO_START`; None where `parts` tells it.
        exact: the URLs of rows that `urls` cannot hold or that lack a scheme, as they are judged.
    """

    urls: pa.Array
    codes: np.ndarray
    origins: Origins
    odd: np.ndarray
    parts: pa.Array | None
    starts: np.ndarray | None
    exact: dict[int, str] = field(default_factory=dict)

    def url(self, row: int) -> str:
        """The URL of a row as it is judged."""
        return self.exact.get(row) or self.urls[row].as_py() or ""

    def several(self, rows: np.ndarray) -> list[str]:
        """The URLs of rows as they are judged."""
        written = self.urls.take(pa.array(rows)).to_pylist()
        return [self.exact.get(row) or text or "" for row, text in zip(rows.tolist(), written, strict=True)]

    def pieces(self, rows: np.ndarray) -> list[slice]:
        """Cut rows into stretches of about `PIECE` octets."""
        octets = np.cumsum(np.diff(buffers(self.urls)[1])[rows], dtype=np.int64)
        cuts = np.searchsorted(octets, np.arange(PIECE, octets[-1], PIECE)) if len(rows) else octets
        return [slice(begin, end) for begin, end in pairwise(sorted({0, *cuts.tolist(), len(rows)}))]

    def lines(self, rows: np.ndarray, edges: np.ndarray) -> list[str]:
        """The match targets of rows that are not odd, a line break between each two; no target holds one.

        Args:
            rows: in the order in which they are wanted.
            edges: where each text begins among them, and where the last ends.
        """
        assert self.parts is not None  # noqa: S101 - the compiled tier matches URLs where they stand
        targets = self.parts.take(pa.array(2 * rows + 1))
        together = pa.ListArray.from_arrays(pa.array(edges, pa.int32()), targets)
        joined: list[str] = pc.binary_join(together, pa.scalar("\n", targets.type)).to_pylist()
        return joined


class Locator:
    """Locates columns, and keeps what it has learnt about the beginnings of URLs."""

    def __init__(self, kernel: ModuleType | None = None) -> None:
        """Begin with nothing known.

        Args:
            kernel: the compiled tier, where it is to be used.
        """
        self._finder, self._kernel = _Finder(), kernel
        self._begin()

    def _begin(self) -> None:
        """Let the compiled tier begin anew; origins keep their numbers."""
        self._beginnings: Any = None if self._kernel is None else self._kernel.Beginnings()
        self._answers = np.array([_ASK], np.int32)

    @property
    def origins(self) -> Origins:
        """Every origin that has come up, by number."""
        return self._finder.origins

    def locate(self, column: pa.Array | pa.ChunkedArray) -> Located:
        """Find the origin of every URL of a column.

        Args:
            column: of strings or of bytes; a row may be null, not UTF-8, or anything else but a URL.
        """
        urls, exact = _as_text(_whole(column))
        try:
            return self._located(urls, exact)
        except (UnicodeDecodeError, pa.ArrowInvalid):
            # Files may hold anything in a column of strings, and nothing has looked at it before.
            self._begin()
            octets = pa.large_binary() if pa.types.is_large_string(urls.type) else pa.binary()
            return self._located(*_repaired(urls.cast(octets), urls.type))

    def _located(self, urls: pa.Array, exact: dict[int, str]) -> Located:
        """The same for a column of strings.

        Raises:
            UnicodeDecodeError, ArrowInvalid: one of them is not UTF-8.
        """
        located = _by_arrow(urls, exact, self._finder) if self._beginnings is None else self._by_kernel(urls, exact)
        # Whatever is not ASCII stands in what was asked about just now, or in an odd row.
        urls.take(pa.array(np.flatnonzero(located.odd))).validate(full=True)
        return located

    def _by_kernel(self, urls: pa.Array, exact: dict[int, str]) -> Located:
        """The same by the compiled tier."""
        codes, starts = np.empty(len(urls), np.int32), np.empty(len(urls), np.int32)
        new = self._beginnings.locate(*buffers(urls), codes, starts, MAX_URL_LENGTH)
        if new:
            found = [self._finder.prefix(name) for name in new]
            self._answers = np.concatenate([self._answers[:-1], np.array([*found, _ASK], np.int32)])
        codes = self._answers[codes]
        if urls.null_count:
            missing = urls.is_null().to_numpy(zero_copy_only=False)
            codes[missing] = NOWHERE
            starts[missing] = NO_START
        # What is judged in these rows is not what the column holds.
        starts[list(exact)] = NO_START
        asked = np.flatnonzero(codes == _ASK)
        if asked.size:
            _alone(urls, exact, self._finder, asked, codes)
            starts[asked] = NO_START
        return Located(urls, codes, self.origins, starts < 0, None, starts, exact)


NO_START = -1
"""What stands for the place of the third slash in a row that is odd."""


def buffers(urls: pa.Array) -> tuple[bytes | pa.Buffer, np.ndarray]:
    """The bytes of a column of strings, and where each begins and the last ends."""
    _, offsets, data = urls.buffers()
    width = np.int64 if pa.types.is_large_string(urls.type) else np.int32
    places = np.frombuffer(offsets or b"", width)[urls.offset : urls.offset + len(urls) + 1]
    return (data if data is not None else b""), places if len(places) else np.zeros(1, width)


def _by_arrow(urls: pa.Array, exact: dict[int, str], finder: _Finder) -> Located:
    """The same by Arrow and NumPy alone."""
    data, places = buffers(urls)
    slashes = _third_slashes(urls.type, data, places)
    parts = _halves(urls.type, data, places, slashes)
    beginnings = parts.take(pa.array(np.arange(0, len(parts), 2))).dictionary_encode()
    answers = np.array([finder.prefix(text) for text in beginnings.dictionary.to_pylist()], np.int32)
    codes = answers[beginnings.indices.to_numpy()]
    doubtful = (codes == _ASK) | (np.diff(places) > MAX_URL_LENGTH)
    if urls.null_count:
        doubtful |= urls.is_null().to_numpy(zero_copy_only=False)
    _alone(urls, exact, finder, np.flatnonzero(doubtful), codes)
    odd = doubtful | (slashes == places[1:]) | _marked(data, places, slashes)
    return Located(urls, codes, finder.origins, odd, parts, None, exact)


def _third_slashes(kind: pa.DataType, data: bytes | pa.Buffer, places: np.ndarray) -> np.ndarray:
    """The place of the first slash behind the first two that stand together in each text, or the text's end."""
    whole = pa.Array.from_buffers(kind, len(places) - 1, [None, pa.py_buffer(places), pa.py_buffer(data)])
    two = pc.find_substring(whole, "//").to_numpy()
    authorities = np.where(two < 0, places[1:], places[:-1] + two + 2)
    one = pc.find_substring(_halves(kind, data, places, authorities), "/").to_numpy()[1::2]
    found: np.ndarray = np.where(one < 0, places[1:], authorities + one)
    return found


def _halves(kind: pa.DataType, data: bytes | pa.Buffer, places: np.ndarray, cuts: np.ndarray) -> pa.Array:
    """Texts that are each cut into two, where they stand."""
    edges = np.empty(2 * len(cuts) + 1, places.dtype)
    edges[::2], edges[1::2] = places, cuts
    return pa.Array.from_buffers(kind, 2 * len(cuts), [None, pa.py_buffer(edges), pa.py_buffer(data)])


def _marked(data: bytes | pa.Buffer, places: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """The texts that hold, behind where they are said to begin, an octet that no match target holds as it is."""
    found = np.zeros(len(begins), bool)
    octets = np.frombuffer(data, np.uint8)[: places[-1]]
    for first in range(places[0], places[-1], _STEP):
        at = np.flatnonzero(_strange(octets[first : first + _STEP + 1])).astype(places.dtype) + first
        rows = np.searchsorted(places, at, side="right") - 1
        found[rows[at >= begins[rows]]] = True
    return found


def _strange(octets: np.ndarray) -> np.ndarray:
    """Which octets are not "!" to "~", are "#", "$", "%" or "*", or a "/" before a "."; what is below wraps around."""
    found: np.ndarray = octets - _FIRST > _LAST - _FIRST
    found |= octets - _HASH <= _PERCENT - _HASH
    found |= octets == _STAR
    found[:-1] |= (octets[:-1] == _SLASH) & (octets[1:] == _DOT)
    return found


_FIRST, _LAST, _HASH, _PERCENT, _STAR, _SLASH, _DOT = (np.uint8(ord(sign)) for sign in "!~#%*/.")
# So many octets, and what is made of them, stay in the processor's cache.
_STEP = 1 << 16


def _alone(urls: pa.Array, exact: dict[int, str], finder: _Finder, rows: np.ndarray, codes: np.ndarray) -> None:
    """Ask about rows one by one."""
    for row in rows.tolist():
        text = exact.get(row) or urls[row].as_py()
        codes[row], judged = finder.alone(text)
        if judged is not None:
            exact[row] = judged


_ASK = -2


class _Finder:
    """Numbers origins as they come up."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.origins = Origins()

    def prefix(self, text: str) -> int:
        """The number of the origin that a URL's text before the third slash tells, or `_ASK`."""
        scheme, *others = text.split("/", 2)
        if len(others) < 2 or others[0] or not text.isprintable() or any(sign in text for sign in " ?#"):
            return _ASK
        try:
            return self._numbered(_origin_text(f"{text}/"))
        except MalformedUrl:
            return NOWHERE if scheme.endswith(":") else _ASK

    def alone(self, url: str | None) -> tuple[int, str | None]:
        """The number of a URL's origin, and the URL as it is judged where that is not as it is written.

        A URL without a scheme is taken for https where it begins with a host name that has a dot in it.
        """
        if url is None:
            return NOWHERE, None
        try:
            return self._number(url), None
        except MalformedUrl:
            bare = _BARE.fullmatch(url.strip()) if len(url) <= MAX_URL_LENGTH else None
            if bare is None:
                return NOWHERE, None
        try:
            judged = f"https://{bare[1]}"
            return self._number(judged), judged
        except MalformedUrl:
            return NOWHERE, None

    def _number(self, url: str) -> int:
        return self._numbered(origin_of(url).text)

    def _numbered(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self.origins))
        if number == len(self.origins):
            self.origins.append(text)
        return number


@lru_cache(maxsize=1 << 18)
def _origin_text(url: str) -> str:
    return origin_of(url).text


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece, with wide offsets where its bytes need them."""
    if isinstance(column, pa.ChunkedArray):
        plain = pa.types.is_string(column.type) or pa.types.is_binary(column.type)
        if plain and column.nbytes > _MOST:
            column = column.cast(pa.large_string() if pa.types.is_string(column.type) else pa.large_binary())
        column = column.combine_chunks()
    return column


_MOST = 2**31 - 1


def _as_text(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column as strings, and the rows that are not UTF-8 with surrogates for their octets."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        # Taken with wide offsets: the text of many rows may be longer than that of the dictionary.
        wide = pa.large_binary() if _binary(kind.value_type) else pa.large_string()
        return _as_text(column.dictionary.cast(wide).take(column.indices))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column, {}
    text = pa.string() if pa.types.is_binary(kind) else pa.large_string()
    try:
        return column.cast(text), {}
    except pa.ArrowInvalid:
        if not _binary(kind):
            raise
        return _repaired(column, text)


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _repaired(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    values = column.to_pylist()
    texts = [None if value is None else value.decode("utf-8", "replace") for value in values]
    exact = {
        row: value.decode("utf-8", "surrogateescape")
        for row, (value, text) in enumerate(zip(values, texts, strict=True))
        if value is not None and text is not None and "\ufffd" in text
    }
    return pa.array(texts, kind), exact
