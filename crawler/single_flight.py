"""Doing a thing once however many ask for it at the same time, and several things at once.

Both work in all of Scrapy's modes (asyncio reactor, other reactors, no reactor), so they stand on Deferreds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred, gatherResults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Shares one result among all who ask for the same key while it is being made."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Deferred[Value]]] = {}

    async def share(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        """Give the value of a key, making it unless somebody is making it already.

        Whatever `make` raises is raised to everybody who waits.
        """
        if key in self._waiting:
            waiting: Deferred[Value] = Deferred()
            self._waiting[key].append(waiting)
            return await maybe_deferred_to_future(waiting)
        self._waiting[key] = []
        try:
            value = await make()
        except BaseException as fault:
            for waiting in self._waiting.pop(key):
                waiting.errback(fault)
            raise
        for waiting in self._waiting.pop(key):
            waiting.callback(value)
        return value


async def together(coroutines: Iterable[Awaitable[Value]]) -> list[Value]:
    """Run coroutines at the same time and give their results in order; the first failure is raised."""
    running = [deferred_from_coro(coroutine) for coroutine in coroutines]
    finished: Deferred[list[Value]] = gatherResults(running, consumeErrors=True)
    return await maybe_deferred_to_future(finished)
