"""Writing in groups: many entries, one visit to the disk.

A group is written in a thread, at the latest a tenth of a second after its first entry or when it has a thousand.
Whoever must not act before an entry is on the disk waits for the group that it is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from scrapy.utils.asyncio import call_later, run_in_thread
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from optout.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.utils.asyncio import CallLaterResult

GROUP_SECONDS = 0.1
GROUP_ENTRIES = 1_000

Entry = TypeVar("Entry")


class _Group(Generic[Entry]):
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[Deferred[None]] = []


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
            waiting: Deferred[None] = Deferred()
            group.waiting.append(waiting)
            await maybe_deferred_to_future(waiting)

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
        for waiting in group.waiting:
            waiting.callback(None)
        if self._open.entries:
            self._schedule()

    def _fail(self, fault: EvidenceError, group: _Group[Entry]) -> None:
        self._failure = fault
        waiting = group.waiting + self._open.waiting
        self._current, self._open = None, _Group()
        for waiter in waiting:
            waiter.errback(fault)
        self._on_failure(fault)
