"""One input file → one file of decisions, one of kept rows, and one manifest: the unit of work of every engine.

Everything is written beside its place and moved there when it is whole, the manifest last. A shard with a manifest
that fits is done; so a restart, a retry and another machine all do the same. Nothing in a shard tells when it was
made: the same input gives the same bytes.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from optout.audit.formats import Fault, format_of
from optout.audit.schema import Rows, decisions, kept
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from optout.audit.formats import Batch, Format
    from optout.audit.job import Input, Job
    from optout.audit.judge import Judge

MOST_FAULTS = 1_000
"""How many faults of an input a manifest lists; all are counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an audit writes."""

    directory: Path

    def decisions(self, shard: str) -> Path:
        """The decisions of a shard."""
        return self.directory / "decisions" / f"{shard}.parquet"

    def kept(self, name: str) -> Path:
        """The kept rows of an input."""
        return self.directory / "kept" / name

    def manifest(self, shard: str) -> Path:
        """What was made of an input."""
        return self.directory / "shards" / f"{shard}.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was made of an input.

    Attributes:
        file: its name.
        job: the digest of the job.
        source: its size in bytes and time of change in nanoseconds.
        rows: how many were judged.
        kept: how many may be used.
        faults: how many places could not be read.
        listed: the first of them.
        unreadable: why nothing could be read; None where something was.
        outputs: the SHA-256 of each file written, by its path under the output folder.
    """

    file: str
    job: str
    source: list[int]
    rows: int = 0
    kept: int = 0
    faults: int = 0
    listed: tuple[dict[str, str], ...] = ()
    unreadable: str | None = None
    outputs: dict[str, str] | None = None


def made(place: Place, item: Input, job: str) -> Manifest | None:
    """The manifest of a shard that is done; None where it has to be made."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = Manifest(**orjson.loads(place.manifest(item.shard).read_bytes()))
        whole = all((place.directory / name).is_file() for name in found.outputs or {})
        if found.job == job and found.source == _source(item.path) and found.unreadable is None and whole:
            return found
    return None


def make(place: Place, item: Input, job: Job, digest: str, judge: Judge) -> Manifest:
    """Judge an input and write its shard."""
    form = _form(item)
    source = _source(item.path)
    notes = _Notes(item.name)
    try:
        rows, kept_rows, outputs = _written(place, item, job, judge, form, notes)
        manifest = Manifest(item.name, digest, source, rows, kept_rows, notes.count, notes.listed(), None, outputs)
    except UnreadableInput as error:
        manifest = Manifest(item.name, digest, source, faults=1, unreadable=str(error))
    _put(place.manifest(item.shard), orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2))
    return manifest


def _form(item: Input) -> Format:
    form = format_of(item.path.name)
    if form is None:
        raise UnreadableInput(f"{item.path}: of no known form", mend="name files as `optout.audit.job.inputs` does")
    return form


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


def _written(
    place: Place, item: Input, job: Job, judge: Judge, form: Format, notes: _Notes
) -> tuple[int, int, dict[str, str]]:
    paths = [place.decisions(item.shard), place.kept(item.name)]
    partial = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    rows = kept_rows = 0
    try:
        with ExitStack() as stack:
            sink = stack.enter_context(_Decisions(partial[0]))
            writer = stack.enter_context(form.writer(item.path, partial[1]))
            for batch in form.read(item.path, job.columns, notes.fault):
                judged = judge.judge(batch.urls, batch.dates, batch.pages)
                keep = kept(judge, judged)
                keep[list(batch.refused)] = False
                sink.write(decisions(judge, judged, _rows(item.name, rows, batch)), keep)
                writer.keep(batch, keep)
                rows += len(keep)
                kept_rows += int(keep.sum())
        digests = [_move(part, path) for part, path in zip(partial, paths, strict=True)]
    finally:
        for part in partial:
            part.unlink(missing_ok=True)
    names = [path.relative_to(place.directory).as_posix() for path in paths]
    return rows, kept_rows, dict(zip(names, digests, strict=True))


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
        if self._writer is None and error[0] is None:
            pq.write_table(pa.table({"file": pa.array([], pa.string())}), self._path)
        elif self._writer is not None:
            self._writer.close()

    def write(self, table: pa.Table, keep: np.ndarray) -> None:
        """Write rows, with what is really kept of them."""
        table = table.set_column(table.column_names.index("kept"), "kept", pa.array(keep))
        if self._writer is None:
            plain = [name for name in ("url",) if name in table.column_names]
            coded = [name for name in table.column_names if name not in {"url", "row", "bytes", "tokens"}]
            self._writer = pq.ParquetWriter(
                self._path, table.schema, compression="zstd", compression_level=1, use_dictionary=coded,
                store_schema=False, write_statistics=[*plain, "row", "origin"],
            )  # fmt: skip
        self._writer.write_table(table)


def _source(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _move(part: Path, path: Path) -> str:
    """Put a whole file in its place, and give its digest."""
    digest = sha256()
    with part.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        os.fsync(file.fileno())
    part.replace(path)
    return digest.hexdigest()


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """A manifest as an object."""
    return asdict(manifest)
