"""What a verdict means for a crawl: go on or not, why, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrapy.exceptions import IgnoreRequest

from optout.model import Effect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optout.evidence.canonical import JSON
    from optout.identity import Identity
    from optout.model import Verdict
    from optout.policy import Policy

_STRICTNESS = {Effect.PERMIT: 0, Effect.REVIEW: 1, Effect.DENY: 2}

DECISION = "decision"
"""The kind of row that a decision is logged as."""

ACCESS_REFUSED = "access.refused"
"""The reason where the agent is refused access and yet no purpose of the crawl is denied."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict, judged for what the crawl is for.

    Attributes:
        verdict: what was decided.
        effect: the strictest of access and the crawl's purposes; anything but permit means no.
        reason: the reason code of that effect.
        row: the part of the log row that every URL with this verdict has.
    """

    verdict: Verdict
    effect: Effect
    reason: str
    row: Mapping[str, JSON]

    @property
    def proceeds(self) -> bool:
        """Whether the page may be fetched, or kept."""
        return self.effect is Effect.PERMIT


class OptedOut(IgnoreRequest):
    """A request or response that the rightsholder, or what could be learnt of their wishes, does not allow."""

    def __init__(self, url: str, outcome: Outcome) -> None:
        super().__init__(f"{outcome.effect} {url}: {outcome.reason}")
        self.url = url
        self.outcome = outcome


def judge(verdict: Verdict, policy: Policy, identity: Identity) -> Outcome:
    """Judge a verdict for the purposes that the policy names as what the crawl is for."""
    effect, reason = verdict.access, ACCESS_REFUSED
    for purpose in policy.crawl_purposes:
        decision = verdict.decision(purpose)
        if _STRICTNESS[decision.effect] >= _STRICTNESS[effect]:
            effect, reason = decision.effect, decision.reason
    row = {**_row(verdict, identity), "effect": str(effect), "reason": reason}
    return Outcome(verdict, effect, reason, row)


def _row(verdict: Verdict, identity: Identity) -> dict[str, JSON]:
    return {
        "v": 1,
        "kind": DECISION,
        "agent": identity.token,
        "policy": verdict.digests.policy,
        "registry": verdict.digests.registry,
        "access": str(verdict.access),
        "decisions": {
            str(decision.purpose): {"effect": str(decision.effect), "reason": decision.reason}
            for decision in verdict.decisions
        },
        "coverage": {carrier: str(availability) for carrier, availability in verdict.coverage.carriers},
        "exchanges": [{"url": url, "sha256": digest} for url, digest in verdict.digests.exchanges],
    }
