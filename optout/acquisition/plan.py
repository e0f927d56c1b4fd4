"""Planning: which resources to look at for an origin, and which documents its signals point to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.engine import required_paths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optout.engine import Read
    from optout.policy import Policy
    from optout.urls import Origin


@dataclass(frozen=True, slots=True)
class Planned:
    """One resource to fetch and what it is fetched as (`Exchange.role`)."""

    url: str
    role: str


def well_known(origin: Origin, policy: Policy) -> tuple[Planned, ...]:
    """The signal files of an origin that the policy's protocols ask for, robots.txt first."""
    return tuple(Planned(origin.text + path, path) for path in required_paths(policy))


def follow(reads: Iterable[Read]) -> tuple[Planned, ...]:
    """The documents that what was read points to, each once, in order."""
    pointers = (pointer for item in reads for pointer in item.reading.pointers)
    return tuple(dict.fromkeys(Planned(pointer.url, pointer.role) for pointer in pointers))
