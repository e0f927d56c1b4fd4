"""Writing to disk so that it stays written, and errors that say what to do when it does not."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from optout.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an operating system error into one that says what to do.

    Raises:
        EvidenceError: the disk is full, read-only or broken, or the place is not writable.
    """
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        mend = "free or repair the disk; nothing may go on unlogged"
        raise EvidenceError(f"cannot write evidence to {path}", place=reason, mend=mend) from fault


@contextmanager
def locked(path: Path, busy: str, mend: str) -> Iterator[None]:
    """Hold a lock file while something is done.

    Raises:
        EvidenceError: another process holds it, in the words given, or the disk refuses.
    """
    with take_lock(path, busy, mend):
        yield


def take_lock(path: Path, busy: str, mend: str) -> BinaryIO:
    """Take a lock until the file that comes back is closed. A process that dies lets go of it.

    Raises:
        EvidenceError: another process holds it, in the words given, or the disk refuses.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        file.close()
        raise EvidenceError(busy, mend=mend) from fault
    return file


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all: a temporary file, fsync, rename, fsync of the directory.

    Raises:
        EvidenceError: the disk refuses.
    """
    with disk_errors(path):
        _temporary(path, data, mode).replace(path)
        sync_directory(path.parent)


def create_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole unless there is one already; whoever comes second leaves it alone.

    Raises:
        EvidenceError: the disk refuses.
    """
    with disk_errors(path):
        temporary = _temporary(path, data, mode)
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()
        sync_directory(path.parent)


def _temporary(path: Path, data: bytes, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def file_hash(path: Path, start: int = 0, length: int | None = None) -> str:
    """The SHA-256 of a file, or of a stretch of it, in hexadecimal.

    Args:
        path: of the file.
        start: where to begin, in bytes.
        length: how many bytes at most; None for all that follow.

    Raises:
        OSError: it cannot be read.
    """
    digest, block = sha256(), memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = sys.maxsize if length is None else length
        while left > 0 and (count := file.readinto(block[: min(_BLOCK, left)])):
            digest.update(block[:count])
            left -= count
    return digest.hexdigest()


_BLOCK = 1 << 18
