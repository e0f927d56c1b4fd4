"""The only door to the network: what a fetcher promises, its limits, and a fetcher that has none at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from optout.errors import MalformedUrl
from optout.model import Exchange
from optout.urls import resolve, without_dot_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optout.acquisition.plan import Planned


_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNDECODABLE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one fetch may cost.

    Attributes:
        seconds: from the first lookup to the last byte, redirects included.
        max_bytes: of the decoded body; the rest is cut and `Exchange.truncated` says so.
        max_redirects: hops that are followed (RFC 9309 section 2.3.1.2 asks for at least five).
        allow_private: whether addresses that are not globally routable may be connected to.
    """

    seconds: float = 30.0
    max_bytes: int = 4_000_000
    max_redirects: int = 5
    allow_private: bool = False


def redirect_target(url: str, status: int | None, location: str | None) -> str | None:
    """Where a response leads, in the form in which it is asked for; None where it leads nowhere.

    Raises:
        MalformedUrl: to no address on the web.
    """
    if status not in _REDIRECTS or not location:
        return None
    target = _UNDECODABLE.sub(_escaped, resolve(url, location))
    if not target.lower().startswith(("http:", "https:")):
        raise MalformedUrl(f"a redirect to {target!r}")
    return without_dot_segments(target)


def _escaped(octet: re.Match[str]) -> str:
    """An octet that is no UTF-8, as every client asks for it; libraries would leave it out and ask for another file."""
    return f"%{ord(octet.group()) - 0xDC00:02X}"


class Fetcher(Protocol):
    """Turns a planned resource into an exchange.

    A fetch never raises for what a server or the network does: that is what `Exchange.error` and
    `Exchange.status` are for. Redirects of files about a site are followed, and those of pages are not: where a page
    leads has to be decided on first.
    """

    async def fetch(self, planned: Planned) -> Exchange:
        """Fetch one resource within the limits."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryFetcher:
    """A fetcher over exchanges that are already there; what is not there does not exist (404).

    Attributes:
        exchanges: by URL.
        fallback: by role, for a document at whatever URL.
    """

    exchanges: Mapping[str, Exchange]
    fallback: Mapping[str, Exchange] = field(default_factory=dict)

    async def fetch(self, planned: Planned) -> Exchange:
        """Look the resource up."""
        found = self.exchanges.get(planned.url) or self.fallback.get(planned.role)
        if found is None:
            return Exchange(planned.url, planned.role, status=404)
        return Exchange(
            planned.url, planned.role, found.status, found.headers, found.body, found.redirects, found.error
        )
