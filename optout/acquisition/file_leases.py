"""Leases of a local store, for the processes of one machine.

They are in a file of their own, because they change with every visit and are worth nothing after a power cut. Each
holder also locks a file for as long as it lives, which the system unlocks when it dies: what a killed process had
begun can be begun again at once.
"""

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING, BinaryIO

from optout.acquisition.shared_sqlite import alone, open_shared

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FILE_NAME = "leases.sqlite"
_LOCK = "holder-{}.lock"
_DAY = 86_400
_SCHEMA = "CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL)"
_TAKE = """
INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET holder = ?2, until = ?3
WHERE holder = ?2 OR until <= ?4 OR until > ?5
"""


class Leases:
    """The leases in a folder. Not for several threads at once."""

    def __init__(self, directory: Path) -> None:
        """Open them.

        Raises:
            OSError: the disk refuses.
            sqlite3.Error: so it does.
        """
        self._directory = directory
        self._locks: dict[str, BinaryIO] = {}
        self._connection = open_shared(directory / FILE_NAME, "OFF", _SCHEMA)

    def lease(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        """Take or keep leases; see `Backend.lease`."""
        self._show_life(holder)
        taken = self._take(keys, holder, seconds)
        if len(taken) < len(set(keys)) and self._bury():
            taken |= self._take(set(keys) - taken, holder, seconds)
        return taken

    def release(self, keys: Collection[str], holder: str) -> None:
        """End leases, if they are still the holder's."""
        values = [(key, holder) for key in keys]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM leases WHERE name = ? AND holder = ?", values)

    def close(self) -> None:
        """Let go of everything; leases that are still held are free."""
        for holder, lock in self._locks.items():
            with self._connection:
                self._connection.execute("DELETE FROM leases WHERE holder = ?", (holder,))
            self._path(holder).unlink(missing_ok=True)
            lock.close()
        self._connection.close()

    def _take(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        now = time.time()
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            # A lease that reaches beyond a day was made before the clock was set back.
            values = [(key, holder, now + seconds, now, now + _DAY) for key in keys]
            return {value[0] for value in values if self._connection.execute(_TAKE, value).rowcount}

    def _path(self, holder: str) -> Path:
        return self._directory / _LOCK.format(holder)

    def _show_life(self, holder: str) -> None:
        if holder not in self._locks:
            # Between making the file and locking it a holder looks like one that has died.
            with alone(self._directory / FILE_NAME):
                lock = self._path(holder).open("wb")
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._locks[holder] = lock

    def _bury(self) -> bool:
        """End the leases of holders that have died, and tell whether there were any."""
        with alone(self._directory / FILE_NAME):
            paths = self._directory.glob(_LOCK.format("*"))
            return sum(map(self._bury_one, paths)) > 0

    def _bury_one(self, path: Path) -> bool:
        holder = path.name[len(_LOCK.partition("{")[0]) : -len(_LOCK.partition("}")[2])]
        if holder in self._locks or not _is_dead(path):
            return False
        with self._connection:
            self._connection.execute("DELETE FROM leases WHERE holder = ?", (holder,))
        path.unlink(missing_ok=True)
        return True


def _is_dead(path: Path) -> bool:
    """Whether nobody holds the lock; where it cannot be asked, somebody does."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
