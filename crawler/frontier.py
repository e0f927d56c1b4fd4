"""The scheduler of the `pages` spider: a queue on disk that a killed process leaves whole.

Scrapy's own disk queues write down what they hold when they are closed, so a process that is killed forgets what it
had still to do, and yet remembers it as seen. Here a URL stays in the table, waiting, until its outcome is written
down; whatever was under way when the process died is simply waiting again. Links found on a page are in the same
transaction as the page's own end, or in an earlier one.

The table is `JOBDIR/frontier.sqlite`. It holds URLs and depths, nothing that would have to be trusted as code.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scrapy import Request
from scrapy.core.scheduler import BaseScheduler
from scrapy.utils.job import job_dir

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.utils.request import RequestFingerprinterProtocol

FRONTIER_ID = "frontier_id"
"""The meta key that ties a request, and what redirects and retries make of it, to its row."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    url TEXT NOT NULL,
    depth INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON urls (depth, id) WHERE state = 0;
"""
_WAITING, _DROPPED, _KEPT = 0, 1, 2
_BATCH = 256


class Frontier(BaseScheduler):
    """A breadth-first queue of URLs to be fetched once each."""

    def __init__(self, database: str, fingerprinter: RequestFingerprinterProtocol) -> None:
        self._fingerprint = fingerprinter.fingerprint
        self._database = sqlite3.connect(database, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)
        self._again: deque[Request] = deque()
        self._next: deque[tuple[int, str, int]] = deque()
        self._taken: set[int] = set()
        self._waiting, self._kept = self._count(_WAITING), self._count(_KEPT)
        self._most: int | None = None
        self._spider: Spider | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Open the frontier in `JOBDIR`; without one it lives in memory."""
        directory = job_dir(crawler.settings)
        database = ":memory:" if directory is None else str(Path(directory, "frontier.sqlite"))
        return cls(database, crawler.request_fingerprinter)

    def open(self, spider: Spider) -> None:
        """Note the spider whose callbacks get the responses."""
        self._spider = spider

    def close(self, reason: str) -> None:
        """Write down what is open and let go of the file."""
        self._commit()
        self._database.close()

    def has_pending_requests(self) -> bool:
        """Whether there is anything that nobody works on."""
        return bool(self._again) or self._waiting > len(self._taken)

    def kept(self) -> int:
        """How many pages have been kept, in this process and before."""
        return self._kept

    def keep_at_most(self, pages: int) -> None:
        """Give out no more at a time than may still be kept."""
        self._most = pages

    def waiting(self) -> int:
        """How many URLs have no outcome yet."""
        return self._waiting

    def enqueue_request(self, request: Request) -> bool:
        """Take a request unless its URL is known; a redirected or retried one goes on with its row."""
        row = request.meta.get(FRONTIER_ID)
        if row is None:
            return self._insert(request)
        known = self._database.execute(
            "SELECT id FROM urls WHERE fingerprint = ?", (self._fingerprint(request),)
        ).fetchone()
        if known is not None and known[0] != row:
            self.finish(request, kept=False)
            return False
        self._again.append(request)
        return True

    def next_request(self) -> Request | None:
        """The next request, nearest to the seeds first; None where all are taken."""
        if self._again:
            return self._again.popleft()
        if self._most is not None and self._kept + len(self._taken) >= self._most:
            return None
        if not self._next:
            self._fill()
        if not self._next:
            return None
        row, url, depth = self._next.popleft()
        self._taken.add(row)
        return self._request(row, url, depth)

    def finish(self, request: Request, *, kept: bool) -> None:
        """Write down that a request has its outcome, with every link that was found until now."""
        row = request.meta.get(FRONTIER_ID)
        if row not in self._taken:
            return
        self._begin()
        state = _KEPT if kept else _DROPPED
        self._database.execute("UPDATE urls SET state = ? WHERE id = ?", (state, row))
        # Where a redirect led is not to be fetched again either.
        self._database.execute(
            "INSERT OR IGNORE INTO urls (fingerprint, url, depth, state) VALUES (?, ?, ?, ?)",
            (self._fingerprint(request), request.url, request.meta.get("depth", 0), _DROPPED),
        )
        self._commit()
        self._taken.discard(row)
        self._waiting -= 1
        self._kept += kept

    def _insert(self, request: Request) -> bool:
        self._begin()
        inserted = self._database.execute(
            "INSERT OR IGNORE INTO urls (fingerprint, url, depth) VALUES (?, ?, ?)",
            (self._fingerprint(request), request.url, request.meta.get("depth", 0)),
        )
        self._waiting += inserted.rowcount
        return bool(inserted.rowcount)

    def _fill(self) -> None:
        rows = self._database.execute(
            "SELECT id, url, depth FROM urls WHERE state = ? ORDER BY depth, id LIMIT ?",
            (_WAITING, _BATCH + len(self._taken)),
        )
        self._next.extend(row for row in rows if row[0] not in self._taken)

    def _request(self, row: int, url: str, depth: int) -> Request:
        errback = getattr(self._spider, "on_error", None)
        return Request(url, errback=errback, meta={FRONTIER_ID: row, "depth": depth})

    def _count(self, state: int) -> int:
        return int(self._database.execute("SELECT count(*) FROM urls WHERE state = ?", (state,)).fetchone()[0])

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")

    def _commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")


def finish(crawler: Crawler, request: Request, *, kept: bool) -> None:
    """Write down the outcome of a request, where the crawl has a frontier; other schedulers do not keep any."""
    scheduler = crawler.engine.scheduler
    if isinstance(scheduler, Frontier):
        scheduler.finish(request, kept=kept)
