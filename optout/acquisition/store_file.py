"""The file behind the store of dated origin states: its tables, and how values stand in them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import zstandard

from optout.errors import OptoutError
from optout.model import Exchange
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Headers = tuple[tuple[str, str], ...]

FILE_NAME = "origins.sqlite"

REDIRECT_NOT_FOLLOWED = "redirect-not-followed"
"""The `Exchange.error` of a redirect of which only the redirect was captured; it counts as unreachable."""

MEANINGFUL_FIELDS = frozenset({"content-type", "content-encoding", "location", "retry-after"}).union(
    *(protocol.header_fields for protocol in PROTOCOLS.values())
)
"""Lower-case names of the header fields that can make a difference to a reading."""

KEPT_FIELDS = MEANINGFUL_FIELDS | {"content-language", "etag", "last-modified"}
"""Lower-case names of the header fields that are kept: those, and what describes the file."""

_FORMAT = "1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LEVEL = 6
_LARGEST_BODY = 1 << 28
_WAIT_MILLISECONDS = 60_000
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

SCHEMA = """
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
CREATE INDEX IF NOT EXISTS unfollowed ON captures (error) WHERE error = 'redirect-not-followed';
INSERT OR IGNORE INTO about VALUES ('format', '1');
"""
ROWS = """
SELECT roles.text, captures.url, at, status, error, body, digest, names_sites, headers, redirects, truncated
FROM captures JOIN roles ON roles.id = captures.role LEFT JOIN bodies ON bodies.id = captures.body
WHERE origin = (SELECT id FROM origins WHERE text = ?) ORDER BY at, captures.role, captures.url
"""


class StoreError(OptoutError):
    """A store that cannot be opened, read or written; names the folder."""


class Row(NamedTuple):
    """A capture as it stands in the database, times in microseconds since 1970."""

    role: str
    url: str
    at: int
    status: int | None
    error: str | None
    body: int | None
    digest: bytes | None
    names_sites: int | None
    headers: int
    redirects: str | None
    truncated: int


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """A connection to the file, with its tables where it is for writing.

    Readers map the file into memory, so that many processes share what they read.
    """
    if writing:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
    else:
        connection = _reader(path)
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_MILLISECONDS}")
    connection.execute(f"PRAGMA mmap_size = {1 << 36}")
    return connection


def _reader(path: Path) -> sqlite3.Connection:
    """For reading; a folder in which nothing can be written holds a store that nobody changes."""
    uri = path.resolve().as_uri()
    try:
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("SELECT 1 FROM about").fetchone()
    except sqlite3.OperationalError:
        return sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection


def is_of_this_edition(connection: sqlite3.Connection) -> bool:
    """Whether the file was made by a program that agrees with this one on its tables."""
    found = connection.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
    return bool(found == (_FORMAT,))


@contextmanager
def faults(directory: Path) -> Iterator[None]:
    """Turn what SQLite or the disk says into an error that names the folder."""
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        raise StoreError(
            f"store {directory}: {fault}", mend="free or repair the disk, or name another folder"
        ) from fault


def microseconds(moment: datetime) -> int:
    """A time as it stands in the file.

    Raises:
        ValueError: the time has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(count: int) -> datetime:
    """A time in UTC from the file."""
    return _EPOCH + count * _MICROSECOND


def packed(body: bytes) -> bytes:
    """A body as it stands in the file."""
    return zstandard.compress(body, _LEVEL)


def expanded(data: bytes) -> bytes:
    """A body from the file."""
    return zstandard.decompress(data, _LARGEST_BODY)


def written(text: str) -> str:
    """A URL as it stands in the file, which holds no lone surrogates."""
    return json.dumps(text)[1:-1]


def as_written(text: str) -> str:
    """A URL from the file."""
    return str(json.loads(f'"{text}"'))


def kept(headers: Headers) -> str:
    """The header fields that are kept, as one text: most origins answer alike."""
    fields = [(name, value) for name, value in headers if name.lower() in KEPT_FIELDS]
    return json.dumps(fields, separators=(",", ":"))


def names_sites(body: bytes) -> bool:
    """Whether a file may name a site, so that it could mean something else elsewhere.

    A site is named by a URL, which has two slashes in a row, or hides them behind escapes or a wide encoding. Line
    breaks and tabs inside a URL do not count, because readers of URLs drop them.
    """
    text = body.translate(None, b"\t\r\n")
    return any(mark in text for mark in (b"//", b"\\", b"\0"))


def is_unfollowed(exchange: Exchange) -> bool:
    """Whether all that was seen is a redirect to somewhere else."""
    named = any(name.lower() == "location" and value for name, value in exchange.headers)
    return exchange.error is None and exchange.status in _REDIRECTS and named
