"""The store of dated origin states: what each origin's signal files were, and when.

One SQLite file in WAL mode, so that any number of processes read while one writes. A body stands there once, under
its SHA-256, however many origins sent it and however often; a capture is a row of some thirty bytes that names it.
What was put is on the disk when `put` returns.

Three things are left out, because nothing reads them: bodies of answers other than 2xx, header fields that are not in
`KEPT_FIELDS` (they differ with every answer), and what was sent.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

from optout.acquisition import store_file
from optout.acquisition.store_file import (
    FILE_NAME,
    KEPT_FIELDS,
    MEANINGFUL_FIELDS,
    REDIRECT_NOT_FOLLOWED,
    Row,
    StoreError,
    faults,
    microseconds,
    moment_of,
)
from optout.engine import ROBOTS_ROLE
from optout.errors import MalformedUrl
from optout.model import ASSET, RESOURCE, Availability, Exchange
from optout.urls import origin_of, resolve

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from optout.acquisition.store_file import Headers

__all__ = ["KEPT_FIELDS", "REDIRECT_NOT_FOLLOWED", "Capture", "OriginState", "Store", "StoreError"]

VISIT_GAP = timedelta(minutes=15)
"""Captures of an origin that follow each other within this time are one visit, unless a file comes again."""

REDIRECT_WINDOW = timedelta(days=7)
"""How far apart the captures of a redirect and of its target may be for the one to be followed to the other."""

_HOPS = 5
_PAGES = frozenset({RESOURCE, ASSET})
_NOTHING = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture of one signal file: everything about it except its bytes.

    Attributes:
        role: the well-known path, or the role of a document.
        url: what was asked for.
        fetched_at: when, in UTC.
        status: of the final response; None when none arrived.
        error: a short code where no response counts.
        digest: SHA-256 of the body that is kept, in hexadecimal.
        headers: those of `KEPT_FIELDS`, in order.
        redirects: every URL that was redirected to.
        truncated: whether the body was cut at a limit.
    """

    role: str
    url: str
    fetched_at: datetime
    status: int | None
    error: str | None
    digest: str
    headers: Headers
    redirects: tuple[str, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class OriginState:
    """What an origin said at a time, as far as it was seen.

    Attributes:
        exchanges: the last capture of each file, robots.txt first, ready for `optout.engine.compile`.
        captured_at: when the latest of them was captured.
        next_at: the first capture after the time that was asked for; None where there is none.
        unchanged: whether the visit that begins at `next_at` saw the same.
        content_key: equal for states that mean the same for the same path, also of different origins: it names
            hosts only where something that was fetched does so.
    """

    exchanges: tuple[Exchange, ...]
    captured_at: datetime
    next_at: datetime | None
    unchanged: bool
    content_key: str


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Recent(Generic[Key, Value]):
    """The most recently used values, so that what thousands of origins share is read once."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = make(key)
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)
        else:
            self._values.move_to_end(key)
        return value

    def clear(self) -> None:
        self._values.clear()


class Store:
    """The store in a folder; `open` makes one."""

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        """Use a connection that is open already; see `open`."""
        self.directory = directory
        self._connection = connection
        self._writing = Lock()
        self._role_ids: _Recent[str, int] = _Recent(1_024)
        self._header_ids: _Recent[str, int] = _Recent(16_384)
        self._headers: _Recent[int, Headers] = _Recent(16_384)
        self._bodies: _Recent[int, bytes] = _Recent(256)

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> Self:
        """Open the store of a folder, for reading unless `create` is given.

        Args:
            directory: the folder.
            create: make the folder and the store where they are missing, and write.

        Raises:
            StoreError: there is no store, it was made by another edition, or the disk refuses.
        """
        path = directory / FILE_NAME
        with faults(directory):
            if create:
                directory.mkdir(parents=True, exist_ok=True)
            elif not path.is_file():
                raise StoreError(f"{directory} holds no store", mend="fill one: optout harvest ORIGINS.txt --store DIR")
            connection = store_file.connect(path, writing=create)
            ours = store_file.is_of_this_edition(connection)
        if not ours:
            connection.close()
            raise StoreError(f"{directory} holds a store of another edition", mend="harvest into a new folder")
        return cls(connection, directory)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Give the store itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def put(self, exchanges: Iterable[Exchange]) -> None:
        """Keep exchanges; they are on the disk when this returns, all or none of them.

        A well-known file belongs to the origin of its URL. A document belongs to the origin whose files stand before
        it, because it speaks for whoever points to it, wherever it lies; without any, to its own. The same capture
        twice is kept once.

        Raises:
            StoreError: the disk refuses.
            ValueError: an exchange is of a page, nobody knows when it was, or nothing was fetched.
            MalformedUrl: a URL names no origin.
        """
        with self._transaction() as connection:
            owner = ""
            for exchange in exchanges:
                if exchange.role.startswith("/") or not owner:
                    owner = origin_of(exchange.url).text
                connection.execute(
                    "INSERT OR REPLACE INTO captures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._row(owner, exchange)
                )

    def follow_redirects(self) -> int:
        """Follow the redirects of which only the redirect was captured, where the target was captured as well.

        Archives such as Common Crawl's hold a redirect and its target as two captures. The capture of the target
        that is nearest in time counts, if it is within `REDIRECT_WINDOW`.

        Returns:
            how many were followed.
        """
        with self._transaction() as connection:
            found = connection.execute(_UNFOLLOWED, (REDIRECT_NOT_FOLLOWED,)).fetchall()
            return sum(self._follow(connection, _Unfollowed._make(row)) for row in found)

    def origins(self) -> Iterator[str]:
        """Every origin that anything is known about, as `Origin.text`, in order of the text."""
        with faults(self.directory):
            for (text,) in self._connection.execute("SELECT text FROM origins ORDER BY text"):
                yield text

    def history(self, origin: str) -> tuple[Capture, ...]:
        """Every capture of an origin, oldest first."""
        return tuple(
            Capture(
                row.role,
                _url(origin, row),
                moment_of(row.at),
                row.status,
                row.error,
                _digest(row),
                self._headers_of(row),
                _redirects(row),
                bool(row.truncated),
            )
            for row in self._rows(origin)
        )

    def state(self, origin: str, as_of: datetime | None) -> OriginState | None:
        """What an origin said at a time: the last capture of each file at or before it.

        Args:
            origin: as `Origin.text`.
            as_of: the time, with a time zone; None is the newest state.

        Returns:
            None where nothing was captured by then; `first_after` tells what was captured later.
        """
        rows = self._rows(origin)
        if as_of is None:
            return self._state(origin, rows, ())
        moment = microseconds(as_of)
        earlier = [row for row in rows if row.at <= moment]
        return self._state(origin, earlier, rows[len(earlier) :])

    def first_after(self, origin: str, as_of: datetime) -> OriginState | None:
        """The state after the first visit that was made later than a time; None where there was none."""
        rows = self._rows(origin)
        moment = microseconds(as_of)
        known = sum(row.at <= moment for row in rows)
        visit = next(_visits(rows[known:]), ())
        end = known + len(visit)
        return self._state(origin, rows[:end], rows[end:]) if visit else None

    def states(self, origin: str) -> tuple[OriginState, ...]:
        """The state after each visit, oldest first."""
        rows = self._rows(origin)
        found, end = [], 0
        for visit in _visits(rows):
            end += len(visit)
            state = self._state(origin, rows[:end], rows[end:])
            found += [state] if state else []
        return tuple(found)

    # Reading.

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with faults(self.directory):
            return self._connection.execute(query, values).fetchall()

    def _rows(self, origin: str) -> list[Row]:
        return [Row._make(row) for row in self._select(store_file.ROWS, origin)]

    def _state(self, origin: str, rows: Sequence[Row], later: Sequence[Row]) -> OriginState | None:
        if not rows:
            return None
        current = _current(rows)
        key = self._content_key(origin, current)
        following = next(_visits(later), ())
        return OriginState(
            exchanges=tuple(self._exchange(origin, row) for row in current),
            captured_at=moment_of(max(row.at for row in current)),
            next_at=moment_of(later[0].at) if later else None,
            unchanged=bool(following) and key == self._content_key(origin, _current([*rows, *following])),
            content_key=key,
        )

    def _exchange(self, origin: str, row: Row) -> Exchange:
        return Exchange(
            url=_url(origin, row),
            role=row.role,
            status=row.status,
            headers=self._headers_of(row),
            body=b"" if row.body is None else self._bodies.get(row.body, self._read_body),
            redirects=_redirects(row),
            error=row.error,
            fetched_at=moment_of(row.at),
            truncated=bool(row.truncated),
        )

    def _content_key(self, origin: str, rows: Sequence[Row]) -> str:
        """Digest of what the readers are given; hosts are left out where no file names any and no document is there."""
        bound = any(row.names_sites or not row.role.startswith("/") or row.url for row in rows)
        files = [
            (
                row.role,
                (row.url, row.redirects) if bound else "",
                row.status,
                row.error,
                _digest(row),
                [(name, value) for name, value in self._headers_of(row) if name.lower() in MEANINGFUL_FIELDS],
                row.truncated,
            )
            for row in rows
        ]
        return sha256(json.dumps([origin if bound else "", files]).encode()).hexdigest()

    def _headers_of(self, row: Row) -> Headers:
        return self._headers.get(row.headers, self._read_headers)

    def _read_headers(self, number: int) -> Headers:
        ((text,),) = self._select("SELECT text FROM headers WHERE id = ?", number)
        return tuple((name, value) for name, value in json.loads(str(text)))

    def _read_body(self, number: int) -> bytes:
        ((data,),) = self._select("SELECT data FROM bodies WHERE id = ?", number)
        return store_file.expanded(data)

    # Writing.

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, faults(self.directory):
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

    def _row(self, owner: str, exchange: Exchange) -> tuple[object, ...]:
        if exchange.role in _PAGES:
            raise ValueError(f"{exchange.url} is a page; the store keeps the signals of origins")
        if exchange.fetched_at is None or exchange.availability is Availability.NOT_CONSULTED:
            raise ValueError(f"{exchange.url} was not fetched, or nobody knows when")
        return (
            self._id("origins", owner),
            self._role_ids.get(exchange.role, lambda text: self._id("roles", text)),
            "" if exchange.url == owner + exchange.role else store_file.written(exchange.url),
            microseconds(exchange.fetched_at),
            exchange.status,
            REDIRECT_NOT_FOLLOWED if store_file.is_unfollowed(exchange) else exchange.error,
            self._body_id(exchange.body) if exchange.availability is Availability.RETRIEVED else None,
            self._header_ids.get(store_file.kept(exchange.headers), lambda text: self._id("headers", text)),
            json.dumps(exchange.redirects) if exchange.redirects else None,
            int(exchange.truncated),
        )

    def _id(self, table: str, text: str) -> int:
        """The number of a text, given it now if it has none."""
        query = f"SELECT id FROM {table} WHERE text = ?"  # noqa: S608 - a name from this module
        found = self._connection.execute(query, (text,)).fetchone()
        if found is not None:
            return int(found[0])
        added = self._connection.execute(f"INSERT INTO {table} (text) VALUES (?)", (text,))  # noqa: S608
        return int(added.lastrowid or 0)

    def _body_id(self, body: bytes) -> int | None:
        if not body:
            return None
        digest = sha256(body).digest()
        found = self._connection.execute("SELECT id FROM bodies WHERE digest = ?", (digest,)).fetchone()
        if found is not None:
            return int(found[0])
        added = self._connection.execute(
            "INSERT INTO bodies (digest, names_sites, data) VALUES (?, ?, ?)",
            (digest, int(store_file.names_sites(body)), store_file.packed(body)),
        )
        return int(added.lastrowid or 0)

    def _follow(self, connection: sqlite3.Connection, redirect: _Unfollowed) -> bool:
        """Put the captured target of a redirect in the place of the redirect."""
        target: _Target | None = None
        hops: list[str] = []
        url, headers = redirect.asked, redirect.headers
        while target is None and len(hops) < _HOPS:
            try:
                url = resolve(url, self._location(headers))
                target = self._nearest(connection, redirect, url)
            except MalformedUrl:
                return False
            hops.append(url)
            if target is None:
                return False
            if target.error == REDIRECT_NOT_FOLLOWED:
                headers, target = target.headers, None
        if target is None:
            return False
        hops += json.loads(target.redirects or "[]")
        connection.execute(_PUT_TARGET, (*target[:5], json.dumps(hops), *redirect[:4]))
        return True

    def _location(self, headers: int) -> str:
        fields = self._headers.get(headers, self._read_headers)
        return next(value for name, value in fields if name.lower() == "location")

    def _nearest(self, connection: sqlite3.Connection, redirect: _Unfollowed, url: str) -> _Target | None:
        """The capture of a well-known file that is nearest in time to a redirect to it."""
        owner = origin_of(url).text
        window = REDIRECT_WINDOW // timedelta(microseconds=1)
        values = (owner, redirect.role, owner + redirect.role_text, url, redirect.at, window)
        found = connection.execute(_NEAREST, values).fetchone()
        return None if found is None else _Target._make(found)


class _Unfollowed(NamedTuple):
    """A capture of a redirect alone; the first four fields are its key."""

    origin: int
    role: int
    url: str
    at: int
    owner: str
    role_text: str
    headers: int

    @property
    def asked(self) -> str:
        """What was asked for."""
        return store_file.as_written(self.url) if self.url else self.owner + self.role_text


class _Target(NamedTuple):
    """What stands in the place of a redirect once it has been followed."""

    status: int | None
    error: str | None
    body: int | None
    headers: int
    truncated: int
    redirects: str | None


_UNFOLLOWED = """
SELECT origin, role, url, at, origins.text, roles.text, headers FROM captures
JOIN origins ON origins.id = origin JOIN roles ON roles.id = role WHERE error = ?
"""
_NEAREST = """
SELECT status, error, body, headers, truncated, redirects FROM captures
WHERE origin = (SELECT id FROM origins WHERE text = ?1) AND role = ?2 AND url = '' AND ?3 = ?4
AND abs(at - ?5) <= ?6 ORDER BY abs(at - ?5) LIMIT 1
"""
_PUT_TARGET = """
UPDATE captures SET status = ?, error = ?, body = ?, headers = ?, truncated = ?, redirects = ?
WHERE origin = ? AND role = ? AND url = ? AND at = ?
"""


def _current(rows: Iterable[Row]) -> list[Row]:
    """The last capture of each file, robots.txt first; the rows are in order of time."""
    last = {(row.role, row.url): row for row in rows}
    return sorted(last.values(), key=lambda row: (row.role != ROBOTS_ROLE, row.role, row.url))


def _visits(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Captures that were made together, in order of time."""
    gap = VISIT_GAP // timedelta(microseconds=1)
    visit: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        file = (row.role, row.url)
        if visit and (file in seen or row.at - visit[-1].at > gap):
            yield visit
            visit, seen = [], set()
        visit.append(row)
        seen.add(file)
    if visit:
        yield visit


def _url(origin: str, row: Row) -> str:
    return store_file.as_written(row.url) if row.url else origin + row.role


def _digest(row: Row) -> str:
    return _NOTHING if row.digest is None else row.digest.hex()


def _redirects(row: Row) -> tuple[str, ...]:
    return tuple(json.loads(row.redirects)) if row.redirects else ()
