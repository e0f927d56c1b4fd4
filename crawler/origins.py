"""What origins say, looked up once, kept as long as it may be, and forgotten in order of use."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from crawler import lists
from crawler.shared import UNREACHABLE_SECONDS, Seen, Shared, reached
from crawler.single_flight import SingleFlight, together
from optout import engine
from optout.acquisition import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from scrapy import Request

    from crawler.fetcher import SignalFetcher
    from crawler.ledger import Ledger
    from crawler.options import Options
    from crawler.outcome import Judge, Outcome
    from optout.model import Exchange
    from optout.urls import Origin

DOCUMENTS_FOLLOWED = 16
"""Documents that are fetched for one origin or page; beyond them the pointing statements' own states hold."""

_OUTCOMES_KEPT = 1_024
_WEB = ("http://", "https://")

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value", bound="_Dated")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dated:
    """Something that may be used for a while."""

    seen_at: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(_Dated):
    """An origin whose signals have been read, ready to decide on its URLs."""

    compiled: engine.CompiledOrigin
    exchanges: tuple[Exchange, ...]
    digest: str
    judge: Judge
    _outcomes: dict[int, Outcome] = field(default_factory=dict)

    def decide(self, url: str) -> Outcome:
        """Decide on a URL by what its origin says; the engine gives the same verdict again and again, judged once."""
        verdict = self.compiled.decide(url)
        known = self._outcomes.get(id(verdict))
        if known is not None and known.verdict is verdict:
            return known
        outcome = self.judge.judge(verdict, url, self.digest)
        if len(self._outcomes) < _OUTCOMES_KEPT:
            self._outcomes[id(verdict)] = outcome
        return outcome

    def judged(self, url: str, closer: Sequence[Exchange], grounds: str | None = None) -> Outcome:
        """Decide on a URL with what is closer to the work than its origin.

        Args:
            url: what to decide on.
            closer: the exchange of the page, and those of the documents that it points to.
            grounds: the digest of the exchanges that it rests on besides the page; by default those of the origin.
        """
        return self.judge.judge(self.compiled.decide(url, closer), url, grounds or self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document(_Dated):
    exchange: Exchange


class _Recent(Generic[Key, Value]):
    """Dated values, the least recently used forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, now: float) -> Value | None:
        """The value of a key, if it may still be used; a clock that was set back makes it stale."""
        value = self._values.get(key)
        if value is None or not 0 <= now - value.seen_at < value.seconds:
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)


class Origins:
    """Every origin that the crawl has met."""

    def __init__(
        self,
        options: Options,
        fetcher: SignalFetcher,
        ledger: Ledger,
        judge: Judge,
        count: Callable[[str], None],
        shared: Shared,
    ) -> None:
        """Look origins up with `fetcher`, keep what was seen in `ledger`, and count under the names of statistics.

        `shared` is asked first, and told what was seen.
        """
        self._options = options
        self._judge = judge
        self._fetcher = fetcher
        self._ledger = ledger
        self._count = count
        self._sites: _Recent[Origin, Site] = _Recent(options.origins_cached)
        self._documents: _Recent[plan.Planned, _Document] = _Recent(options.origins_cached)
        self._shared = shared
        self._looking: SingleFlight[Origin, Site] = SingleFlight()
        self._fetching: SingleFlight[plan.Planned, Exchange] = SingleFlight()

    def known(self, origin: Origin) -> Site | None:
        """The origin's site, if its signals were read and may still be used."""
        return self._sites.get(origin, time.time())

    async def site(self, origin: Origin, request: Request) -> Site:
        """The origin's site, fetching its signals if need be; `request` is the page request that asks."""
        return self.known(origin) or await self._looking.share(origin, lambda: self._look(origin, request))

    async def documents(self, reads: Iterable[engine.Read], request: Request) -> tuple[Exchange, ...]:
        """The documents on which a decision on what was read can rest; offers are not fetched."""
        reads = tuple(reads)
        needed = {statement.document for item in reads for statement in item.reading.statements}
        wanted = [item for item in plan.follow(reads) if item.url in needed and item.url.startswith(_WEB)]
        return tuple(await together(self._document(item, request) for item in wanted[:DOCUMENTS_FOLLOWED]))

    async def _document(self, planned: plan.Planned, request: Request) -> Exchange:
        known = self._documents.get(planned, time.time())
        if known is not None:
            return known.exchange
        return await self._fetching.share(planned, lambda: self._fetch_document(planned, request))

    async def _fetch_document(self, planned: plan.Planned, request: Request) -> Exchange:
        exchange = await self._fetch(planned, request)
        seconds = self._lifetime([exchange])
        self._documents.put(planned, _Document(exchange=exchange, seen_at=time.time(), seconds=seconds))
        return exchange

    async def _look(self, origin: Origin, request: Request) -> Site:
        """Ask the lists, and fetch and read an origin's signals unless a list settles it.

        robots.txt comes first: where it cannot be reached nothing may be fetched whatever else is said, and the
        other files are not asked for.
        """
        listed = self._options.lists.consult_host(origin)
        settled = self.settled(listed, origin.text)
        if settled is not None:
            self._sites.put(origin, settled)
            self._count("origins/listed")
            return settled
        seen = await self._shared.find(origin)
        site = await self._ask(origin, listed, request) if seen is None else await self._recall(seen, listed, request)
        self._sites.put(origin, site)
        return site

    async def _ask(self, origin: Origin, listed: tuple[Exchange, ...], request: Request) -> Site:
        """Fetch what the origin says, and let others know."""
        seen_at = time.time()
        found: tuple[Exchange, ...] = ()
        try:
            found = await self._fetch_files(origin, request)
            found += await self._documents_of(found, request)
        finally:
            await self._shared.keep(origin, found)
        self._count("origins/consulted" if reached(found) else "origins/unreachable")
        return self._site((*listed, *found), seen_at)

    async def _fetch_files(self, origin: Origin, request: Request) -> tuple[Exchange, ...]:
        planned = plan.well_known(origin, self._options.policy)
        exchanges = [await self._fetch(item, request) for item in planned if item.role == engine.ROBOTS_ROLE]
        if reached(exchanges):
            others = (self._fetch(item, request) for item in planned if item.role != engine.ROBOTS_ROLE)
            exchanges += await together(others)
        return tuple(exchanges)

    async def _documents_of(self, files: tuple[Exchange, ...], request: Request) -> tuple[Exchange, ...]:
        robots_is_there = reached(item for item in files if item.role == engine.ROBOTS_ROLE)
        return await self.documents(engine.read(files, self._options.policy), request) if robots_is_there else ()

    async def _recall(self, seen: Seen, listed: tuple[Exchange, ...], request: Request) -> Site:
        """Take what others have seen; documents that they have not fetched are fetched now."""
        for document in seen.documents:
            seconds = self._lifetime([document])
            entry = _Document(exchange=document, seen_at=seen.seen_at, seconds=seconds)
            self._documents.put(plan.Planned(document.url, document.role), entry)
        documents = await self._documents_of(seen.files, request)
        self._count("origins/recalled")
        return self._site((*listed, *seen.files, *documents), seen.seen_at)

    def settled(self, listed: tuple[Exchange, ...], url: str) -> Site | None:
        """The site of a URL that lists alone forbid; None where its origin has to be asked."""
        return self._site(listed, time.time()) if self._is_settled(listed, url) else None

    def _is_settled(self, listed: tuple[Exchange, ...], url: str) -> bool:
        if not listed:
            return False
        verdict = engine.decide(listed, url, self._options.policy, self._options.identity)
        return lists.settle(verdict, self._options.policy)

    def _forbids(self, url: str) -> bool:
        """Whether a list forbids to ask for a signal file, wherever a redirect or a pointer has led."""
        return self._is_settled(self._options.lists.consult(url), url)

    def _site(self, exchanges: tuple[Exchange, ...], seen_at: float) -> Site:
        return Site(
            compiled=engine.compile(exchanges, self._options.policy, self._options.identity),
            exchanges=exchanges,
            digest=self._ledger.keep(exchanges),
            judge=self._judge,
            seen_at=seen_at,
            seconds=self._lifetime(exchanges),
        )

    async def _fetch(self, planned: plan.Planned, request: Request) -> Exchange:
        exchange = await self._fetcher.fetch(planned, request, self._forbids)
        self._count("signals/fetched")
        self._count(f"signals/{exchange.availability}")
        return exchange

    def _lifetime(self, exchanges: Sequence[Exchange]) -> float:
        longest = self._options.policy.max_age_hours * 3600.0
        return longest if reached(exchanges) else min(longest, UNREACHABLE_SECONDS)
