"""The journal: where a row is durable first.

A journal is a run of files `<node>-<first sequence number>.jsonl.zst`. Each file is a sequence of frames. A
frame is one group commit: a zstd *skippable* frame that holds a seal, then a zstd frame of JSON lines, so
`zstdcat` prints the rows and nothing else. The seal has a fixed layout (big-endian): the magic `optoutJ1`, the
sequence number of the first row (8 bytes), the number of rows (4), the length of the zstd frame (4), the
chain value before (32) and the chain value after (32):

    chain = SHA-256(chain before || first || rows || zstd frame)

The chain runs on from file to file. `<node>.head` holds the newest sequence number and chain value; it is
written after each fsync, so it is never ahead of the journal, and a journal that ends before it was cut.

A process that dies leaves at most one incomplete frame, at the very end. Opening the journal again moves those
bytes aside into a `.torn` file and goes on. Damage anywhere else is refused: that is for a person to look at.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import threading
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson
import zstandard

from optout.errors import EvidenceError
from optout.evidence.canonical import JSON, decode, encode, encode_checked
from optout.evidence.files import disk_errors, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

GENESIS = bytes(32)
"""The chain value before the first row of a node."""

ROWS_PER_FILE = 65_536
"""A file holds at most this many rows, because a file becomes one segment."""

_SKIPPABLE = struct.Struct("<II")
_SEAL = struct.Struct(">8sQII32s32s")
_COVERED = struct.Struct(">QI")
_SKIPPABLE_MAGIC = 0x184D2A50
_SEAL_MAGIC = b"optoutJ1"
_FRONT = _SKIPPABLE.size + _SEAL.size
_LARGEST_FRAME = 1 << 27
_LARGEST_TEXT = 1 << 28
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class JournalError(EvidenceError):
    """The journal cannot be written, or holds something that no crash explains."""


class Place(NamedTuple):
    """Where a row stands: the file's name, the frame in it and the row in that, both counted from 0."""

    file: str
    frame: int
    row: int


class Tip(NamedTuple):
    """The end of a chain: the sequence number that comes next, and the chain value."""

    next_seq: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One group commit as it stands in a file, checked against its seal."""

    file: str
    index: int
    offset: int
    first: int
    before: Tip
    after: Tip
    lines: tuple[bytes, ...]
    end: int


class Damage(NamedTuple):
    """Why a file cannot be read on: the offset, what is wrong, and whether a crash while writing explains it."""

    offset: int
    frame: int
    what: str
    torn: bool


class Journal:
    """The appending end of one node's journal. Threads may share it; processes may not.

    `add` costs microseconds and remembers the row in memory. `commit` writes one frame and returns when it is
    on the disk. After an error in `commit` the journal takes no more rows: what the disk holds is uncertain, and
    the caller must stop rather than go on unlogged.
    """

    def __init__(
        self, directory: Path, *, node: str, rows_per_file: int = ROWS_PER_FILE, start: Tip | None = None
    ) -> None:
        """Open or create the journal of a node, moving an incomplete last frame aside.

        Args:
            directory: where its files are; created when missing.
            node: the name of the writer: letters, digits, `.`, `_` and `-`.
            rows_per_file: when to begin a new file.
            start: where the chain goes on when no file is left, because all of them have been sealed.

        Raises:
            EvidenceError: another process has it open, the disk refuses, or a file is damaged.
        """
        if not _NODE.match(node):
            raise JournalError(f"{node!r} cannot name a node", mend="use letters, digits, '.', '_' and '-'")
        self.directory, self.node, self._rows_per_file = directory, node, rows_per_file
        self._buffer: list[bytes] = []
        self._adding, self._writing = threading.Lock(), threading.Lock()
        self._failure: str | None = None
        self._file: BinaryIO | None = None
        self._head: FileIO | None = None
        self._file_rows = 0
        self._compressor = zstandard.ZstdCompressor(level=3, write_checksum=True, write_content_size=True)
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(directory / f"{node}.lock", node)
        try:
            self._tip = self._recover(start or Tip(0, GENESIS))
        except BaseException:
            self._lock.close()
            raise
        self._next = self._tip.next_seq
        if self._tip.next_seq and read_head(directory, node) != self._tip:
            # A kill between a frame and its head, or a power cut, has left the head behind.
            with disk_errors(directory):
                self._write_head()

    @property
    def tip(self) -> Tip:
        """The end of what is durable."""
        return self._tip

    @property
    def pending(self) -> int:
        """How many rows have been added and are not durable yet."""
        return self._next - self._tip.next_seq

    @property
    def open_rows(self) -> int:
        """How many durable rows the newest file holds."""
        return self._file_rows

    def add(self, row: Mapping[str, JSON]) -> int:
        """Remember a row for the next commit and give its sequence number; `node` and `seq` are filled in.

        Raises:
            EvidenceError: the row has no canonical form, or an earlier commit failed.
        """
        return self.add_lines([lambda seq: encode({**row, "node": self.node, "seq": seq})])

    def add_checked(self, row: Mapping[str, Any]) -> int:
        """As `add`, for a row that is known to be in the canonical profile; a crawl adds thousands that differ little.

        Raises:
            EvidenceError: an earlier commit failed.
        """
        return self.add_lines([lambda seq: encode_checked({**row, "node": self.node, "seq": seq})])

    def add_lines(self, lines: Iterable[Callable[[int], bytes]]) -> int:
        """As `add`, for rows that give their own canonical bytes, `node` and all, for their sequence numbers.

        Gives the sequence number that the last of them got, or of the last row before where there are none.

        Raises:
            EvidenceError: an earlier commit failed.
        """
        with self._adding:
            self._refuse_after_failure()
            for line in lines:
                self._buffer.append(line(self._next))
                self._next += 1
            return self._next - 1

    def commit(self) -> int:
        """Make every added row durable and give the last sequence number (-1 for an empty journal).

        Raises:
            EvidenceError: the disk is full, read-only or broken; no further row is taken.
        """
        with self._writing:
            with self._adding:
                self._refuse_after_failure()
                lines, self._buffer = self._buffer, []
            try:
                with disk_errors(self.directory):
                    self._write(lines)
            except BaseException as fault:
                self._failure = str(fault)
                raise
            return self._tip.next_seq - 1

    def append(self, rows: Sequence[Mapping[str, JSON]]) -> int:
        """Add rows and make them durable; give the last sequence number."""
        for row in rows:
            self.add(row)
        return self.commit()

    def roll(self) -> None:
        """End the newest file after committing, so that it can be sealed; the next row begins another."""
        self.commit()
        with self._writing:
            self._end_file()

    def files(self) -> tuple[Path, ...]:
        """The node's journal files, oldest first."""
        return journal_files(self.directory, self.node)

    def ended_files(self) -> tuple[Path, ...]:
        """The files that get no more rows."""
        return self.files()[:-1] if self._file else self.files()

    def give_up(self, why: str) -> None:
        """Drop the rows that wait for a commit, and take no more: what they rest on could not be written."""
        with self._adding:
            self._failure, self._buffer, self._next = why, [], self._tip.next_seq

    def close(self) -> None:
        """Commit, and let another process open the journal."""
        try:
            if self._failure is None:
                self.commit()
        finally:
            self._end_file()
            if self._head:
                self._head.close()
            self._lock.close()

    def __enter__(self) -> Self:
        """Give the journal itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise JournalError(
                f"the journal of {self.node} stopped after an error: {self._failure}",
                mend="free or repair the disk, then start again",
            )

    def _write(self, lines: list[bytes]) -> None:
        while lines:
            room = self._rows_per_file - self._file_rows
            if room <= 0:
                self._end_file()
                room = self._rows_per_file
            count = _fitting(lines[:room])
            self._write_frame(lines[:count])
            lines = lines[count:]

    def _write_frame(self, lines: list[bytes]) -> None:
        file = self._file or self._begin_file()
        body = self._compressor.compress(b"\n".join(lines) + b"\n")
        after = _chain(self._tip, len(lines), body)
        file.write(_front(self._tip, len(lines), len(body), after.chain) + body)
        file.flush()
        os.fsync(file.fileno())
        self._tip = after
        self._file_rows += len(lines)
        self._write_head()

    def _begin_file(self) -> BinaryIO:
        path = self.directory / file_name(self.node, self._tip.next_seq)
        self._file = path.open("xb")
        self._file_rows = 0
        sync_directory(self.directory)
        return self._file

    def _end_file(self) -> None:
        if self._file:
            self._file.close()
        self._file, self._file_rows = None, 0

    def _write_head(self) -> None:
        # The file is kept open and written over, because opening it took a third of a commit; it never gets shorter.
        if self._head is None:
            path = self.directory / f"{self.node}.head"
            self._head = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        os.pwrite(self._head.fileno(), head_bytes(self._tip), 0)

    def _recover(self, start: Tip) -> Tip:
        """Read the chain to its end, cut an incomplete last frame, and make ready to append after it."""
        files, tip, rows = self.files(), start, 0
        torn: Damage | None = None
        for path in files:
            frames, torn = scan(path, tip if rows else None)
            if torn and not (torn.torn and path == files[-1]):
                raise JournalError(
                    f"{path} is damaged",
                    place=f"frame {torn.frame}, byte {torn.offset}: {torn.what}",
                    mend="run `optout evidence verify`; restore the file from a copy",
                )
            if frames:
                tip, rows = frames[-1].after, frames[-1].after.next_seq - frames[0].first
        self._refuse_if_cut(tip)
        if torn:
            set_aside(files[-1], torn.offset)
            files = files if torn.offset else files[:-1]
        if files and rows < self._rows_per_file:
            with disk_errors(self.directory):
                self._file, self._file_rows = files[-1].open("ab"), rows
        return tip

    def _refuse_if_cut(self, tip: Tip) -> None:
        head = read_head(self.directory, self.node)
        if head and head.next_seq > tip.next_seq:
            raise JournalError(
                f"the journal of {self.node} ends before row {tip.next_seq}, its head says {head.next_seq}",
                mend="acknowledged rows are missing; restore the file from a copy",
            )


OWN_NAME = "give each process, and each of several crawls in one, its own node name (OPTOUT_NODE)"


def file_name(node: str, first_seq: int) -> str:
    """The name of the journal file of a node that begins with a sequence number."""
    return f"{node}-{first_seq:015d}.jsonl.zst"


def journal_files(directory: Path, node: str) -> tuple[Path, ...]:
    """The journal files of a node, oldest first; the number in the name is the first row's."""
    named = re.compile(re.escape(node) + r"-[0-9]{15}\.jsonl\.zst\Z")
    return tuple(sorted(path for path in directory.glob(f"{node}-*.jsonl.zst") if named.match(path.name)))


def read_head(directory: Path, node: str) -> Tip | None:
    """What the head file of a node says; None when there is none or it was being written.

    A head that cannot be read is not an error here: it is rewritten in place without fsync, so a power cut may
    leave it empty. `verify` reports it.
    """
    try:
        data = (directory / f"{node}.head").read_bytes()
        said = decode(data.removesuffix(b"\n"))
        tip = Tip(said["next_seq"], bytes.fromhex(said["chain"]))
        return tip if head_bytes(tip) == data else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def scan(path: Path, before: Tip | None) -> tuple[list[Frame], Damage | None]:
    """Read the frames of a file as far as they are whole.

    Args:
        path: the file.
        before: where the chain must come from; None takes the first seal's word for it.

    Returns:
        The whole frames, and why reading stopped early, if it did.
    """
    frames: list[Frame] = []
    for found in iterate(path, before):
        if isinstance(found, Damage):
            return frames, found
        frames.append(found)
    return frames, None


def iterate(path: Path, before: Tip | None) -> Iterator[Frame | Damage]:
    """Give the frames of a file one by one; the last thing given is a `Damage` where reading had to stop."""
    size = path.stat().st_size
    offset, index = 0, 0
    with path.open("rb") as file:
        while offset < size:
            found = _read_frame(path.name, file, offset, index, size, before)
            yield found
            if isinstance(found, Damage):
                return
            offset, index, before = found.end, index + 1, found.after


def rows(directory: Path, *, node: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every durable row of a node with its place, also while the node goes on writing.

    Reading ends quietly at an incomplete last frame, and a file that has been sealed meanwhile is passed over; other
    damage is raised.
    """
    before: Tip | None = None
    for path in journal_files(directory, node):
        try:
            for found in iterate(path, before):
                if isinstance(found, Damage):
                    if found.torn:
                        return
                    raise JournalError(f"{path} is damaged", place=f"frame {found.frame}: {found.what}")
                before = found.after
                for number, line in enumerate(found.lines):
                    yield Place(path.name, found.index, number), orjson.loads(line)
        except FileNotFoundError:
            before = None


def check(path: Path, before: Tip | None) -> Iterator[Frame | Damage]:
    """Read a file as `iterate` does and hold every row to its sequence number and canonical form."""
    for found in iterate(path, before):
        yield found
        if isinstance(found, Damage):
            return
        for number, line in enumerate(found.lines):
            fault = _row_fault(line, found.first + number)
            if fault:
                yield Damage(found.offset, found.index, f"row {number}: {fault}", torn=False)
                return


def head_bytes(tip: Tip) -> bytes:
    """The content of a head file."""
    return encode({"chain": tip.chain.hex(), "next_seq": tip.next_seq}) + b"\n"


def _row_fault(line: bytes, seq: int) -> str | None:
    try:
        row = decode(line)
    except ValueError as fault:
        return str(fault)
    if not isinstance(row, dict) or row.get("seq") != seq:
        return f"it should carry the sequence number {seq}"
    return None


def _fitting(lines: list[bytes]) -> int:
    """How many of these rows one frame can hold: readers refuse frames that grow beyond what a crawl ever writes."""
    if sum(map(len, lines)) + len(lines) <= _LARGEST_TEXT // 2:
        return len(lines)
    sizes = accumulate(len(line) + 1 for line in lines)
    return max(1, sum(size <= _LARGEST_TEXT // 2 for size in sizes))


def _chain(before: Tip, count: int, body: bytes) -> Tip:
    digest = sha256(before.chain + _COVERED.pack(before.next_seq, count) + body).digest()
    return Tip(before.next_seq + count, digest)


def _front(before: Tip, count: int, length: int, chain: bytes) -> bytes:
    seal = _SEAL.pack(_SEAL_MAGIC, before.next_seq, count, length, before.chain, chain)
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, _SEAL.size) + seal


def _read_frame(name: str, file: BinaryIO, offset: int, index: int, size: int, before: Tip | None) -> Frame | Damage:
    def damage(what: str, *, torn: bool = False) -> Damage:
        return Damage(offset, index, what, torn)

    front = file.read(_FRONT)
    if len(front) < _FRONT:
        return damage("the file ends inside a seal", torn=True)
    magic, first, count, length, chain_before, chain_after = _SEAL.unpack(front[_SKIPPABLE.size :])
    if front[: _SKIPPABLE.size] != _SKIPPABLE.pack(_SKIPPABLE_MAGIC, _SEAL.size) or magic != _SEAL_MAGIC:
        return damage("no seal stands here", torn=not front.strip(b"\0"))
    if length > _LARGEST_FRAME or offset + _FRONT + length > size:
        return damage("the file ends inside a frame", torn=length <= _LARGEST_FRAME)
    body, claimed = file.read(length), Tip(first, chain_before)
    after = _chain(claimed, count, body)
    if after.chain != chain_after:
        zeroed = offset + _FRONT + length == size and not body.strip(b"\0")
        return damage("the bytes do not hash to the chain value of their seal", torn=zeroed)
    if before is not None and claimed != before:
        return damage(f"the chain breaks: row {before.next_seq} should come next, the seal begins at {first}")
    lines = _lines(body)
    if lines is None or len(lines) != count:
        return damage("the frame does not hold the rows that its seal counts")
    return Frame(name, index, offset, first, claimed, after, lines, offset + _FRONT + length)


def _lines(body: bytes) -> tuple[bytes, ...] | None:
    try:
        text = zstandard.ZstdDecompressor().decompress(body, max_output_size=_LARGEST_TEXT, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
    return tuple(text[:-1].split(b"\n")) if text.endswith(b"\n") else None


def set_aside(path: Path, offset: int) -> None:
    """Keep the bytes of an incomplete frame for whoever wants to look, and cut them off."""
    with disk_errors(path):
        with path.open("r+b") as file:
            file.seek(offset)
            path.with_suffix(f".{offset}.torn").write_bytes(file.read())
            file.truncate(offset)
            os.fsync(file.fileno())
        if not offset:
            path.unlink()


def _lock(path: Path, node: str) -> BinaryIO:
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        file.seek(0)
        holder = file.read().decode("ascii", "replace").strip() or "another process"
        file.close()
        raise JournalError(
            f"the journal of node {node} is in use",
            place=f"by process {holder}",
            mend=OWN_NAME,
        ) from fault
    file.truncate(0)
    file.write(b"%d\n" % os.getpid())
    file.flush()
    return file
