"""Captures from Parquet files with the columns url, status, headers, body and fetched_at."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
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
_IN_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_STATUSES = 1_000
_MOST = (1 << 63) - 1
_EDGES = tuple(int(datetime(year, 1, 2, tzinfo=UTC).timestamp()) for year in (1, 9999))


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
            # Spark and others write checksums of pages; where there are none, nothing is compared.
            file = pq.ParquetFile(path, buffer_size=_BUFFER, page_checksum_verification=True)
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
                for values in _in_utc(batch).to_pylist():
                    yield from _row(values, f"row {row}", path, self._roles)
                    row += 1
        except (pa.ArrowException, OSError, ArithmeticError, ValueError, MemoryError) as error:
            yield Fault(str(path), f"row group {number} from row {row}", _first_line(error))


def _in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as Python can hold them; one that it cannot hold is none.

    pandas writes nanoseconds, and what is behind the microsecond tells nothing; the name of a zone need not be known.
    """
    at = batch.schema.get_field_index("fetched_at")
    times = batch.column(at)
    if not pa.types.is_timestamp(times.type):
        return batch
    count = times.cast(pa.int64())
    first, last = (max(-_MOST, min(edge * _IN_A_SECOND[times.type.unit], _MOST)) for edge in _EDGES)
    held = pc.if_else(pc.and_(pc.greater(count, first), pc.less(count, last)), times, pa.scalar(None, times.type))
    return batch.set_column(at, "fetched_at", held.cast(pa.timestamp("us", "UTC"), safe=False))


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
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError) as error:
        yield Fault(str(path), place, _first_line(error))
    else:
        if found is not None:
            yield (found,)


def _exchange(values: Mapping[str, Any], roles: Sequence[str]) -> Exchange | None:
    named = well_known(_text(values["url"], "url"), roles)
    if named is None:
        return None
    role, url = named
    status = None if values["status"] is None else _status(values["status"])
    headers = _headers(values.get("headers"))
    if status is not None and 200 <= status < 300 and values["body"] is None:
        raise ValueError(f"status {status} without a body, which might have said anything")
    received = _body(values["body"])
    # Text may have lost a mark or carriage returns since it was octets, so that only octets can be counted.
    is_part = not isinstance(values["body"], str) and coding.is_part(received, headers)
    body, is_cut = coding.plain(received, headers, _LARGEST) if headers else coding.bare(received, _LARGEST)
    return Exchange(
        url,
        role,
        status=status,
        headers=headers,
        body=body,
        error=_FAILED if status is None else None,
        fetched_at=_time(values["fetched_at"]),
        truncated=is_cut or is_part,
    )


def _status(value: object) -> int:
    """A status; collectors write 0 or less for a fetch that failed."""
    status = int(value)  # type: ignore[call-overload]
    if isinstance(value, float) and status != value:
        raise ValueError(f"status {value} is no whole number")
    if not -_STATUSES < status < _STATUSES:
        raise ValueError(f"status {str(value)[:40]} has more than three digits (RFC 9110 section 15)")
    return int(status)


def _body(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | list):
        return bytes(value)
    raise TypeError(f"its body is a {type(value).__name__}, and neither binary nor text")


def _time(value: object) -> datetime:
    """A time; one without a zone is UTC, and a day is its beginning."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime):
        raise TypeError("fetched_at is no timestamp")
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _headers(value: Any) -> Headers:  # noqa: ANN401 - whatever the column holds
    try:
        if isinstance(value, str | bytes):
            value = json.loads(value) if value.strip() else None
        if value is None:
            return ()
        pairs = value.items() if isinstance(value, dict) else map(_pair, value)
        several = ((name, texts if isinstance(texts, list) else [texts]) for name, texts in pairs)
        return tuple((_text(name), _text(text)) for name, texts in several for text in texts if text is not None)
    except (ValueError, TypeError) as error:
        raise ValueError("its headers are no map, list of pairs, or either as JSON") from error


def _text(value: object, what: str = "") -> str:
    """A text, from octets too; anything else is written out, or refused by the name of its column."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if what and not isinstance(value, str):
        raise TypeError(f"the {what} is not text")
    return str(value)


def _pair(value: Any) -> tuple[object, object]:  # noqa: ANN401 - whatever the column holds
    if isinstance(value, dict):
        value = (value["name"], value["value"]) if value.keys() >= {"name", "value"} else value.values()
    name, text = value
    return name, text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
