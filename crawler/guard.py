"""The guard of one crawl: it decides before a page is asked for, after its headers, and after its body.

Three doors use it. `Entrance` lets a request pass once its origin's signals were decided on. The gate around every
download handler lets out nothing that has no pass, whatever way it came. `Inspection` lets a response on once its
headers and its page were decided on. A pass belongs to one request object and one URL, and to nothing else.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from scrapy import signals
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.utils.defer import deferred_from_coro

from crawler import options
from crawler.fetcher import SignalFetcher, pairs
from crawler.ledger import Ledger
from crawler.origins import Origins
from crawler.outcome import OptedOut, judge
from optout import engine
from optout.errors import EvidenceError, MalformedUrl, OptoutError
from optout.model import RESOURCE, Effect, Exchange
from optout.policy import Mode
from optout.signals import PROTOCOLS
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response
    from twisted.internet.defer import Deferred

    from crawler.options import Options
    from crawler.origins import Site
    from crawler.outcome import Outcome
    from optout.engine import Read
    from optout.evidence.canonical import JSON
    from optout.model import Verdict
    from optout.policy import Policy

logger = logging.getLogger(__name__)

LOCAL = ("data:", "file:")
"""Schemes that reach no server, and that nobody's reservation could cover."""

UNWRITABLE = "evidence-unwritable"
"""The reason for which a spider is closed when its evidence cannot be written."""

KEPT = "kept"
"""The kind of row that says that a page was kept."""

_REASONS_TOLD = 1_000
_PRESUMED_STATUS = 200


@dataclass(slots=True, eq=False)
class Pass:
    """What was decided about one request.

    Attributes:
        url: the URL that was decided on.
        site: its origin.
        outcome: the latest decision.
        stopped: whether the download was stopped after the headers.
    """

    url: str
    site: Site
    outcome: Outcome
    stopped: bool = False


class Guard:
    """Decides, logs and counts; one for each crawl."""

    def __init__(self, crawler: Crawler, chosen: Options) -> None:
        """Open the evidence and begin to listen.

        Raises:
            EvidenceError: the evidence cannot be written.
        """
        self.options = chosen
        self._crawler = crawler
        self._ledger = Ledger(chosen.directory, chosen.node, self._stop)
        self._fetcher = SignalFetcher(crawler, chosen.limits)
        self._origins = Origins(chosen, self._fetcher, self._ledger, self._count)
        self._passes: WeakKeyDictionary[Request, Pass] = WeakKeyDictionary()
        self._cleared: WeakKeyDictionary[Response, Pass] = WeakKeyDictionary()
        self._postponed: WeakKeyDictionary[Request, Callable[[Request], None]] = WeakKeyDictionary()
        self._fields = _header_fields(chosen.policy)
        self._told: set[tuple[str, str]] = set()
        self._agents: set[bytes] = set()
        self._stopping: Deferred[None] | None = None
        crawler.signals.connect(self._headers_received, signal=signals.headers_received)
        crawler.signals.connect(self._spider_closed, signal=signals.spider_closed)

    # Before the request.

    def is_exempt(self, request: Request) -> bool:
        """Whether no decision is needed: the request reaches no server, or it is ours for a signal file."""
        return request.url.startswith(LOCAL) or self._fetcher.owns(request)

    async def admit(self, request: Request) -> Pass:
        """Decide whether a page may be asked for.

        Raises:
            OptedOut: it may not.
            IgnoreRequest: nothing can be decided, or logged.
        """
        site = await self._site(request.url, request)
        outcome = site.outcome(site.compiled.decide(request.url))
        self._record(request.url, "fetch", outcome)
        if not outcome.proceeds:
            raise OptedOut(request.url, outcome)
        given = self._passes[request] = Pass(request.url, site, outcome)
        return given

    async def _site(self, url: str, request: Request) -> Site:
        try:
            origin = origin_of(url)
        except MalformedUrl as fault:
            self._count("reason/url.malformed")
            raise IgnoreRequest(str(fault)) from fault
        return self._origins.known(origin) or await self._origins.site(origin, request)

    def check(self, request: Request) -> None:
        """Let nothing out of the machine that was not decided on.

        Raises:
            IgnoreRequest: the request has no pass for its URL.
        """
        given = self._passes.get(request)
        if (given is None or given.url != request.url) and not self.is_exempt(request):
            self._count("refused/undecided")
            logger.error("Refused %s: it came to the downloader without a decision", request)
            raise IgnoreRequest("it came to the downloader without a decision")
        self._look_at_agent(request)

    def _look_at_agent(self, request: Request) -> None:
        agent = request.headers.get(b"User-Agent") or b""
        if agent not in self._agents:
            self._agents.add(agent)
            shown = type(self.options.identity)(self.options.identity.token, agent.decode("latin-1"))
            if shown.poses_as_browser:
                logger.warning(
                    "The User-Agent %r does not name %s: whoever reads it cannot know whose rules apply",
                    shown.header,
                    shown.token,
                )

    # After the headers.

    def _headers_received(self, headers: Headers, request: Request) -> None:
        """Stop the download of a page whose headers reserve it.

        The status is not known yet, and documents that headers point to have not been fetched: both are looked at
        when the response is there.
        """
        given = self._passes.get(request)
        if given is None:
            if self._fetcher.owns(request):
                self._fetcher.headers_received(headers, request)
            return
        if self._fields.isdisjoint(headers):
            return
        page = Exchange(request.url, RESOURCE, _PRESUMED_STATUS, pairs(headers))
        if _points_to_documents(engine.read((page,), self.options.policy)):
            return
        outcome = self._judge(given.site.compiled.decide(request.url, (page,)))
        if not outcome.proceeds:
            given.outcome, given.stopped = outcome, True
            self._record(request.url, "headers", outcome)
            raise StopDownload

    def stopped(self, request: Request) -> OptedOut | None:
        """The reason for which the download of a request was stopped by its headers."""
        given = self._passes.get(request)
        return OptedOut(given.url, given.outcome) if given is not None and given.stopped else None

    # After the body.

    async def inspect(self, request: Request, response: Response) -> Response:
        """Decide whether a response may go on to the spider.

        Raises:
            OptedOut: it may not.
            IgnoreRequest: nothing can be decided, or logged.
        """
        given = self._passes.get(request)
        if given is None or given.url != request.url:
            given = await self.admit(request)
        if response.url != request.url:
            given = await self._moved(request, response, given)
        if self._carries_signals(response):
            exchange = self._exchange(response)
            documents = await self._origins.documents(engine.read((exchange,), self.options.policy), request)
            given.outcome = self._judge(given.site.compiled.decide(response.url, (exchange, *documents)))
        self._record(response.url, "page", given.outcome, response)
        if not given.outcome.proceeds:
            raise OptedOut(response.url, given.outcome)
        self._cleared[response] = given
        action = self._postponed.pop(request, None) if self._postponed else None
        if action is not None:
            action(request)
        return response

    def when_permitted(self, request: Request, action: Callable[[Request], None]) -> None:
        """Do something as soon as the response to a request has been permitted; never, if it is not.

        The action must not hold the request, which is forgotten with whatever waits for it.
        """
        self._postponed[request] = action

    async def _moved(self, request: Request, response: Response, given: Pass) -> Pass:
        """A download handler that follows redirects by itself has been where nobody decided; decide now."""
        site = await self._site(response.url, request)
        outcome = site.outcome(site.compiled.decide(response.url))
        if not outcome.proceeds:
            self._record(response.url, "page", outcome, response)
            raise OptedOut(response.url, outcome)
        return Pass(given.url, site, outcome)

    def _carries_signals(self, response: Response) -> bool:
        if not self._fields.isdisjoint(response.headers):
            return True
        bare = Exchange(response.url, RESOURCE, response.status, body=response.body)
        return engine.carries_signals(bare, self.options.policy)

    def _exchange(self, response: Response) -> Exchange:
        return Exchange(response.url, RESOURCE, response.status, pairs(response.headers), response.body)

    # Before the spider.

    def readmit(self, response: Response) -> None:
        """Let only inspected responses to the spider; decide on one that a middleware has exchanged.

        Raises:
            IgnoreRequest: it may not go on.
        """
        if response in self._cleared or response.url.startswith(LOCAL):
            return
        try:
            site = self._origins.known(origin_of(response.url))
        except MalformedUrl:
            site = None
        if site is None:
            self._count("refused/undecided")
            raise IgnoreRequest(f"{response.url} came to the spider without a decision")
        outcome = self._judge(site.compiled.decide(response.url, (self._exchange(response),)))
        self._record(response.url, "page", outcome, response)
        if not outcome.proceeds:
            raise OptedOut(response.url, outcome)
        self._cleared[response] = Pass(response.url, site, outcome)

    async def durable(self) -> None:
        """Wait until every decision so far is on the disk.

        Raises:
            IgnoreRequest: it will never be.
        """
        try:
            await self._ledger.durable()
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault

    def note_kept(self, url: str, record: str, digest: str) -> None:
        """Log that a page was kept, by the identifier of its WARC record and the SHA-256 of its body.

        Raises:
            EvidenceError: it cannot be logged.
        """
        row: dict[str, JSON] = {
            "v": 1,
            "kind": KEPT,
            "url": url,
            "record": record,
            "sha256": digest,
            "t": time.time_ns() // 1000,
        }
        self._ledger.add(row)

    # Logging and counting.

    def _judge(self, verdict: Verdict) -> Outcome:
        return judge(verdict, self.options.policy, self.options.identity)

    def _record(self, url: str, stage: str, outcome: Outcome, response: Response | None = None) -> None:
        row: dict[str, JSON] = {**outcome.row, "url": url, "stage": stage, "t": time.time_ns() // 1000}
        if response is not None:
            row["status"] = response.status
            if self.options.hash_bodies:
                row["sha256"] = self._exchange(response).digest
        try:
            self._ledger.add(row)
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault
        self._count(f"effect/{outcome.effect}")
        self._count(f"reason/{outcome.reason}")
        if outcome.effect is not Effect.PERMIT:
            self._tell(url, outcome)

    def _tell(self, url: str, outcome: Outcome) -> None:
        """Say why a crawl comes back empty: aloud for the first URL of each origin and reason."""
        about = (origin_of(url).text, outcome.reason)
        if about in self._told or len(self._told) >= _REASONS_TOLD:
            logger.debug("%s %s: %s", outcome.effect, url, outcome.reason)
            return
        self._told.add(about)
        logger.info("%s %s: %s (further ones of this origin are logged as debug)", outcome.effect, url, outcome.reason)

    def _count(self, name: str) -> None:
        self._crawler.stats.inc_value(f"optout/{name}")

    # The end.

    def _stop(self, fault: EvidenceError) -> None:
        logger.critical("The crawl stops: %s", fault)
        self._count("evidence/failed")
        self._stopping = deferred_from_coro(self._crawler.engine.close_spider_async(reason=UNWRITABLE))

    async def _spider_closed(self) -> None:
        try:
            await self._ledger.close()
        except EvidenceError as fault:
            logger.critical("The end of the evidence could not be written: %s", fault)


class GuardHolder:
    """The add-on's part that holds the guard of a crawl; components find it through the crawler."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._guard: Guard | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the add-on of a crawl."""
        return cls(crawler)

    @property
    def guard(self) -> Guard:
        """The guard of this crawl, made when the first component asks for it.

        Raises:
            OptoutError: a setting of ours cannot be used, or the evidence cannot be written.
        """
        if self._guard is None:
            self._guard = Guard(self.crawler, options.read(self.crawler.settings, self.crawler.spidercls.name))
        return self._guard


def guard_of(crawler: Crawler) -> Guard:
    """The guard of a crawl.

    Raises:
        OptoutError: the add-on is not switched on, so that nothing would be guarded.
    """
    holder = crawler.get_addon(GuardHolder)
    if holder is None:
        raise OptoutError("the add-on is not switched on", mend='add "crawler.addon.OptOutAddon" to ADDONS')
    return holder.guard


def _header_fields(policy: Policy) -> frozenset[bytes]:
    """The header fields that any enforced or observed protocol reads, as Scrapy writes their names."""
    names = (
        name
        for protocol in PROTOCOLS.values()
        if policy.mode(protocol.name) is not Mode.OFF
        for name in protocol.header_fields
    )
    return frozenset(name.title().encode("ascii") for name in names)


def _points_to_documents(reads: Iterable[Read]) -> bool:
    return any(statement.document is not None for item in reads for statement in item.reading.statements)
