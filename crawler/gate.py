"""The gate around every download handler: the last place before the network, where no request goes round.

Middlewares are a matter of settings and order; whatever they, an extension or a spider hand to the downloader ends
at a download handler. The gate stands there and lets out what has a pass.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scrapy.exceptions import NotConfigured, StopDownload
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.misc import build_from_crawler, load_object

from crawler.guard import guard_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy import Request
    from scrapy.core.downloader.handlers import DownloadHandlerProtocol
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from crawler.guard import Guard

    Handler = str | Callable[..., DownloadHandlerProtocol]


class _LikeTheHandler:
    """Whether a gate may be made late: as the project's own handler says, which perhaps waits for the engine to start.

    It is asked when Scrapy asks, because a handler's module may import the reactor, which is chosen after the add-ons.
    """

    def __get__(self, gate: Gate | None, kind: type[Gate]) -> bool:
        return kind.handler is None or bool(getattr(load_object(kind.handler), "lazy", True))


class Gate:
    """A download handler that asks the guard and then another handler; `make` gives the class for one scheme."""

    lazy: bool = _LikeTheHandler()  # type: ignore[assignment]
    scheme: ClassVar[str]
    handler: ClassVar[Handler | None]

    def __init__(self, guard: Guard, inner: DownloadHandlerProtocol, crawler: Crawler) -> None:
        self._guard = guard
        self._crawler = crawler
        # Scrapy itself still calls handlers of the old form, which give a Deferred and want the spider.
        self._inner: Any = inner
        self._is_old = not inspect.iscoroutinefunction(inner.download_request)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the gate and the handler behind it.

        Raises:
            NotConfigured: the project has no handler for the scheme.
        """
        # Without a reactor Scrapy chooses other standard handlers after the add-ons have spoken.
        handler: Handler | None = cls.handler or crawler.settings["DOWNLOAD_HANDLERS_BASE"].get(cls.scheme)
        if handler is None:
            raise NotConfigured(f"no download handler for {cls.scheme}")
        factory: Callable[..., DownloadHandlerProtocol] = load_object(handler)
        return cls(guard_of(crawler), build_from_crawler(factory, crawler), crawler)

    async def download_request(self, request: Request) -> Response:
        """Download what has a pass.

        Raises:
            IgnoreRequest: the request has none, or the download was stopped because the headers reserve the page.
        """
        self._guard.check(request)
        try:
            response = self._guard.received(request, await self._ask(request))
        except StopDownload as stop:
            # The exception would hand what has arrived of a denied page to the spider's errback.
            if stop.response is None or not self._guard.was_stopped(request):
                raise
            response = self._guard.conclude(request, stop.response)
        except Exception as fault:
            self._guard.failed(request, fault)
            raise
        self._guard.passed(request, response)
        return response

    def _ask(self, request: Request) -> Awaitable[Response]:
        if self._is_old:
            return ensure_awaitable(self._inner.download_request(request, self._crawler.spider))
        answer: Awaitable[Response] = self._inner.download_request(request)
        return answer

    async def close(self) -> None:
        """Close the handler behind the gate, if it can be closed."""
        if hasattr(self._inner, "close"):
            await ensure_awaitable(self._inner.close())


def make(scheme: str, handler: Handler | None) -> type[Gate]:
    """The gate's class for one scheme; `handler` is the project's own choice, None for Scrapy's."""
    return type(f"Gate_{scheme}", (Gate,), {"scheme": scheme, "handler": handler})


def is_gate(handler: object) -> bool:
    """Whether a download handler is a gate."""
    return isinstance(handler, type) and issubclass(handler, Gate)
