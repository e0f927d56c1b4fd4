"""Whoever writes the log: takes up what nodes have left in `pending/`, and signs.

Any process of a crawl can be the one. The first that asks gets the lock and keeps it until it ends; the others
leave their manifests and go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import entries
from optout.evidence.entries import ARCHIVE, AUDIT, AUDIT_REPORT, DOCUMENT, SEGMENT, SHARD, without_time
from optout.evidence.files import disk_errors
from optout.evidence.journal import GENESIS, Tip
from optout.evidence.log import BusyError, LogReader, LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout

CHECKPOINT_SECONDS = 60
"""How long entries may wait for a signature."""

HEARTBEAT_SECONDS = 3600
"""How long the log may be silent."""

_TAKEN_UP_FIRST = {DOCUMENT: 0, AUDIT: 1, SEGMENT: 2, ARCHIVE: 3, SHARD: 4, AUDIT_REPORT: 5}
_LAST = 6
_ABOUT = {AUDIT: "job", SHARD: "shard", AUDIT_REPORT: "job"}
"""Of what an entry tells the newest state, by its type."""


@dataclass(slots=True)
class Index:
    """What of a log has to be known to go on writing it.

    Attributes:
        tips: where each node's rows end.
        archives: the names of WARC files taken down.
        documents: for each kind, the digest in force.
        redactions: the redactions, purges and erasures, in order.
        countersigned: size and time of what is known to be countersigned.
        newest: the newest entry about each thing that an audit tells of, without its time.
        last: the time of the newest entry, in microseconds.
    """

    tips: dict[str, Tip] = field(default_factory=dict)
    archives: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)
    redactions: list[dict[str, Any]] = field(default_factory=list)
    countersigned: set[tuple[int, int]] = field(default_factory=set)
    newest: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    last: int = 0

    def take(self, entry: dict[str, Any]) -> None:
        """Take note of an entry."""
        self.last = max(self.last, entry.get("t", 0), entry.get("t_max", 0))
        match entry["v"]:
            case entries.SEGMENT | entries.GAP:
                end = entry["first_seq"] + entry["rows"]
                self.tips[entry["node"]] = Tip(end, bytes.fromhex(entry.get("chain", "")) or GENESIS)
            case entries.ARCHIVE:
                self.archives.add(entry["name"])
            case entries.DOCUMENT:
                self.documents[entry["kind"]] = entry["digest"]
            case entries.REDACTION | entries.PURGE | entries.ERASURE:
                self.redactions.append(entry)
            case entries.COUNTERSIGNED:
                self.countersigned.add((entry["size"], entry["t"]))
            case kind if kind in _ABOUT:
                self.newest[kind, entry[_ABOUT[kind]]] = without_time(entry)

    def has(self, entry: dict[str, Any]) -> bool:
        """Whether the log holds an entry that says the same."""
        match entry["v"]:
            case entries.SEGMENT | entries.GAP:
                known = self.tips.get(entry["node"])
                return known is not None and entry["first_seq"] < known.next_seq
            case entries.ARCHIVE:
                return entry["name"] in self.archives
            case entries.DOCUMENT:
                return bool(self.documents.get(entry["kind"]) == entry["digest"])
            case entries.COUNTERSIGNED:
                return (entry["size"], entry["t"]) in self.countersigned
            case kind if kind in _ABOUT:
                return self.newest.get((kind, entry[_ABOUT[kind]])) == without_time(entry)
        return False


def index_of(reader: LogReader) -> Index:
    """Read a log from its beginning.

    Raises:
        EvidenceError: an entry is damaged.
    """
    index = Index()
    for number, data in reader.entries():
        try:
            index.take(entries.parse(data))
        except ValueError as fault:
            raise EvidenceError("an entry of the log is damaged", place=f"entry {number}: {fault}") from fault
    return index


def pending(layout: Layout) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What waits to be taken up, in the order in which that has to happen.

    Raises:
        EvidenceError: a file is damaged.
    """
    return _entries(layout.pending)


def collected(layout: Layout) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What the log of another directory has taken up, in the same order.

    Raises:
        EvidenceError: a file is damaged.
    """
    return _entries(layout.collected)


def waiting(directory: Path) -> tuple[list[tuple[Path, dict[str, Any]]], list[tuple[Path, str]]]:
    """The entries that wait in a directory, in the order in which they are taken up, and what is wrong with others."""
    found, faults = [], []
    for path in directory.glob("*.json"):
        try:
            entry = entries.parse_waiting(path.read_bytes())
        except FileNotFoundError:
            continue
        except ValueError as fault:
            faults.append((path, str(fault)))
            continue
        found.append((_TAKEN_UP_FIRST.get(entry["v"], _LAST), entry.get("first_seq", 0), path, entry))
    return [(path, entry) for _, _, path, entry in sorted(found, key=lambda item: item[:3])], faults


def _entries(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    found, faults = waiting(directory)
    for path, fault in faults:
        raise EvidenceError(f"{path} is damaged", place=fault)
    return iter(found)


class Publisher:
    """The writing end of the log, opened when it is first needed and free."""

    def __init__(self, layout: Layout, store: KeyStore, origin: str, *, signs: bool = True) -> None:
        """Name the log; nothing is opened yet. One that does not sign leaves everything to others."""
        self._signs = signs
        self._layout, self._store, self._origin = layout, store, origin
        self._taken: set[Path] = set()
        self._signed_at = 0
        self.writer: LogWriter | None = None
        self.index = Index()

    def acquire(self) -> bool:
        """Become the writer unless another process is.

        Raises:
            EvidenceError: the log is damaged, or the disk refuses.
        """
        if not self._signs:
            return False
        if self.writer is None:
            try:
                self.writer = LogWriter(self._layout, self._store, self._origin)
            except BusyError:
                return False
            self.index = index_of(LogReader(self._layout, self.writer.head.size))
        return True

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry unless the log has it; only the writer may."""
        if self.writer is None:
            raise EvidenceError("another process writes the log", mend="leave the entry in pending/")
        if not self.index.has(entry):
            self.writer.append(entry)
            self.index.take(entry)

    def take_up(self) -> None:
        """Add what nodes have left, each node's rows without a gap."""
        for path, entry in pending(self._layout):
            known = self.index.tips.get(entry["node"]) if entry["v"] == SEGMENT else None
            if known is not None and entry["first_seq"] > known.next_seq:
                continue
            self.append(entry)
            self._taken.add(path)

    def publish(self, seconds: int, *, due_only: bool) -> bytes | None:
        """Take up what waits, and sign; None where another process writes, or nothing is new or due.

        Args:
            seconds: now, in POSIX seconds.
            due_only: wait until entries have waited for `CHECKPOINT_SECONDS`.
        """
        if not self.acquire() or self.writer is None:
            return None
        self.take_up()
        if seconds * 1_000_000 - self.index.last >= HEARTBEAT_SECONDS * 1_000_000 and self.writer.head.size:
            self.append(entries.heartbeat(seconds * 1_000_000))
        waiting = self.writer.unsigned and seconds - self._signed_at >= CHECKPOINT_SECONDS
        if not waiting and (due_only or not self.writer.unsigned):
            return None
        return self.sign(seconds)

    def sign(self, seconds: int) -> bytes:
        """Sign what has been added, and clear away what was taken up."""
        if self.writer is None:
            raise EvidenceError("another process writes the log")
        signed = self.writer.checkpoint(seconds)
        self._signed_at = seconds
        with disk_errors(self._layout.pending):
            for path in self._taken:
                path.unlink(missing_ok=True)
        self._taken = set()
        return signed

    def close(self) -> None:
        """Let another process write."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None
