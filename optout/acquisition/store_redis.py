"""A store in Redis or Valkey (the same protocol), for machines that work together.

Keys begin with `optout:`. `captures:ORIGIN` is a hash of every capture, `latest:ORIGIN` one of the last capture of each
file, `body:SHA256` a body, `lease:KEY` a lease. Each row carries a digest of itself and of its origin, each body is
named by its own, so that what the server has lost or mangled is noticed. Which capture is the last one is decided by
the server, in the script that writes it, by the time of the fetch.

It is as durable as the server is configured to be; `docs/how-to/shared-store.md` says how.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import redis
import zstandard
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from optout.acquisition.backend import FORMAT
from optout.acquisition.captures import (
    DAMAGED,
    REDIRECT_NOT_FOLLOWED,
    Entry,
    Row,
    StoreError,
    StoreUnreachable,
    compare_clocks,
    moment_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

_PREFIX = "optout:"
_FORMAT_KEY = f"{_PREFIX}format"
_ORIGINS = f"{_PREFIX}origins"
_UNFOLLOWED = f"{_PREFIX}unfollowed"
_DONE = f"{_PREFIX}done"
_SECONDS = 5.0
_CONNECT_SECONDS = 3.0
_RETRIES = 2
_LEVEL = 6
_LARGEST_BODY = 1 << 28
_AT_ONCE = 10_000

_PUT = """
for i = 2, #ARGV, 4 do
  local field, file, at, row = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  redis.call('HSET', KEYS[1], field, row)
  local last = redis.call('HGET', KEYS[2], file)
  if not last or tonumber(string.match(last, '^%-?%d+') or '') == nil
      or tonumber(string.match(last, '^%-?%d+')) <= tonumber(at) then
    redis.call('HSET', KEYS[2], file, at .. ' ' .. row)
  end
end
return redis.call('ZADD', KEYS[3], 0, ARGV[1])
"""
# SET with NX and PX, for a holder who has it already as well.
_LEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisBackend:
    """The store in one database of a server; `open` makes one."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        """Use a client that is connected already; see `open`."""
        # Its types cannot tell bytes, which it gives here, from text.
        self._client: Any = client
        self._name = name

    @classmethod
    def open(cls, address: str, name: str, *, create: bool) -> Self:
        """Connect to a server.

        Args:
            address: a `redis:`, `rediss:` or `unix:` URL.
            name: what to call it.
            create: make a store where there is none.

        Raises:
            StoreError: the server cannot be reached or holds no store, or one of another edition.
        """
        retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
        try:
            client: Any = redis.Redis.from_url(
                address, retry=retry, socket_timeout=_SECONDS, socket_connect_timeout=_CONNECT_SECONDS
            )
        except ValueError as fault:
            raise StoreError(f"store {name}: {fault}", mend="write redis://HOST:PORT/DATABASE") from fault
        backend = cls(client, name)
        with backend._faults():
            if create:
                compare_clocks(name, _moment(*client.time()))
                client.set(_FORMAT_KEY, FORMAT, nx=True)
            found = client.get(_FORMAT_KEY)
        if found is None:
            raise StoreError(f"{name} holds no store", mend=f"fill one: optout harvest ORIGINS.txt --store {name}")
        if found != FORMAT.encode():
            raise StoreError(f"{name} holds a store of another edition", mend="name another database")
        return backend

    @property
    def name(self) -> str:
        """The address without a password."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # Reading.

    def rows(self, origin: str) -> list[Row]:
        """Every capture of an origin, in order of time, then role, then URL."""
        with self._faults():
            found = self._client.hgetall(f"{_PREFIX}captures:{origin}")
            rows = [_row(origin, json.loads(field), row) for field, row in found.items()]
        return sorted(rows, key=lambda row: (row.at, row.role, row.url))

    def latest(self, origins: Sequence[str]) -> dict[str, list[Row]]:
        """The last capture of each file of origins."""
        with self._faults():
            pipeline = self._client.pipeline(transaction=False)
            for origin in origins:
                pipeline.hgetall(f"{_PREFIX}latest:{origin}")
            found: list[dict[bytes, bytes]] = pipeline.execute()
            return {
                origin: [_last(origin, *item) for item in files.items()]
                for origin, files in zip(origins, found, strict=True)
            }

    def bodies(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Bodies by digest."""
        keys = list(digests)
        if not keys:
            return {}
        with self._faults():
            found = self._client.mget([_body_key(digest) for digest in keys])
        return {digest: _expanded(data) for digest, data in zip(keys, found, strict=True) if data is not None}

    def origins(self) -> Iterator[str]:
        """Every origin, in order of the text."""
        after = "-"
        while True:
            with self._faults():
                found = self._client.zrangebylex(_ORIGINS, after, "+", start=0, num=_AT_ONCE)
            yield from (text.decode() for text in found)
            if len(found) < _AT_ONCE:
                return
            after = f"({found[-1].decode()}"

    def size(self) -> int:
        """How many origins there are."""
        with self._faults():
            return int(self._client.zcard(_ORIGINS))

    def unfollowed(self) -> list[tuple[str, Row]]:
        """Every redirect of which only the redirect was captured."""
        found = []
        with self._faults():
            for member in self._client.smembers(_UNFOLLOWED):
                origin, *field = json.loads(member)
                row = self._client.hget(f"{_PREFIX}captures:{origin}", json.dumps(field))
                if row is not None:
                    found.append((origin, _row(origin, field, row)))
        return [(origin, row) for origin, row in found if row.error == REDIRECT_NOT_FOLLOWED]

    def is_marked(self, name: str) -> bool:
        """Whether a piece of work is done for good."""
        with self._faults():
            return bool(self._client.sismember(_DONE, name))

    # Writing.

    def write(self, entries: Iterable[Entry]) -> None:
        """Keep entries in one transaction of the server."""
        rows: dict[str, list[Row]] = {}
        pipeline = self._client.pipeline(transaction=True)
        for entry in entries:
            rows.setdefault(entry.origin, []).append(entry.row)
            if entry.body is not None and entry.row.digest is not None:
                pipeline.set(_body_key(entry.row.digest), zstandard.compress(entry.body, _LEVEL))
        for origin, found in rows.items():
            self._put(pipeline, origin, found)
        with self._faults():
            pipeline.execute()

    def _put(self, pipeline: redis.client.Pipeline, origin: str, rows: list[Row]) -> None:
        arguments = [origin]
        for row in rows:
            field = json.dumps([row.role, row.url, row.at])
            arguments += [field, json.dumps(row.file), str(row.at), _sealed(origin, row)]
            member = json.dumps([origin, row.role, row.url, row.at])
            if row.error == REDIRECT_NOT_FOLLOWED:
                pipeline.sadd(_UNFOLLOWED, member)
            else:
                pipeline.srem(_UNFOLLOWED, member)
        keys = (f"{_PREFIX}captures:{origin}", f"{_PREFIX}latest:{origin}", _ORIGINS)
        pipeline.eval(_PUT, len(keys), *keys, *arguments)

    def mark(self, name: str) -> None:
        """Remember that a piece of work is done for good."""
        with self._faults():
            self._client.sadd(_DONE, name)

    # Leases.

    def lease(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        """Take or keep leases, by the clock of the server."""
        wanted = list(keys)
        milliseconds = str(max(int(seconds * 1000), 1))
        given = self._each(_LEASE, wanted, holder, milliseconds)
        return {key for key, is_ours in zip(wanted, given, strict=True) if is_ours}

    def release(self, keys: Collection[str], holder: str) -> None:
        """End leases, if they are still the holder's."""
        self._each(_RELEASE, keys, holder)

    def _each(self, script: str, keys: Collection[str], *arguments: str) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.eval(script, 1, f"{_PREFIX}lease:{key}", *arguments)
        with self._faults():
            found: list[Any] = pipeline.execute()
        return found

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the client says into an error that names the server."""
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError, OSError) as fault:
            raise StoreUnreachable(f"store {self._name}: {fault}", mend="start the server, or wait for it") from fault
        except (redis.RedisError, ValueError) as fault:
            raise StoreError(f"store {self._name}: {fault}", mend="mend the server, or name another store") from fault


def _moment(seconds: int, microseconds: int) -> datetime:
    return moment_of(seconds * 1_000_000 + microseconds)


def _body_key(digest: bytes) -> str:
    return f"{_PREFIX}body:{digest.hex()}"


def _expanded(data: bytes) -> bytes:
    """A body; whatever is no body of ours is given as it stands, and its digest will tell."""
    try:
        return zstandard.decompress(data, _LARGEST_BODY)
    except zstandard.ZstdError:
        return data


def _sealed(origin: str, row: Row) -> str:
    """A row as it stands on the server: a digest of what follows and of whose it is, then its fields as JSON."""
    text = json.dumps([*row[:5], None if row.digest is None else row.digest.hex(), *row[6:]])
    return f"{_seal(origin, text)} {text}"


def _seal(origin: str, text: str) -> str:
    return sha256(f"{origin} {text}".encode()).hexdigest()


def _row(origin: str, field: Sequence[Any], sealed: bytes) -> Row:
    """A row; one that is not what its digest says is a failed capture, so that nothing older counts in its place."""
    role, url, at = field
    seal, _, text = sealed.decode("utf-8", "replace").partition(" ")
    if seal == _seal(origin, text):
        *begin, digest, sites, headers, redirects, truncated = json.loads(text)
        status, error = begin[3:]
        if begin[:3] == [role, url, at]:
            body = None if digest is None else bytes.fromhex(digest)
            return Row(role, url, at, status, error, body, sites, headers, redirects, truncated)
    return Row(role, url, at, None, DAMAGED, None, names_sites=False, headers="[]", redirects=None, truncated=False)


def _last(origin: str, file: bytes, value: bytes) -> Row:
    at, _, sealed = value.partition(b" ")
    return _row(origin, (*json.loads(file), int(at)), sealed)
