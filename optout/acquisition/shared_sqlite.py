"""Opening SQLite files that other processes open at the same moment.

To bring a file into WAL mode SQLite needs it alone, and where two do that together one is told at once that the file
is locked, however long it would wait. So files are opened one after the other.
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_MILLISECONDS = 60_000
"""How long one process waits for another that writes."""


def open_shared(path: Path, synchronous: str, schema: str) -> sqlite3.Connection:
    """Open a file for writing, and make its tables where they are missing.

    Args:
        path: of the file.
        synchronous: how much of what was written has to be on the disk, as SQLite calls it.
        schema: statements that do nothing where their tables are there.

    Raises:
        OSError: the disk refuses.
        sqlite3.Error: so it does, or the file is no database.
    """
    with alone(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {WAIT_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.executescript(schema)
    return connection


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only one who does something with a file; the system lets go of a lock whose holder dies.

    Raises:
        OSError: the disk refuses.
    """
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
