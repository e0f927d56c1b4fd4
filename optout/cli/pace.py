"""How fast something has gone lately, and how long the rest will take at that pace."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from time import monotonic

_RECENT_SECONDS = 60.0
_APART_SECONDS = 1.0


class Pace:
    """The pace of the last minute, because what was done in an earlier run is passed in no time."""

    def __init__(self) -> None:
        """Begin at 0, now."""
        self._past: deque[tuple[float, int]] = deque([(monotonic(), 0)])

    def at(self, place: int) -> float:
        """Note how far it is; give how much was done in a second."""
        now = monotonic()
        while len(self._past) > 1 and now - self._past[1][0] > _RECENT_SECONDS:
            self._past.popleft()
        then, was = self._past[0]
        if now - self._past[-1][0] > _APART_SECONDS:
            self._past.append((now, place))
        return (place - was) / max(now - then, 0.001)


def left(place: int, total: int | None, pace: float) -> str:
    """How much is done and how long the rest may take, to go on with a line; nothing where nobody can tell."""
    if not total or pace <= 0:
        return ""
    rest = timedelta(seconds=round(max(total - place, 0) / pace))
    return f", {min(place / total, 1):.0%} done, about {rest} left"
