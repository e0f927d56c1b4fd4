"""One URL from plan to decision: the file to read first.

Everything the product does is here once, in order: plan which files to look at, fetch them, read them, follow
what they point to, and decide; then, if the agent may, fetch the page and decide again with what its headers
and its head say. Where the page redirects to another origin, all this is done there too. The crawler does the same
inside Scrapy, the audit for a billion rows from its store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout import engine
from optout.acquisition import plan
from optout.acquisition.files import FileReader
from optout.model import ELSEWHERE, RESOURCE, Effect
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optout.acquisition.fetcher import Fetcher
    from optout.engine import Read
    from optout.identity import Identity
    from optout.model import Exchange, Verdict
    from optout.policy import Policy

POINTER_DEPTH = 2
"""How far pointers are followed: a licence link leads to a licence, which may name one document more."""

MOST_ORIGINS = 6
"""Origins that are looked at for one URL: its own and those of five redirects."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict and everything that it was made from."""

    url: str
    verdict: Verdict
    exchanges: tuple[Exchange, ...]
    reads: tuple[Read, ...]


async def assess(
    url: str, policy: Policy, identity: Identity, fetcher: Fetcher, *, refused_too: bool = False
) -> Assessment:
    """Decide on one URL, fetching what that takes and nothing that is refused.

    Args:
        url: absolute, http or https.
        policy: the policy in force.
        identity: who we are.
        fetcher: the door to the network.
        refused_too: look at the page even where the agent is refused; only for exchanges that are at hand.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    steps = await assess_on_the_way(url, policy, identity, fetcher, refused_too=refused_too)
    if len(steps) == 1:
        return steps[0]
    return Assessment(
        url,
        engine.along([(origin_of(step.url), step.verdict) for step in steps]),
        tuple(exchange for step in steps for exchange in step.exchanges),
        tuple(read for step in steps for read in step.reads),
    )


async def assess_on_the_way(
    url: str, policy: Policy, identity: Identity, fetcher: Fetcher, *, refused_too: bool = False
) -> list[Assessment]:
    """Decide on one URL and on those of other origins to which it redirects, until one is refused; see `assess`."""
    steps: list[Assessment] = []
    target: str | None = url
    while target is not None and len(steps) < MOST_ORIGINS:
        step, target = await _step(target, policy, identity, fetcher, refused_too=refused_too)
        steps.append(step)
    return steps


async def _step(
    url: str, policy: Policy, identity: Identity, fetcher: Fetcher, *, refused_too: bool
) -> tuple[Assessment, str | None]:
    """What one origin and the page say, and the URL at another origin to which the page redirects."""
    planned = plan.well_known(origin_of(url), policy)
    origin = await _fetch_all(planned, fetcher)
    origin += await _pointed(origin, policy, fetcher)
    verdict = engine.decide(origin, url, policy, identity)
    if verdict.access is not Effect.PERMIT and not refused_too:
        return Assessment(url, verdict, tuple(origin), engine.read(origin, policy)), None
    page = await fetcher.fetch(plan.Planned(url, RESOURCE))
    if page.error == ELSEWHERE:
        return Assessment(url, verdict, tuple(origin), engine.read(origin, policy)), page.final_url
    exchanges = [*origin, page, *_parts(page)]
    exchanges += await _pointed(exchanges, policy, fetcher)
    verdict = engine.decide(exchanges, url, policy, identity)
    return Assessment(url, verdict, tuple(exchanges), engine.read(exchanges, policy)), None


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
