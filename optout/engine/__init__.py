"""Deciding: what the signals of an origin and a page say together, and what a policy makes of it.

There is one meaning, in five steps, one module each:

1. `reading`: every protocol reads the exchanges that are its own.
2. `binding`: its statements are narrowed to those that address our product token under the policy.
3. `precedence`: they are put in the protocol's own order, so that the first that matches a path counts,
4. and the ones that count for this path are found.
5. `conclusion`: they are merged per purpose, most restrictive first, and judged under the policy.

`decide` runs all five with the plain matcher. `compile` runs the first three once per origin and keeps the answers of
the fifth by the combination of winners; what is left per URL is the fourth, on `PatternTable`s. A property test holds
the two equal. `others` adds what is said to other AI crawlers, `second_reader` an independent reading of robots.txt.
"""

from __future__ import annotations

from optout.engine.binding import Bound
from optout.engine.conclusion import STRICTNESS, on_the_way, strictest
from optout.engine.deciding import CompiledOrigin, compile, decide
from optout.engine.precedence import Ranked, Winner
from optout.engine.reading import ROBOTS_ROLE, Read, carries_signals, coverage, documents, read, required_paths

__all__ = [
    "ROBOTS_ROLE",
    "STRICTNESS",
    "Bound",
    "CompiledOrigin",
    "Ranked",
    "Read",
    "Winner",
    "carries_signals",
    "compile",
    "coverage",
    "decide",
    "documents",
    "on_the_way",
    "read",
    "required_paths",
    "strictest",
]
