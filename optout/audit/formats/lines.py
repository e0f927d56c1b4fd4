"""JSON Lines, plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from optout.audit.formats.base import BATCH_BYTES, ROWS, Batch, Columns, Report, Writer
from optout.audit.formats.objects import Objects, Row, Unclear, dates_at, numbers_at, texts_at, value_at
from optout.audit.formats.packed import BROKEN, packed, unpacked
from optout.audit.formats.pages import pages_of
from optout.errors import UnreadableInput

LONGEST_LINE = 1 << 26
"""Bytes of a line that are read; a longer line is a fault, and a row without a URL."""


class LinesFormat:
    """JSON Lines; a row is a line that is not blank, and one that is no JSON object is a row without a URL."""

    name = "jsonl"
    suffixes = tuple(f"{kind}{packed}" for kind in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read a file as far as it can be decompressed.

        Raises:
            UnreadableInput: it is one JSON document over several lines.
        """
        lines: list[bytes] = []
        numbers: list[int] = []
        size = number = 0
        objects, seen = Objects(columns), False
        try:
            with unpacked(path) as stream:
                for number, line in enumerate(_lines(stream, fault), 1):
                    if not (text := line.strip()):
                        continue
                    if not seen and text in _BEGINNINGS:
                        mend = "write one object a line: jq -c '.[]' IN > OUT for an array, jq -c . for an object"
                        raise UnreadableInput(f"{path}: one JSON document over several lines", mend=mend)
                    seen = True
                    lines.append(line)
                    numbers.append(number)
                    size += len(line)
                    if len(lines) >= ROWS or size >= BATCH_BYTES:
                        yield _batch(lines, columns, fault, numbers, objects)
                        lines, numbers, size = [], [], 0
        except BROKEN as error:
            fault(f"after line {number}", f"cannot be read on: {error}")
        if lines:
            yield _batch(lines, columns, fault, numbers, objects)
        objects.tell(fault)

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


_BEGINNINGS = (b"{", b"[")
"""What the first line of a JSON document is that is written for people."""

_TOO_LONG = b"..."
"""What stands for a line that is too long; its fault has been told."""


def _batch(lines: list[bytes], columns: Columns, fault: Report, numbers: list[int], objects: Objects) -> Batch:
    found = [_object(line, number, objects, fault) for line, number in zip(lines, numbers, strict=True)]
    rows = [row or {} for row in found]
    urls = texts_at(rows, columns.url)
    html, headers = ([value_at(row, name) for row in rows] for name in (columns.html, columns.headers))
    pages = pages_of(urls.to_pylist(), html, headers) if any(html) or any(headers) else {}
    return Batch(
        urls=urls,
        raw=lines,
        dates=dates_at(rows, columns.date),
        pages={row: page for row, page in pages.items() if urls[row].is_valid},
        sizes=np.array([len(line) for line in lines], np.int64),
        tokens=numbers_at(rows, columns.tokens),
        languages=texts_at(rows, columns.language),
        refused=frozenset(at for at, row in enumerate(found) if row is None),
    )


def _object(line: bytes, number: int, objects: Objects, fault: Report) -> Row | None:
    """A line as an object; None where it is none, or where readers may differ about what it says."""
    try:
        row = objects.read(line)
    except Unclear as error:
        if line is not _TOO_LONG:
            fault(f"line {number}", str(error))
        return None
    objects.note(row)
    return row
