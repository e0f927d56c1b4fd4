"""Running crawls under the add-on inside a test, without a reactor, so that one process can run many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerRunner

from optout.evidence import segment
from optout.evidence.journal import rows
from optout.evidence.replay import Redecision, documents_in
from optout.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

ADDONS = {"crawler.addon.OptOutAddon": 100}
NODE = "visitor"


class Visitor(Spider):
    """Visits URLs and yields what it got; remembers what it did not get."""

    name = NODE

    def __init__(self, requests: Iterable[str | Request] = (), **given: Any) -> None:
        super().__init__(**given)
        self.requests = requests
        self.failures: dict[str, Exception] = {}

    async def start(self) -> AsyncIterator[Request]:
        for request in self.requests:
            if isinstance(request, Request):
                yield request.replace(errback=self.on_error)
            else:
                yield Request(request, errback=self.on_error, dont_filter=True)

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "body": response.body}

    def on_error(self, failure: Failure) -> None:
        self.failures[failure.request.url] = failure.value


@dataclass
class Crawl:
    """What a crawl did."""

    crawler: Crawler
    directory: Path
    items: list[dict[str, Any]] = field(default_factory=list)

    @property
    def urls(self) -> set[str]:
        """The URLs whose items came out of the item pipelines."""
        return {item["url"] for item in self.items}

    @property
    def failures(self) -> dict[str, Exception]:
        return self.crawler.spider.failures

    def stat(self, name: str) -> Any:
        return self.crawler.stats.get_value(name)

    @property
    def reasons(self) -> dict[str, str]:
        """The reason of the latest decision on each URL."""
        return {row["url"]: row["reason"] for row in self.rows}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row of the log, in order, sealed or not."""
        sealed: list[dict[str, Any]] = []
        for path in sorted((self.directory / "evidence" / "segments").glob("*.parquet")):
            sealed += segment.rows_of(segment.read(path))
        journal = [row for _, row in rows(self.directory / "evidence", node=NODE)]
        return sorted(sealed + journal, key=lambda row: row["seq"])

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == "decision"]


class Collect:
    """Item pipeline of a user: it sees what comes out."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Collect:
        return cls(crawler)

    def process_item(self, item: Any) -> Any:
        self._crawler.settings["COLLECTED"](item)
        return item


def faults(directory: Path) -> list[str]:
    """What a verification of a crawl's evidence finds, every decision repeated from the archive."""
    replay = Redecision(documents_in(directory / "evidence" / "documents"))
    return [str(fault) for step in verify(directory, replay=replay).steps for fault in step.faults]


async def crawl(
    directory: Path,
    *requests: str | Request,
    spider: type[Spider] = Visitor,
    collect: Callable[[Any], None] | None = None,
    **settings: Any,
) -> Crawl:
    """Run one crawl to its end."""
    items: list[dict[str, Any]] = []
    runner = AsyncCrawlerRunner(
        {
            "ADDONS": ADDONS,
            "TWISTED_REACTOR_ENABLED": False,
            "REMOTE_CONTROL_ENABLED": False,
            "USER_AGENT": "ExampleBot/1.0 (+https://bot.example/)",
            "OPTOUT_DIR": str(directory),
            "OPTOUT_SIGNAL_TIMEOUT": 20,
            "DOWNLOAD_DELAY": 0,
            "CONCURRENT_REQUESTS": 64,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 64,
            "RETRY_TIMES": 0,
            "ITEM_PIPELINES": {Collect: 100},
            "COLLECTED": collect or items.append,
            **settings,
        }
    )
    crawler = runner.create_crawler(spider)
    await runner.crawl(crawler, requests=requests)
    return Crawl(crawler, directory, items)
