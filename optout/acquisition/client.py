"""Fetching over the real network with aiohttp, within limits, from public addresses only.

Every hop of a redirect chain is resolved, checked and connected to by the same address, so that neither a
redirect nor a second DNS answer leads inside our own network.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from optout.acquisition.fetcher import Limits
from optout.model import TOO_MANY_REDIRECTS, Exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from optout.acquisition.plan import Planned
    from optout.identity import Identity

_CHUNK = 65_536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class PrivateAddressError(OSError):
    """A host that resolves to an address which is not globally routable."""


class PublicResolver(AbstractResolver):
    """A resolver that hands out globally routable addresses only."""

    def __init__(self) -> None:
        """Wrap the resolver that aiohttp would use."""
        self._inner = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve, and refuse a host as soon as one of its addresses is private."""
        found = await self._inner.resolve(host, port, family)
        if any(not ip_address(entry["host"]).is_global for entry in found):
            raise PrivateAddressError(host)
        return found

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._inner.close()


class HttpFetcher:
    """A `Fetcher` over one aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession, identity: Identity, limits: Limits) -> None:
        """Fetch through `session` as `identity` within `limits`."""
        self._session = session
        self._limits = limits
        self._headers = {"User-Agent": identity.header, "Accept": "*/*"}
        if identity.contact:
            self._headers["From"] = identity.contact

    async def fetch(self, planned: Planned) -> Exchange:
        """Fetch one resource; whatever goes wrong is in the exchange."""
        redirects: list[str] = []
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._follow(planned, redirects)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's server causes is data
            return self._failed(planned, redirects, _code(error))

    async def _follow(self, planned: Planned, redirects: list[str]) -> Exchange:
        url = planned.url
        while True:
            if not self._limits.allow_private and _is_private_literal(url):
                raise PrivateAddressError(url)
            async with self._session.get(url, allow_redirects=False, headers=self._headers) as response:
                target = response.headers.get("Location")
                if response.status not in _REDIRECTS or not target:
                    return await self._exchange(planned, redirects, response)
            if len(redirects) >= self._limits.max_redirects:
                return self._failed(planned, redirects, TOO_MANY_REDIRECTS)
            url = urljoin(url, target)
            redirects.append(url)

    async def _exchange(self, planned: Planned, redirects: list[str], response: aiohttp.ClientResponse) -> Exchange:
        body, truncated = await self._body(response)
        return Exchange(
            url=planned.url,
            role=planned.role,
            status=response.status,
            headers=tuple(
                (name.decode("ascii", "replace"), value.decode("utf-8", "surrogateescape"))
                for name, value in response.raw_headers
            ),
            body=body,
            redirects=tuple(redirects),
            fetched_at=datetime.now(UTC),
            truncated=truncated,
            request_headers=tuple(response.request_info.headers.items()),
        )

    async def _body(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        parts, size = [], 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > self._limits.max_bytes:
                parts.append(chunk[: len(chunk) - (size - self._limits.max_bytes)])
                return b"".join(parts), True
            parts.append(chunk)
        return b"".join(parts), False

    def _failed(self, planned: Planned, redirects: list[str], error: str) -> Exchange:
        return Exchange(
            url=planned.url,
            role=planned.role,
            redirects=tuple(redirects),
            error=error,
            fetched_at=datetime.now(UTC),
            request_headers=tuple(self._headers.items()),
        )


def _is_private_literal(url: str) -> bool:
    """Whether the host is an address literal that no resolver will be asked about."""
    try:
        return not ip_address((urlsplit(url).hostname or "").strip("[]")).is_global
    except ValueError:
        return False


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
    (aiohttp.InvalidURL, "malformed-url"),
    (ssl.SSLError, "tls"),
    (aiohttp.ClientSSLError, "tls"),
    (socket.gaierror, "dns"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "broken-body"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (OSError, "unreachable"),
)


@asynccontextmanager
async def open_fetcher(identity: Identity, limits: Limits) -> AsyncIterator[HttpFetcher]:
    """A fetcher whose session is closed at the end; no cookies are kept and no environment proxy is used."""
    resolver = None if limits.allow_private else PublicResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=limits.seconds)
    ) as session:
        yield HttpFetcher(session, identity, limits)
