"""What imported lists say, asked before anything is fetched (Code of Practice, Measure 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.model import Effect

if TYPE_CHECKING:
    from optout.model import Verdict
    from optout.policy import Policy


def settle(verdict: Verdict, policy: Policy) -> bool:
    """Whether lists alone forbid what a crawl is for, so that nothing need be asked of anybody.

    Args:
        verdict: on what lists say and nothing else; what was not consulted yet settles nothing.
        policy: names what the crawl is for.
    """
    if not verdict.signals:
        return False
    decisions = [verdict.decision(purpose) for purpose in policy.crawl_purposes]
    return any(decision.effect is not Effect.PERMIT and decision.decisive for decision in decisions)
