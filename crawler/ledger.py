"""The evidence of a crawl, written in groups: signals to the archive first, then the rows that rest on them.

A group is committed in a thread, at the latest a tenth of a second after its first row or when it has a thousand.
Whoever must not act before a row is on the disk waits for the group that is open at that moment. When the disk
refuses, every waiter is told, nothing more is accepted, and the crawl is stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.asyncio import call_later, run_in_thread
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from optout.errors import EvidenceError
from optout.evidence.exchange_record import identifier_of
from optout.evidence.journal import Journal
from optout.evidence.warc import SignalArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scrapy.utils.asyncio import CallLaterResult

    from optout.evidence.canonical import JSON
    from optout.model import Exchange

GROUP_SECONDS = 0.1
GROUP_ROWS = 1_000


class _Group:
    """Rows and exchanges that become durable together."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, JSON]] = []
        self.exchanges: list[Exchange] = []
        self.waiting: list[Deferred[None]] = []

    def __bool__(self) -> bool:
        return bool(self.rows or self.exchanges)


class Ledger:
    """The writing end of a crawl's evidence."""

    def __init__(self, directory: Path, node: str, on_failure: Callable[[EvidenceError], None]) -> None:
        """Open the archive and the journal.

        Args:
            directory: holds `signals/` and `evidence/`; created when missing.
            node: the writer's name in both.
            on_failure: called once when the disk refuses.

        Raises:
            EvidenceError: another process writes there, or the disk refuses already.
        """
        self._archive = SignalArchive(directory / "signals", prefix=node)
        try:
            self._journal = Journal(directory / "evidence", node=node)
        except BaseException:
            self._archive.close()
            raise
        self._on_failure = on_failure
        self._open = _Group()
        self._current: _Group | None = None
        self._running: Deferred[None] | None = None
        self._timer: CallLaterResult | None = None
        self.failure: EvidenceError | None = None

    def keep(self, exchange: Exchange) -> str:
        """Archive an exchange with the open group and give the identifier of its record."""
        self._open.exchanges.append(exchange)
        self._schedule()
        return identifier_of(exchange)

    def add(self, row: Mapping[str, JSON]) -> None:
        """Write a row with the open group.

        Raises:
            EvidenceError: the disk has refused already.
        """
        if self.failure is not None:
            raise self.failure
        self._open.rows.append(row)
        self._schedule()

    async def durable(self) -> None:
        """Wait until everything that was added before is on the disk.

        Raises:
            EvidenceError: it will never be.
        """
        if self.failure is not None:
            raise self.failure
        group = self._open or self._current
        if group is not None:
            waiting: Deferred[None] = Deferred()
            group.waiting.append(waiting)
            await maybe_deferred_to_future(waiting)

    async def close(self) -> None:
        """Commit what is open and let go of the files; the archive's last file is sealed.

        Raises:
            EvidenceError: the disk refuses.
        """
        try:
            while self._open or self._current is not None:
                await self.durable()
        finally:
            await run_in_thread(self._close_files)

    def _close_files(self) -> None:
        try:
            self._archive.close()
        finally:
            self._journal.close()

    def _schedule(self) -> None:
        if self._current is not None:
            return
        if len(self._open.rows) >= GROUP_ROWS:
            self._begin()
        elif self._timer is None:
            self._timer = call_later(GROUP_SECONDS, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._current, self._open = self._open, _Group()
        self._running = deferred_from_coro(self._commit(self._current))

    async def _commit(self, group: _Group) -> None:
        try:
            await run_in_thread(self._write, group)
        except Exception as fault:  # noqa: BLE001 - whatever keeps a row from the disk stops the crawl
            self._fail(fault if isinstance(fault, EvidenceError) else EvidenceError(f"cannot log: {fault!r}"), group)
            return
        self._current = None
        for waiting in group.waiting:
            waiting.callback(None)
        if self._open:
            self._schedule()

    def _write(self, group: _Group) -> None:
        for exchange in group.exchanges:
            self._archive.write(exchange)
        self._archive.commit()
        self._journal.append(group.rows)

    def _fail(self, fault: EvidenceError, group: _Group) -> None:
        self.failure = fault
        waiting = group.waiting + self._open.waiting
        self._current, self._open = None, _Group()
        for waiter in waiting:
            waiter.errback(fault)
        self._on_failure(fault)
