"""The steps about archived bytes: records, their reconciliation with the rows, and deciding again."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError, OptoutError
from optout.evidence import warc
from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.checks_rows import note_all_names, rows_of
from optout.evidence.entries import ARCHIVE, ERASURE, GAP, SEGMENT
from optout.evidence.erasure import after
from optout.evidence.exchange_record import is_list, payload_of
from optout.evidence.files import file_hash
from optout.evidence.rows import microseconds
from optout.evidence.warc import Broken, Located

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optout.evidence.checks import Evidence
    from optout.evidence.report import Step
    from optout.model import Exchange

_REPLAYED_LISTS = 4096
_CLOCKS = 300 * 1_000_000
"""How many microseconds two honest clocks may lie apart."""


def records(evidence: Evidence, step: Step) -> None:
    """Archive files have the hashes that were logged, and every record the digests and identifier it states."""
    waiting = [entry for entry in evidence.waiting if entry["v"] == ARCHIVE]
    logged = {entry["name"]: entry for entry in [*waiting, *(entry for _, entry in evidence.of_type(ARCHIVE))]}
    directory = evidence.archive
    present = {path.name: path for path in warc.archive_files(directory)} if directory else {}
    for name in sorted((set(logged) | _indexed(directory)) - set(present)):
        step.fault(f"signals/{name}", "", "the file is missing")
    if directory is not None and not directory.exists() and logged:
        step.fault("evidence.json", "", f"the archive that it names is not here: {directory}")
    erasures = [entry for _, entry in evidence.of_type(ERASURE)]
    writers = {entry["node"] for _, entry in evidence.of_type(SEGMENT)} | {path.stem for path in _heads(evidence)}
    for name, path in present.items():
        digest = None
        if name not in logged and name[:-15] in writers and warc.index_path(path).exists():
            step.note(f"signals/{name} is sealed; the log takes it down when its writer opens again")
        if name in logged:
            digest, fits = after(logged[name]["sha256"], erasures, name)
            if not fits:
                step.fault(f"signals/{name}", "", "an erasure was logged of another file than this")
        with step.looking_at(f"signals/{name}", "byte 0"):
            _check_file(step, path, digest, evidence.archived)


def _heads(evidence: Evidence) -> Iterator[Path]:
    return evidence.layout.directory.glob("*.head")


def reconciliation(evidence: Evidence, step: Step) -> None:
    """What rows rest on is archived; what was archived, a row rests on."""
    note_all_names(evidence, step)
    directory = evidence.archive
    if not evidence.lists and not evidence.records:
        return
    if directory is None or not directory.exists():
        step.gap("the archive of signals is not here")
        return
    wanted = set(evidence.records)
    _hold_lists(evidence, step, wanted)
    erased = any(evidence.of_type(ERASURE))
    for record, named in evidence.records.items():
        if record not in evidence.archived and named.erased and erased:
            step.note(f"{named.file} {named.place}: the page that the row rests on was erased with its URL")
        elif record not in evidence.archived:
            step.fault(named.file, named.place, f"the record {record} that the row names is not archived")
    if evidence.unread:
        step.gap("some rows cannot be read, so nobody can tell which exchanges they rest on")
    _hold_archive(evidence, step, directory, wanted)


def replay(evidence: Evidence, step: Step) -> None:
    """The archived bytes, read and decided on again under the logged policy, give the rows as they stand."""
    if evidence.replay is None:
        step.note("nobody gave the means to decide again")
        return
    again = _Replay(evidence)
    for file, place, row in rows_of(evidence):
        # A row whose URL has been erased can no longer be decided on; that it was erased is logged.
        if row.get("kind") == "decision" and isinstance(row.get("exchanges"), str) and "url" in row:
            again.check(step, file, place, row)


class _Replay:
    """Decides again, keeping the exchanges of the last hosts at hand."""

    def __init__(self, evidence: Evidence) -> None:
        self._decide = evidence.replay
        self._reader = evidence.archived
        self._exchanges = lru_cache(maxsize=_REPLAYED_LISTS)(self._load)

    def check(self, step: Step, file: str, place: str, row: dict[str, Any]) -> None:
        try:
            exchanges = list(self._exchanges(row["exchanges"]))
            record = (row.get("fetch") or {}).get("rec")
            if record is not None:
                exchanges.append(self._reader.exchange(record))
            expected = self._decide(row, exchanges) if self._decide else {}
        except OptoutError as fault:
            step.gap(f"{file} {place}: {fault}")
            return
        except (LookupError, TypeError, ValueError, AttributeError) as fault:
            step.fault(file, place, f"the row cannot be decided on again: {fault!r}")
            return
        step.checked += 1
        latest = row["t"] + _CLOCKS
        for exchange in exchanges:
            if exchange.fetched_at is not None and microseconds(exchange.fetched_at) > latest:
                what = f"it rests on {exchange.url}, which was fetched later, at {exchange.fetched_at.isoformat()}"
                step.fault(file, place, what)
        for name, value in expected.items():
            if row.get(name) != value:
                step.fault(file, place, f"{name} is {row.get(name)!r}; deciding again gives {value!r}")

    def _load(self, digest: str) -> tuple[Exchange, ...]:
        return tuple(self._reader.exchange(item["rec"]) for item in self._reader.listed(digest))


def _indexed(directory: Path | None) -> set[str]:
    """The names of the files that indexes and heads are about; a head of no bytes is written before its file is."""
    if directory is None:
        return set()
    heads = {path.name.removesuffix(".head") for path in directory.glob("*.warc.gz.head") if _acknowledges(path)}
    return heads | {f"{path.stem}.warc.gz" for path in directory.glob("*.cdxj")}


def _acknowledges(head: Path) -> bool:
    """Whether a head says that some of its file was acknowledged, or says something that cannot be read."""
    said = warc.read_head(head.with_suffix(""))
    return said[0] > 0 if said else head.stat().st_size > 0


def _check_file(step: Step, path: Path, logged: str | None, reader: ArchiveReader) -> None:
    name = f"signals/{path.name}"
    before = step.fault_count
    lines = _check_records(step, path, name, reader)
    if logged is not None:
        if file_hash(path) != logged and step.fault_count == before:
            size = path.stat().st_size
            step.fault(name, f"bytes 0 to {size - 1}", "the file does not have the hash that was logged")
        if not warc.index_path(path).exists():
            step.fault(f"signals/{warc.index_path(path).name}", "", "the index is missing")
    elif not warc.index_path(path).exists():
        _check_head(step, path, name)
    index = warc.index_path(path)
    # The length is compared first, so that an endless index is not read.
    if index.exists() and (
        index.stat().st_size != sum(map(len, lines)) or index.read_bytes().splitlines(keepends=True) != sorted(lines)
    ):
        step.fault(f"signals/{index.name}", _index_place(index, sorted(lines)), "the index is not that of the file")


def _index_place(index: Path, expected: list[bytes]) -> str:
    """The first line in which an index differs from what it should be."""
    with index.open("rb") as file:
        for number, line in enumerate(expected, 1):
            if file.readline(len(line) + 1) != line:
                return f"line {number}"
    return f"line {len(expected) + 1}"


def _check_records(step: Step, path: Path, name: str, reader: ArchiveReader) -> list[bytes]:
    lines: list[bytes] = []
    answer: Located | None = None
    for found in warc.iterate(path):
        if isinstance(found, Broken):
            if not found.torn or warc.index_path(path).exists():
                step.fault(name, f"byte {found.offset}", found.what)
            break
        step.checked += 1
        lines += [entry.line for entry in warc.index_entries(found)]
        fault = warc.record_fault(found.record)
        if fault is None and found.record.kind == "request" and answer is not None:
            fault = _pair_fault(reader, answer, found)
        if fault is not None:
            step.fault(name, f"byte {found.offset}, record {found.record.identifier}", fault)
        answer = found
    return lines


def _pair_fault(reader: ArchiveReader, answer: Located, request: Located) -> str | None:
    body = payload_of(answer.record)
    if answer.record.kind == "revisit":
        try:
            body = payload_of(reader.holder(answer.record.identifier).record)
        except (EvidenceError, KeyError) as fault:
            return f"the response that holds its payload cannot be read: {fault}"
    elif answer.record.kind == "metadata":
        body = b""
    return warc.pair_fault(answer.record, request.record, body)


def _check_head(step: Step, path: Path, name: str) -> None:
    """A growing file is at least what its head says."""
    head = warc.read_head(path)
    if head is None:
        step.fault(f"{name}.head", "", f"there is neither a whole head nor an index, {warc.index_path(path).name}")
        return
    size, expected = head
    with path.open("rb") as file:
        data = file.read(size)
    if len(data) < size:
        step.fault(name, f"byte {len(data)}", f"{size} bytes were acknowledged")
    elif sha256(data).hexdigest() != expected:
        step.fault(name, f"bytes 0 to {size - 1}", "the file does not have the hash of its head")


def _hold_lists(evidence: Evidence, step: Step, wanted: set[str]) -> None:
    for digest, named in evidence.lists.items():
        try:
            listed = evidence.archived.listed(digest)
        except EvidenceError as fault:
            step.fault(named.file, named.place, f"the exchanges that the row names are not archived: {fault}")
            continue
        for item in listed:
            wanted.add(item["rec"])
            if item["rec"] not in evidence.archived:
                step.fault(named.file, named.place, f"the record {item['rec']} that the row rests on is not archived")


def _hold_archive(evidence: Evidence, step: Step, directory: Path, wanted: set[str]) -> None:
    """Every archived exchange is one on which a row rests.

    Save in files whose writer died before it came to decide, or of whose rows some were declared lost.
    """
    lossy = {entry["node"] for _, entry in evidence.of_type(GAP)}
    for path in warc.archive_files(directory):
        unclean = warc.unclean_path(path).exists() or not warc.index_path(path).exists() or path.name[:-15] in lossy
        left = 0
        for found in warc.iterate(path):
            if isinstance(found, Broken):
                break
            record = found.record
            if record.kind == "request" or is_list(record) or record.identifier in wanted:
                continue
            left += 1
            if evidence.unread:
                continue
            if not unclean:
                place = f"byte {found.offset}, record {record.identifier}"
                step.fault(f"signals/{path.name}", place, "no decision rests on this exchange")
        if left and unclean:
            step.note(
                f"signals/{path.name}: {left} exchanges without a decision; its writer died, lost rows, or is at work"
            )
