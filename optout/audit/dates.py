"""The date column: whatever it is written as, seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_DATE = np.iinfo(np.int64).min
"""What stands for a row that has no date that could be read."""

_SCALES = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))


def seconds(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The dates of a column as whole seconds since 1970 UTC, `NO_DATE` where there is none.

    Args:
        column: timestamps (without a zone: UTC), days, ISO 8601 or RFC 9110 texts, Common Crawl's fourteen digits, or
            numbers since 1970 in seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_temporal(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
        return _filled(pc.floor(pc.divide(pc.cast(column, pa.float64()), 1e6)))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.array([NO_DATE if value is None else _scaled(value) for value in column.to_pylist()], np.int64)
    return np.array([_read(str(value)) if value is not None else NO_DATE for value in column.to_pylist()], np.int64)


def _filled(column: pa.Array) -> np.ndarray:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    found = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False).astype(np.int64)
    found[missing] = NO_DATE
    return found  # type: ignore[no-any-return]


def _scaled(value: float) -> int:
    if value != value or abs(value) > 10**19:  # noqa: PLR0124 - a number that is not one
        return int(NO_DATE)
    for least, scale in _SCALES:
        if abs(value) >= least:
            return int(value // scale)
    return int(value)


@lru_cache(maxsize=65_536)
def _read(text: str) -> int:
    moment = moment_of(text)
    return int(NO_DATE) if moment is None else int(moment.timestamp() // 1)


def moment_of(text: str) -> datetime | None:
    """Read a date or time; one without a zone is UTC."""
    text = text.strip()
    for form in (datetime.fromisoformat, _digits, _http):
        try:
            moment = form(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        except ValueError:
            continue
    return None


def _digits(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _http(text: str) -> datetime:
    return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
