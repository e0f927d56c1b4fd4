"""The date column: whatever it is written as, seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_DATE = np.iinfo(np.int64).min
"""What stands for a row that has no date that could be read."""

DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SCALES = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
_BEYOND = 10**19
_DIGITS, _DAY_DIGITS = 14, 8
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
"""Where the dates that have a written form begin and end (ISO 8601, RFC 3339); Python and pandas hold no others."""

_FIRST_WRITTEN, _LAST_WRITTEN = 19_900_101_000_000, 21_000_101_000_000
"""Numbers that are the fourteen digits of a time; as milliseconds they would be of the 26th century."""
_FIRST_DAY, _LAST_DAY = 19_900_101, 21_000_101
"""Numbers that are the eight digits of a day; as seconds they would be of August 1970, before there was a web."""

_LATE = pa.array(["29", "30", "31"])
_USUAL = "%Y-%m-%dT%H:%M:%SZ"


def seconds(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The dates of a column as whole seconds since 1970 UTC, `NO_DATE` where there is none.

    Args:
        column: timestamps (without a zone: UTC), days, ISO 8601, RFC 9110 or RFC 5322 texts, Common Crawl's fourteen
            digits or the eight of a day, also as numbers, or numbers since 1970 in seconds, milliseconds, microseconds
            or nanoseconds, told apart by their size. Before the year 1 and after 9999 there are no dates.
    """
    found = _seconds(column)
    return np.where((found >= _YEAR_1) & (found < _YEAR_10000), found, NO_DATE)


def _seconds(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_moments(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_texts(column)
    return np.array([NO_DATE if value is None else _read(_text(value)) for value in column.to_pylist()], np.int64)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _of_moments(column: pa.Array) -> np.ndarray:
    # Arrow's own way from unit to unit makes another date of one that is too far away for the new unit.
    if pa.types.is_date32(column.type):
        counts, per_second, seconds_each = column.view(pa.int32()).cast(pa.int64()), 1, DAY
    else:
        unit = "ms" if pa.types.is_date64(column.type) else column.type.unit
        counts, per_second, seconds_each = column.view(pa.int64()), _PER_SECOND[unit], 1
    missing = counts.is_null().to_numpy(zero_copy_only=False)
    found = pc.fill_null(counts, 0).to_numpy(zero_copy_only=False) // per_second * seconds_each
    return np.where(missing, NO_DATE, found)


def _of_numbers(column: pa.Array) -> np.ndarray:
    """Numbers are told apart by their size; those beyond any date, and those that are none, are no dates."""
    values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    written = ((values >= _FIRST_WRITTEN) & (values < _LAST_WRITTEN)) | ((values >= _FIRST_DAY) & (values < _LAST_DAY))
    sizes = np.abs(values)
    scales = np.select([sizes >= least for least, _ in _SCALES], [scale for _, scale in _SCALES], 1)
    usable = sizes <= _BEYOND
    found: np.ndarray = np.where(usable, np.floor_divide(np.where(usable, values, 0), scales), NO_DATE).astype(np.int64)
    for row in np.flatnonzero(written).tolist():
        found[row] = _read(f"{values[row]:.0f}")
    return found


def _of_texts(column: pa.Array) -> np.ndarray:
    """Texts in the form that most datasets have are read all at once, others one by one."""
    parsed = pc.strptime(column, format=_USUAL, unit="s", error_is_null=True)
    moments = _of_moments(parsed)
    doubtful = (moments == NO_DATE) & column.is_valid().to_numpy(zero_copy_only=False)
    # Arrow takes the 31st of February for the 3rd of March.
    first = np.flatnonzero(pc.less_equal(pc.fill_null(pc.day(parsed), 9), 3).to_numpy(zero_copy_only=False))
    days = pc.utf8_slice_codeunits(column.take(pa.array(first)), 8, 10)
    doubtful[first[pc.is_in(days, _LATE).to_numpy(zero_copy_only=False)]] = True
    rest = np.flatnonzero(doubtful)
    for row, text in zip(rest.tolist(), column.take(pa.array(rest)).to_pylist(), strict=True):
        moments[row] = _read(text)
    return moments


def through(moments: np.ndarray) -> np.ndarray:
    """Until when captures speak for a date, in seconds: one of midnight stands for its day, down to the last second.

    Most datasets that have such dates have days, and nobody knows at what time of its day a row was collected. What an
    origin said on that very day is nearer to it than what was said at any time before.
    """
    return np.where(moments % DAY == 0, moments + (DAY - 1), moments)


@lru_cache(maxsize=65_536)
def _read(text: str) -> int:
    moment = moment_of(text)
    return int(NO_DATE) if moment is None else (moment - _EPOCH) // _SECOND


def moment_of(text: str) -> datetime | None:
    """Read a date or time; one without a zone is UTC."""
    text = text.strip()
    for form in (_iso, _digits, _http):
        try:
            moment = form(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        except ValueError:
            continue
    return None


def _iso(text: str) -> datetime:
    if text[:_DAY_DIGITS].isdecimal() and text[_DAY_DIGITS : _DAY_DIGITS + 1].isdecimal():
        raise ValueError("Python would take a digit behind the day for what divides it from the time")
    # BigQuery and others write the zone behind a space.
    return datetime.fromisoformat(f"{text[:-4]}Z" if text.endswith((" UTC", " GMT")) else text)


def _digits(text: str) -> datetime:
    if len(text) != _DIGITS:
        raise ValueError("Python would take fewer for a time of single digits")
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _http(text: str) -> datetime:
    return datetime.strptime(text.replace(" GMT", " +0000"), "%a, %d %b %Y %H:%M:%S %z")
