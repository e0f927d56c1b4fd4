"""The doors between engine, downloader and spider, as Scrapy's components; `crawler.guard` decides."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from scrapy import Request

from crawler import misfits
from crawler.guard import guard_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from crawler.guard import Guard

logger = logging.getLogger(__name__)


class _Component:
    def __init__(self, guard: Guard, crawler: Crawler) -> None:
        self._guard = guard
        self._stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the component for a crawl that the add-on guards."""
        return cls(guard_of(crawler), crawler)


class Entrance(_Component):
    """Downloader middleware in the place of Scrapy's robots middleware: nothing passes before a decision."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the entrance, when all add-ons have spoken, and warn about settings that would defeat it."""
        misfits.warn(crawler.settings)
        return super().from_crawler(crawler)

    async def process_request(self, request: Request) -> None:
        """Let a request on, or drop it.

        Raises:
            IgnoreRequest: it may not be sent.
        """
        if request.meta.get("dont_obey_robotstxt"):
            self._refuse_exemption(request)
        if not self._guard.is_exempt(request):
            await self._guard.admit(request)

    def _refuse_exemption(self, request: Request) -> None:
        self._stats.inc_value("optout/refused/dont_obey_robotstxt")
        logger.warning("dont_obey_robotstxt is refused for %s: it is decided on like any other request", request)


class Inspection(_Component):
    """Downloader middleware behind decompression and before everything that acts on a page."""

    async def process_response(self, request: Request, response: Response) -> Response:
        """Let a response on, or drop it.

        Raises:
            IgnoreRequest: it may not be used.
        """
        return response if self._guard.is_exempt(request) else await self._guard.inspect(request, response)


class SpiderDoor(_Component):
    """Spider middleware next to the engine: the last look at a response, and at what comes out of it."""

    def process_spider_input(self, response: Response) -> None:
        """Let only responses to the spider that were decided on.

        Raises:
            IgnoreRequest: this one was not, or is denied.
        """
        self._guard.readmit(response)

    async def process_spider_output(self, response: Response, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Let items out once the decisions that they rest on are on the disk; requests need not wait."""
        waited = False
        async for output in result:
            if not waited and not isinstance(output, Request):
                if not await self._guard.durable():
                    return
                waited = True
            yield output
