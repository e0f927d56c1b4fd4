"""Keeping what the rightsholders allow: pages as WARC files in `DIR/pages/`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from scrapy.utils.asyncio import run_in_thread
from scrapy.utils.defer import deferred_from_coro

from crawler.carriers import exchange_of
from crawler.fetcher import pairs
from crawler.frontier import finish
from crawler.groups import Groups
from crawler.guard import UNWRITABLE, guard_of
from optout.evidence.exchange_record import identifier_of
from optout.evidence.warc import SignalArchive

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from optout.errors import EvidenceError
    from optout.model import Exchange


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was permitted and is to be kept."""

    response: Response


class KeepPages:
    """Item pipeline that writes pages.

    An item comes here after the decision that permits it is on the disk, so no kept page lacks its evidence.
    """

    def __init__(self, crawler: Crawler, directory: Path) -> None:
        """Open the archive of pages.

        Raises:
            EvidenceError: another process writes there, or the disk refuses.
        """
        self._crawler = crawler
        self._guard = guard_of(crawler)
        self._archive = SignalArchive(directory, prefix="pages")
        self._groups: Groups[Exchange] = Groups(self._write, self._stop)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Open the archive in the directory of the crawl's evidence."""
        return cls(crawler, guard_of(crawler).options.directory / "pages")

    async def process_item(self, item: Any) -> Any:  # noqa: ANN401 - whatever a spider yields
        """Write a page, and say that its URL is done once it is on the disk.

        Raises:
            EvidenceError: the disk refuses.
        """
        if isinstance(item, Page):
            exchange = kept_exchange(item.response)
            self._groups.add(exchange)
            await self._groups.durable()
            self._guard.note_kept(exchange.final_url, identifier_of(exchange), exchange.digest)
            # Only a URL of which all is on the disk is done with; it would not be visited again.
            await self._guard.durable()
            self._count(item.response)
        return item

    def _count(self, response: Response) -> None:
        self._crawler.stats.inc_value("optout/pages/kept")
        self._crawler.stats.inc_value("optout/pages/bytes", len(response.body))
        if response.request is not None:
            finish(self._crawler, response.request, kept=True)

    async def close_spider(self) -> None:
        """Write what is left and seal the last file."""
        try:
            await self._groups.durable()
        finally:
            await run_in_thread(self._archive.close)

    def _write(self, pages: list[Exchange]) -> None:
        for page in pages:
            self._archive.write(page)
        self._archive.commit()

    def _stop(self, fault: EvidenceError) -> None:
        deferred_from_coro(self._crawler.engine.close_spider_async(reason=UNWRITABLE))


def kept_exchange(response: Response) -> Exchange:
    """A response as the archive keeps it, with the redirects that led to it."""
    led = (*response.meta.get("redirect_urls", ()), response.url)
    sent = pairs(response.request.headers) if response.request is not None else ()
    return replace(exchange_of(response), url=led[0], redirects=led[1:], request_headers=sent)
