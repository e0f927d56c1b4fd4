"""The account that a crawl gives of itself: rows in the log, counters in Scrapy's statistics, lines for people."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from scrapy.exceptions import IgnoreRequest
from scrapy.utils.asyncio import call_later

from optout.errors import EvidenceError
from optout.evidence.rows import KEPT, VERSION, host_of
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler
    from scrapy.utils.asyncio import CallLaterResult

    from crawler.ledger import Ledger
    from crawler.outcome import Outcome
    from optout.evidence.canonical import JSON

logger = logging.getLogger(__name__)

REQUEST, HEADERS, PAGE = "request", "headers", "page"
"""The stages of a decision: before the request, after the headers, after the body."""

_REASONS_TOLD = 1_000
_STATISTICS_SECONDS = 0.1


class Account:
    """Writes down every decision once."""

    def __init__(self, ledger: Ledger, crawler: Crawler) -> None:
        self._ledger = ledger
        self._stats = crawler.stats
        self._told: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._timer: CallLaterResult | None = None

    def record(self, url: str, stage: str, outcome: Outcome, fetch: Mapping[str, JSON]) -> None:
        """Log a decision.

        Args:
            url: what was decided on.
            stage: when: before the request, after the headers or after the body.
            outcome: what was decided.
            fetch: what became of the request.

        Raises:
            IgnoreRequest: it cannot be logged.
        """
        try:
            self._ledger.add(outcome.form.line(fetch, stage, _now(), url))
        except EvidenceError as fault:
            raise IgnoreRequest(str(fault)) from fault
        for counter in outcome.counters:
            self._counts[counter] += 1
        if self._timer is None:
            self._timer = call_later(_STATISTICS_SECONDS, self.flush)
        if not outcome.proceeds:
            self._tell(url, outcome)

    def kept(self, url: str, record: str, digest: str) -> None:
        """Log that a page was kept, by the identifier of its WARC record and the SHA-256 of its body.

        Raises:
            EvidenceError: it cannot be logged.
        """
        fetch: dict[str, JSON] = {"done": True, "record": record, "sha256": digest}
        self._ledger.add(
            {"v": VERSION, "kind": KEPT, "t": _now(), "host": host_of(url), "url": url, "stage": KEPT, "fetch": fetch}
        )

    def flush(self) -> None:
        """Bring Scrapy's statistics up to date; a call for every page would cost more than the decision's row."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for counter, count in self._counts.items():
            self._stats.inc_value(counter, count)
        self._counts.clear()

    def count(self, name: str) -> None:
        """Count something under a name of ours in Scrapy's statistics."""
        self._stats.inc_value(f"optout/{name}")

    def _tell(self, url: str, outcome: Outcome) -> None:
        """Say why a crawl comes back empty: aloud for the first URL of each origin and reason."""
        about = (origin_of(url).text, outcome.reason)
        if about in self._told or len(self._told) >= _REASONS_TOLD:
            logger.debug("%s %s: %s", outcome.effect, url, outcome.reason)
            return
        self._told.add(about)
        logger.info("%s %s: %s (further ones of this origin are logged as debug)", outcome.effect, url, outcome.reason)


def _now() -> int:
    """The time as rows have it: microseconds since 1970 UTC."""
    return time.time_ns() // 1000
