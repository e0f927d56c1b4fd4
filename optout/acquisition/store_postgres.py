"""A store in Postgres, for machines that work together and for questions in SQL.

The tables are in the schema `optout`. Bodies are bytes as they were received, so that SQL can look into them. asyncpg
lives in an event loop of its own, in a thread, because backends are asked from any thread.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg

from optout.acquisition.backend import FORMAT
from optout.acquisition.captures import (
    REDIRECT_NOT_FOLLOWED,
    Entry,
    Row,
    StoreError,
    StoreUnreachable,
    compare_clocks,
    microseconds,
    moment_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence

Result = TypeVar("Result")

_CONNECT_SECONDS = 5.0
_QUERY_SECONDS = 60.0
_CONNECTIONS = 4
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2
_AT_ONCE = 10_000
_LOCK = 0x6F70746F7574
_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, OSError, TimeoutError)
_AGAIN = (*_LOST, asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.AdminShutdownError)

_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS optout;
CREATE TABLE IF NOT EXISTS optout.about (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS optout.bodies (digest bytea PRIMARY KEY, names_sites boolean NOT NULL, data bytea NOT NULL);
CREATE TABLE IF NOT EXISTS optout.captures (
  origin text COLLATE "C" NOT NULL, role text COLLATE "C" NOT NULL, url text COLLATE "C" NOT NULL,
  fetched_at timestamptz NOT NULL, status integer, error text, digest bytea, headers json NOT NULL, redirects json,
  truncated boolean NOT NULL, PRIMARY KEY (origin, role, url, fetched_at)
);
CREATE INDEX IF NOT EXISTS captures_unfollowed ON optout.captures (error) WHERE error = '{REDIRECT_NOT_FOLLOWED}';
CREATE INDEX IF NOT EXISTS captures_digest ON optout.captures (digest);
CREATE TABLE IF NOT EXISTS optout.done (name text PRIMARY KEY);
CREATE UNLOGGED TABLE IF NOT EXISTS optout.leases (
  name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL
);
INSERT INTO optout.about VALUES ('format', '{FORMAT}') ON CONFLICT DO NOTHING;
"""  # noqa: S608 - constants of this module
_FIELDS = """
origin, role, url, fetched_at, status, error, captures.digest, coalesce(names_sites, false), headers::text,
redirects::text, truncated
"""
_JOINED = "optout.captures LEFT JOIN optout.bodies ON bodies.digest = captures.digest"
_ROWS = f"SELECT {_FIELDS} FROM {_JOINED} WHERE origin = $1 ORDER BY fetched_at, role, url"  # noqa: S608 - as above
_LATEST = f"""
SELECT DISTINCT ON (origin, role, url) {_FIELDS} FROM {_JOINED} WHERE origin = ANY($1)
ORDER BY origin, role, url, fetched_at DESC
"""  # noqa: S608
_UNFOLLOWED = f"SELECT {_FIELDS} FROM {_JOINED} WHERE error = $1"  # noqa: S608
_ORIGINS = """
SELECT DISTINCT origin FROM optout.captures WHERE origin > $1 ORDER BY origin LIMIT $2
"""
_INTACT = "SELECT digest FROM optout.bodies WHERE digest = ANY($1) AND sha256(data) = digest"
_PUT_BODY = """
INSERT INTO optout.bodies VALUES ($1, $2, $3) ON CONFLICT (digest) DO UPDATE SET data = excluded.data
"""
_PUT = """
INSERT INTO optout.captures VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (origin, role, url, fetched_at) DO UPDATE SET status = excluded.status, error = excluded.error,
digest = excluded.digest, headers = excluded.headers, redirects = excluded.redirects, truncated = excluded.truncated
"""
_LEASE = """
INSERT INTO optout.leases SELECT name, $2, clock_timestamp() + $3 FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until <= clock_timestamp() RETURNING name
"""
_RELEASE = """
DELETE FROM optout.leases WHERE holder = $2 AND name IN (
  SELECT name FROM optout.leases WHERE name = ANY($1) ORDER BY name FOR UPDATE
)
"""
_FORGET = "DELETE FROM optout.leases WHERE until < clock_timestamp() - interval '1 day'"


class PostgresBackend:
    """The store in one database; `open` makes one."""

    def __init__(self, address: str, name: str) -> None:
        """Prepare for a database; see `open`."""
        self._address = address
        self._name = name
        self._pool: Any = None
        self._loop = _new_loop()
        self._thread = Thread(target=self._loop.run_forever, name="optout-postgres", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, address: str, name: str, *, create: bool) -> Self:
        """Connect to a database.

        Args:
            address: a `postgresql:` URL.
            name: what to call it.
            create: make the tables where they are missing.

        Raises:
            StoreError: the server cannot be reached, or the database holds no store or one of another edition.
        """
        backend = cls(address, name)
        try:
            backend._connect(create=create)
        except BaseException:
            backend.close()
            raise
        return backend

    def _connect(self, *, create: bool) -> None:
        self._run(self._make_pool)
        if create:
            compare_clocks(self._name, self._fetch("SELECT clock_timestamp()")[0][0])
        there = "SELECT to_regclass('optout.about') IS NOT NULL"
        if not self._fetch(there)[0][0]:
            if not create:
                mend = f"fill one: optout harvest ORIGINS.txt --store {self._name}"
                raise StoreError(f"{self._name} holds no store", mend=mend)
            self._transact(_make_tables)
        if [tuple(row) for row in self._fetch("SELECT value FROM optout.about WHERE name = 'format'")] != [(FORMAT,)]:
            raise StoreError(f"{self._name} holds a store of another edition", mend="name another database")
        if create:
            self._execute(_FORGET)

    async def _make_pool(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._address,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_CONNECT_SECONDS,
            command_timeout=_QUERY_SECONDS,
            server_settings={"application_name": "optout"},
            reset=_leave_as_it_is,
        )

    @property
    def name(self) -> str:
        """The address without a password."""
        return self._name

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._pool is not None:
            asyncio.run_coroutine_threadsafe(_close(self._pool), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # Reading.

    def rows(self, origin: str) -> list[Row]:
        """Every capture of an origin, in order of time, then role, then URL."""
        return [_row(values) for values in self._fetch(_ROWS, origin)]

    def latest(self, origins: Sequence[str]) -> dict[str, list[Row]]:
        """The last capture of each file of origins."""
        found: dict[str, list[Row]] = {}
        for values in self._fetch(_LATEST, list(origins)):
            found.setdefault(values[0], []).append(_row(values))
        return found

    def bodies(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Bodies by digest."""
        query = "SELECT digest, data FROM optout.bodies WHERE digest = ANY($1)"
        return dict(map(tuple, self._fetch(query, list(digests)))) if digests else {}

    def origins(self) -> Iterator[str]:
        """Every origin, in order of the text."""
        after = ""
        while found := self._fetch(_ORIGINS, after, _AT_ONCE):
            yield from (text for (text,) in found)
            after = found[-1][0]

    def size(self) -> int:
        """How many origins there are."""
        return int(self._fetch("SELECT count(DISTINCT origin) FROM optout.captures")[0][0])

    def unfollowed(self) -> list[tuple[str, Row]]:
        """Every redirect of which only the redirect was captured."""
        return [(values[0], _row(values)) for values in self._fetch(_UNFOLLOWED, REDIRECT_NOT_FOLLOWED)]

    def is_marked(self, name: str) -> bool:
        """Whether a piece of work is done for good."""
        return bool(self._fetch("SELECT 1 FROM optout.done WHERE name = $1", name))

    # Writing.

    def write(self, entries: Iterable[Entry]) -> None:
        """Keep entries in one transaction; they are on the server's disk when this returns."""
        rows: dict[tuple[object, ...], tuple[object, ...]] = {}
        bodies: dict[bytes, tuple[bool, bytes]] = {}
        for entry in entries:
            values = _values(entry)
            rows[values[:4]] = values
            if entry.body is not None and entry.row.digest is not None:
                bodies[entry.row.digest] = entry.row.names_sites, entry.body

        async def put(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
            intact = {row[0] for row in await connection.fetch(_INTACT, list(bodies))}
            # In one order everywhere, so that two writers cannot wait for each other.
            missing = [(digest, *bodies[digest]) for digest in sorted(bodies.keys() - intact)]
            await connection.executemany(_PUT_BODY, missing)
            await connection.executemany(_PUT, [rows[key] for key in sorted(rows, key=repr)])

        self._transact(put)

    def mark(self, name: str) -> None:
        """Remember that a piece of work is done for good."""
        self._execute("INSERT INTO optout.done VALUES ($1) ON CONFLICT DO NOTHING", name)

    # Leases.

    def lease(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        """Take or keep leases, by the clock of the server."""
        return {name for (name,) in self._fetch(_LEASE, list(set(keys)), holder, timedelta(seconds=seconds))}

    def release(self, keys: Collection[str], holder: str) -> None:
        """End leases, if they are still the holder's."""
        self._execute(_RELEASE, list(keys), holder)

    # Asking the server.

    def _fetch(self, query: str, *values: object) -> list[Any]:
        async def ask() -> list[Any]:
            found: list[Any] = await self._pool.fetch(query, *values)
            return found

        return self._run(ask)

    def _execute(self, query: str, *values: object) -> None:
        async def ask() -> None:
            await self._pool.execute(query, *values)

        self._run(ask)

    def _transact(self, work: Callable[[Any], Awaitable[None]]) -> None:
        async def ask() -> None:
            async with self._pool.acquire() as connection, connection.transaction():
                await work(connection)

        self._run(ask)

    def _run(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Ask in the loop's thread, and again where a connection was lost; everything asked for may be done twice."""

        async def insist() -> Result:
            for attempt in range(1, _ATTEMPTS):
                try:
                    return await ask()
                except _AGAIN:
                    await asyncio.sleep(_PAUSE_SECONDS * attempt)
            return await ask()

        with self._faults():
            return asyncio.run_coroutine_threadsafe(insist(), self._loop).result()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the client says into an error that names the server."""
        try:
            yield
        except _AGAIN as fault:
            said = str(fault) or type(fault).__name__
            raise StoreUnreachable(f"store {self._name}: {said}", mend="start the server, or wait for it") from fault
        except (asyncpg.PostgresError, ValueError) as fault:
            raise StoreError(f"store {self._name}: {fault}", mend="mend the server, or name another store") from fault


def _new_loop() -> asyncio.AbstractEventLoop:
    """The loop of uvloop where that is installed, which spends half as much on a query."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _make_tables(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    # Two nodes that begin at the same time must not make the same table.
    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
    await connection.execute(_SCHEMA)


async def _leave_as_it_is(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    """Nothing that is asked here leaves anything behind, so a connection is not cleaned with a query of its own."""


async def _close(pool: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    try:
        await asyncio.wait_for(pool.close(), _CONNECT_SECONDS)
    except (*_LOST, asyncpg.PostgresError):
        pool.terminate()


def _row(values: Sequence[Any]) -> Row:
    _, role, url, fetched_at, status, error, digest, sites, headers, redirects, truncated = values
    return Row(role, url, microseconds(fetched_at), status, error, digest, sites, headers, redirects, truncated)


def _values(entry: Entry) -> tuple[object, ...]:
    row = entry.row
    named = (entry.origin, row.role, row.url, moment_of(row.at))
    return (*named, row.status, row.error, row.digest, row.headers, row.redirects, row.truncated)
