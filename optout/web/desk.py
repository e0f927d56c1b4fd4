"""Deciding on a URL that somebody asks about: a few at a time, and none without end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from optout.assess import assess
from optout.errors import MalformedUrl
from optout.model import Exchange
from optout.urls import origin_of
from optout.web.turnstile import Turnstile

if TYPE_CHECKING:
    from optout.acquisition.fetcher import Fetcher
    from optout.acquisition.plan import Planned
    from optout.assess import Assessment
    from optout.identity import Identity
    from optout.policy import Policy

AT_ONCE = 4
LONGEST_URL = 2_000
MOST_FETCHES = 64
SECONDS = 60.0


@dataclass(slots=True)
class Bounded:
    """A fetcher that stops after so many fetches, because a stranger's file may point to any number of documents.

    What is not fetched counts as unreachable, which permits nothing.
    """

    fetcher: Fetcher
    left: int = MOST_FETCHES

    async def fetch(self, planned: Planned) -> Exchange:
        """Fetch, as long as there are fetches left."""
        if self.left <= 0:
            return Exchange(planned.url, planned.role, error="too-many-documents", fetched_at=datetime.now(UTC))
        self.left -= 1
        return await self.fetcher.fetch(planned)


@dataclass(slots=True)
class Desk:
    """Answers what we may do with a URL.

    Attributes:
        policy: as its files say; it is put in force as of the day of each question.
        identity: who we are.
        fetcher: the door to the network.
    """

    policy: Policy
    identity: Identity
    fetcher: Fetcher
    _turnstile: Turnstile = field(default_factory=lambda: Turnstile(AT_ONCE))

    async def decide(self, url: str) -> Assessment:
        """Decide on a URL; a bare host means https.

        Raises:
            MalformedUrl: it is no http or https URL, or longer than `LONGEST_URL`.
            HTTPServiceUnavailable: too many are asking.
            HTTPGatewayTimeout: the site took longer than `SECONDS`.
        """
        url = _usable(url)
        policy = self.policy.in_force(datetime.now(UTC).date())
        async with self._turnstile.turn():
            try:
                async with asyncio.timeout(SECONDS):
                    return await assess(url, policy, self.identity, Bounded(self.fetcher))
            except TimeoutError as late:
                raise web.HTTPGatewayTimeout(text=f"no decision within {SECONDS:.0f} seconds") from late


def _usable(given: str) -> str:
    url = given.strip()
    if len(url) > LONGEST_URL:
        raise MalformedUrl(f"the URL has more than {LONGEST_URL:,} characters")
    url = url if "://" in url else f"https://{url}"
    if origin_of(url).scheme not in {"http", "https"}:
        raise MalformedUrl("only http and https URLs can be decided on")
    return url
