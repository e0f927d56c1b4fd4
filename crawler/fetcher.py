"""Fetching signal files through Scrapy's own downloader, so that its delays, proxies and resolver apply.

A signal request carries a ticket: an object that only this module makes, good for one URL and one fetch. The
checks let a request pass unasked by the ticket's identity, which no setting and no meta key can imitate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrapy import Request, signals
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    StopDownload,
    UnsupportedURLSchemeError,
)
from scrapy.http.request import NO_CALLBACK

from optout.acquisition import coding
from optout.acquisition.fetcher import redirect_target
from optout.errors import MalformedUrl
from optout.model import TOO_MANY_REDIRECTS, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response

    from optout.acquisition.fetcher import Limits
    from optout.acquisition.plan import Planned

_TICKET = "optout_ticket"
_PRIORITY = 1000
_CARRIED = ("proxy", "bindaddress")
_DECODED_MARGIN = 8
_CUT = "optout_cut"
_CUTS = frozenset({_CUT, "download_stopped"})

REFUSED_BY_PROJECT, REFUSED_BY_LIST = "refused-by-project", "refused-by-list"
"""Codes of fetches that were not made, because the project or a list of ours forbids them."""

_CODES: tuple[tuple[type[Exception], str], ...] = (
    (DownloadTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (DownloadConnectionRefusedError, "refused"),
    (CannotResolveHostError, "dns"),
    (UnsupportedURLSchemeError, "unsupported-scheme"),
    (ResponseDataLossError, "broken-body"),
    (DownloadCancelledError, "too-large"),
    (DownloadFailedError, "unreachable"),
    (IgnoreRequest, REFUSED_BY_PROJECT),
    (OSError, "unreachable"),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """The right of one request to go out undecided."""

    url: str


class SignalFetcher:
    """A `Fetcher` over `engine.download_async`.

    Redirects are followed here and not by Scrapy's middleware, because where a signal was redirected to is part of
    the evidence, and because the target of a redirect must not be decided on as a page.
    """

    def __init__(self, crawler: Crawler, limits: Limits) -> None:
        self._crawler = crawler
        self._limits = limits
        self._tickets: set[_Ticket] = set()
        self._received: dict[_Ticket, int] = {}

    def owns(self, request: Request) -> bool:
        """Whether this is a request of ours for a signal file, for the URL it was made for."""
        if not self._tickets:
            return False
        ticket = request.meta.get(_TICKET)
        return isinstance(ticket, _Ticket) and ticket in self._tickets and ticket.url == request.url

    async def fetch(
        self, planned: Planned, like: Request | None = None, forbids: Callable[[str], bool] = lambda _: False
    ) -> Exchange:
        """Fetch one signal; whatever goes wrong is in the exchange.

        Args:
            planned: what to fetch and as what.
            like: the page request that asks; its proxy and local address are used as well.
            forbids: whether nothing may be fetched from a URL. A redirect there is not followed, although crawlers
                should follow redirects to other authorities (RFC 9309 section 2.3.1.2): what we refuse to ask for is
                unreachable, and so never permission.
        """
        carried = {} if like is None else {key: like.meta[key] for key in _CARRIED if key in like.meta}
        redirects: list[str] = []
        url = planned.url
        while True:
            request = self._request(url, carried)
            try:
                if forbids(url):
                    return _failed(planned, redirects, request, REFUSED_BY_LIST)
                response = await self._send(request)
                target = _redirect_target(url, response)
            except MalformedUrl:
                return _failed(planned, redirects, request, "malformed-redirect")
            except Exception as fault:  # noqa: BLE001 - whatever a stranger's server causes is data
                return _failed(planned, redirects, request, _code(fault))
            if target is None:
                return self._exchange(planned, redirects, response)
            if len(redirects) >= self._limits.max_redirects:
                return _failed(planned, redirects, request, TOO_MANY_REDIRECTS)
            redirects.append(target)
            url = target

    def _request(self, url: str, carried: Mapping[str, object]) -> Request:
        request = Request(
            url,
            callback=NO_CALLBACK,
            priority=_PRIORITY,
            dont_filter=True,
            headers={"Accept-Encoding": "identity"},
            meta={
                **carried,
                "allow_offsite": True,
                "dont_cache": True,
                "dont_merge_cookies": True,
                "dont_redirect": True,
                "give_up_log_level": "DEBUG",
                "download_maxsize": self._limits.max_bytes * _DECODED_MARGIN,
                "download_timeout": self._limits.seconds,
            },
        )
        # Scrapy writes a URL in a form of its own; the ticket is for what will be asked.
        request.meta[_TICKET] = _Ticket(request.url)
        return request

    async def _send(self, request: Request) -> Response:
        ticket = request.meta[_TICKET]
        self._tickets.add(ticket)
        try:
            return await self._crawler.engine.download_async(request)
        finally:
            self._tickets.discard(ticket)
            self._stop_counting(ticket)

    def headers_received(self, headers: Headers, request: Request) -> None:
        """Begin to count the bytes of a signal that does not say, or says too high, how long it is.

        The counting signal costs something for every chunk of every page, so it is connected only while such a
        signal is under way.
        """
        length = headers.get("Content-Length")
        if length is not None and length.isdigit() and int(length) <= self._limits.max_bytes:
            return
        if not self._received:
            self._crawler.signals.connect(self._bytes_received, signal=signals.bytes_received)
        self._received[request.meta[_TICKET]] = 0

    def decoded(self, response: Response) -> Response:
        """The response without its content codings, before anybody else removes them, who may not miss the end.

        Raises:
            ResponseDataLossError: it cannot be decoded, or its end is missing.
        """
        try:
            return without_codings(response, self._limits.max_bytes)
        except coding.CodingError as fault:
            if response.status < 400:
                raise ResponseDataLossError(str(fault)) from fault
            # An error says what it says by its status.
            said = response.replace(body=b"", flags=[*response.flags, _CUT])
            del said.headers["Content-Encoding"]
            return said

    def _bytes_received(self, data: bytes, request: Request) -> None:
        ticket = request.meta.get(_TICKET)
        if not isinstance(ticket, _Ticket) or ticket not in self._received:
            return
        self._received[ticket] += len(data)
        if self._received[ticket] > self._limits.max_bytes:
            raise StopDownload(fail=False)

    def _stop_counting(self, ticket: _Ticket) -> None:
        if self._received.pop(ticket, None) is not None and not self._received:
            self._crawler.signals.disconnect(self._bytes_received, signal=signals.bytes_received)

    def _exchange(self, planned: Planned, redirects: list[str], response: Response) -> Exchange:
        body = response.body[: self._limits.max_bytes]
        request = response.request
        return Exchange(
            url=planned.url,
            role=planned.role,
            status=response.status,
            headers=pairs(response.headers),
            body=body,
            redirects=tuple(redirects),
            fetched_at=datetime.now(UTC),
            truncated=len(body) < len(response.body) or not _CUTS.isdisjoint(response.flags),
            request_headers=pairs(request.headers) if request is not None else (),
        )


def without_codings(response: Response, limit: int) -> Response:
    """A response without its content codings, its body cut at `limit` bytes, which a flag tells.

    Raises:
        CodingError: it cannot be decoded, or its end is missing.
    """
    names = coding.codings(pairs(response.headers))
    if not names:
        return response
    was_cut = not _CUTS.isdisjoint(response.flags)
    body, is_cut = coding.decoded(response.body, names, limit, is_cut=was_cut)
    plain = response.replace(body=body, flags=[*response.flags, _CUT] if is_cut else response.flags)
    for name in ("Content-Encoding", "Transfer-Encoding"):
        plain.headers.pop(name, None)
    return plain


def pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Scrapy's header fields as an exchange has them."""
    return tuple(
        (name.decode("ascii", "replace"), value.decode("utf-8", "surrogateescape"))
        for name, values in headers.items()
        for value in values
    )


def _redirect_target(url: str, response: Response) -> str | None:
    location = response.headers.get("Location")
    return redirect_target(
        url, response.status, None if location is None else location.decode("utf-8", "surrogateescape")
    )


def _failed(planned: Planned, redirects: list[str], request: Request, error: str) -> Exchange:
    return Exchange(
        url=planned.url,
        role=planned.role,
        redirects=tuple(redirects),
        error=error,
        fetched_at=datetime.now(UTC),
        request_headers=pairs(request.headers),
    )


def _code(fault: Exception) -> str:
    """The short code of a failure, for `Exchange.error`; every one of them means unreachable."""
    return next((code for kind, code in _CODES if isinstance(fault, kind)), "failed")
