"""Exit codes, the same for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.model import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = 0
NO = 1
USAGE = 2
UNDECIDED = 3
INTERRUPTED = 130

_BY_EFFECT = {Effect.PERMIT: DONE, Effect.REVIEW: UNDECIDED, Effect.DENY: NO}


def of_effects(effects: Iterable[Effect]) -> int:
    """The code for several effects: no beats undecided, which beats yes."""
    found = set(effects)
    return next((_BY_EFFECT[effect] for effect in (Effect.DENY, Effect.REVIEW) if effect in found), DONE)
