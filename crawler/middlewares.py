"""The doors between engine, downloader and spider, as Scrapy's components; `crawler.guard` decides."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from scrapy.exceptions import DropItem, IgnoreRequest

from crawler import misfits
from crawler.guard import guard_of
from optout.errors import EvidenceError
from optout.urls import without_dot_segments

if TYPE_CHECKING:
    from scrapy import Request
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

    async def process_request(self, request: Request) -> Request | None:
        """Let a request on, drop it, or give it back with its dot segments walked, which download handlers may do.

        Raises:
            IgnoreRequest: it may not be sent.
        """
        if request.meta.get("dont_obey_robotstxt"):
            self._refuse_exemption(request)
        if self._guard.is_exempt(request):
            return None
        asked = without_dot_segments(request.url)
        if asked != request.url:
            return request.replace(url=asked)
        await self._guard.admit(request)
        return None

    def _refuse_exemption(self, request: Request) -> None:
        name = "optout/refused/dont_obey_robotstxt"
        level = logging.DEBUG if self._stats.get_value(name) else logging.WARNING
        self._stats.inc_value(name)
        logger.log(level, "dont_obey_robotstxt is refused for %s: it is decided on like any other request", request)


class Inspection(_Component):
    """Downloader middleware behind decompression and before everything that acts on a page."""

    async def process_response(self, request: Request, response: Response) -> Response:
        """Let a response on, or drop it.

        Raises:
            IgnoreRequest: it may not be used.
        """
        return await self._guard.inspect(request, response)


class SpiderDoor(_Component):
    """Spider middleware next to the engine: the last look at a response."""

    def __init__(self, guard: Guard, crawler: Crawler) -> None:
        super().__init__(guard, crawler)
        self._refusals: WeakSet[Exception] = WeakSet()

    def process_spider_input(self, response: Response) -> None:
        """Let only responses to the spider that were decided on.

        Raises:
            IgnoreRequest: this one was not, or is denied.
        """
        try:
            self._guard.readmit(response)
        except IgnoreRequest as refusal:
            self._refusals.add(refusal)
            raise

    def process_spider_exception(
        self,
        response: Response,
        exception: Exception,
    ) -> tuple[()] | None:
        """Let a refusal at this door, on which an errback has had its say, pass for no error of the spider."""
        return () if exception in self._refusals else None


class ItemDoor(_Component):
    """Item pipeline before all others: nothing leaves the crawl before the decisions that it rests on are kept."""

    async def process_item(self, item: Any) -> Any:  # noqa: ANN401 - whatever a spider yields
        """Let an item on once every decision so far is on the disk.

        Raises:
            DropItem: the evidence cannot be written.
        """
        try:
            await self._guard.durable()
        except EvidenceError as fault:
            raise DropItem(str(fault)) from fault
        return item
