"""The writing end of a crawl's or an audit's evidence: the file to read first.

`EvidenceLog` is for decisions that are made one by one: exchanges go to the archive, rows to the journal, and from
time to time `tick` seals the journal into segments and signs the log. `TableLog` is for decisions that come as
tables of many rows and can be made again: it seals them directly.

Neither reads a clock. Time is an argument, aware and named `now`.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from optout.errors import EvidenceError
from optout.evidence import entries, layout, sealing
from optout.evidence.files import disk_errors, take_lock, write_durably
from optout.evidence.journal import OWN_NAME, ROWS_PER_FILE, Journal, Tip, journal_files
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Description, Layout
from optout.evidence.log import LogReader
from optout.evidence.publisher import Index, Publisher, collected, index_of, pending
from optout.evidence.redaction import finish
from optout.evidence.rows import completed, microseconds
from optout.evidence.segment import ROWS
from optout.evidence.warc import SignalArchive, describe, sealed_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from optout.evidence.canonical import JSON
    from optout.model import Exchange

SEAL_SECONDS = 60
"""How long rows may wait in the journal before they are sealed."""

ARCHIVE = "../signals"
"""Where a crawl keeps its signals, relative to its evidence."""


class EvidenceLog:
    """One process's writing end. Its methods may be called from several threads."""

    def __init__(
        self,
        directory: Path,
        *,
        node: str,
        now: datetime,
        archive: Path | None = None,
        origin: str | None = None,
        rows_per_segment: int = ROWS_PER_FILE,
        signs: bool = True,
    ) -> None:
        """Open or begin the evidence of a crawl, finishing what an earlier process left undone.

        Args:
            directory: the evidence directory; created when missing.
            node: the name of this writer; each process of a crawl has its own.
            now: the time.
            archive: where signals are archived; beside the evidence by default.
            origin: the name of a new log, such as `evidence.example.org/crawl-decisions/2026`. It cannot change.
            rows_per_segment: seal when so many rows have come together.
            signs: whether this process may write the log. A node on another machine does not; see `collect`.

        Raises:
            EvidenceError: another process uses the node's name, the disk refuses, or the evidence is damaged.
        """
        self.layout = Layout(directory)
        description = described(self.layout, origin, archive, now)
        self.node, self.origin = node, description.origin
        self.store = KeyStore(self.layout.private)
        self._publisher = Publisher(self.layout, self.store, self.origin, signs=signs)
        self._archiving, self._publishing = threading.RLock(), threading.RLock()
        self._waiting_since = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evidence")
        self._ticking: Future[None] | None = None
        with ExitStack() as undo:
            undo.callback(self._publisher.close)
            if self._publisher.acquire():
                finish(self.layout, self.store, self._publisher.index.redactions)
            self._index = _known(self.layout)
            start = _sealed_up_to(self.layout, node, self._index)
            self.journal = Journal(directory, node=node, rows_per_file=rows_per_segment, start=start)
            undo.callback(self.journal.close)
            self.archive = SignalArchive(directory / description.archive, prefix=node)
            undo.pop_all()

    def write(self, exchange: Exchange) -> str:
        """Archive an exchange and give the identifier of its record. It is durable after the next `commit`.

        Raises:
            EvidenceError: as `SignalArchive.write` does.
        """
        with self._archiving:
            return self.archive.write(exchange)

    def write_set(self, exchanges: Sequence[Exchange]) -> str:
        """Archive the exchanges that decisions rest on, and give the digest that their rows name.

        Raises:
            EvidenceError: as `SignalArchive.write` does.
        """
        with self._archiving:
            return self.archive.write_set(exchanges)

    def add(self, row: Mapping[str, JSON]) -> int:
        """Log a row and give its sequence number. It is durable after the next `commit`.

        Raises:
            EvidenceError: it has no canonical form, or an earlier commit failed.
        """
        return self.journal.add({"host": "", **completed(row)})

    def add_checked(self, row: Mapping[str, Any]) -> int:
        """As `add`, for a row that has its host and is known to be in the canonical profile.

        Raises:
            EvidenceError: an earlier commit failed.
        """
        return self.journal.add_checked(row)

    def add_lines(self, lines: Iterable[Callable[[int], bytes]]) -> int:
        """As `add`, for rows that give their own canonical bytes, host and node and all, for their sequence numbers.

        Raises:
            EvidenceError: an earlier commit failed.
        """
        return self.journal.add_lines(lines)

    def commit(self) -> int:
        """Make everything durable, exchanges before the rows that name them; give the last sequence number.

        Raises:
            EvidenceError: the disk refuses, or sealing has failed; nothing may go on unlogged.
        """
        self.check()
        with self._before_rows():
            self.archive.commit()
        return self.journal.commit()

    def document(self, kind: str, parts: Sequence[bytes], now: datetime, digest: str | None = None) -> str:
        """Log a file that is in force from now on, unless it is already; give its digest.

        Args:
            kind: `policy`, `registry` or `identity`.
            parts: the file, or several that count as one.
            now: the time.
            digest: what rows call it; by default the SHA-256 of the file, or of the SHA-256 digests of several.

        Raises:
            EvidenceError: the disk refuses.
        """
        names = [sha256(part).hexdigest() for part in parts]
        digest = digest or (names[0] if len(names) == 1 else sha256(bytes.fromhex("".join(names))).hexdigest())
        with self._publishing:
            if self._index.documents.get(kind) != digest:
                for name, part in zip(names, parts, strict=True):
                    write_durably(self.layout.documents / name, part)
                entry = entries.document(kind, digest, names, microseconds(now))
                sealing.put_pending(self.layout, f"document-{kind}-{digest[:16]}", entry)
            self._index.documents[kind] = digest
        return digest

    def tick(self, now: datetime) -> None:
        """Do what is due: seal when there are enough rows or they have waited enough, and sign.

        Raises:
            EvidenceError: the disk refuses, or the log does not continue what was signed.
        """
        waited = (now - self._waiting_since).total_seconds()
        if self.journal.ended_files() or (self.journal.open_rows and waited >= SEAL_SECONDS):
            self.seal(now)
        with self._publishing:
            self._put_archives(now)
            self._publisher.publish(int(now.timestamp()), due_only=True)

    def tick_soon(self, now: datetime) -> None:
        """As `tick`, in a thread of its own, because sealing a minute's rows takes longer than a page may wait.

        Raises:
            EvidenceError: what the tick before this one raised.
        """
        self.check()
        if self._ticking is not None and not self._ticking.done():
            return
        self._ticking = self._thread.submit(self.tick, now)

    def check(self) -> None:
        """Make sure that sealing and signing beside the crawl have not failed; nothing may go on unlogged.

        Raises:
            EvidenceError: what the last tick raised, or that it failed otherwise.
        """
        fault = self._ticking.exception() if self._ticking is not None and self._ticking.done() else None
        if isinstance(fault, EvidenceError):
            raise fault
        if fault is not None:
            raise EvidenceError(f"sealing failed: {fault!r}", mend="run `optout evidence verify`") from fault

    def seal(self, now: datetime) -> None:
        """Seal every durable row.

        Raises:
            EvidenceError: the disk refuses.
        """
        with self._publishing:
            self._waiting_since = now
            self.journal.roll()
            for path in self.journal.ended_files():
                sealing.seal_file(self.layout, self.store, self.node, path)

    def checkpoint(self, now: datetime) -> bytes | None:
        """Seal and sign everything; give the signed checkpoint, or None where another process writes the log.

        Raises:
            EvidenceError: the disk refuses, or the log does not continue what was signed.
        """
        with self._publishing:
            self.commit()
            self.seal(now)
            self._put_archives(now)
            return self._publisher.publish(int(now.timestamp()), due_only=False)

    def close(self, now: datetime) -> None:
        """Seal and sign everything, and let other processes go on.

        Raises:
            EvidenceError: the disk refuses, or the log does not continue what was signed.
        """
        self._thread.shutdown()
        with self._publishing:
            try:
                if self._ticking is not None:
                    self._ticking.result()
                with self._before_rows():
                    self.archive.seal()
                self.checkpoint(now)
            finally:
                self.release()

    def release(self) -> None:
        """Let go of the files without signing; what is durable is sealed by whoever opens the log next."""
        self._thread.shutdown()
        with ExitStack() as everything:
            everything.callback(self._publisher.close)
            everything.callback(self.journal.close)
            everything.enter_context(self._before_rows())
            everything.callback(self.archive.close)

    @contextmanager
    def _before_rows(self) -> Iterator[None]:
        """Do something to the archive that rows may rest on; if it fails, those that wait are never written."""
        try:
            with self._archiving:
                yield
        except BaseException as fault:
            self.journal.give_up(str(fault))
            raise

    def _put_archives(self, now: datetime) -> None:
        for path in sealed_files(self.archive.directory):
            if path.name not in self._index.archives and path.name.startswith(f"{self.archive.prefix}-"):
                entry = entries.archive(describe(path), microseconds(now))
                sealing.put_pending(self.layout, f"archive-{path.name}", entry)
                self._index.archives.add(path.name)


class TableLog:
    """The writing end for decisions that come as tables. What is written can be made again, so there is no journal."""

    def __init__(
        self, directory: Path, *, node: str, now: datetime, archive: Path | None = None, origin: str | None = None
    ) -> None:
        """Open or begin the evidence of an audit.

        Args:
            directory: the evidence directory; created when missing.
            node: the name of this writer; each worker has its own.
            now: the time.
            archive: where the signals are archived on which the decisions rest; beside the evidence by default.
            origin: the name of a new log.

        Raises:
            EvidenceError: another process uses the node's name, the disk refuses, or the evidence is damaged.
        """
        self.layout = Layout(directory)
        description = described(self.layout, origin, archive, now)
        self.node, self.store = node, KeyStore(self.layout.private)
        self._lock = take_lock(directory / f"{node}.lock", f"the node {node} is in use", OWN_NAME)
        self._publisher = Publisher(self.layout, self.store, description.origin)
        with ExitStack() as undo:
            undo.callback(self._lock.close)
            undo.callback(self._publisher.close)
            if self._publisher.acquire():
                finish(self.layout, self.store, self._publisher.index.redactions)
            self.next_seq = _sealed_up_to(self.layout, node, _known(self.layout)).next_seq
            undo.pop_all()

    def append(self, table: pa.Table) -> int:
        """Seal the rows of a table and give the first one's sequence number.

        Args:
            table: columns as in `optout.evidence.segment.SCHEMA`; `seq` and `node` are filled in.

        Raises:
            EvidenceError: the rows cannot become segments, or the disk refuses.
        """
        first = self.next_seq
        for start in range(0, table.num_rows, ROWS):
            part = table.slice(start, ROWS)
            seqs = pa.array(range(self.next_seq, self.next_seq + part.num_rows), pa.int64())
            nodes = pa.array([self.node] * part.num_rows, pa.string()).dictionary_encode()
            part = _with(_with(part, "seq", seqs), "node", nodes)
            sealing.seal_table(self.layout, self.store, self.node, part)
            self.next_seq += part.num_rows
        return first

    def tick(self, now: datetime) -> None:
        """Sign when it is due and no other process does.

        Raises:
            EvidenceError: the disk refuses, or the log does not continue what was signed.
        """
        self._publisher.publish(int(now.timestamp()), due_only=True)

    def close(self, now: datetime) -> None:
        """Sign everything, and let other processes go on.

        Raises:
            EvidenceError: the disk refuses, or the log does not continue what was signed.
        """
        try:
            self._publisher.publish(int(now.timestamp()), due_only=False)
        finally:
            self._publisher.close()
            self._lock.close()


def described(place: Layout, origin: str | None, archive: Path | None, now: datetime) -> Description:
    """What an evidence directory is, written down when it is new.

    Raises:
        EvidenceError: it is another log than the one named.
    """
    known = layout.read_description(place)
    if known is not None:
        if origin is not None and origin != known.origin:
            raise EvidenceError(f"{place.directory} is the log {known.origin}", mend=f"it cannot become {origin}")
        return known
    name = origin or f"evidence.invalid/crawl-decisions/{now.year}/{secrets.token_hex(6)}"
    if not re.fullmatch(r"[!-*,-~]{1,200}", name):
        raise EvidenceError(f"{name!r} cannot name a log", mend="use a URL without scheme: no spaces, no plus")
    found = Description(name, ARCHIVE if archive is None else _relative(archive, place.directory))
    return layout.write_description(place, found)


def _relative(archive: Path, directory: Path) -> str:
    return os.path.relpath(archive.resolve(), directory.resolve())


def _known(place: Layout) -> Index:
    """What the log holds, and what nodes have left for it."""
    head = KeyStore(place.private).signed()
    found = Index() if head is None else index_of(LogReader(place, head.size))
    for _, entry in [*collected(place), *pending(place)]:
        if not found.has(entry):
            found.take(entry)
    return found


def _sealed_up_to(place: Layout, node: str, known: Index) -> Tip:
    """Where the sealed rows of a node end, after removing journal files that were sealed before a crash."""
    tip = known.tips.get(node, Tip(0, bytes(32)))
    with disk_errors(place.directory):
        for path in journal_files(place.directory, node):
            if int(path.name[-25:-10]) < tip.next_seq:
                path.unlink(missing_ok=True)
    return tip


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
