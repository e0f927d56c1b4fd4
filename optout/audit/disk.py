"""Writing shards: each file whole or not at all, and errors that tell a bad input from a bad output."""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import zstandard

from optout.errors import OptoutError, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_Item = TypeVar("_Item")

_BLOCK = 1 << 20
_STRANGERS_BYTES = (
    OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, RuntimeError, MemoryError, zlib.error,
    zstandard.ZstdError, pa.ArrowException,
)  # fmt: skip
"""What libraries raise over bytes that they cannot read; a list, so that mistakes of ours in judging still show."""


class OutputError(OptoutError):
    """Where results go cannot be written to: full, read-only, or not ours."""


def read_on(source: Path, items: Iterable[_Item]) -> Iterator[_Item]:
    """Give what a reader gives, and name the input in whatever error it ends with.

    Raises:
        UnreadableInput: it cannot be read on.
    """
    iterator = iter(items)
    count = 0
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except OptoutError:
            raise
        except _STRANGERS_BYTES as error:
            what = str(getattr(error, "strerror", None) or error).splitlines() or [repr(error)]
            place = f"after {count} batches" if count else None
            raise UnreadableInput(
                f"{source}: {what[0][:300]}", place=place, mend="repair or replace the file"
            ) from error
        yield item
        count += 1


@contextmanager
def writing(directory: Path, source: Path | None = None) -> Iterator[None]:
    """Say of what is written inside that the output failed, unless the error names the input.

    Raises:
        OutputError: the disk refuses.
        UnreadableInput: the input does.
    """
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error).splitlines()[0]
        if source is not None and error.filename is not None and str(error.filename) == str(source):
            raise UnreadableInput(f"{source}: {what}", mend="name a readable file") from error
        mend = "free or repair the disk, or name another --out; run it again to go on"
        raise OutputError(f"cannot write to {directory}: {what}", mend=mend) from error


def digest_of(path: Path, start: int = 0, length: int | None = None) -> str:
    """The SHA-256 of a file, or of a stretch of it."""
    digest = sha256()
    left = path.stat().st_size - start if length is None else length
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def part_of(path: Path) -> Path:
    """Where a file is written before it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def clear_parts(path: Path) -> None:
    """Remove what killed processes have left of a file."""
    prefix = f".{path.name}."
    if path.parent.is_dir():
        for left in path.parent.iterdir():
            if left.name.startswith(prefix) and left.name.endswith(".part"):
                left.unlink(missing_ok=True)


def move(part: Path, path: Path) -> str:
    """Put a whole file in its place durably, and give its digest."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    digest = digest_of(part)
    part.replace(path)
    return digest


def put(path: Path, data: bytes) -> None:
    """Write a small file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
