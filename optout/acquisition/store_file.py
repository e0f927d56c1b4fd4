"""The local store: one SQLite file in WAL mode, so that any number of processes read while one writes.

A body stands there once, under its SHA-256, however many origins sent it and however often; a capture is a row of
some thirty bytes that names it.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from threading import Lock, local
from typing import TYPE_CHECKING, Any, Self

import zstandard

from optout.acquisition.backend import FORMAT
from optout.acquisition.captures import REDIRECT_NOT_FOLLOWED, Entry, Row, StoreError
from optout.acquisition.file_leases import Leases
from optout.acquisition.recent import Recent
from optout.acquisition.shared_sqlite import WAIT_MILLISECONDS, open_shared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

FILE_NAME = "origins.sqlite"

_LEVEL = 6
_LARGEST_BODY = 1 << 28

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS origins (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS roles (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS headers (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS bodies (
  id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, names_sites INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS captures (
  origin INTEGER NOT NULL, role INTEGER NOT NULL, url TEXT NOT NULL, at INTEGER NOT NULL,
  status INTEGER, error TEXT, body INTEGER, headers INTEGER NOT NULL, redirects TEXT, truncated INTEGER NOT NULL,
  PRIMARY KEY (origin, role, url, at)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unfollowed ON captures (error) WHERE error = '{REDIRECT_NOT_FOLLOWED}';
CREATE TABLE IF NOT EXISTS done (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO about VALUES ('format', '{FORMAT}');
"""  # noqa: S608 - constants of this module
_FIELDS = """
roles.text, captures.url, at, status, error,
CASE WHEN captures.body IS NOT NULL THEN coalesce(digest, zeroblob(32)) END,
names_sites, headers.text, redirects, truncated
"""
_JOINED = """
captures JOIN roles ON roles.id = captures.role JOIN headers ON headers.id = captures.headers
LEFT JOIN bodies ON bodies.id = captures.body
"""
_ROWS = f"""
SELECT {_FIELDS} FROM {_JOINED}
WHERE origin = (SELECT id FROM origins WHERE text = ?) ORDER BY at, roles.text, captures.url
"""  # noqa: S608
_LATEST = f"""
SELECT {_FIELDS} FROM {_JOINED} WHERE origin = (SELECT id FROM origins WHERE text = ?) AND at = (
  SELECT max(at) FROM captures AS one
  WHERE one.origin = captures.origin AND one.role = captures.role AND one.url = captures.url
)
"""  # noqa: S608
_UNFOLLOWED = f"""
SELECT owners.text, {_FIELDS} FROM {_JOINED} JOIN origins AS owners ON owners.id = origin WHERE error = ?
"""  # noqa: S608
_PUT = "INSERT OR REPLACE INTO captures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class FileBackend:
    """The store in a folder; `open` makes one."""

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        """Use a connection that is open already; see `open`."""
        self.directory = directory
        self._connection = connection
        self._leases: Leases | None = None
        self._writing = Lock()
        self._leasing = Lock()
        self._role_ids: Recent[str, int] = Recent(1_024)
        self._header_ids: Recent[str, int] = Recent(16_384)

    @classmethod
    def open(cls, directory: Path, *, create: bool) -> Self:
        """Open the store of a folder, for reading unless `create` is given.

        Raises:
            StoreError: there is no store, it was made by another edition, or the disk refuses.
        """
        path = directory / FILE_NAME
        with _faults(directory):
            if create:
                directory.mkdir(parents=True, exist_ok=True)
            elif not path.is_file():
                raise StoreError(f"{directory} holds no store", mend="fill one: optout harvest ORIGINS.txt --store DIR")
            connection = open_shared(path, "FULL", _SCHEMA) if create else _reader(path)
            # Readers map the file into memory, so that many processes share what they read.
            connection.execute(f"PRAGMA mmap_size = {1 << 36}")
            found = connection.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
        if found != (FORMAT,):
            connection.close()
            raise StoreError(f"{directory} holds a store of another edition", mend="harvest into a new folder")
        return cls(connection, directory)

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.directory)

    def close(self) -> None:
        """Close the files."""
        self._connection.close()
        if self._leases is not None:
            self._leases.close()

    # Reading.

    def rows(self, origin: str) -> list[Row]:
        """Every capture of an origin, in order of time, then role, then URL."""
        return [_row(values) for values in self._select(_ROWS, origin)]

    def latest(self, origins: Sequence[str]) -> dict[str, list[Row]]:
        """The last capture of each file of origins."""
        return {origin: [_row(values) for values in self._select(_LATEST, origin)] for origin in origins}

    def bodies(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Bodies by digest."""
        found = {digest: self._select("SELECT data FROM bodies WHERE digest = ?", digest) for digest in digests}
        return {digest: _expanded(rows[0][0]) for digest, rows in found.items() if rows}

    def origins(self) -> Iterator[str]:
        """Every origin, in order of the text."""
        with _faults(self.directory):
            for (text,) in self._connection.execute("SELECT text FROM origins ORDER BY text"):
                yield text

    def size(self) -> int:
        """How many origins there are."""
        return int(self._select("SELECT count(*) FROM origins")[0][0])

    def unfollowed(self) -> list[tuple[str, Row]]:
        """Every redirect of which only the redirect was captured."""
        return [(origin, _row(values)) for origin, *values in self._select(_UNFOLLOWED, REDIRECT_NOT_FOLLOWED)]

    def is_marked(self, name: str) -> bool:
        """Whether a piece of work is done for good."""
        return bool(self._select("SELECT 1 FROM done WHERE name = ?", name))

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with _faults(self.directory):
            return self._connection.execute(query, values).fetchall()

    # Writing.

    def write(self, entries: Iterable[Entry]) -> None:
        """Keep entries; they are on the disk when this returns, all or none of them."""
        with self._transaction() as connection:
            for entry in entries:
                connection.execute(_PUT, self._values(entry))

    def mark(self, name: str) -> None:
        """Remember that a piece of work is done for good."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO done VALUES (?)", (name,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, _faults(self.directory):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has undone it already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                # What was looked up may have been made by what is undone.
                self._role_ids.clear()
                self._header_ids.clear()
                raise

    def _values(self, entry: Entry) -> tuple[object, ...]:
        row = entry.row
        return (
            self._id("origins", entry.origin),
            self._role_ids.get(row.role, lambda text: self._id("roles", text)),
            row.url,
            row.at,
            row.status,
            row.error,
            None if entry.body is None else self._body_id(row, entry.body),
            self._header_ids.get(row.headers, lambda text: self._id("headers", text)),
            row.redirects,
            int(row.truncated),
        )

    def _id(self, table: str, text: str) -> int:
        """The number of a text, given it now if it has none."""
        query = f"SELECT id FROM {table} WHERE text = ?"  # noqa: S608 - a name from this module
        found = self._connection.execute(query, (text,)).fetchone()
        if found is not None:
            return int(found[0])
        added = self._connection.execute(f"INSERT INTO {table} (text) VALUES (?)", (text,))  # noqa: S608
        return int(added.lastrowid or 0)

    def _body_id(self, row: Row, body: bytes) -> int:
        found = self._connection.execute("SELECT id, data FROM bodies WHERE digest = ?", (row.digest,)).fetchone()
        if found is None:
            values = (row.digest, int(row.names_sites), zstandard.compress(body, _LEVEL))
            added = self._connection.execute("INSERT INTO bodies (digest, names_sites, data) VALUES (?, ?, ?)", values)
            return int(added.lastrowid or 0)
        if _expanded(found[1]) != body:
            repaired = (zstandard.compress(body, _LEVEL), found[0])
            self._connection.execute("UPDATE bodies SET data = ? WHERE id = ?", repaired)
        return int(found[0])

    def lease(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        """Take or keep leases, by the clock of this machine; those of processes that have died since are free."""
        with self._leasing, _faults(self.directory):
            if self._leases is None:
                self._leases = Leases(self.directory)
            return self._leases.lease(keys, holder, seconds)

    def release(self, keys: Collection[str], holder: str) -> None:
        """End leases, if they are still the holder's."""
        with self._leasing, _faults(self.directory):
            if self._leases is not None:
                self._leases.release(keys, holder)


def _reader(path: Path) -> sqlite3.Connection:
    """For reading; a folder in which nothing can be written holds a store that nobody changes."""
    uri = path.resolve().as_uri()
    try:
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("SELECT 1 FROM about").fetchone()
    except sqlite3.OperationalError:
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {WAIT_MILLISECONDS}")
    return connection


@contextmanager
def _faults(directory: Path) -> Iterator[None]:
    """Turn what SQLite or the disk says into an error that names the folder."""
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        raise StoreError(
            f"store {directory}: {fault}", mend="free or repair the disk, or name another folder"
        ) from fault


def _row(values: Sequence[Any]) -> Row:
    role, url, at, status, error, digest, sites, headers, redirects, truncated = values
    return Row(role, url, at, status, error, digest, bool(sites), headers, redirects, bool(truncated))


class _OfThread(local):
    """What each thread has of its own: to make a decompressor costs more than what it does to a usual file."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_of_thread = _OfThread()


def _expanded(data: bytes) -> bytes:
    """A body from the file; whatever is no body of ours is given as it stands, and its digest will tell."""
    try:
        return _of_thread.decompressor.decompress(data, _LARGEST_BODY)
    except zstandard.ZstdError:
        return data
