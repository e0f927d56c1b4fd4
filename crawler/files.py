"""What downloaded pictures, documents and media carry inside themselves, read without holding the crawl up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import is_asyncio_available, run_in_thread

from optout.acquisition.files import FileReader
from optout.syntax.sniff import sniff

if TYPE_CHECKING:
    from scrapy.http import Response

    from optout.model import Exchange

_PAGES = frozenset({"text/html", "text/plain", "application/json", "application/octet-stream"})
_PAGE_BEGINNINGS = (b"<!doctype html", b"<html")
_SNIFFED = 4_096


class AssetReader:
    """Reads files in one thread of its own: the process that reads manifests takes one file at a time."""

    def __init__(self) -> None:
        self._files = FileReader()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="optout-files")

    def close(self) -> None:
        """End the thread and the process behind it."""
        self._thread.shutdown(wait=True)
        self._files.close()

    async def parts(self, response: Response) -> tuple[Exchange, ...]:
        """Every part of a file that may speak about it."""
        reading = self._thread.submit(self._files.read_bytes, response.url, response.body)
        found = await (asyncio.wrap_future(reading) if is_asyncio_available() else run_in_thread(reading.result))
        # A part that cannot be read was received all the same; without a status the archive would not take it.
        now = datetime.now(UTC)
        return tuple(replace(part, status=part.status or response.status, fetched_at=now) for part in found.exchanges)


def is_page(body: bytes) -> bool:
    """Whether a body is a page, which speaks by its elements and has no parts.

    The first bytes tell, not what the server says; most pages are told by their very first.
    """
    if not body or body[:64].lstrip().lower().startswith(_PAGE_BEGINNINGS):
        return True
    return sniff(body[:_SNIFFED]) in _PAGES
