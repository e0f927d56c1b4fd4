"""One input file → one file of decisions, one of kept rows, and one manifest: the unit of work of every engine.

Everything is written elsewhere and put in its place when it is whole, the manifest last. A shard with a manifest
that fits is done; so a restart, a retry and another machine all do the same. Nothing in a shard tells when it was
made: the same input gives the same bytes.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from optout.audit.disk import read_on, writing
from optout.audit.formats import Batch, Fault, format_of
from optout.audit.formats.table import ParquetFormat
from optout.audit.job import shard_name
from optout.audit.memory import kept_memory
from optout.audit.reading import READING
from optout.audit.schema import Rows, decisions
from optout.audit.storage import Location, Remote, give_up, near, part_of, remove, settle, state_of, write
from optout.errors import UnreadableInput
from optout.evidence.files import file_hash

if TYPE_CHECKING:
    from optout.audit.formats import Format
    from optout.audit.job import Input, Job
    from optout.audit.judge import Judge

MOST_FAULTS = 1_000
"""How many faults of an input a manifest lists; all are counted."""


FOLDERS = ("decisions", "kept", "shards")
"""Where shards lie in an output folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an audit writes."""

    directory: Location

    def decisions(self, name: str) -> Location:
        """The decisions about an input."""
        return self.directory / f"decisions/{shard_name(name)}.parquet"

    def kept(self, name: str) -> Location:
        """The kept rows of an input."""
        return self.directory / f"kept/{name}"

    def manifest(self, name: str) -> Location:
        """What was made of an input."""
        return self.directory / f"shards/{shard_name(name)}.json"

    def files(self, name: str) -> tuple[Location, Location, Location]:
        """All that is written of an input, the manifest last."""
        return self.decisions(name), self.kept(name), self.manifest(name)

    def path_of(self, where: Location) -> str:
        """A place as a path under the output folder, with slashes."""
        if isinstance(where, Path):
            return where.relative_to(str(self.directory)).as_posix()
        return str(where).removeprefix(str(self.directory).rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was made of an input.

    Attributes:
        file: its name.
        job: the digest of the job.
        source: its size in bytes and time of change in nanoseconds.
        sha256: the digest of what was read: the file, or the stretch of it that is the part; empty where nothing was.
        start: the place of the first byte of what was read.
        length: how many bytes were read.
        rows: how many were judged.
        content: how many of them had content that was looked into.
        kept: how many may be used.
        faults: how many places could not be read.
        listed: the first of them.
        unreadable: why nothing could be read; None where something was.
        outputs: the SHA-256 of each file written, by its path under the output folder.
    """

    file: str
    job: str
    source: list[int]
    sha256: str = ""
    start: int = 0
    length: int = 0
    rows: int = 0
    content: int = 0
    kept: int = 0
    faults: int = 0
    listed: tuple[dict[str, str], ...] = ()
    unreadable: str | None = None
    outputs: dict[str, str] | None = None


def attempted(place: Place, item: Input, job: str) -> Manifest | None:
    """The manifest of an input that was gone through, though perhaps nothing of it could be read.

    Raises:
        UnreadableInput: the file system that the manifest may be in does not let us look.
    """
    where = place.manifest(item.name)
    with suppress(OSError, ValueError, TypeError, KeyError):
        if isinstance(where, Remote) and not where.is_file():
            return None
        found = Manifest(**orjson.loads(where.read_bytes()))
        whole = all((place.directory / name).is_file() for name in found.outputs or {})
        if found.job == job and found.source == state_of(item.path) and whole:
            return found
    return None


def made(place: Place, item: Input, job: str) -> Manifest | None:
    """The manifest of a shard that is done; None where it has to be made."""
    found = attempted(place, item, job)
    return None if found is None or found.unreadable is not None else found


def make(place: Place, item: Input, job: Job, digest: str, judge: Judge) -> Manifest:
    """Judge an input and write its shard.

    Raises:
        OutputError: the shard cannot be written.
    """
    source = state_of(item.path)
    with writing(place.directory), kept_memory(), READING.under_way():
        try:
            manifest = _made(place, item, job, digest, judge, source)
        except UnreadableInput as error:
            manifest = Manifest(item.name, digest, source, faults=1, unreadable=str(error))
            # What an earlier run kept of this input must not pass for what may be used now.
            for where in place.files(item.name)[:2]:
                remove(where)
        write(place.manifest(item.name), orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2))
    return manifest


def _made(place: Place, item: Input, job: Job, digest: str, judge: Judge, source: list[int]) -> Manifest:
    """Write the decisions and the kept rows, if the input stays as it is meanwhile."""
    notes = _Notes(item.name)
    start, length = (0, source[0] if source else 0) if item.part is None else (item.part.start, item.part.length)
    targets = place.files(item.name)[:2]
    parts = (part_of(targets[0]), part_of(targets[1]))
    try:
        with near(item.path) as path:
            counts = _written(parts, path, item, job, judge, notes)
            with writing(place.directory, path):
                read = file_hash(path, start, length)
        if state_of(item.path) != source:
            mend = "audit it again when nobody writes to it"
            raise UnreadableInput(f"{item.path}: changed while it was read", mend=mend)
        outputs = {place.path_of(target): settle(part, target) for part, target in zip(parts, targets, strict=True)}
    finally:
        for part, target in zip(parts, targets, strict=True):
            give_up(part, target)
    return Manifest(
        item.name, digest, source, read, start, length, counts.rows, counts.content, counts.kept, notes.count,
        notes.listed(), None, outputs,
    )  # fmt: skip


def _form(item: Input) -> Format:
    form = format_of(item.path.name)
    if form is None:
        raise UnreadableInput(f"{item.path}: of no known form", mend="name files as `optout.audit.job.inputs` does")
    return form if item.part is None else ParquetFormat(range(*item.part.groups))


class _Notes:
    """Gathers the faults of an input."""

    def __init__(self, file: str) -> None:
        self._file, self.count, self._listed = file, 0, []  # type: ignore[var-annotated]

    def fault(self, place: str, what: str) -> None:
        self.count += 1
        if len(self._listed) < MOST_FAULTS:
            self._listed.append(Fault(self._file, place, what[:300]))

    def listed(self) -> tuple[dict[str, str], ...]:
        return tuple(asdict(fault) for fault in self._listed)


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    content: int = 0
    kept: int = 0


def _written(parts: tuple[Path, Path], path: Path, item: Input, job: Job, judge: Judge, notes: _Notes) -> _Counts:
    """Judge a file of this machine."""
    counts, form = _Counts(), _form(item)
    first = 0 if item.part is None else item.part.first_row
    with writing(parts[0].parent.parent, path), ExitStack() as stack:
        sink = stack.enter_context(_Decisions(parts[0]))
        writer = stack.enter_context(form.writer(path, parts[1]))
        for batch in read_on(path, form.read(path, job.columns, notes.fault)):
            judged = judge.judge(batch.urls, batch.dates, batch.pages)
            table = decisions(judge, judged, _rows(item.file, first + counts.rows, batch))
            table, keep = _kept(table, batch.refused)
            sink.write(table)
            writer.keep(batch, keep)
            counts.rows += len(keep)
            counts.content += len(batch.pages)
            counts.kept += int(keep.sum())
        if not counts.rows:
            nothing = Batch(pa.array([], pa.string()), None)
            sink.write(decisions(judge, judge.judge(nothing.urls), _rows(item.file, first, nothing)))
    return counts


def _kept(table: pa.Table, refused: frozenset[int]) -> tuple[pa.Table, np.ndarray]:
    """Decisions that tell which rows are really kept, and which these are."""
    keep: np.ndarray = table["kept"].to_numpy()
    if refused:
        keep = keep.copy()
        keep[list(refused)] = False
        place = table.column_names.index("kept")
        table = table.set_column(place, table.schema.field(place), pa.array(keep))
    return table, keep


def _rows(file: str, first: int, batch: Batch) -> Rows:
    return Rows(file, first, batch.dates, batch.sizes, batch.tokens, batch.languages)


class _Decisions:
    """The file of decisions; its schema is that of the first batch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Write rows."""
        if self._writer is None:
            self._writer = _decisions_writer(self._path, table.schema)
        self._writer.write_table(table)


ROWS_AT_ONCE = 1 << 15
"""How many rows Arrow writes between two looks at how long a page has become; more than that is more memory."""

_NOT_CODED = frozenset({"row", "url", "kept", "others_refused", "bytes", "tokens"})


def _decisions_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Packed quickly, because packing is most of the work of writing; row numbers as steps, which are all alike."""
    return pq.ParquetWriter(
        path,
        schema,
        compression="snappy",
        use_dictionary=[name for name in schema.names if name not in _NOT_CODED],
        column_encoding={"row": "DELTA_BINARY_PACKED"},
        store_schema=False,
        write_statistics=["row", "origin"],
        write_batch_size=ROWS_AT_ONCE,
    )


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """A manifest as an object."""
    return asdict(manifest)
