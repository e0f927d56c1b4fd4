"""Origins that share a content key have the same outcome for the same path, whatever their robots.txt names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as some
from policies_for_tests import shipped

from optout import engine
from optout.acquisition.captures import Entry, entry_of
from optout.acquisition.history import Store
from optout.audit.outcomes import Outcome, outcome_of
from optout.identity import Identity
from optout.model import Exchange
from optout.signals.robots_exclusion import ROLE

if TYPE_CHECKING:
    from collections.abc import Collection

    from optout.acquisition.captures import Row

SITES = ("https://one.example", "https://two-of-them.example")
PATHS = ("/", "/a", "/a/b.html", "/b?c", "/robots.txt", "//one.example/a", "/https://one.example/a")
_FIELDS = some.sampled_from(
    ["User-agent: ", "Disallow: ", "Disallow ", "Allow: ", "Sitemap: ", " SITEMAP :\t", "Sitemaps: ", "Sitemap ", "# ",
     "Host: ", "Content-Signal: ", "Disallow: / # ", "Disallow # see: ", "<!-- ", "<html>", "\ufeff", ""]
)  # fmt: skip
_VALUES = some.sampled_from(
    ["*", "ExampleBot", "GPTBot", "/", "/a", "{site}", "{site}/a", "{site}/sitemap.xml ", "{site}\vDisallow: /",
     "{site}\u2028User-agent: *", "{site}#a", "ai-train=no", "-->", ""]
)  # fmt: skip
_ENDS = some.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\v", ""])
_BODIES = some.lists(some.tuples(_FIELDS, _VALUES, _ENDS).map("".join), max_size=8).map("".join)


class Backend:
    """One capture for each of two origins."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def rows(self, origin: str) -> list[Row]:
        return [entry.row for entry in self._entries if entry.origin == origin]

    def bodies(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        there = {entry.row.digest: entry.body or b"" for entry in self._entries if entry.row.digest}
        return {digest: there[digest] for digest in digests}


def outcomes(exchanges: tuple[Exchange, ...], site: str) -> list[Outcome]:
    policy = shipped("eu-gpai")
    compiled = engine.compile(exchanges, policy, Identity("ExampleBot"))
    return [outcome_of(compiled.decide(site + path), policy) for path in PATHS]


@given(_BODIES)
@example("User-agent: *\nDisallow: /a\nSitemap: {site}/sitemap.xml\n")
@example("User-agent: *\nSitemap: {site}/sitemap.xml\nDisallow: {site}/a\n")
@example("User-agent: *\nDisallow /a # see: {site}\n")
@example("User-agent: *\nSitemap: {site}/\u2028Disallow: /a\n")
@example("<!-- \nSitemap: {site}\n--> <html>\nUser-agent: *\nDisallow: /")
def test_a_shared_key_means_the_same_outcomes(text: str) -> None:
    seen = datetime(2026, 3, 1, tzinfo=UTC)
    files = [
        Exchange(f"{site}{ROLE}", ROLE, 200, body=text.replace("{site}", site).encode(), fetched_at=seen)
        for site in SITES
    ]
    store = Store(Backend([entry_of(site, file) for site, file in zip(SITES, files, strict=True)]))  # type: ignore[arg-type]
    one, other = (store.state(site, None) for site in SITES)
    assert one is not None
    assert other is not None
    if one.content_key == other.content_key:
        assert outcomes(one.exchanges, SITES[0]) == outcomes(other.exchanges, SITES[0])
