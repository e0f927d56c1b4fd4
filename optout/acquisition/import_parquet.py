"""Captures from Parquet files with the columns url, status, headers, body and fetched_at."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.acquisition import coding
from optout.acquisition.imports import Fault, well_known
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Headers = tuple[tuple[str, str], ...]

COLUMNS = ("url", "status", "headers", "body", "fetched_at")
"""`headers` may be missing: a map, a list of pairs, or either as JSON. A missing status is a fetch that failed."""

_NEEDED = frozenset(COLUMNS) - {"headers"}
_ROWS_AT_ONCE = 1_024
_OCTETS_AT_ONCE = 64_000_000
_BUFFER = 1 << 20
_LARGEST = 16_000_000
_FAILED = "failed"


class Reader:
    """Reads Parquet files.

    Attributes:
        at: how far the reader is in its file, in octets.
    """

    def __init__(self, roles: Sequence[str]) -> None:
        """Look for captures of these well-known paths."""
        self._roles = roles
        self.at = 0

    def read(self, path: Path) -> Iterator[tuple[Exchange, ...] | Fault]:
        """Read one file, a row group at a time, so that a damaged one does not hide the others."""
        try:
            file = pq.ParquetFile(path, buffer_size=_BUFFER)
        except (pa.ArrowException, OSError) as error:
            yield Fault(str(path), "", _first_line(error))
            return
        with file:
            missing = sorted(_NEEDED - set(file.schema_arrow.names))
            if missing:
                yield Fault(str(path), "", f"no column {', '.join(missing)}")
                return
            first, size = 0, path.stat().st_size
            for number in range(file.num_row_groups):
                yield from self._group(file, number, first, path)
                first += file.metadata.row_group(number).num_rows
                self.at = size * first // max(file.metadata.num_rows, 1)

    def _group(
        self, file: pq.ParquetFile, number: int, first: int, path: Path
    ) -> Iterator[tuple[Exchange, ...] | Fault]:
        columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        row = first
        try:
            for batch in file.iter_batches(_rows_at_once(file, number), row_groups=[number], columns=columns):
                for values in _in_microseconds(batch).to_pylist():
                    yield from _row(values, f"row {row}", path, self._roles)
                    row += 1
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            yield Fault(str(path), f"row group {number} from row {row}", _first_line(error))


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times that Python can hold: pandas writes nanoseconds, and what is behind the microsecond tells nothing.

    A time before the year 1 or after 9999 becomes none, so that it costs its own row and no other.
    """
    at = batch.schema.get_field_index("fetched_at")
    column = batch.column(at)
    if not pa.types.is_timestamp(column.type):
        return batch
    if column.type.unit in _PER_SECOND:
        counts, each = column.view(pa.int64()), _PER_SECOND[column.type.unit]
        is_held = pc.and_(pc.greater_equal(counts, _FIRST * each), pc.less(counts, _BEHIND * each))
        column = pc.if_else(is_held, column, pa.scalar(None, column.type))
    return batch.set_column(at, "fetched_at", column.cast(pa.timestamp("us", "UTC"), safe=False))


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6}
"""Of the units in which there are times that Python cannot hold; nanoseconds end in 2262."""

_FIRST, _BEHIND = -62_135_596_800, 253_402_300_800
"""The years 1 and 10000, in seconds since 1970."""


def _rows_at_once(file: pq.ParquetFile, number: int) -> int:
    """So many rows that they take little memory, by the size that the file claims for the group."""
    group = file.metadata.row_group(number)
    each = int(group.total_byte_size // max(group.num_rows, 1))
    return max(1, min(_ROWS_AT_ONCE, _OCTETS_AT_ONCE // max(each, 1)))


def _row(
    values: Mapping[str, Any], place: str, path: Path, roles: Sequence[str]
) -> Iterator[tuple[Exchange, ...] | Fault]:
    try:
        found = _exchange(values, roles)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        yield Fault(str(path), place, _first_line(error))
    else:
        if found is not None:
            yield (found,)


def _exchange(values: Mapping[str, Any], roles: Sequence[str]) -> Exchange | None:
    if not isinstance(values["url"], str):
        raise TypeError("the url is not text")
    named = well_known(values["url"], roles)
    if named is None:
        return None
    role, url = named
    status = None if values["status"] is None else int(values["status"])
    headers = _headers(values.get("headers"))
    if status is not None and 200 <= status < 300 and values["body"] is None:
        raise ValueError(f"status {status} without a body, which might have said anything")
    body, is_cut = coding.plain(_body(values["body"]), headers, _LARGEST)
    return Exchange(
        url,
        role,
        status=status,
        headers=headers,
        body=body,
        error=_FAILED if status is None else None,
        fetched_at=_time(values["fetched_at"]),
        truncated=is_cut,
    )


def _body(value: object) -> bytes:
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]


def _time(value: object) -> datetime:
    """A time; one without a zone is UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError("fetched_at is no timestamp")
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _headers(value: Any) -> Headers:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else None
    if value is None:
        return ()
    pairs = value.items() if isinstance(value, dict) else map(_pair, value)
    several = ((name, texts if isinstance(texts, list) else [texts]) for name, texts in pairs)
    return tuple((str(name), str(text)) for name, texts in several for text in texts if text is not None)


def _pair(value: Any) -> tuple[object, object]:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, dict):
        value = (value["name"], value["value"]) if value.keys() >= {"name", "value"} else value.values()
    name, text = value
    return name, text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
