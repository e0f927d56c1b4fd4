"""One URL from plan to decision: the file to read first.

Everything the product does is here once, in order: plan which files to look at, fetch them, read them, follow
what they point to, and decide; then, if the agent may, fetch the page and decide again with what its headers
and its head say. Where the page leads elsewhere, all of it begins anew there, and nothing is freer than on the way.
The crawler does the same inside Scrapy, the audit for a billion rows from its store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout import engine
from optout.acquisition import plan
from optout.acquisition.fetcher import redirect_target
from optout.acquisition.files import FileReader
from optout.errors import MalformedUrl
from optout.model import RESOURCE, Effect
from optout.urls import origin_of, without_dot_segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.acquisition.fetcher import Fetcher
    from optout.engine import Read
    from optout.identity import Identity
    from optout.model import Exchange, Verdict
    from optout.policy import Policy

POINTER_DEPTH = 2
"""How far pointers are followed: a licence link leads to a licence, which may name one document more."""


REDIRECTS_FOLLOWED = 5
"""Pages that lead to another page, one after the other; as many as of a signal file (RFC 9309 section 2.3.1.2)."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict and everything that it was made from.

    Attributes:
        url: what was decided on.
        verdict: the strictest of this URL and of what it leads to.
        exchanges: of this URL and its origin.
        reads: what was read in them.
        then: the same of every URL that it led to, in order.
    """

    url: str
    verdict: Verdict
    exchanges: tuple[Exchange, ...]
    reads: tuple[Read, ...]
    then: tuple[Assessment, ...] = ()


async def assess(
    url: str, policy: Policy, identity: Identity, fetcher: Fetcher, *, refused_too: bool = False
) -> Assessment:
    """Decide on one URL and on where it leads, fetching what that takes and nothing that is refused.

    Args:
        url: absolute, http or https.
        policy: the policy in force.
        identity: who we are.
        fetcher: the door to the network.
        refused_too: look at the page even where the agent is refused, and nowhere else; only for exchanges that are
            at hand.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    start = url if refused_too else without_dot_segments(url)
    origins = {origin_of(start): await _look(start, policy, fetcher)}
    steps = [await _step(start, origins[origin_of(start)], policy, identity, fetcher, refused_too=refused_too)]
    while not refused_too and len(steps) <= REDIRECTS_FOLLOWED and (target := _target(steps[-1])) is not None:
        origin = origin_of(target)
        origins[origin] = origins.get(origin) or await _look(target, policy, fetcher)
        steps.append(await _step(target, origins[origin], policy, identity, fetcher))
    first, *then = steps
    verdict = first.verdict
    for step in then:
        where = origin_of(step.url)
        verdict = engine.on_the_way(verdict, step.verdict, "" if where == origin_of(first.url) else where.text)
    return Assessment(url, verdict, first.exchanges, first.reads, tuple(then))


async def _look(url: str, policy: Policy, fetcher: Fetcher) -> list[Exchange]:
    """What the origin of a URL says site-wide."""
    origin = await _fetch_all(plan.well_known(origin_of(url), policy), fetcher)
    return origin + await _pointed(origin, policy, fetcher)


async def _step(
    url: str,
    origin: Sequence[Exchange],
    policy: Policy,
    identity: Identity,
    fetcher: Fetcher,
    *,
    refused_too: bool = False,
) -> Assessment:
    """Decide on one URL alone."""
    verdict = engine.decide(origin, url, policy, identity)
    if verdict.access is not Effect.PERMIT and not refused_too:
        return Assessment(url, verdict, tuple(origin), engine.read(origin, policy))
    page = await fetcher.fetch(plan.Planned(url, RESOURCE))
    exchanges = [*origin, page, *_parts(page)]
    exchanges += await _pointed(exchanges, policy, fetcher)
    verdict = engine.decide(exchanges, url, policy, identity)
    return Assessment(url, verdict, tuple(exchanges), engine.read(exchanges, policy))


def leads_to(page: Exchange) -> str | None:
    """The URL that a page redirects to; None where it leads nowhere on the web."""
    location = next((value for name, value in page.headers if name.lower() == "location"), None)
    try:
        target = redirect_target(page.url, page.status, location)
        if target is not None:
            origin_of(target)
    except MalformedUrl:
        return None
    return target


def _target(step: Assessment) -> str | None:
    """Where the page of a step leads; None where nobody asked for it, too."""
    return next((leads_to(item) for item in step.exchanges if item.role == RESOURCE), None)


def _parts(page: Exchange) -> tuple[Exchange, ...]:
    """What an image, a PDF or another file carries inside itself; a page's own elements are read as they stand."""
    if not page.body:
        return ()
    with FileReader() as reader:
        return reader.read_bytes(page.url, page.body).exchanges


async def _fetch_all(planned: Iterable[plan.Planned], fetcher: Fetcher) -> list[Exchange]:
    return list(await asyncio.gather(*(fetcher.fetch(item) for item in planned)))


async def _pointed(exchanges: list[Exchange], policy: Policy, fetcher: Fetcher) -> list[Exchange]:
    """Fetch the documents that exchanges point to and that are not among them."""
    found: list[Exchange] = []
    for _ in range(POINTER_DEPTH):
        known = {(exchange.url, exchange.role) for exchange in (*exchanges, *found)}
        reads = engine.read([*exchanges, *found], policy)
        missing = [item for item in plan.follow(reads) if (item.url, item.role) not in known]
        if not missing:
            break
        found += await _fetch_all(missing, fetcher)
    return found
