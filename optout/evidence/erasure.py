"""Erasing from the archive what nothing rests on any more, once rows have been erased.

A page's record names its URL, so erasing a row or its URL is not done while that record stays. An archive file is never
pruned in place: it is written anew without the records, and the log takes down the hash that it has from then on, why,
and how many records went, but not which. A response whose bytes other records refer to gives them to those first.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from optout.errors import EvidenceError
from optout.evidence import journal, segment, warc
from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.canonical import decode
from optout.evidence.entries import ERASURE
from optout.evidence.exchange_record import is_list, list_identifier, records
from optout.evidence.files import PRIVATE_FILE, disk_errors, locked, sync_directory, write_durably
from optout.evidence.layout import read_description
from optout.evidence.warc import Located

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout


class Gone(NamedTuple):
    """Places of a segment's rows that are erased, and of those of which only the URL is."""

    rows: set[int]
    urls: set[int]


class _Named(NamedTuple):
    """What rows rest on: digests of lists of exchanges, and identifiers of pages' records."""

    lists: set[str]
    records: set[str]


def archive_of(layout: Layout) -> Path:
    """Where the archive of an evidence directory is."""
    description = read_description(layout)
    return layout.directory / (description.archive if description else "../signals")


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Keep every writer of the archive out, because one that is at work may refer to what is about to go.

    Raises:
        EvidenceError: one is at work.
    """
    directory = archive_of(layout)
    with ExitStack() as locks:
        for name in {path.name[: -len("-000000.warc.gz")] for path in warc.archive_files(directory)}:
            busy = f"{name} is still archiving in {directory}"
            locks.enter_context(locked(directory / f"{name}.lock", busy, "wait until it ends"))
        yield


def prepare(layout: Layout, store: KeyStore, gone: Mapping[str, Gone]) -> list[dict[str, Any]]:
    """Write the archive files as they will be, out of sight, and give an entry for each, without `basis` and `t`.

    Args:
        layout: where everything is.
        store: has a place for what is not in force yet.
        gone: what is erased of each segment.

    Raises:
        EvidenceError: a record that has to go stands in a file that still grows, or the disk refuses.
    """
    directory = archive_of(layout)
    doomed = _left_over(layout, directory, gone) if directory.exists() else set()
    if not doomed:
        return []
    reader = ArchiveReader(directory)
    return [
        _staged(store, path, doomed, reader)
        for path in warc.archive_files(directory)
        if any(_refers(found, doomed) for found in _located(path))
    ]


def carry_out(layout: Layout, store: KeyStore, change: Mapping[str, Any]) -> None:
    """Put a prepared archive file and its index in their places; harmless where that has been done.

    Raises:
        EvidenceError: the disk refuses.
    """
    staged, path = _staged_path(store, change["name"], change["after"]), archive_of(layout) / change["name"]
    with disk_errors(path):
        for source, target in ((_index_beside(staged), warc.index_path(path)), (staged, path)):
            if source.exists():
                source.chmod(0o644)
                source.replace(target)
                sync_directory(target.parent)


def _left_over(layout: Layout, directory: Path, gone: Mapping[str, Gone]) -> set[str]:
    """The identifiers of the records on which nothing rests when these rows are gone."""
    leaving, staying = _Named(set(), set()), _Named(set(), set())
    for path in sorted(layout.segments.glob("*.parquet")):
        table = segment.read(path).select(["exchanges", "fetch"])
        rows, urls = gone.get(path.name, Gone(set(), set()))
        _note(table.take(pa.array(sorted(rows), pa.int64())), leaving)
        _note(table.take(pa.array(sorted(urls), pa.int64())).select(["fetch"]), leaving)
        kept = [at for at in range(table.num_rows) if at not in rows]
        _note(table.take(pa.array(kept, pa.int64())).select(["exchanges"]), staying)
        _note(table.take(pa.array([at for at in kept if at not in urls], pa.int64())).select(["fetch"]), staying)
    if not leaving.lists - staying.lists and not leaving.records - staying.records:
        return set()
    for row in _waiting(layout):
        _note_row(row.get("exchanges"), row.get("fetch"), staying)
    lists = leaving.lists - staying.lists
    for digest, named in _lists(directory):
        (leaving if digest in lists else staying).records.update(named if digest in lists | staying.lists else ())
    return {list_identifier(digest) for digest in lists} | (leaving.records - staying.records)


def _note(table: pa.Table, named: _Named) -> None:
    for name in table.column_names:
        for value in pc.unique(table.column(name).cast(pa.string())).to_pylist():
            said = None if value is None else orjson.loads(value)
            _note_row(said if name == "exchanges" else None, said if name == "fetch" else None, named)


def _note_row(exchanges: object, fetch: object, named: _Named) -> None:
    if isinstance(exchanges, str) and exchanges:
        named.lists.add(exchanges)
    record = fetch.get("rec") if isinstance(fetch, dict) else None
    if isinstance(record, str):
        named.records.add(record)


def _waiting(layout: Layout) -> Iterator[dict[str, Any]]:
    """The rows that are not in a segment yet; a crash may have left a journal behind that is."""
    for path in layout.directory.glob("*.jsonl.zst"):
        if not (layout.segments / f"{path.name.removesuffix('.jsonl.zst')}.parquet").exists():
            for frame in journal.scan(path, None)[0]:
                yield from map(orjson.loads, frame.lines)


def _lists(directory: Path) -> Iterator[tuple[str, list[str]]]:
    for path in warc.archive_files(directory):
        for found in _located(path):
            if is_list(found.record):
                yield sha256(found.record.block).hexdigest(), [item["rec"] for item in decode(found.record.block)]


def _located(path: Path) -> Iterator[Located]:
    return (found for found in warc.iterate(path) if isinstance(found, Located))


def _refers(found: Located, doomed: set[str]) -> bool:
    """Whether a record goes, or refers to one that does."""
    return not doomed.isdisjoint({found.record.identifier, _of(found), _holder(found)})


def _of(found: Located) -> str:
    """The answer that a request led to."""
    return found.record.fields.get("WARC-Concurrent-To", "").strip("<>")


def _holder(found: Located) -> str:
    """The record with the bytes that a revisit refers to."""
    return found.record.fields.get("WARC-Refers-To", "").strip("<>")


def _staged(store: KeyStore, path: Path, doomed: set[str], reader: ArchiveReader) -> dict[str, Any]:
    if not warc.index_path(path).exists():
        raise EvidenceError(
            f"{path} still grows and holds what is to be erased", mend="run `optout evidence checkpoint`"
        )
    members, lines, size, erased = [], [], 0, 0
    for found, data in _kept(path, doomed, reader):
        if found is None:
            erased += 1
            continue
        members.append(data)
        lines += [entry.line for entry in warc.index_entries(found._replace(offset=size, length=len(data)))]
        size += len(data)
    whole = b"".join(members)
    digest = sha256(whole).hexdigest()
    staged = _staged_path(store, path.name, digest)
    write_durably(_index_beside(staged), b"".join(sorted(lines)), PRIVATE_FILE)
    write_durably(staged, whole, PRIVATE_FILE)
    before = warc.describe(path).sha256
    return {"v": ERASURE, "name": path.name, "erased": erased, "before": before, "after": digest}


def _kept(path: Path, doomed: set[str], reader: ArchiveReader) -> Iterator[tuple[Located | None, bytes]]:
    """Every record that stays, with its gzip member; None for one that goes."""
    with path.open("rb") as file:
        for found in _located(path):
            if not doomed.isdisjoint({found.record.identifier, _of(found)}):
                yield None, b""
            elif _holder(found) in doomed:
                whole, _ = records(reader.exchange(found.record.identifier), None)
                yield found._replace(record=whole), warc.compressed(whole)
            else:
                file.seek(found.offset)
                yield found, file.read(found.length)


def _staged_path(store: KeyStore, name: str, digest: str) -> Path:
    """Where a file waits; two files of which nothing is left have the same digest."""
    return store.directory / "staged" / f"{name}.{digest}"


def _index_beside(staged: Path) -> Path:
    return staged.with_name(f"{staged.name}.cdxj")


def after(logged: str, changes: Iterable[Mapping[str, Any]], name: str) -> tuple[str, bool]:
    """The hash that an archive file has after all erasures, and whether each began where the one before it ended.

    Args:
        logged: the hash with which it was sealed.
        changes: the erasures in the log, in order.
        name: of the file.
    """
    fits = True
    for change in changes:
        if change["name"] == name:
            fits = fits and change["before"] == logged
            logged = str(change["after"])
    return logged, fits
