"""One visit to one origin: all its signal files, one after the other over one connection, and what they point to."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from optout import engine
from optout.acquisition import plan
from optout.acquisition.captures import NOT_ASKED
from optout.model import Availability, Exchange
from optout.policy import Mode, Policy
from optout.protocol import Linked
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.acquisition.fetcher import Fetcher
    from optout.urls import Origin

DOCUMENTS_FOLLOWED = 16
"""Documents that are fetched for one origin; beyond them the pointing statements' own states hold."""

POINTER_DEPTH = 2
"""How far pointers are followed: a licence link leads to a licence, which may name one document more."""

_BUSY = frozenset({429, 503})
_ATTEMPTS = 3
_UNSAID_PAUSE = 2.0
_HOPELESS = frozenset({"timeout", "dns", "refused", "unreachable", "private-address", "tls"})
_DOCUMENTS_KEPT = 2_048
_READ_AT_ONCE = 65_536
_WEB = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a visit may take.

    Attributes:
        seconds: after these no further file is asked for.
        retry_seconds: the longest pause that an origin may ask for (`Retry-After`) and get.
    """

    seconds: float = 90.0
    retry_seconds: float = 30.0


class Visitor:
    """Visits origins; documents to which many of them point are fetched once."""

    def __init__(self, policy: Policy, fetcher: Fetcher, patience: Patience) -> None:
        """Ask for what `policy` looks at, through `fetcher`."""
        self._paths = engine.required_paths(policy)
        self._pointing = _pointing(policy)
        self._fetcher = fetcher
        self._patience = patience
        self._documents: OrderedDict[plan.Planned, asyncio.Task[Exchange]] = OrderedDict()

    async def visit(self, origin: Origin) -> tuple[Exchange, ...]:
        """Fetch an origin's signals.

        robots.txt comes first: where it cannot be reached nothing may be fetched whatever else is said, and the
        other files are not asked for. Where the visit ends early for another reason, what was not asked for is
        unreachable: it may be there, and no archive is lacking it (docs/decisions/0003-not-looked-at.md).
        """
        until = asyncio.get_running_loop().time() + self._patience.seconds
        exchanges: list[Exchange] = []
        for path in self._paths:
            exchange = await self._ask(plan.Planned(origin.text + path, path))
            exchanges.append(exchange)
            if _is_hopeless(exchange) or asyncio.get_running_loop().time() > until:
                break
        if exchanges[0].availability is not Availability.UNREACHABLE:
            exchanges += [_not_asked(origin, path) for path in self._paths[len(exchanges) :]]
        return (*exchanges, *await self._pointed(exchanges))

    async def _ask(self, planned: plan.Planned) -> Exchange:
        """Fetch, and wait as long as a busy server asks us to before asking again."""
        exchange = await self._fetcher.fetch(planned)
        for _ in range(_ATTEMPTS - 1):
            if exchange.status not in _BUSY:
                break
            pause = retry_after(exchange, datetime.now(UTC))
            if pause > self._patience.retry_seconds:
                break
            await asyncio.sleep(pause)
            exchange = await self._fetcher.fetch(planned)
        return exchange

    async def _pointed(self, exchanges: list[Exchange]) -> list[Exchange]:
        """The documents to which what was fetched points."""
        found: list[Exchange] = []
        fresh = [exchange for exchange in exchanges if exchange.availability is Availability.RETRIEVED]
        for _ in range(POINTER_DEPTH):
            known = {(exchange.url, exchange.role) for exchange in found}
            wanted = await self._pointers(fresh) if fresh else ()
            missing = [item for item in wanted if item.url.startswith(_WEB) and (item.url, item.role) not in known]
            fresh = [await self._document(item) for item in missing[: DOCUMENTS_FOLLOWED - len(found)]]
            found += fresh
        return found

    async def _pointers(self, exchanges: Sequence[Exchange]) -> tuple[plan.Planned, ...]:
        """Where to go on; large files are read beside the loop, because every other visit would wait meanwhile."""

        def read() -> tuple[plan.Planned, ...]:
            return plan.follow(engine.read(exchanges, self._pointing))

        large = sum(len(exchange.body) for exchange in exchanges) > _READ_AT_ONCE
        return await asyncio.to_thread(read) if large else read()

    async def _document(self, planned: plan.Planned) -> Exchange:
        task = self._documents.get(planned)
        if task is None:
            task = self._documents[planned] = asyncio.create_task(self._ask(planned))
            if len(self._documents) > _DOCUMENTS_KEPT:
                self._documents.popitem(last=False)
        # Others may wait for it as well, so it goes on when one of them is cancelled.
        return await asyncio.shield(task)


def _not_asked(origin: Origin, path: str) -> Exchange:
    return Exchange(origin.text + path, path, error=NOT_ASKED, fetched_at=datetime.now(UTC))


def _pointing(policy: Policy) -> Policy:
    """The policy without the protocols that never point to a document."""
    off = {
        name: Mode.OFF
        for name, protocol in PROTOCOLS.items()
        if not any(isinstance(carrier, Linked) for carrier in protocol.carriers)
    }
    return replace(policy, modes={**policy.modes, **off})


def retry_after(exchange: Exchange, now: datetime) -> float:
    """Seconds for which a server asks to be left alone (RFC 9110 section 10.2.3); a short while where it names none."""
    text = next((value.strip() for name, value in exchange.headers if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return _UNSAID_PAUSE
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def reached(exchanges: Iterable[Exchange]) -> bool:
    """Whether robots.txt answered at all, be it with an error."""
    return any(exchange.role == engine.ROBOTS_ROLE and exchange.status is not None for exchange in exchanges)


def _is_hopeless(exchange: Exchange) -> bool:
    """Whether to leave the origin alone: it does not answer, has no robots.txt to obey, or is too busy for us."""
    if exchange.role == engine.ROBOTS_ROLE and exchange.availability is Availability.UNREACHABLE:
        return True
    return exchange.error in _HOPELESS or exchange.status in _BUSY
