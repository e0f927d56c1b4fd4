"""The log itself: entries in C2SP tiles, and a signer that cannot be brought to contradict itself.

Before it signs, the signer writes the tiles, reads them back from the disk, proves from them that the new tree
begins with the largest tree it ever signed, checks that proof, and writes down what it is about to sign. A crash
before that leaves unsigned tiles, which the next run overwrites; a crash after it leaves a tree that the next run
must and can continue.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from functools import lru_cache
from typing import TYPE_CHECKING, Self, TypeVar

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import tlog, trust
from optout.evidence.canonical import encode
from optout.evidence.checkpoint import Checkpoint
from optout.evidence.entries import parse
from optout.evidence.files import PRIVATE_DIRECTORY, disk_errors, write_durably
from optout.evidence.keystore import KeyStore, LogKey, TreeHead
from optout.evidence.note import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from optout.evidence.canonical import JSON
    from optout.evidence.layout import Layout
    from optout.evidence.tlog import Nodes


_TILE = re.compile(r"tile/(?P<level>entries|[0-9]+)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[0-9]+))?")

_Answer = TypeVar("_Answer")


class BusyError(EvidenceError):
    """Another process writes the log."""


class LogReader:
    """Entries and proofs of a log of a known size, from its tiles."""

    def __init__(self, layout: Layout, size: int) -> None:
        """Read a log of this size; the directory may hold a larger one."""
        self._layout = layout
        self.size = size
        self._tile = lru_cache(maxsize=64)(self._read_tile)
        self.nodes: Nodes = tlog.tile_nodes(self._tile)

    def root(self) -> bytes:
        """The root hash.

        Raises:
            EvidenceError: a tile is missing or too short.
        """
        return self.root_of(self.size)

    def root_of(self, size: int) -> bytes:
        """The root hash that the log had at a size.

        Raises:
            EvidenceError: a tile is missing or too short.
        """
        return self._guarded(lambda: tlog.root(size, self.nodes))

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The proof that an entry is in the log.

        Raises:
            EvidenceError: there is no such entry, or a tile is missing or too short.
        """
        return self._guarded(lambda: tlog.inclusion_proof(index, self.size, self.nodes))

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """The proof that the log only grew since it had a size.

        Raises:
            EvidenceError: it never had that size, or a tile is missing or too short.
        """
        return self._guarded(lambda: tlog.consistency_proof(old, self.size, self.nodes))

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Every entry with its index.

        Raises:
            EvidenceError: a bundle is missing or damaged.
        """
        for index in range(-(-self.size // tlog.TILE_WIDTH)):
            for offset, entry in enumerate(self.bundle(index)):
                yield index * tlog.TILE_WIDTH + offset, entry

    def bundle(self, index: int) -> tuple[bytes, ...]:
        """The entries of one bundle.

        Raises:
            EvidenceError: it is missing or damaged.
        """
        width = min(tlog.TILE_WIDTH, self.size - index * tlog.TILE_WIDTH)
        path, data = self._read(tlog.bundle_path(index, width), tlog.bundle_path(index))
        try:
            entries = tlog.bundle_entries(data)
        except ValueError as fault:
            raise EvidenceError(f"{path} is damaged", place=str(fault)) from fault
        if len(entries) < width:
            raise EvidenceError(f"{path} is damaged", place=f"{len(entries)} of {width} entries")
        return entries[:width]

    def _read_tile(self, level: int, index: int) -> bytes:
        count = self.size >> (tlog.TILE_HEIGHT * level)
        width = max(0, min(tlog.TILE_WIDTH, count - index * tlog.TILE_WIDTH))
        _, data = self._read(tlog.tile_path(level, index, width), tlog.tile_path(level, index))
        return data[: width * tlog.HASH_SIZE]

    def _read(self, *names: str) -> tuple[str, bytes]:
        """The first of these files that exists: the partial tile, or the full one that took its place."""
        for name in names:
            try:
                return name, (self._layout.directory / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
        raise EvidenceError(f"{self._layout.directory / names[0]} is missing")

    def _guarded(self, compute: Callable[[], _Answer]) -> _Answer:
        try:
            return compute()
        except IndexError as fault:
            raise EvidenceError(f"the tiles in {self._layout.directory} are damaged", place=str(fault)) from fault


class LogWriter:
    """The one writer of a log. Entries are remembered in memory until `checkpoint` makes them durable and signs."""

    def __init__(self, layout: Layout, store: KeyStore, origin: str) -> None:
        """Open the log for writing, or begin it.

        Raises:
            EvidenceError: another process writes it, the disk refuses, or what is there is not what was signed.
        """
        self._layout, self._store, self._origin = layout, store, origin
        store.make_directory()
        self._lock = _lock(store)
        try:
            if not store.exists:
                self._begin()
            self.keys = store.log_keys()
            self._publish_keys()
            self.head = self._recovered()
        except BaseException:
            self._lock.close()
            raise
        self._pending: list[bytes] = []
        self._fresh: dict[tuple[int, int], bytes] = {}
        self._stored = LogReader(layout, self.head.size).nodes

    @property
    def size(self) -> int:
        """How many entries there are, signed or not."""
        return self.head.size + len(self._pending)

    @property
    def unsigned(self) -> bool:
        """Whether there is something for the next checkpoint: new entries, or a signature that a crash cut short."""
        return bool(self._pending) or self._behind

    def entries(self) -> Iterator[bytes]:
        """Every entry, signed or not.

        Raises:
            EvidenceError: a bundle is missing or damaged.
        """
        yield from (data for _, data in LogReader(self._layout, self.head.size).entries())
        yield from self._pending

    def append(self, entry: Mapping[str, JSON]) -> int:
        """Add an entry and give its index. It is durable after the next checkpoint.

        Raises:
            EvidenceError: it is not an entry, or longer than an entry may be.
        """
        data = encode(entry)
        try:
            parse(data)
            tlog.bundle_bytes([data])
        except ValueError as fault:
            raise EvidenceError("this is not an entry of the log", place=str(fault)) from fault
        index = self.size
        self._pending.append(data)
        self._add_leaf(index, tlog.leaf_hash(data))
        return index

    def checkpoint(self, seconds: int) -> bytes:
        """Make every entry durable and sign the tree.

        Args:
            seconds: the time to state, in POSIX seconds.

        Returns:
            The signed checkpoint.

        Raises:
            EvidenceError: the disk refuses, or what it holds does not continue what was signed before.
        """
        self._retire_keys(seconds)
        with disk_errors(self._layout.directory):
            self._write_tiles()
        head = self._reread()
        self._store.remember(head)
        signed = self._sign(head, seconds)
        write_durably(self._layout.checkpoint, signed)
        self._remove_partial(self.head.size, head.size)
        self.head, self._pending, self._fresh, self._behind = head, [], {}, False
        self._stored = LogReader(self._layout, head.size).nodes
        return signed

    def replace_keys(self, keys: tuple[LogKey, ...]) -> None:
        """Sign with other keys from the next checkpoint on."""
        self._store.keep_keys(keys)
        self.keys = keys
        self._publish_keys()

    def close(self) -> None:
        """Let another process write. Entries since the last checkpoint are dropped."""
        self._lock.close()

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _begin(self) -> None:
        if self._layout.checkpoint.exists() or (self._layout.directory / "tile").exists():
            mend = "restore the private directory from a copy"
            raise EvidenceError(f"{self._layout.directory} holds a log and its keys are gone", mend=mend)
        self._store.remember(TreeHead(0, tlog.EMPTY_ROOT))
        self._store.create(self._origin)

    def _retire_keys(self, seconds: int) -> None:
        kept = tuple(key for key in self.keys if key.signs_at(seconds))
        if kept != self.keys:
            self.replace_keys(kept)

    def _publish_keys(self) -> None:
        path = self._layout.policy
        before = path.read_bytes() if path.exists() else b""
        after = trust.with_logs(before, [key.signer.verifier for key in self.keys])
        if after != before:
            write_durably(path, after)

    def _recovered(self) -> TreeHead:
        """The largest tree that was signed, held against the checkpoint and the tiles that are there."""
        published = self._published()
        heads = [head for head in (self._store.signed(), published) if head is not None]
        if not heads:
            mend = "restore signed.json in the private directory from a copy"
            raise EvidenceError(f"nobody knows what was signed in {self._layout.directory}", mend=mend)
        largest = max(heads)
        reader = LogReader(self._layout, largest.size)
        for head in heads:
            if reader.root_of(head.size) != head.root:
                place = f"at size {head.size}"
                raise EvidenceError(f"the log in {self._layout.directory} is not the one that was signed", place=place)
        if self._store.signed() != largest:
            self._store.remember(largest)
        self._set_aside(largest.size)
        self._behind = published != largest and largest.size > 0
        return largest

    def _set_aside(self, size: int) -> None:
        """Move tiles that were written and never signed out of the way; who signs next may write others."""
        aside = self._store.directory / "unsigned"
        for path in (self._layout.directory / "tile").rglob("*"):
            if path.is_file() and end_of(path.relative_to(self._layout.directory).as_posix()) > size:
                with disk_errors(path):
                    aside.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
                    path.rename(aside / path.relative_to(self._layout.directory).as_posix().replace("/", "_"))

    def _published(self) -> TreeHead | None:
        if not self._layout.checkpoint.exists():
            return None
        trusted = [key.signer.verifier for key in self.keys]
        found = checkpoints.open_note(self._layout.checkpoint.read_bytes(), trusted).checkpoint
        if found.origin != self._origin:
            raise EvidenceError(f"{self._layout.checkpoint} is of the log {found.origin}", mend=f"not {self._origin}")
        return TreeHead(found.size, found.root)

    def _add_leaf(self, index: int, leaf: bytes) -> None:
        level, running = 0, leaf
        self._fresh[0, index] = running
        while index % 2:
            running = tlog.node_hash(self._node(level, index - 1), running)
            level, index = level + 1, index // 2
            self._fresh[level, index] = running

    def _node(self, level: int, index: int) -> bytes:
        found = self._fresh.get((level, index))
        return self._stored(level, index) if found is None else found

    def _write_tiles(self) -> None:
        old = self.head.size
        for level, index, width in tlog.tiles(self.size, old):
            if level == 0:
                start = index * tlog.TILE_WIDTH
                kept = LogReader(self._layout, old).bundle(index) if start < old else ()
                fresh = self._pending[max(0, start - old) : start + width - old]
                self._write_file(tlog.bundle_path(index, width), tlog.bundle_bytes([*kept, *fresh]))
            self._write_file(tlog.tile_path(level, index, width), tlog.tile_bytes(level, index, width, self._node))

    def _remove_partial(self, old: int, new: int) -> None:
        """Partial tiles are superseded once the full tile is there (C2SP tlog-tiles, partial tiles)."""
        for level, index, width in tlog.tiles(new, old):
            names = [tlog.tile_path(level, index)] + ([tlog.bundle_path(index)] if level == 0 else [])
            for name in names if width == tlog.TILE_WIDTH else ():
                shutil.rmtree(self._layout.directory / f"{name}.p", ignore_errors=True)

    def _write_file(self, name: str, data: bytes) -> None:
        write_durably(self._layout.directory / name, data)

    def _reread(self) -> TreeHead:
        """The new tree as the disk gives it back, once it is proved to continue the old one."""
        reader = LogReader(self._layout, self.size)
        head = TreeHead(self.size, reader.root())
        proof = reader.consistency(self.head.size)
        if self._store.signed() != self.head or not tlog.check_consistency(*self.head, *head, proof):
            place = f"from size {self.head.size} to {head.size}"
            raise EvidenceError("the new tree does not continue what was signed; nothing is signed", place=place)
        return head

    def _sign(self, head: TreeHead, seconds: int) -> bytes:
        found = Checkpoint(self._origin, head.size, head.root)
        lines = [checkpoints.sign(found, key.signer, seconds) for key in self.keys]
        return Note(found.text).signed(*lines).bytes


def end_of(name: str) -> int:
    """How many entries a log has at least that has this tile or bundle; 0 for a file that is neither."""
    found = _TILE.fullmatch(name)
    if found is None:
        return 0
    level = 0 if found["level"] == "entries" else int(found["level"])
    index = int(found["index"].replace("x", "").replace("/", ""))
    return (index * tlog.TILE_WIDTH + int(found["width"] or tlog.TILE_WIDTH)) << (level * tlog.TILE_HEIGHT)


def _lock(store: KeyStore) -> BinaryIO:
    path = store.directory / "writer.lock"
    with disk_errors(path):
        file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        file.close()
        raise BusyError(f"another process writes the log of {store.directory.parent}", mend="wait for it") from fault
    return file
