"""JSON Lines, plain or compressed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa

from optout.audit.dates import NO_DATE, seconds
from optout.audit.formats.base import BATCH_BYTES, ROWS, Batch, Columns, Report, Writer
from optout.audit.formats.packed import BROKEN, packed, unpacked
from optout.audit.formats.pages import pages_of

LONGEST_LINE = 1 << 26
"""Bytes of a line that are read; a longer line is a fault, and a row without a URL."""

_LARGEST = 2**63 - 1


class LinesFormat:
    """JSON Lines; a row is a line that is not blank, and one that is no JSON object is a row without a URL."""

    name = "jsonl"
    suffixes = tuple(f"{kind}{packed}" for kind in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read a file as far as it can be decompressed."""
        lines: list[bytes] = []
        numbers: list[int] = []
        size = number = 0
        try:
            with unpacked(path) as stream:
                for number, line in enumerate(_lines(stream, fault), 1):
                    if not line.strip():
                        continue
                    lines.append(line)
                    numbers.append(number)
                    size += len(line)
                    if len(lines) >= ROWS or size >= BATCH_BYTES:
                        yield _batch(lines, columns, fault, numbers)
                        lines, numbers, size = [], [], 0
        except BROKEN as error:
            fault(f"after line {number}", f"cannot be read on: {error}")
        if lines:
            yield _batch(lines, columns, fault, numbers)

    @contextmanager
    def writer(self, source: Path, target: Path) -> Iterator[Writer]:
        """Write the lines as they were, compressed as the source is."""
        with packed(source.name.lower(), target) as stream:
            yield _LineWriter(stream)


class _LineWriter:
    """Writes lines byte for byte."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        lines: Any = batch.raw
        chosen = (lines[row] for row in np.flatnonzero(kept).tolist())
        self._stream.write(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in chosen))


def _lines(stream: IO[bytes], fault: Report) -> Iterator[bytes]:
    """The lines of a file; of one that is too long only a beginning, which is no JSON."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            fault(f"line {number}", f"longer than {LONGEST_LINE} bytes, so it is not looked into")
            line = _TOO_LONG
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
        yield line


_TOO_LONG = b"..."
"""What stands for a line that is too long; its fault has been told."""


def _batch(lines: list[bytes], columns: Columns, fault: Report, numbers: list[int]) -> Batch:
    names = [name for name in (columns.url, columns.html, columns.headers, columns.date) if name.isascii()]
    keys = tuple(f'"{name}"'.encode() for name in names)
    found = [_object(line, number, keys, fault) for line, number in zip(lines, numbers, strict=True)]
    rows: list[dict[str, Any]] = [row or {} for row in found]
    urls = [row.get(columns.url) for row in rows]
    if any(columns.html in row or columns.headers in row for row in rows):
        pages = pages_of(urls, (row.get(columns.html) for row in rows), (row.get(columns.headers) for row in rows))
    else:
        pages = {}
    dates = [row.get(columns.date) for row in rows]
    return Batch(
        urls=pa.array([url if isinstance(url, str) else None for url in urls], pa.string()),
        raw=lines,
        dates=_seconds(dates) if any(date is not None for date in dates) else None,
        pages={row: page for row, page in pages.items() if isinstance(urls[row], str)},
        sizes=np.array([len(line) for line in lines], np.int64),
        tokens=_numbers(rows, columns.tokens),
        languages=pa.array([_text(row.get(columns.language)) for row in rows], pa.string()),
        refused=frozenset(at for at, row in enumerate(found) if row is None),
    )


def _object(line: bytes, number: int, keys: tuple[bytes, ...], fault: Report) -> dict[str, Any] | None:
    """A line as an object; None where it is none, or where readers may differ about what it says."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line is not _TOO_LONG:
            fault(f"line {number}", f"not JSON: {error}")
        return None
    if not isinstance(row, dict):
        fault(f"line {number}", "not a JSON object")
        return None
    if any(line.count(key) > 1 for key in keys) and (twice := _twice(line)):
        fault(f"line {number}", f"has {twice!r} twice, and readers differ about which counts")
        return None
    return row


def _twice(line: bytes) -> str | None:
    """A key that the object has twice (RFC 8259 section 4 leaves open what that means)."""
    try:
        pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    except RecursionError:
        return "a deeply nested key"
    return next((key for key, count in Counter(key for key, _ in pairs).items() if count > 1), None)


def _seconds(dates: list[object]) -> np.ndarray:
    return np.array([NO_DATE if date is None else seconds(pa.array([date]))[0] for date in dates], np.int64)


def _numbers(rows: list[dict[str, Any]], name: str | None) -> pa.Array | None:
    if name is None:
        return None
    found = [row.get(name) for row in rows]
    return pa.array(
        [value if type(value) is int and -_LARGEST <= value <= _LARGEST else None for value in found], pa.int64()
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
