"""How much is done at a time: a few go through, a few wait, and the rest are sent away at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_WAITING = 16
_RETRY_SECONDS = "5"


class Turnstile:
    """Lets so many through at a time."""

    def __init__(self, at_once: int) -> None:
        """Let `at_once` through at a time."""
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn.

        Raises:
            HTTPServiceUnavailable: too many are waiting already.
        """
        if self._waiting >= _WAITING:
            raise web.HTTPServiceUnavailable(text="too many requests at once", headers={"Retry-After": _RETRY_SECONDS})
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()
