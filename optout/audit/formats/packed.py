"""Files that are compressed as a whole: read and written as they are named, and never trusted with their own size."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import zstandard

from optout.audit.reading import counted
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Callable

BROKEN = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a damaged file raises."""

LARGEST_READ = 1 << 28
"""Bytes that are asked for at once at most; a header that claims to be longer is a lie or a trap."""

MOST_FOLD = 400
"""How many times its size a file may unpack to. Text in JSON comes to some ten times, and hardly ever to fifty."""

FREE = 1 << 30
"""Bytes that a file may unpack to whatever its size."""

_BUFFER = 1 << 20


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed by its name.

    Raises:
        UnreadableInput: it cannot be opened.
    """
    try:
        file = counted(path)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", mend="name a readable file") from error
    with file:
        name = path.name.lower()
        if name.endswith((".gz", ".tgz")):
            with gzip.GzipFile(fileobj=file) as stream:
                yield _guarded(cast("IO[bytes]", stream), file.tell)
        elif name.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                yield _guarded(cast("IO[bytes]", stream), file.tell)
        else:
            yield file


@contextmanager
def packed(name: str, target: Path) -> Iterator[IO[bytes]]:
    """A file to write, compressed by a name. Neither name nor time goes into it: the same rows are the same bytes."""
    with target.open("wb") as file:
        if name.endswith((".gz", ".tgz")):
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as stream:
                yield cast("IO[bytes]", stream)
        elif name.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file) as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield file


def _guarded(stream: IO[bytes], place: Callable[[], int]) -> IO[bytes]:
    return io.BufferedReader(_Guard(stream, place), _BUFFER)


class _Guard(io.RawIOBase):
    """Ends the reading of a file that unpacks to more than anything real does."""

    def __init__(self, stream: IO[bytes], place: Callable[[], int]) -> None:
        self._stream, self._place, self._given = stream, place, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._stream.read(min(len(view), LARGEST_READ))
        view[: len(data)] = data
        self._given += len(data)
        if self._given > FREE and self._given > MOST_FOLD * max(1, self._place()):
            raise OSError(f"it unpacks to more than {MOST_FOLD} times its size")
        return len(data)
