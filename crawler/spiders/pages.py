"""The project's own spider: every page of some sites that may be kept, and nothing else.

scrapy crawl pages -a seeds=https://example.org/,https://example.com/ -a max_pages=1000
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import TextResponse

from crawler.frontier import Frontier, finish
from crawler.guard import guard_of
from crawler.pipelines import Page
from optout.errors import EvidenceError, MalformedUrl, UnreadableInput
from optout.urls import origin_of, registrable_domain, resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from scrapy.http import Response
    from twisted.python.failure import Failure

ENOUGH = "max-pages"
"""The reason for which the spider is closed when it has kept as many pages as it should."""

_LINKS = "//a/@href | //area/@href"
_WEB = ("http://", "https://")

Site = tuple[str, int | None]


class PagesSpider(Spider):
    """Follows links within the sites of its seeds, nearest first."""

    name = "pages"

    def __init__(self, seeds: str | Iterable[str] = (), max_pages: str | int | None = None, **given: Any) -> None:  # noqa: ANN401 - Scrapy's own
        """Take the seeds: URLs, or one text with commas or white space between them.

        Raises:
            UnreadableInput: no seed, or a limit that is no number.
            MalformedUrl: a seed is no URL.
        """
        super().__init__(**given)
        texts = seeds.replace(",", " ").split() if isinstance(seeds, str) else seeds
        self.seeds = tuple(with_scheme(text) for text in texts)
        if not self.seeds:
            raise UnreadableInput("no seed to begin with", mend="give URLs, such as -a seeds=https://example.org/")
        self._sites = frozenset(site_of(seed) for seed in self.seeds)
        self._most = limit(max_pages)
        self._kept = 0

    async def start(self) -> AsyncIterator[Request]:
        """Ask for the seeds, unless an earlier process did."""
        scheduler = self.crawler.engine.scheduler
        if isinstance(scheduler, Frontier):
            self._kept = scheduler.kept()
            if self._most is not None:
                scheduler.keep_at_most(self._most)
        if self._is_enough():
            raise CloseSpider(ENOUGH)
        for seed in self.seeds:
            yield Request(seed, errback=self.on_error)

    def parse(self, response: Response) -> Iterator[Request | Page]:
        """Follow the links of a page, then hand it on to be kept."""
        if self._is_enough():
            return
        self._kept += 1
        yield from self._links(response)
        yield Page(response)
        if self._is_enough():
            raise CloseSpider(ENOUGH)

    async def on_error(self, failure: Failure) -> None:
        """Note that a URL is done with: denied, not found, or out of reach.

        Whatever the disk has not taken is waiting again when the crawl goes on, as a page that was to be kept is.
        """
        request: Request = failure.request  # type: ignore[attr-defined]
        try:
            await guard_of(self.crawler).durable()
        except EvidenceError:
            return
        finish(self.crawler, request, kept=False)

    def _is_enough(self) -> bool:
        return self._most is not None and self._kept >= self._most

    def _links(self, response: Response) -> Iterator[Request]:
        if not isinstance(response, TextResponse) or not self._is_ours(response.url):
            return
        for reference in dict.fromkeys(response.xpath(_LINKS).getall()):
            try:
                url = resolve(response.urljoin(""), reference).partition("#")[0]
            except (MalformedUrl, ValueError):
                continue
            if url.startswith(_WEB) and self._is_ours(url):
                yield Request(url, errback=self.on_error)

    def _is_ours(self, url: str) -> bool:
        try:
            return site_of(url) in self._sites
        except MalformedUrl:
            return False


def with_scheme(text: str) -> str:
    """What people type: a bare host means https.

    Raises:
        MalformedUrl: it is no URL even so.
    """
    url = text if "://" in text else f"https://{text}"
    origin_of(url)
    return url


def site_of(url: str) -> Site:
    """The site that a URL belongs to: its registrable domain, or host and port where the host has none.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    origin = origin_of(url)
    domain = registrable_domain(origin.host)
    named = "." in domain and not domain.replace(".", "").isdigit()
    return (domain, None) if named else (origin.host, origin.port)


def limit(value: str | int | None) -> int | None:
    """A limit that is a whole number of at least 1, or no limit.

    Raises:
        UnreadableInput: it is anything else.
    """
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise UnreadableInput(f"{value!r} pages", mend="give a whole number of at least 1")
    return number
