"""The guard of one crawl: it decides before a page is asked for, after its headers, and after its body.

Three doors use it. `Entrance` lets a request pass once its origin's signals were decided on. The gate around every
download handler lets out nothing that has no pass, whatever way it came. `Inspection` lets a response on once its
headers and its page were decided on. A pass belongs to one request object and one URL, and to nothing else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from scrapy import signals
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.utils.defer import deferred_from_coro

from crawler import options
from crawler.account import HEADERS, PAGE, REQUEST, Account
from crawler.carriers import Screen, excerpt, exchange_of
from crawler.fetcher import SignalFetcher, pairs, without_codings
from crawler.files import AssetReader, is_page
from crawler.ledger import Ledger
from crawler.origins import Origins
from crawler.outcome import Judge, OptedOut
from crawler.shared import Shared
from optout import engine
from optout.acquisition.coding import CodingError
from optout.errors import EvidenceError, MalformedUrl, OptoutError
from optout.identity import Identity
from optout.model import RESOURCE, Exchange
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response
    from twisted.internet.defer import Deferred

    from crawler.options import Options
    from crawler.origins import Site
    from crawler.outcome import Outcome
    from optout.engine import Read
    from optout.evidence.canonical import JSON
    from optout.urls import Origin

logger = logging.getLogger(__name__)

LOCAL = ("data:", "file:")
"""Schemes that reach no server, and that nobody's reservation could cover."""

UNWRITABLE = "evidence-unwritable"
"""The reason for which a spider is closed when its evidence cannot be written."""

_AGENT_LOOKED_AT = 16
_AGENTS_KNOWN = 1_000
_NOT_FETCHED: Mapping[str, JSON] = {"done": False}
_PRESUMED_STATUS = 200
_LARGEST = 1 << 30


@dataclass(slots=True, eq=False)
class Pass:
    """What was decided about one request.

    Attributes:
        url: the URL that was decided on.
        site: its origin.
        outcome: the latest decision.
        listed: what lists say about the URL, beside what they say about its origin.
        stopped: whether the download was stopped after the headers.
    """

    url: str
    site: Site
    outcome: Outcome
    listed: tuple[Exchange, ...] = ()
    stopped: bool = False


class Guard:
    """Decides, logs and counts; one for each crawl."""

    def __init__(self, crawler: Crawler, chosen: Options) -> None:
        """Open the evidence and begin to listen.

        Raises:
            EvidenceError: the evidence cannot be written.
            OptoutError: a store can never be used.
        """
        self.options = chosen
        self._crawler = crawler
        self._shared = Shared(chosen)
        self._ledger = Ledger(chosen, self._stop)
        self._account = Account(self._ledger, crawler)
        self._fetcher = SignalFetcher(crawler, chosen.limits)
        judge = Judge(chosen.policy, chosen.identity, self._ledger.identity, chosen.node)
        self._origins = Origins(chosen, self._fetcher, self._ledger, judge, self._account.count, self._shared)
        self._passes: WeakKeyDictionary[Request, Pass] = WeakKeyDictionary()
        self._cleared: WeakKeyDictionary[Response, None] = WeakKeyDictionary()
        self._postponed: WeakKeyDictionary[Request, Callable[[Request], None]] = WeakKeyDictionary()
        self._lists = chosen.lists if chosen.lists.descriptions else None
        self._screen = Screen(chosen.policy)
        self._files = AssetReader()
        self._largest = crawler.settings.getint("DOWNLOAD_MAXSIZE") or _LARGEST
        self._agents: set[bytes] = set()
        self._sent = 0
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
        given = self._at_once(request.url) or await self._decide(request.url, request)
        if not given.outcome.proceeds:
            self._account.record(given.url, REQUEST, given.outcome, _NOT_FETCHED)
            raise OptedOut(given.url, given.outcome)
        self._passes[request] = given
        return given

    def _at_once(self, url: str) -> Pass | None:
        """Decide on a URL whose origin's signals are at hand, and on which no list need be asked: nearly every one."""
        if self._lists is not None:
            return None
        site = self._origins.known(self._origin(url))
        return None if site is None else Pass(url, site, site.decide(url))

    async def _decide(self, url: str, request: Request) -> Pass:
        origin = self._origin(url)
        listed = () if self._lists is None else self._lists.consult_url(url)
        try:
            site = self._origins.known(origin) or self._origins.settled(listed, url)
            return self._given(url, site or await self._origins.site(origin, request), listed)
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault

    def _origin(self, url: str) -> Origin:
        """The origin of a URL, while what is decided on it can still be logged."""
        try:
            self._ledger.check()
            slash = url.find("/", url.find(":") + len("://"))
            return origin_of(url) if slash < 0 else _origin_before(url[:slash])
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault
        except MalformedUrl as fault:
            self._account.count("reason/url.malformed")
            raise IgnoreRequest(str(fault)) from fault

    def _given(self, url: str, site: Site, listed: tuple[Exchange, ...]) -> Pass:
        """What the origin says of a URL, and what lists say of it."""
        if not listed:
            return Pass(url, site, site.decide(url))
        return Pass(url, site, site.judged(url, listed, self._keep((*site.exchanges, *listed))), listed)

    def check(self, request: Request) -> None:
        """Let nothing out of the machine that was not decided on.

        Raises:
            IgnoreRequest: the request has no pass for its URL.
        """
        given = self._passes.get(request)
        if (given is None or given.url != request.url) and not self.is_exempt(request):
            self._account.count("refused/undecided")
            logger.error("Refused %s: it came to the downloader without a decision", request)
            raise IgnoreRequest("it came to the downloader without a decision")
        if self._sent % _AGENT_LOOKED_AT == 0:
            self._look_at_agent(request)
        self._sent += 1

    def _look_at_agent(self, request: Request) -> None:
        """Warn of a User-Agent, which any middleware may have set, that does not say whose rules apply."""
        agent = request.headers.get(b"User-Agent") or b""
        if agent not in self._agents and len(self._agents) < _AGENTS_KNOWN:
            self._agents.add(agent)
            shown = Identity(self.options.identity.token, agent.decode("latin-1"))
            if shown.poses_as_browser:
                logger.warning("The User-Agent %r does not name %s, or poses as a browser", shown.header, shown.token)

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
        if not self._screen.finds_field(headers):
            return
        page = Exchange(given.url, RESOURCE, _PRESUMED_STATUS, pairs(headers))
        if _points_to_documents(engine.read((page,), self.options.policy)):
            return
        if not given.site.judged(given.url, (page,)).proceeds:
            given.stopped = True
            raise StopDownload

    def received(self, request: Request, response: Response) -> Response:
        """A response as it is to go on: a signal file without its content codings, everything else as it came.

        Raises:
            ResponseDataLossError: a signal file cannot be decoded, or its end is missing.
        """
        return self._fetcher.decoded(response) if self._fetcher.owns(request) else response

    def conclude(self, request: Request, response: Response) -> Response:
        """Decide on a response whose download was stopped by its headers, now that its status is known.

        An error or a redirect is not the work that the headers would reserve, and goes its way without a body.

        Raises:
            OptedOut: the headers reserve the page.
            IgnoreRequest: the decision cannot be logged.
        """
        given = self._passes[request]
        page = exchange_of(response)
        outcome = given.site.judged(given.url, (page,))
        if outcome.proceeds:
            return response
        self._account.record(given.url, HEADERS, outcome, self._fetched(response, page))
        raise OptedOut(given.url, outcome)

    def was_stopped(self, request: Request) -> bool:
        """Whether the download of a request was stopped by its headers."""
        given = self._passes.get(request)
        return given is not None and given.stopped

    def passed(self, request: Request, response: Response) -> None:
        """Log a permitted request whose response nobody will inspect, because it only leads elsewhere.

        Raises:
            IgnoreRequest: it cannot be logged.
        """
        given = self._passes.get(request) if 300 <= response.status < 400 else None
        if given is not None:
            self._account.record(given.url, REQUEST, given.outcome, self._fetched(response))

    def failed(self, request: Request, fault: Exception) -> None:
        """Log a permitted request that got no response.

        Raises:
            IgnoreRequest: it cannot be logged.
        """
        given = self._passes.get(request)
        if given is not None and not given.stopped:
            self._account.record(given.url, REQUEST, given.outcome, {"done": False, "error": type(fault).__name__})

    # After the body.

    async def inspect(self, request: Request, response: Response) -> Response:
        """Decide whether a response may go on to the spider; one that needs no decision may.

        Raises:
            OptedOut: it may not.
            IgnoreRequest: nothing can be decided, or logged.
        """
        given = self._passes.get(request)
        if given is None or given.url != request.url:
            if self.is_exempt(request):
                return response
            given = await self.admit(request)
        if response.url != given.url:
            # A download handler that follows redirects by itself has been where nobody decided.
            given = await self._decide(response.url, request)
        plain = self._plain(response, given)
        page = exchange_of(plain) if self._screen.finds(plain) else None
        closer = () if is_page(plain.body) else await self._files.parts(plain)
        if page is not None:
            closer += await self._origins.documents(engine.read((page,), self.options.policy), request)
        if page is not None or closer or self._lists is not None:
            self._look_closer(plain, given, page, closer)
        self._let_on(response, given, page)
        action = self._postponed.pop(request, None) if self._postponed else None
        if action is not None:
            action(request)
        return response

    def _plain(self, response: Response, given: Pass) -> Response:
        """A response as it can be read, without the content codings that the project leaves on or nobody knows.

        Raises:
            IgnoreRequest: it cannot be decoded; what nobody can read may reserve anything.
        """
        # Asked of the keys, which are in their normal form, because every page is asked.
        if not response.body or b"Content-Encoding" not in response.headers.keys():  # noqa: SIM118
            return response
        try:
            return without_codings(response, self._largest)
        except CodingError as fault:
            fetch = self._fetched(response) | {"error": type(fault).__name__}
            self._account.record(given.url, REQUEST, given.outcome, fetch)
            raise IgnoreRequest(f"{response.url} cannot be read: {fault}") from fault

    def _look_closer(
        self, response: Response, given: Pass, page: Exchange | None, found: tuple[Exchange, ...] = ()
    ) -> None:
        """Decide again where the page speaks, parts or documents of it were found, or its content is on a list."""
        listed = () if self._lists is None else self._lists.consult_body(response.body)
        if page is None and not listed and not found:
            return
        closer = (*given.listed, *found, *listed)
        grounds = self._keep((*given.site.exchanges, *closer)) if closer else given.site.digest
        given.outcome = given.site.judged(given.url, (*_one(page), *closer), grounds)

    def _let_on(self, response: Response, given: Pass, page: Exchange | None = None) -> None:
        """Log the decision on a response, and let only a permitted one be seen."""
        fetch = self._fetched(response, page)
        if self.options.hash_bodies:
            fetch["sha256"] = sha256(response.body).hexdigest()
        self._account.record(given.url, PAGE, given.outcome, fetch)
        if not given.outcome.proceeds:
            raise OptedOut(given.url, given.outcome)
        self._cleared[response] = None

    def _fetched(self, response: Response, page: Exchange | None = None) -> dict[str, JSON]:
        """What became of a request, for its row; `page` is archived where it has contributed to the decision."""
        fetch: dict[str, JSON] = {"done": "cached" not in response.flags, "status": response.status}
        if page is not None:
            fetch["rec"] = self._keep_page(excerpt(page, self._screen.words, self._screen.texts))
        return fetch

    def _keep(self, exchanges: tuple[Exchange, ...]) -> str:
        try:
            return self._ledger.keep(exchanges)
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault

    def _keep_page(self, page: Exchange) -> str:
        try:
            return self._ledger.keep_page(page)
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault

    def when_permitted(self, request: Request, action: Callable[[Request], None]) -> None:
        """Do something as soon as the response to a request has been permitted; never, if it is not.

        The action must not hold the request, which is forgotten with whatever waits for it.
        """
        self._postponed[request] = action

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
            self._account.count("refused/undecided")
            logger.error("Refused %s: it came to the spider without a decision", response)
            raise IgnoreRequest(f"{response.url} came to the spider without a decision")
        given = self._given(response.url, site, () if self._lists is None else self._lists.consult_url(response.url))
        plain = self._plain(response, given)
        page = exchange_of(plain) if self._screen.finds(plain) else None
        self._look_closer(plain, given, page)
        self._let_on(response, given, page)

    def note_kept(self, url: str, record: str, digest: str) -> None:
        """Log that a page was kept; see `Account.kept`."""
        self._account.kept(url, record, digest)

    async def durable(self) -> None:
        """Wait until every decision so far is on the disk.

        Raises:
            EvidenceError: it will never be.
        """
        await self._ledger.durable()

    # The end.

    def _stop(self, fault: EvidenceError) -> None:
        logger.critical("The crawl stops: %s", fault)
        self._account.count("evidence/failed")
        self._stopping = deferred_from_coro(self._crawler.engine.close_spider_async(reason=UNWRITABLE))

    async def _spider_closed(self) -> None:
        self._files.close()
        self._shared.close()
        self._account.flush()
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
            self._guard = Guard(self.crawler, options.read(self.crawler.settings, self.crawler))
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


@lru_cache(maxsize=4_096)
def _origin_before(text: str) -> Origin:
    """The origin of every URL that begins with this text and goes on with a slash."""
    return origin_of(text)


def _one(page: Exchange | None) -> tuple[Exchange, ...]:
    return () if page is None else (page,)


def _points_to_documents(reads: Iterable[Read]) -> bool:
    return any(statement.document is not None for item in reads for statement in item.reading.statements)
