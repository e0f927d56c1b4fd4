"""The store of dated origin states: what each origin's signal files were, and when.

What is kept stands in a `Backend`: a local file, or a server that several machines share. What it means is said here,
once for all of them. What was put is as durable as the backend is when `put` returns; see `optout.acquisition.captures`
for what is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Self

from optout.acquisition import redirects
from optout.acquisition.captures import (
    DAMAGED,
    KEPT_FIELDS,
    REDIRECT_NOT_FOLLOWED,
    Entry,
    Row,
    StoreError,
    entry_of,
    exchange_of,
    headers_of,
    meaningful,
    microseconds,
    moment_of,
    names_sites,
    redirects_of,
    url_of,
)
from optout.acquisition.recent import Recent
from optout.acquisition.store_file import FileBackend
from optout.engine import ROBOTS_ROLE
from optout.model import Exchange
from optout.syntax.robots_blocks import without_comments, without_sitemaps
from optout.syntax.robots_txt import DEFAULT_LIMIT
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from optout.acquisition.backend import Backend
    from optout.acquisition.captures import Headers

__all__ = ["DAMAGED", "KEPT_FIELDS", "REDIRECT_NOT_FOLLOWED", "Capture", "OriginState", "Store", "StoreError"]

VISIT_GAP = timedelta(minutes=15)
"""Captures of an origin that follow each other within this time are one visit, unless a file comes again."""

_NOTHING = sha256(b"").hexdigest()
_BODIES_KEPT = 256


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
        exchanges: the last capture of each file, robots.txt first, ready for `optout.engine.compile`. One whose body
            the store has lost has the error `DAMAGED`, which is unreachable and never permission.
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


class Store:
    """Dated states over a backend; `open` makes one over the file in a folder, `optout.acquisition.stores` any."""

    def __init__(self, backend: Backend) -> None:
        """Use a backend that is open already."""
        self.backend = backend
        self._bodies: Recent[bytes, bytes] = Recent(_BODIES_KEPT)

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> Self:
        """Open the store of a folder, for reading unless `create` is given.

        Args:
            directory: the folder.
            create: make the folder and the store where they are missing, and write.

        Raises:
            StoreError: there is no store, it was made by another edition, or the disk refuses.
        """
        return cls(FileBackend.open(directory, create=create))

    def close(self) -> None:
        """Close the store."""
        self.backend.close()

    def __enter__(self) -> Self:
        """Give the store itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def put(self, exchanges: Iterable[Exchange]) -> None:
        """Keep exchanges; they are there when this returns, all or none of them.

        A well-known file belongs to the origin of its URL. A document belongs to the origin whose files stand before
        it, because it speaks for whoever points to it, wherever it lies; without any, to its own. The same capture
        twice is kept once.

        Raises:
            StoreError: the disk or the server refuses.
            ValueError: an exchange is of a page, nobody knows when it was, or nothing was fetched.
            MalformedUrl: a URL names no origin.
        """
        self.backend.write(_entries(exchanges))

    def follow_redirects(self) -> int:
        """Follow the redirects of which only the redirect was captured; see `optout.acquisition.redirects`.

        Returns:
            how many were followed.
        """
        followed = []
        for origin, redirect in self.backend.unfollowed():
            found = redirects.followed(origin, redirect, self.backend.rows)
            body = None if found is None or found.digest is None else self._read({found.digest}).get(found.digest)
            # A target whose body is lost would stand there as an empty file.
            if found is not None and (found.digest is None or body is not None):
                followed.append(Entry(origin, found, body))
        if followed:
            self.backend.write(followed)
        return len(followed)

    def origins(self) -> Iterator[str]:
        """Every origin that anything is known about, as `Origin.text`, in order of the text."""
        return self.backend.origins()

    def history(self, origin: str) -> tuple[Capture, ...]:
        """Every capture of an origin, oldest first."""
        return tuple(_capture(origin, row) for row in self.backend.rows(origin))

    def latest(self, origins: Sequence[str]) -> dict[str, tuple[Capture, ...]]:
        """The last capture of each file of origins, in no order; bodies are not looked at."""
        found = self.backend.latest(origins)
        return {origin: tuple(_capture(origin, row) for row in found.get(origin, ())) for origin in origins}

    def newest(self, origin: str) -> tuple[Exchange, ...]:
        """What `state` gives for now, robots.txt first; empty where nothing is known. It asks for nothing older."""
        return self._exchanges(origin, _in_order(self.backend.latest([origin]).get(origin, ())))

    def state(self, origin: str, as_of: datetime | None) -> OriginState | None:
        """What an origin said at a time: the last capture of each file at or before it.

        Args:
            origin: as `Origin.text`.
            as_of: the time, with a time zone; None is the newest state.

        Returns:
            None where nothing was captured by then; `first_after` tells what was captured later.
        """
        rows = self.backend.rows(origin)
        if as_of is None:
            return self._state(origin, rows, ())
        moment = microseconds(as_of)
        earlier = [row for row in rows if row.at <= moment]
        return self._state(origin, earlier, rows[len(earlier) :])

    def first_after(self, origin: str, as_of: datetime) -> OriginState | None:
        """The state after the first visit that was made later than a time; None where there was none."""
        rows = self.backend.rows(origin)
        moment = microseconds(as_of)
        known = sum(row.at <= moment for row in rows)
        visit = next(_visits(rows[known:]), ())
        end = known + len(visit)
        return self._state(origin, rows[:end], rows[end:]) if visit else None

    def states(self, origin: str) -> tuple[OriginState, ...]:
        """The state after each visit, oldest first."""
        rows = self.backend.rows(origin)
        found, end = [], 0
        for visit in _visits(rows):
            end += len(visit)
            state = self._state(origin, rows[:end], rows[end:])
            found += [state] if state else []
        return tuple(found)

    def news(self, origin: str, known: Iterable[Row]) -> Iterator[Entry | Lost]:
        """What another store does not know of an origin, as it is kept.

        Args:
            origin: as `Origin.text`.
            known: what it knows. A redirect that it has followed since stays as it is.
        """
        there = {(*row.file, row.at): row for row in known}
        rows = [row for row in self.backend.rows(origin) if _is_news(row, there.get((*row.file, row.at)))]
        bodies = self._read({row.digest for row in rows if row.digest is not None})
        for row in rows:
            if row.error == DAMAGED or (row.digest is not None and row.digest not in bodies):
                yield Lost(url_of(origin, row), moment_of(row.at))
            else:
                yield Entry(origin, row, None if row.digest is None else bodies[row.digest])

    def _state(self, origin: str, rows: Sequence[Row], later: Sequence[Row]) -> OriginState | None:
        if not rows:
            return None
        current = _current(rows)
        exchanges = self._exchanges(origin, current)
        following = next(_visits(later), ())
        anonymous = [_anonymous(row, exchange.body) for row, exchange in zip(current, exchanges, strict=True)]
        key = _content_key(origin, anonymous)
        damaged = [exchange.role for exchange in exchanges if exchange.error == DAMAGED]
        return OriginState(
            exchanges=exchanges,
            captured_at=moment_of(max([row.at for row in current])),
            next_at=moment_of(later[0].at) if later else None,
            unchanged=bool(following)
            and _content_key(origin, current) == _content_key(origin, _current([*rows, *following])),
            content_key=f"{key}-{'-'.join(damaged)}" if damaged else key,
        )

    def _exchanges(self, origin: str, rows: Sequence[Row]) -> tuple[Exchange, ...]:
        bodies = self._read({row.digest for row in rows if row.digest is not None})
        return tuple(exchange_of(origin, row, b"" if row.digest is None else bodies.get(row.digest)) for row in rows)

    def _read(self, digests: set[bytes]) -> Mapping[bytes, bytes]:
        """The bodies of these digests that are there and are what their digests say."""
        known = {digest: body for digest in digests if (body := self._bodies.peek(digest)) is not None}
        if len(known) == len(digests):
            return known
        for digest, body in self.backend.bodies(digests - known.keys()).items():
            if sha256(body).digest() == digest:
                self._bodies.put(digest, body)
                known[digest] = body
        return known


class Lost(NamedTuple):
    """A capture that is gone, in part or wholly, or is not what its digest says."""

    url: str
    at: datetime


def _is_news(row: Row, known: Row | None) -> bool:
    return known != row and (known is None or row.error != REDIRECT_NOT_FOLLOWED)


def _entries(exchanges: Iterable[Exchange]) -> Iterator[Entry]:
    owner = ""
    for exchange in exchanges:
        if exchange.role.startswith("/") or not owner:
            owner = origin_of(exchange.url).text
        yield entry_of(owner, exchange)


def _capture(origin: str, row: Row) -> Capture:
    return Capture(
        row.role,
        url_of(origin, row),
        moment_of(row.at),
        row.status,
        row.error,
        _NOTHING if row.digest is None else row.digest.hex(),
        headers_of(row.headers),
        redirects_of(row),
        row.truncated,
    )


def _content_key(origin: str, rows: Sequence[Row]) -> str:
    """Digest of what the readers are given; hosts are left out where no file names any and no document is there."""
    bound = any(row.names_sites or not row.role.startswith("/") or row.url for row in rows)
    files = [
        (
            row.role,
            (row.url, row.redirects) if bound else "",
            row.status,
            row.error,
            row.digest,
            meaningful(row.headers),
            row.truncated,
        )
        for row in rows
    ]
    return sha256(repr((origin if bound else "", files)).encode()).hexdigest()


def _anonymous(row: Row, body: bytes) -> Row:
    """What a row comes to where nothing but sitemaps and comments of its robots.txt name sites, which mean nothing.

    A file that a limit may cut or that may be taken for a page counts as it stands, because its bytes are counted then.
    """
    if row.role != ROBOTS_ROLE or not row.names_sites or row.truncated or len(body) > DEFAULT_LIMIT:
        return row
    rest = without_sitemaps(body)
    if b"<" in rest or (names_sites(rest) and names_sites(without_comments(rest))):
        return row
    return row._replace(digest=sha256(rest).digest(), names_sites=False)


def _current(rows: Iterable[Row]) -> list[Row]:
    """The last capture of each file, robots.txt first; the rows are in order of time."""
    return _in_order({row.file: row for row in rows}.values())


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.role != ROBOTS_ROLE, row.role, row.url))


def _visits(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Captures that were made together, in order of time."""
    gap = VISIT_GAP // timedelta(microseconds=1)
    visit: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if visit and (row.file in seen or row.at - visit[-1].at > gap):
            yield visit
            visit, seen = [], set()
        visit.append(row)
        seen.add(row.file)
    if visit:
        yield visit
