"""Large Parquet files in parts: a stretch of row groups is audited by itself.

The unit of work is what is lost when a process is killed, what one worker does alone, and what progress is counted in.
A file of a hundred million rows would be one such unit; its parts are many. Where a file is cut depends on its own
row groups alone, so every run and every machine cuts it in the same places.

The other forms are streams that can only be read from their beginning, and are not cut.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from optout.audit.formats.table import ParquetFormat, opened
from optout.audit.storage import names_in, remove
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optout.audit.job import Input
    from optout.audit.storage import Location

PART_ROWS = 1 << 22
"""Rows that a part has at least, but for the last one."""

SMALLEST = 1 << 26
"""Bytes below which a file is never cut."""

_HEAD = 4
"""Bytes before the first row group: the magic number."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a Parquet file.

    Attributes:
        file: the name of the whole file.
        number: of this part, from 0.
        of: how many parts the file has.
        groups: its first row group and the one after its last.
        first_row: the number of its first row in the file.
        start: the place of its first byte.
        length: how many bytes it has. The stretches of all parts are the whole file, footer and all.
    """

    file: str
    number: int
    of: int
    groups: tuple[int, int]
    first_row: int
    start: int
    length: int


def cut(files: Iterable[Input]) -> list[Input]:
    """The inputs, with large Parquet files replaced by their parts."""
    return [piece for item in files for piece in _pieces(item)]


def _pieces(item: Input) -> list[Input]:
    if not isinstance(item.path, Path):
        # An object is fetched whole, whatever is wanted of it.
        return [item]
    try:
        size = item.path.stat().st_size
        if size < SMALLEST or not item.path.name.lower().endswith(ParquetFormat.suffixes):
            return [item]
        with opened(item.path) as file:
            parts = list(_parts(item.name, size, file.metadata))
    except (OSError, pa.ArrowException, UnreadableInput):
        # Whoever audits it will say what is wrong with it.
        return [item]
    if len(parts) < 2:
        return [item]
    return [replace(item, name=f"{item.name}/part-{part.number:05}.parquet", part=part) for part in parts]


def _parts(name: str, size: int, metadata: pq.FileMetaData) -> Iterator[Part]:
    cuts = _cuts(metadata)
    if not all(before[2] < after[2] for before, after in pairwise(cuts)):
        # The footer's numbers are nonsense, or the row groups stand in another order than their bytes.
        return
    ends = [*cuts[1:], (metadata.num_row_groups, 0, size)]
    for number, ((group, row, start), (last, _, end)) in enumerate(zip(cuts, ends, strict=True)):
        yield Part(name, number, len(cuts), (group, last), row, start, end - start)


def _cuts(metadata: pq.FileMetaData) -> list[tuple[int, int, int]]:
    """Where parts begin: row group, row, byte."""
    cuts: list[tuple[int, int, int]] = []
    row = 0
    for group in range(metadata.num_row_groups):
        about = metadata.row_group(group)
        if not cuts or row - cuts[-1][1] >= PART_ROWS:
            cuts.append((group, row, _start(about) if cuts else 0))
        row += about.num_rows
    return cuts


def _start(group: pq.RowGroupMetaData) -> int:
    """The place of a row group's first byte."""
    columns = [group.column(number) for number in range(group.num_columns)]
    places = [place for column in columns for place in (column.dictionary_page_offset, column.data_page_offset)]
    return min(int(place) for place in places if place is not None and place >= _HEAD)


def clear(directory: Location, files: Sequence[Input]) -> None:
    """Remove what earlier audits made here of anything else: other files, and files that were cut otherwise.

    Whoever takes what is in `kept/` must find there what this audit keeps, and nothing besides.

    Raises:
        UnreadableInput: the file system that is written to does not let us look or remove.
    """
    names, wanted = {item.file for item in files}, {item.shard for item in files}
    kept = {item.name for item in files}
    for name in names_in(directory / "shards"):
        if name.removesuffix(".json") not in wanted:
            _remove(directory, directory / f"shards/{name}", {f"kept/{one}" for one in kept})
    for name in names_in(directory / "kept"):
        if name not in kept and (name in names or _whole_of(name) in names):
            remove(directory / f"kept/{name}")
    if isinstance(directory, Path):
        _make_room(directory / "kept", kept)


def _remove(directory: Location, manifest: Location, kept: set[str]) -> None:
    """Remove a shard; its manifest last, so that who is interrupted goes on with it."""
    try:
        outputs = orjson.loads(manifest.read_bytes())["outputs"] or {}
    except (ValueError, KeyError, TypeError) as error:
        mend = "name another --out: what an earlier audit left here cannot be told"
        raise UnreadableInput(f"{manifest}: is damaged", mend=mend) from error
    for name in outputs:
        if name not in kept:
            remove(directory / name)
            if isinstance(directory, Path):
                _remove_empty(directory, name)
    remove(manifest)


def _remove_empty(directory: Path, name: str) -> None:
    """Remove the folders of a file under `kept/` that hold nothing any more."""
    for folder in Path(name).parents[:-2]:
        with suppress(OSError):
            (directory / folder).rmdir()


def _whole_of(name: str) -> str | None:
    """The file that something is a part of, by its name."""
    return _PART_NAME.sub("", name) if _PART_NAME.search(name) else None


_PART_NAME = re.compile(r"/part-[0-9]{5,}\.parquet\Z")


def _make_room(kept: Path, names: Iterable[str]) -> None:
    """Make room where a folder of kept rows becomes a file of them."""
    for name in names:
        if (kept / name).is_dir():
            shutil.rmtree(kept / name)
