"""Which origin each URL of a column belongs to, found for all rows at once.

An origin depends on the text before the third slash, and a column has few distinct ones. So Arrow, or the compiled
tier, cuts the column and numbers what it finds, and `optout.urls.origin_of` is asked once for each distinct text. Rows
whose origin that text alone does not tell (a `?` before the slash, a line break, a missing scheme) are asked about one
by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optout.errors import MalformedUrl
from optout.urls import MAX_URL_LENGTH, origin_of

# What stands in a match target as it is, is ASCII; anything else makes a row odd.
_ODD = bytes(not (0x21 <= octet <= 0x7E) or octet in b"#$%*" for octet in range(256))
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
        tails: what follows the third slash of each URL, where it is not odd; None where `starts` tells it.
        starts: the place of the third slash of each URL, -2 less that place where what follows is not in normal form,
            or `NO_START`; None where `tails` tells it.
        exact: the URLs of rows that `urls` cannot hold or that lack a scheme, as they are judged.
    """

    urls: pa.Array
    codes: np.ndarray
    origins: Origins
    odd: np.ndarray
    tails: pa.Array | None
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
        assert self.tails is not None  # noqa: S101 - the compiled tier matches URLs where they stand
        tails = self.tails.take(pa.array(rows))
        together = pa.ListArray.from_arrays(pa.array(edges, pa.int32()), tails)
        joined = pc.binary_join(together, pa.scalar("\n/", tails.type)).to_pylist()
        return [f"/{text}" for text in joined]


class Locator:
    """Locates columns, and keeps what it has learnt about the beginnings of URLs."""

    def __init__(self, kernel: ModuleType | None = None) -> None:
        """Begin with nothing known.

        Args:
            kernel: the compiled tier, where it is to be used.
        """
        self._finder = _Finder()
        self._beginnings = None if kernel is None else kernel.Beginnings()
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
        if self._beginnings is None:
            return _located(urls, exact, self._finder)
        codes, starts = np.empty(len(urls), np.int32), np.empty(len(urls), np.int32)
        new = self._beginnings.locate(*buffers(urls), codes, starts, MAX_URL_LENGTH)
        if new:
            found = [self._finder.prefix(_three(name)) for name in new]
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
    places = np.frombuffer(offsets, width)[urls.offset : urls.offset + len(urls) + 1] if offsets else _NO_PLACES
    return (data if data is not None else b""), places if len(places) else _NO_PLACES


_NO_PLACES = np.zeros(1, np.int32)


def _three(name: str) -> tuple[str, str, str]:
    scheme, empty, authority = name.split("/", 2)
    return scheme, empty, authority


def _located(urls: pa.Array, exact: dict[int, str], finder: _Finder) -> Located:
    """The same by Arrow alone."""
    cut = pc.split_pattern(urls, "/", max_splits=3)
    offsets = cut.offsets.to_numpy()
    parts, counts = cut.values, np.diff(offsets)
    whole = counts == 4
    tails = parts.take(pa.array(offsets[1:] - 1, mask=None if whole.all() else ~whole)).fill_null("")
    codes = np.full(len(urls), NOWHERE, np.int32)
    regular = counts >= 3
    secure = pc.starts_with(urls, "https://").fill_null(_NO).to_numpy(zero_copy_only=False)
    for rows, fixed in ((np.flatnonzero(regular & secure), _SECURE), (np.flatnonzero(regular & ~secure), ())):
        keys = [_encoded(parts.take(pa.array(offsets[rows] + place))) for place in range(len(fixed), 3)]
        combined, inverse = _distinct(keys)
        answers = np.array([finder.prefix((*fixed, *key)) for key in _texts(combined, keys)], np.int32)
        codes[rows] = answers[inverse]
    doubtful = ~regular | (codes == _ASK) | (np.diff(buffers(urls)[1]) > MAX_URL_LENGTH)
    _alone(urls, exact, finder, np.flatnonzero(doubtful), codes)
    odd = ~whole | doubtful | _marked(*buffers(tails))
    return Located(urls, codes, finder.origins, odd, tails, None, exact)


def _marked(data: bytes | pa.Buffer, places: np.ndarray) -> np.ndarray:
    """The rows that hold an octet of `_ODD`."""
    found = np.zeros(len(places) - 1, bool)
    octets = bytes(memoryview(data)[places[0] : places[-1]]).translate(_ODD)
    at = np.flatnonzero(np.frombuffer(octets, bool)) + places[0]
    found[np.searchsorted(places, at, side="right") - 1] = True
    return found


_NO = pa.scalar(value=False)
_SECURE = ("https:", "")


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

    def prefix(self, key: Sequence[str]) -> int:
        """The number of the origin that a URL's text before the third slash tells, or `_ASK`."""
        scheme, empty, authority = key
        text = f"{scheme}//{authority}"
        if empty or not text.isprintable() or any(sign in text for sign in " ?#"):
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
    text = pa.large_string() if pa.types.is_large_binary(kind) or pa.types.is_string_view(kind) else pa.string()
    try:
        return column.cast(text), {}
    except pa.ArrowInvalid:
        if not _binary(kind):
            raise
        return _repaired(column, text)


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _repaired(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    values = column.to_pylist()
    texts = [None if value is None else value.decode("utf-8", "replace") for value in values]
    exact = {
        row: value.decode("utf-8", "surrogateescape")
        for row, (value, text) in enumerate(zip(values, texts, strict=True))
        if value is not None and text is not None and "\ufffd" in text
    }
    return pa.array(texts, kind), exact


def _encoded(values: pa.Array) -> tuple[np.ndarray, list[str]]:
    found = values.dictionary_encode()
    return found.indices.to_numpy().astype(np.int64), found.dictionary.to_pylist()


def _distinct(keys: list[tuple[np.ndarray, list[str]]]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct combinations of keys, as one number each, and which of them each row has."""
    combined, size = np.zeros(len(keys[0][0]), np.int64), 1
    for codes, texts in keys:
        combined = combined * len(texts) + codes
        size *= len(texts)
    if size > _MOST_COUNTED:
        return np.unique(combined, return_inverse=True)
    there = np.zeros(size, bool)
    there[combined] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[combined]


_MOST_COUNTED = 1 << 22


def _texts(combined: np.ndarray, keys: list[tuple[np.ndarray, list[str]]]) -> list[tuple[str, ...]]:
    """The texts that combinations of keys stand for."""
    found: list[list[str]] = []
    for _, texts in reversed(keys):
        combined, places = np.divmod(combined, max(len(texts), 1))
        found.insert(0, [texts[place] for place in places.tolist()])
    return list(zip(*found, strict=True))
