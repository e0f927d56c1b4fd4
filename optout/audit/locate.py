"""Which origin each URL of a column belongs to, found for all rows at once.

An origin depends on the text before the third slash, and a column has few distinct ones. So Arrow cuts the column and
numbers what it finds, and `optout.urls.origin_of` is asked once for each distinct text. Rows whose origin that text
alone does not tell (a `?` before the slash, a line break, a missing scheme) are asked about one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optout.errors import MalformedUrl
from optout.urls import MAX_URL_LENGTH, match_target, origin_of

# An ASCII character that stands in a match target as it is; anything else makes a row odd.
_ODD = r'[^!"&-)+-~]'
_BARE = re.compile(r"(?://)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]{1,5})?(?:[/?#].*)?)", re.DOTALL)

NOWHERE = -1
"""The number of the origin of a URL that names none."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where the URLs of a column point.

    Attributes:
        urls: the column, as text; null where a row has no URL that could be written as text.
        codes: for each row the number of its origin, or `NOWHERE`.
        origins: the origins by number, as `Origin.text`.
        odd: rows whose match target is not simply what follows the third slash.
        tails: what follows the third slash of each URL, where it is not odd; None where `starts` tells it.
        starts: the place of the third slash of each URL, -2 less that place where what follows is not in normal form,
            or `NO_START`; None where `tails` tells it.
        exact: the URLs of rows that `urls` cannot hold or that lack a scheme, as they are judged.
    """

    urls: pa.Array
    codes: np.ndarray
    origins: list[str]
    odd: np.ndarray
    tails: pa.Array | None
    starts: np.ndarray | None
    exact: dict[int, str] = field(default_factory=dict)
    _plain: list[str] = field(default_factory=list)

    @property
    def robots(self) -> np.ndarray:
        """Rows that may be the URL of a robots.txt."""
        found: np.ndarray = pc.ends_with(self.urls, "/robots.txt").fill_null(_NO).to_numpy(zero_copy_only=False)
        return found

    def url(self, row: int) -> str:
        """The URL of a row as it is judged."""
        return self.exact.get(row) or self.urls[row].as_py() or ""

    def targets(self, rows: np.ndarray) -> list[str]:
        """The match targets of rows whose origin is known, in that order."""
        if self.tails is None:
            return [match_target(self.url(row)) for row in rows.tolist()]
        if not self._plain:
            self._plain.extend(self.tails.to_pylist())
        plain = self._plain
        found = ["/" + plain[row] for row in rows.tolist()]
        for at in np.flatnonzero(self.odd[rows]).tolist():
            found[at] = match_target(self.url(int(rows[at])))
        return found


def locate(column: pa.Array | pa.ChunkedArray, kernel: ModuleType | None = None) -> Located:
    """Find the origin of every URL of a column.

    Args:
        column: of strings or of bytes; a row may be null, not UTF-8, or anything else but a URL.
        kernel: the compiled tier, where it is to be used.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    urls, exact = _as_text(column)
    finder = _Finder()
    if kernel is None:
        return _located(urls, exact, finder)
    codes, starts = np.empty(len(urls), np.int32), np.empty(len(urls), np.int32)
    names = kernel.locate(*buffers(urls), codes, starts, MAX_URL_LENGTH)
    answers = np.array([*(finder.prefix(_three(name)) for name in names), _ASK], np.int32)
    codes = answers[codes]
    if urls.null_count:
        missing = urls.is_null().to_numpy(zero_copy_only=False)
        codes[missing] = NOWHERE
        starts[missing] = NO_START
    asked = np.flatnonzero(codes == _ASK)
    if asked.size:
        _alone(urls, exact, finder, asked, codes)
        starts[asked] = NO_START
    return Located(urls, codes, finder.origins, starts < 0, None, starts, exact)


NO_START = -1
"""What stands for the place of the third slash in a row that is odd."""


def buffers(urls: pa.Array) -> tuple[object, np.ndarray]:
    """The bytes of a column of strings, and where each begins and the last ends."""
    _, offsets, data = urls.buffers()
    places = np.frombuffer(offsets, np.int32)[urls.offset : urls.offset + len(urls) + 1] if offsets else _NO_PLACES
    return (data if data is not None else b""), places


_NO_PLACES = np.zeros(1, np.int32)


def _three(name: str) -> tuple[str, str, str]:
    scheme, empty, authority = name.split("/", 2)
    return scheme, empty, authority


def _located(urls: pa.Array, exact: dict[int, str], finder: _Finder) -> Located:
    """The same by Arrow alone."""
    cut = pc.split_pattern(urls, "/", max_splits=3)
    offsets = cut.offsets.to_numpy()
    parts, counts = cut.values, np.diff(offsets)
    regular = counts >= 3
    tails = parts.take(pa.array(offsets[1:] - 1, mask=counts != 4)).fill_null("")
    codes = np.full(len(urls), NOWHERE, np.int32)
    doubtful = ~regular
    if regular.any():
        rows = np.flatnonzero(regular)
        starts = offsets[:-1][rows]
        keys = [_encoded(parts.take(pa.array(starts + place))) for place in (0, 1, 2)]
        combined, inverse = np.unique(_combined(keys), return_inverse=True)
        answers = np.array([finder.prefix(key) for key in _texts(combined, keys)], np.int32)
        codes[rows] = answers[inverse]
        doubtful = doubtful | (codes == _ASK)
    lengths = pc.fill_null(pc.utf8_length(urls), 0).to_numpy(zero_copy_only=False)
    doubtful |= lengths > MAX_URL_LENGTH
    odd = pc.match_substring_regex(urls, _ODD).fill_null(_NO).to_numpy(zero_copy_only=False)
    odd = odd | (counts < 4) | doubtful
    _alone(urls, exact, finder, np.flatnonzero(doubtful), codes)
    return Located(urls, codes, finder.origins, odd, tails, None, exact)


_NO = pa.scalar(value=False)


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
        self.origins: list[str] = []

    def prefix(self, key: tuple[str, str, str]) -> int:
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


def _as_text(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column as strings, and the rows that are not UTF-8 with surrogates for their octets."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string()), {}
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return column.cast(pa.string()), {}
    try:
        return column.cast(pa.string()), {}
    except pa.ArrowInvalid:
        values = column.to_pylist()
        texts = [None if value is None else value.decode("utf-8", "replace") for value in values]
        exact = {
            row: value.decode("utf-8", "surrogateescape")
            for row, (value, text) in enumerate(zip(values, texts, strict=True))
            if value is not None and text is not None and "\ufffd" in text
        }
        return pa.array(texts, pa.string()), exact


def _encoded(values: pa.Array) -> tuple[np.ndarray, list[str]]:
    found = values.dictionary_encode()
    return found.indices.to_numpy().astype(np.int64), found.dictionary.to_pylist()


def _combined(keys: list[tuple[np.ndarray, list[str]]]) -> np.ndarray:
    (first, _), (second, some), (third, most) = keys
    found: np.ndarray = (first * len(some) + second) * len(most) + third
    return found


def _texts(combined: np.ndarray, keys: list[tuple[np.ndarray, list[str]]]) -> list[tuple[str, str, str]]:
    (_, firsts), (_, seconds), (_, thirds) = keys
    rest, third = np.divmod(combined, len(thirds))
    first, second = np.divmod(rest, len(seconds))
    triples = zip(first.tolist(), second.tolist(), third.tolist(), strict=True)
    return [(firsts[one], seconds[two], thirds[three]) for one, two, three in triples]
