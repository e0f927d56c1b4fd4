"""What other crawlers have seen of an origin, or this one in an earlier run: a store between memory and the network.

Stores are asked in the order of the setting, nearest first, once for an origin that is not in memory and never for a
page. Whoever gets the lease of an origin fetches its signals; the others wait for what comes of it, and for no longer
than a fetch would take. A store that fails is no answer: the origin is asked instead, and the store is left alone for
a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from scrapy.utils.asyncio import call_later, is_asyncio_available, run_in_thread
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import Deferred

from crawler.fetcher import REFUSED_BY_LIST, REFUSED_BY_PROJECT
from optout import engine
from optout.acquisition.captures import StoreError, StoreUnreachable
from optout.acquisition.stores import open_store
from optout.engine import ROBOTS_ROLE
from optout.model import TOO_MANY_REDIRECTS, Availability, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crawler.options import Options
    from optout.acquisition.history import Store
    from optout.urls import Origin

    Exchanges = tuple[Exchange, ...]

logger = logging.getLogger(__name__)

UNREACHABLE_SECONDS = 30 * 60
"""How long an origin that could not be reached is left alone; asking again can only open what is closed."""

_REFUSED = frozenset({REFUSED_BY_PROJECT, REFUSED_BY_LIST})
_AWAY_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.25
_SKEW_SECONDS = 300.0
_FETCHES_OF_A_LOOK = 4
_THREADS = 4

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an origin: its files, the documents that they point to, and when the oldest file was fetched."""

    files: Exchanges
    documents: Exchanges
    seen_at: float


class _Tier:
    """One store, opened when it is needed, and left alone while it is away."""

    def __init__(self, address: str) -> None:
        """Open it.

        Raises:
            OptoutError: it can never be used; one that is only away may come back.
        """
        self._address = address
        self._store: Store | None = None
        self._away_until = 0.0
        self._warned = False
        self._opening = Lock()
        try:
            self._opened()
        except StoreUnreachable as fault:
            self._leave_alone(fault)

    def ask(self, work: Callable[[Store], Result]) -> Result | None:
        """What the store answers; None while it does not."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return work(self._opened())
        except StoreError as fault:
            self._leave_alone(fault)
            return None

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None:
                self._store = open_store(self._address, create=True)
            return self._store

    def _leave_alone(self, fault: StoreError) -> None:
        self._away_until = time.monotonic() + _AWAY_SECONDS
        if not self._warned:
            self._warned = True
            logger.warning("Signals are fetched from their origins while the store is away: %s", fault)

    def close(self) -> None:
        """Close it."""
        if self._store is not None:
            self._store.close()


class Shared:
    """The stores of a crawl; without any, every origin is ours to ask."""

    def __init__(self, options: Options) -> None:
        """Open the stores.

        Raises:
            OptoutError: one of them can never be used.
        """
        self._paths = engine.required_paths(options.policy)
        self._longest = options.policy.max_age_hours * 3600.0
        self._limits = options.limits
        self._holder = uuid4().hex
        self._tiers = [_Tier(address) for address in options.stores]
        self._pool = ThreadPoolExecutor(_THREADS, "optout-store") if self._tiers else None

    async def find(self, origin: Origin) -> Seen | None:
        """What is known of an origin; None where it is ours to ask, and `keep` or `leave` must follow."""
        if not self._tiers:
            return None
        until = time.monotonic() + self._limits.seconds
        while True:
            found = await self._in_thread(self._find_or_claim, origin.text)
            if isinstance(found, Seen):
                return found
            if found or time.monotonic() > until:
                return None
            await _sleep(_LOOK_AGAIN_SECONDS)

    async def keep(self, origin: Origin, exchanges: Exchanges) -> None:
        """Let others know what has been seen, unless we did not look."""
        if self._tiers:
            known = not any(exchange.error in _REFUSED for exchange in exchanges)
            await self._in_thread(self._keep, origin.text, exchanges if known else ())

    async def leave(self, origin: Origin) -> None:
        """Let somebody else ask an origin."""
        await self.keep(origin, ())

    def close(self) -> None:
        """Close the stores."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        for tier in self._tiers:
            tier.close()

    # In a thread.

    def _find_or_claim(self, origin: str) -> Seen | bool:
        """What a store knows; where none knows anything, whether the origin is ours to ask."""
        return self._find(origin) or (self._claim(origin) and (self._find_after_claim(origin) or True))

    def _find(self, origin: str) -> Seen | None:
        """What the nearest store knows that knows enough; those before it are told."""
        for number, tier in enumerate(self._tiers):
            exchanges = tier.ask(lambda store: store.newest(origin))
            seen = self._usable(exchanges or (), time.time())
            if seen is not None:
                for nearer in self._tiers[:number]:
                    nearer.ask(lambda store: store.put((*seen.files, *seen.documents)))  # noqa: B023 - called at once
                return seen
        return None

    def _claim(self, origin: str) -> bool:
        """Take the lease that most can see; where nobody can say, everybody asks."""
        seconds = self._limits.seconds * _FETCHES_OF_A_LOOK
        for tier in reversed(self._tiers):
            taken = tier.ask(lambda store: store.backend.lease([origin], self._holder, seconds))
            if taken is not None:
                return origin in taken
        return True

    def _find_after_claim(self, origin: str) -> Seen | None:
        """Somebody may have been there between the look and the lease."""
        found = self._find(origin)
        if found is not None:
            self._release(origin)
        return found

    def _keep(self, origin: str, exchanges: Exchanges) -> None:
        if exchanges:
            for tier in self._tiers:
                tier.ask(lambda store: store.put(exchanges))
        self._release(origin)

    def _release(self, origin: str) -> None:
        for tier in self._tiers:
            tier.ask(lambda store: store.backend.release([origin], self._holder))

    def _usable(self, exchanges: Exchanges, now: float) -> Seen | None:
        """What may be used of the newest state of an origin: a whole look, young enough, with nothing lost."""
        by_role = {exchange.role: exchange for exchange in exchanges}
        robots = by_role.get(ROBOTS_ROLE)
        if robots is None:
            return None
        closed = robots.availability is Availability.UNREACHABLE
        files = (robots,) if closed else tuple(by_role[path] for path in self._paths if path in by_role)
        longest = min(self._longest, UNREACHABLE_SECONDS) if not reached(files) else self._longest
        whole = closed or len(files) == len(self._paths)
        if not whole or not all(_was_answered(exchange) and self._is_whole(exchange) for exchange in files):
            return None
        # Clocks of different machines are not quite the same; what is from the far future is nothing to go by.
        seen_at = min(now, *(_time(exchange) for exchange in files))
        documents = tuple(
            exchange
            for exchange in exchanges
            if not exchange.role.startswith("/") and _was_answered(exchange) and _time(exchange) >= seen_at
        )
        is_young = now - seen_at < longest and max(map(_time, files)) < now + _SKEW_SECONDS
        return Seen(files, documents, seen_at) if is_young else None

    def _is_whole(self, exchange: Exchange) -> bool:
        """Whether a body was not cut shorter than we would cut it; a robots.txt is read up to its limit anyway."""
        cut = exchange.truncated and exchange.role != ROBOTS_ROLE
        return not cut or len(exchange.body) >= self._limits.max_bytes

    async def _in_thread(self, work: Callable[..., Result], *given: object) -> Result:
        if is_asyncio_available():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
        return await run_in_thread(work, *given)


def reached(exchanges: Iterable[Exchange]) -> bool:
    """Whether everything that was asked for was there or was not, as against nobody knows."""
    return all(exchange.availability is not Availability.UNREACHABLE for exchange in exchanges)


def _was_answered(exchange: Exchange) -> bool:
    """Whether the origin itself has answered; that somebody else could not reach it says nothing to us."""
    return exchange.error in (None, TOO_MANY_REDIRECTS)


def _time(exchange: Exchange) -> float:
    return exchange.fetched_at.timestamp() if exchange.fetched_at is not None else 0.0


async def _sleep(seconds: float) -> None:
    waiting: Deferred[None] = Deferred()
    call_later(seconds, waiting.callback, None)
    await maybe_deferred_to_future(waiting)
