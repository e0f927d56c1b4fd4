"""One answer for several purposes: what a crawl or an audit does with a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.engine.conclusion import STRICTNESS
from optout.model import Decision, Purpose, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCESS_REFUSED = "access.refused"
"""The reason where the agent is refused access and yet none of the purposes is denied."""


def overall(verdict: Verdict, purposes: Iterable[Purpose]) -> Decision:
    """The strictest of access and of the decisions for these purposes; anything but permit means no.

    Args:
        verdict: what was decided.
        purposes: at least one; of equally strict decisions the last is given.
    """
    strictest = Decision(Purpose.TDM, verdict.access, ACCESS_REFUSED)
    for purpose in purposes:
        decision = verdict.decision(purpose)
        if STRICTNESS[decision.effect] >= STRICTNESS[strictest.effect]:
            strictest = decision
    return strictest
