"""Writing in groups: many entries, one visit to the disk.

A group is written in a thread, at the latest a tenth of a second after its first entry or when it has a thousand.
Whoever must not act before an entry is on the disk waits for the group that it is in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from scrapy.utils.asyncio import call_later, is_asyncio_available, run_in_thread
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred

from optout.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.utils.asyncio import CallLaterResult

GROUP_SECONDS = 0.1
GROUP_ENTRIES = 1_000

Entry = TypeVar("Entry")


class _Group(Generic[Entry]):
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._futures: list[asyncio.Future[None]] = []
        self._deferreds: list[Deferred[None]] = []

    def written(self) -> Awaitable[None]:
        """Something to wait for. Many wait for each group, and a bare future costs a fifth of a Deferred made one."""
        if is_asyncio_available():
            future = asyncio.get_running_loop().create_future()
            self._futures.append(future)
            return future
        deferred: Deferred[None] = Deferred()
        self._deferreds.append(deferred)
        return deferred

    def end(self, fault: EvidenceError | None) -> None:
        """Tell all who wait that the group is on the disk, or that it will never be."""
        for future in self._futures:
            if not future.done():
                future.set_result(None) if fault is None else future.set_exception(fault)
        for deferred in self._deferreds:
            deferred.callback(None) if fault is None else deferred.errback(fault)


class Groups(Generic[Entry]):
    """Hands entries to a writer, group by group and in order; after the first failure it takes no more."""

    def __init__(self, write: Callable[[list[Entry]], None], on_failure: Callable[[EvidenceError], None]) -> None:
        """Begin with no group open.

        Args:
            write: makes entries durable; called in a thread, never twice at a time.
            on_failure: called once when it could not.
        """
        self._write = write
        self._on_failure = on_failure
        self._open: _Group[Entry] = _Group()
        self._current: _Group[Entry] | None = None
        self._running: Deferred[None] | None = None
        self._timer: CallLaterResult | None = None
        self._failure: EvidenceError | None = None

    def add(self, entry: Entry) -> None:
        """Write an entry with the group that is open.

        Raises:
            EvidenceError: writing has failed already.
        """
        self.check()
        self._open.entries.append(entry)
        self._schedule()

    def check(self) -> None:
        """Make sure that writing has not failed.

        Raises:
            EvidenceError: it has.
        """
        if self._failure is not None:
            raise self._failure

    async def durable(self) -> None:
        """Wait until everything that was added before is on the disk.

        Raises:
            EvidenceError: it will never be.
        """
        self.check()
        group = self._open if self._open.entries else self._current
        if group is not None:
            await group.written()

    def _schedule(self) -> None:
        if self._current is not None:
            return
        if len(self._open.entries) >= GROUP_ENTRIES:
            self._begin()
        elif self._timer is None:
            self._timer = call_later(GROUP_SECONDS, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._current, self._open = self._open, _Group()
        self._running = deferred_from_coro(self._commit(self._current))

    async def _commit(self, group: _Group[Entry]) -> None:
        try:
            await run_in_thread(self._write, group.entries)
        except Exception as fault:  # noqa: BLE001 - whatever keeps an entry from the disk stops the writing
            self._fail(fault if isinstance(fault, EvidenceError) else EvidenceError(f"cannot write: {fault!r}"), group)
            return
        self._current = None
        group.end(None)
        if self._open.entries:
            self._schedule()

    def _fail(self, fault: EvidenceError, group: _Group[Entry]) -> None:
        self._failure = fault
        failed = (group, self._open)
        self._current, self._open = None, _Group()
        for each in failed:
            each.end(fault)
        self._on_failure(fault)
