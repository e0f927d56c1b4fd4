"""Fetching over the real network with aiohttp, within limits, from public addresses only.

Every hop of a redirect chain is resolved, checked and connected to by the same address, so that neither a
redirect nor a second DNS answer leads inside our own network. The socket itself is checked once more, because an
address can be written in a host in more ways than one reader knows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from optout.acquisition import coding
from optout.acquisition.fetcher import Limits, redirect_target
from optout.errors import MalformedUrl
from optout.model import RESOURCE, TOO_MANY_REDIRECTS, Exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohappyeyeballs import AddrInfoType

    from optout.acquisition.captures import Headers
    from optout.acquisition.plan import Planned
    from optout.identity import Identity

_CHUNK = 65_536
_ERROR_BYTES = 262_144
_LOOKUPS_KEPT = 4_096
_LOOKUP_SECONDS = 60.0
_IDLE_SECONDS = 1.0
_FIELD_BYTES = 65_536
"""Policies for scripts and bundles of cookies take fields beyond the library's 8 KB; browsers take 256 KB a head."""


class PrivateAddressError(OSError):
    """A host that resolves to an address which is not globally routable."""


_EVERYWHERE = ip_network("2000::/3")
_TRANSLATED = ip_network("64:ff9b::/96")
_NOWHERE = (
    ip_network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ip_network("192.88.99.0/24"),  # relays to 6to4, withdrawn (RFC 7526)
    ip_network("3fff::/20"),  # documentation (RFC 9637)
)


def is_public(address: str) -> bool:
    """Whether an address belongs to one machine of the public Internet.

    An IPv4 address inside an IPv6 one counts as itself (RFC 4291 section 2.5.5.2, RFC 6052, RFC 3056). Of the others
    only those are public that may be given out (2000::/3, RFC 4291 section 2.4): neither translations that a network
    makes for itself (RFC 8215), nor the forms of IPv4 addresses that are no longer used.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or _translated(found)
        if inner is not None:
            return is_public(str(inner))
        if found not in _EVERYWHERE:
            return False
    return found.is_global and not found.is_multicast and not any(found in network for network in _NOWHERE)


def _translated(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a translator at the well-known prefix would connect to (RFC 6052 section 2.1)."""
    return IPv4Address(address.packed[12:]) if address in _TRANSLATED else None


class Resolver(AbstractResolver):
    """The resolver that aiohttp would use, with a memory; it hands out public addresses only, unless told otherwise."""

    def __init__(self, *, allow_private: bool = False) -> None:
        """Wrap aiohttp's resolver; aiodns is behind it where that is installed."""
        self._inner = DefaultResolver()
        self._allow_private = allow_private
        self._known: OrderedDict[tuple[str, int], tuple[float, list[ResolveResult]]] = OrderedDict()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve, and refuse a host as soon as one of its addresses is private."""
        now = time.monotonic()
        seen_at, found = self._known.get((host, family), (0.0, []))
        if not found or now - seen_at > _LOOKUP_SECONDS:
            found = await self._looked_up(host, port, family)
            if not self._allow_private and any(not is_public(entry["host"]) for entry in found):
                raise PrivateAddressError(host)
            self._known[host, family] = (now, found)
            if len(self._known) > _LOOKUPS_KEPT:
                self._known.popitem(last=False)
        return [ResolveResult({**entry, "port": port}) for entry in found]

    async def _looked_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        try:
            return await self._inner.resolve(host, port, family)
        except OSError as error:
            # What is behind it says it in its own way, which is not told from an address that cannot be reached.
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: {error}") from error

    async def address(self, url: URL) -> str:
        """The address by which the host of a URL is known to its neighbours on the same machine."""
        host = url.raw_host or ""
        try:
            return str(ip_address(host))
        except ValueError:
            found = await self.resolve(host, url.port or 0, socket.AF_UNSPEC)
            return found[0]["host"]

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._inner.close()


@dataclass(slots=True)
class _Gate:
    semaphore: asyncio.Semaphore
    users: int = 0


@dataclass(frozen=True, slots=True)
class Slots:
    """At most so many at a time for each key; keys that nobody uses take no room."""

    each: int
    _gates: dict[str, _Gate] = field(default_factory=dict)

    async def enter(self, key: str, clock: asyncio.Timeout) -> None:
        """Wait for a slot of this key; the waiting is nobody's fault and is taken off the clock. `leave` frees it."""
        gate = self._gates.setdefault(key, _Gate(asyncio.Semaphore(self.each)))
        gate.users += 1
        if not gate.semaphore.locked():
            await gate.semaphore.acquire()
            return
        loop, deadline = asyncio.get_running_loop(), clock.when()
        begun = loop.time()
        clock.reschedule(None)
        try:
            await gate.semaphore.acquire()
        except BaseException:
            self._forget(key, gate)
            raise
        if deadline is not None:
            clock.reschedule(deadline + loop.time() - begun)

    def leave(self, key: str) -> None:
        """Free a slot of this key."""
        gate = self._gates[key]
        gate.semaphore.release()
        self._forget(key, gate)

    def _forget(self, key: str, gate: _Gate) -> None:
        gate.users -= 1
        if not gate.users:
            del self._gates[key]


class HttpFetcher:
    """A `Fetcher` over one aiohttp session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        identity: Identity,
        limits: Limits,
        resolver: Resolver | None = None,
        slots: Slots | None = None,
    ) -> None:
        """Fetch through `session` as `identity` within `limits`; `slots` bound what each address is asked at a time.

        The session must leave content codings as they are (`auto_decompress=False`).
        """
        self._session = session
        self._limits = limits
        self._resolver = resolver
        self._slots = slots
        self._headers = {"User-Agent": identity.header, "Accept": "*/*", "Accept-Encoding": coding.ACCEPTED}
        if identity.contact:
            self._headers["From"] = identity.contact

    async def fetch(self, planned: Planned) -> Exchange:
        """Fetch one resource; whatever goes wrong is in the exchange."""
        redirects: list[str] = []
        try:
            async with asyncio.timeout(self._limits.seconds) as clock:
                return await self._follow(planned, redirects, clock)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's server causes is data
            return self._failed(planned, redirects, _code(error))

    async def _follow(self, planned: Planned, redirects: list[str], clock: asyncio.Timeout) -> Exchange:
        url = planned.url
        while True:
            target = await self._hop(planned, url, redirects, clock)
            if isinstance(target, Exchange):
                return target
            if len(redirects) >= self._limits.max_redirects:
                return self._failed(planned, redirects, TOO_MANY_REDIRECTS)
            url = target
            redirects.append(url)

    async def _hop(self, planned: Planned, url: str, redirects: list[str], clock: asyncio.Timeout) -> Exchange | str:
        """Ask once: the exchange, or where to go on."""
        asked = URL(url)
        if not self._limits.allow_private and _is_private_literal(asked):
            raise PrivateAddressError(url)
        if self._slots is None or self._resolver is None:
            return await self._ask(planned, asked, redirects)
        address = await self._resolver.address(asked)
        await self._slots.enter(address, clock)
        try:
            return await self._ask(planned, asked, redirects)
        finally:
            self._slots.leave(address)

    async def _ask(self, planned: Planned, url: URL, redirects: list[str]) -> Exchange | str:
        async with self._session.get(url, allow_redirects=False, headers=self._headers) as response:
            location = None if planned.role == RESOURCE else response.headers.get("Location")
            target = redirect_target(str(url), response.status, location)
            return target or await self._exchange(planned, redirects, response)

    async def _exchange(self, planned: Planned, redirects: list[str], response: aiohttp.ClientResponse) -> Exchange:
        headers = tuple(
            (name.decode("ascii", "replace"), value.decode("utf-8", "surrogateescape"))
            for name, value in response.raw_headers
        )
        body, truncated = await self._body(response, headers)
        return Exchange(
            url=planned.url,
            role=planned.role,
            status=response.status,
            headers=headers,
            body=body,
            redirects=tuple(redirects),
            fetched_at=datetime.now(UTC),
            truncated=truncated,
            request_headers=tuple(response.request_info.headers.items()),
        )

    async def _body(self, response: aiohttp.ClientResponse, headers: Headers) -> tuple[bytes, bool]:
        """The body, cut at the limit. Of an error's page only as much is read as may keep the connection in use."""
        limit = self._limits.max_bytes if response.ok else min(self._limits.max_bytes, _ERROR_BYTES)
        body, is_cut = await _received(response, limit)
        names = coding.codings(headers)
        if not names:
            return body, is_cut
        try:
            return coding.decoded(body, names, limit, is_cut=is_cut)
        except coding.CodingError:
            if response.ok:
                raise
            # An error says what it says by its status.
            return b"", True

    def _failed(self, planned: Planned, redirects: list[str], error: str) -> Exchange:
        return Exchange(
            url=planned.url,
            role=planned.role,
            redirects=tuple(redirects),
            error=error,
            fetched_at=datetime.now(UTC),
            request_headers=tuple(self._headers.items()),
        )


async def _received(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """What comes of a body, up to a limit, and whether there was more."""
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        size += len(chunk)
        if size > limit:
            parts.append(chunk[: len(chunk) - (size - limit)])
            _hang_up(response)
            return b"".join(parts), True
        parts.append(chunk)
    return b"".join(parts), False


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End a connection at once; a polite farewell would take in what we did not want."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _is_private_literal(url: URL) -> bool:
    """Whether the host is an address literal that no resolver will be asked about."""
    try:
        return not is_public(url.raw_host or "")
    except ValueError:
        return False


def _public_socket(info: AddrInfoType) -> socket.socket:
    """A socket for a connection, made only where that leads to a public address."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise PrivateAddressError(address[0])
    return socket.socket(family, kind, protocol)


def _code(error: BaseException) -> str:
    """The short code of a failure, for `Exchange.error`."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 8:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for kind, code in _CODES:
        if any(isinstance(found, kind) for found in causes):
            return code
    return "failed"


_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (PrivateAddressError, "private-address"),
    (MalformedUrl, "malformed-redirect"),
    (coding.CodingError, "broken-body"),
    (aiohttp.InvalidURL, "malformed-url"),
    (ssl.SSLError, "tls"),
    (aiohttp.ClientSSLError, "tls"),
    (socket.gaierror, "dns"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "broken-body"),
    (aiohttp.ClientResponseError, "malformed-response"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (OSError, "unreachable"),
)


@asynccontextmanager
async def open_fetcher(identity: Identity, limits: Limits, slots: Slots | None = None) -> AsyncIterator[HttpFetcher]:
    """A fetcher whose session is closed at the end; no cookies are kept and no environment proxy is used.

    Args:
        identity: who asks.
        limits: what one fetch may cost.
        slots: how many requests one address answers at a time; None for no such bound.
    """
    resolver = Resolver(allow_private=limits.allow_private)
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        limit=0,
        keepalive_timeout=_IDLE_SECONDS,
        socket_factory=None if limits.allow_private else _public_socket,
    )
    # The whole fetch is timed by the fetcher; the session must not time parts of it in other ways.
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        max_field_size=_FIELD_BYTES,
    )
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(_overlook_connections)
    try:
        async with session:
            yield HttpFetcher(session, identity, limits, resolver, slots)
    finally:
        loop.set_exception_handler(handler)
        await resolver.close()


def _overlook_connections(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of a connection that broke after we had left it; anything else is told as ever."""
    if "transport" not in context and "protocol" not in context:
        loop.default_exception_handler(context)
