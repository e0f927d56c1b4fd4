"""JSON Lines, plain or compressed."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from optout.audit.dates import NO_DATE, seconds
from optout.audit.formats.base import BATCH_BYTES, ROWS, Batch, Columns, Report, Writer
from optout.audit.formats.pages import pages_of
from optout.errors import UnreadableInput

LONGEST_LINE = 1 << 28
"""Bytes of a line that are read; what is longer is a fault, and no row of it is judged by its content."""

_BROKEN = (OSError, EOFError, zlib.error, zstandard.ZstdError)


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
                while line := stream.readline(LONGEST_LINE):
                    number += 1
                    if not line.strip():
                        continue
                    lines.append(line)
                    numbers.append(number)
                    size += len(line)
                    if len(lines) >= ROWS or size >= BATCH_BYTES:
                        yield _batch(lines, columns, fault, numbers)
                        lines, numbers, size = [], [], 0
        except _BROKEN as error:
            fault(f"after line {number}", f"cannot be read on: {error}")
        if lines:
            yield _batch(lines, columns, fault, numbers)

    @contextmanager
    def writer(self, source: Path, target: Path) -> Iterator[Writer]:
        """Write the lines as they were, compressed as the source is."""
        with _packed(source.name.lower(), target) as stream:
            yield _LineWriter(stream)


class _LineWriter:
    """Writes lines byte for byte."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        lines: Any = batch.raw
        chosen = (lines[row] for row in np.flatnonzero(kept).tolist())
        self._stream.write(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in chosen))


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed by its name.

    Raises:
        UnreadableInput: it cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", mend="name a readable file") from error
    with file:
        name = path.name.lower()
        if name.endswith((".gz", ".tgz")):
            with gzip.GzipFile(fileobj=file) as stream:
                yield cast("IO[bytes]", stream)
        elif name.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as raw:
                yield io.BufferedReader(raw, 1 << 20)
        else:
            yield file


@contextmanager
def _packed(name: str, target: Path) -> Iterator[IO[bytes]]:
    with target.open("wb") as file:
        if name.endswith(".gz"):
            # Neither name nor time goes into the header, so that the same rows are the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as stream:
                yield cast("IO[bytes]", stream)
        elif name.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file) as stream:
                yield stream
        else:
            yield file


def _batch(lines: list[bytes], columns: Columns, fault: Report, numbers: list[int]) -> Batch:
    rows = [_object(line, number, fault) for line, number in zip(lines, numbers, strict=True)]
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
    )


def _object(line: bytes, number: int, fault: Report) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        fault(f"line {number}", f"not JSON: {error}")
        return {}
    if isinstance(row, dict):
        return row
    fault(f"line {number}", "not a JSON object")
    return {}


def _seconds(dates: list[object]) -> np.ndarray:
    return np.array([NO_DATE if date is None else seconds(pa.array([date]))[0] for date in dates], np.int64)


def _numbers(rows: list[dict[str, Any]], name: str | None) -> pa.Array | None:
    if name is None:
        return None
    found = [row.get(name) for row in rows]
    return pa.array(
        [value if isinstance(value, int) and not isinstance(value, bool) else None for value in found], pa.int64()
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
