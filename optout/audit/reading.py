"""How many bytes have been read of the inputs that are under way, for who watches an audit.

A stream of a hundred gigabytes is one unit of work; without this, nothing would be seen of it before its end. The
processes of a pool share one counter, which ends with them.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized
    from pathlib import Path
    from typing import IO

_BUFFER = 1 << 18


class Reading:
    """What one process has read, added to what others have where they share a counter."""

    def __init__(self) -> None:
        self._shared: Synchronized[int] | None = None
        self._own = 0

    @property
    def octets(self) -> int:
        """Bytes read of all inputs that are under way."""
        return self._own if self._shared is None else self._shared.get_obj().value

    def share(self, counter: Synchronized[int] | None) -> None:
        """Count in a counter that other processes have too; None for alone."""
        self._shared = counter

    def add(self, octets: int) -> None:
        """So many bytes more have been read."""
        self._own += octets
        if self._shared is not None:
            with self._shared.get_lock():
                self._shared.get_obj().value += octets

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Read an input, of which nothing counts any more when it is done: it is then known to be done."""
        try:
            yield
        finally:
            self.add(-self._own)


READING = Reading()
"""That of this process."""


class _Counted(io.FileIO):
    def readinto(self, buffer: object) -> int | None:
        count = super().readinto(buffer)  # type: ignore[arg-type]
        READING.add(count or 0)
        return count


def counted(path: Path) -> IO[bytes]:
    """Open a file whose reading is counted.

    Raises:
        OSError: it cannot be opened.
    """
    return io.BufferedReader(_Counted(path), _BUFFER)
