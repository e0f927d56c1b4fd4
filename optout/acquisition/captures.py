"""A capture as every kind of store keeps it: one row, and the body apart, under its SHA-256.

Three things are left out, because nothing reads them: bodies of answers other than 2xx, header fields that are not in
`KEPT_FIELDS` (they differ with every answer), and what was sent.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from optout.errors import OptoutError
from optout.model import ASSET, RESOURCE, Availability, Exchange
from optout.signals import PROTOCOLS

Headers = tuple[tuple[str, str], ...]

REDIRECT_NOT_FOLLOWED = "redirect-not-followed"
"""The `Exchange.error` of a redirect of which only the redirect was captured; it counts as unreachable."""

NOT_ASKED = "not-asked"
"""The `Exchange.error` of a file for which a visit that ended early did not ask; it counts as unreachable."""

DAMAGED = "damaged-in-store"
"""The `Exchange.error` of a capture whose body is gone or is not what its SHA-256 says; it counts as unreachable."""

MEANINGFUL_FIELDS = frozenset({"content-type", "content-encoding", "content-range", "location", "retry-after"}).union(
    *(protocol.header_fields for protocol in PROTOCOLS.values())
)
"""Lower-case names of the header fields that can make a difference to a reading."""

KEPT_FIELDS = MEANINGFUL_FIELDS | {"content-language", "etag", "last-modified"}
"""Lower-case names of the header fields that are kept: those, and what describes the file."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PAGES = frozenset({RESOURCE, ASSET})


class StoreError(OptoutError):
    """A store that cannot be opened, read or written; names the folder or the server."""


class StoreUnreachable(StoreError):
    """A store on a server that does not answer, or not now."""


LARGEST_SKEW = timedelta(minutes=5)


def compare_clocks(name: str, theirs: datetime) -> None:
    """Make sure that what is written here is dated as everybody else dates it.

    Args:
        name: of the server.
        theirs: what its clock says now.

    Raises:
        StoreError: our clock is wrong, or the server's is: captures from the future would hide what comes after them.
    """
    skew = datetime.now(UTC) - theirs
    if abs(skew) > LARGEST_SKEW:
        said = f"the clocks of this machine and of {name} are {abs(skew).total_seconds():,.0f} seconds apart"
        raise StoreError(said, mend="set them right, with NTP for instance")


class Row(NamedTuple):
    """One capture of one signal file.

    Attributes:
        role: the well-known path, or the role of a document.
        url: what was asked for, in the form of `written`; empty for the origin's own file of that role.
        at: when, in microseconds since 1970.
        status: of the final response; None when none arrived.
        error: a short code where no response counts.
        digest: SHA-256 of the body that is kept; None where none is.
        names_sites: whether that body may name a site, so that it could mean something else elsewhere.
        headers: the kept header fields as JSON, in the form of `kept`.
        redirects: every URL that was redirected to, as JSON; None for none.
        truncated: whether the body was cut at a limit.
    """

    role: str
    url: str
    at: int
    status: int | None
    error: str | None
    digest: bytes | None
    names_sites: bool
    headers: str
    redirects: str | None
    truncated: bool

    @property
    def file(self) -> tuple[str, str]:
        """What the row is a capture of, within its origin."""
        return self.role, self.url


class Entry(NamedTuple):
    """What is written: whose capture it is, the capture, and the body that its digest names; None for none."""

    origin: str
    row: Row
    body: bytes | None


def entry_of(owner: str, exchange: Exchange) -> Entry:
    """An exchange as it is kept.

    Raises:
        ValueError: it is of a page, nobody knows when it was, or nothing was fetched.
    """
    if exchange.role in _PAGES:
        raise ValueError(f"{exchange.url} is a page; the store keeps the signals of origins")
    if exchange.fetched_at is None or exchange.availability is Availability.NOT_CONSULTED:
        raise ValueError(f"{exchange.url} was not fetched, or nobody knows when")
    body = exchange.body if exchange.body and exchange.availability is Availability.RETRIEVED else None
    row = Row(
        role=exchange.role,
        url="" if exchange.url == owner + exchange.role else written(exchange.url),
        at=microseconds(exchange.fetched_at),
        status=exchange.status,
        error=REDIRECT_NOT_FOLLOWED if _is_unfollowed(exchange) else exchange.error,
        digest=None if body is None else sha256(body).digest(),
        names_sites=body is not None and names_sites(body),
        headers=kept(exchange.headers),
        redirects=json.dumps(exchange.redirects) if exchange.redirects else None,
        truncated=exchange.truncated,
    )
    return Entry(owner, row, body)


def exchange_of(origin: str, row: Row, body: bytes | None) -> Exchange:
    """The exchange that a row was made from, as far as it was kept; `body` is None where it is lost."""
    return Exchange(
        url=url_of(origin, row),
        role=row.role,
        status=row.status,
        headers=headers_of(row.headers),
        body=body or b"",
        redirects=redirects_of(row),
        error=DAMAGED if body is None else row.error,
        fetched_at=moment_of(row.at),
        truncated=row.truncated,
    )


def url_of(origin: str, row: Row) -> str:
    """What was asked for."""
    return as_written(row.url) if row.url else origin + row.role


@lru_cache(maxsize=16_384)
def headers_of(text: str) -> Headers:
    """The header fields of a row; most origins answer alike."""
    return tuple((name, value) for name, value in json.loads(text))


@lru_cache(maxsize=16_384)
def meaningful(text: str) -> Headers:
    """Those header fields of a row that can make a difference to a reading."""
    return tuple((name, value) for name, value in headers_of(text) if name.lower() in MEANINGFUL_FIELDS)


def redirects_of(row: Row) -> tuple[str, ...]:
    """Every URL that was redirected to."""
    return tuple(json.loads(row.redirects)) if row.redirects else ()


def microseconds(moment: datetime) -> int:
    """A time as it stands in a row.

    Raises:
        ValueError: the time has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=64)
def moment_of(count: int) -> datetime:
    """A time in UTC from a row."""
    return _EPOCH + count * _MICROSECOND


def written(text: str) -> str:
    """A URL as it stands in a row, which holds no lone surrogates and no zero characters."""
    return json.dumps(text)[1:-1]


def as_written(text: str) -> str:
    """A URL from a row."""
    return str(json.loads(f'"{text}"'))


def kept(headers: Headers) -> str:
    """The header fields that are kept, as one text."""
    fields = [(name, value) for name, value in headers if name.lower() in KEPT_FIELDS]
    return json.dumps(fields, separators=(",", ":"))


def names_sites(body: bytes) -> bool:
    """Whether a file may name a site, so that it could mean something else elsewhere.

    A site is named by a URL, which has two slashes in a row, or hides them behind escapes or a wide encoding. Line
    breaks and tabs inside a URL do not count, because readers of URLs drop them.
    """
    text = body.translate(None, b"\t\r\n")
    return any(mark in text for mark in (b"//", b"\\", b"\0"))


def _is_unfollowed(exchange: Exchange) -> bool:
    """Whether all that was seen is a redirect to somewhere else."""
    named = any(name.lower() == "location" and value for name, value in exchange.headers)
    return exchange.error is None and exchange.status in _REDIRECTS and named
