"""What a verdict means for a crawl: go on or not, why, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrapy.exceptions import IgnoreRequest

from crawler.row_form import RowForm
from optout.engine.overall import overall
from optout.evidence.rows import VERSION, host_of, signal_fields
from optout.model import Effect

if TYPE_CHECKING:
    from optout.evidence.canonical import JSON
    from optout.identity import Identity
    from optout.model import Decision, Signal, Verdict
    from optout.policy import Policy

DECISION = "decision"
"""The kind of row that a decision is logged as."""

_LONGEST_VALUE = 2_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict, judged for what the crawl is for.

    Attributes:
        verdict: what was decided.
        effect: the strictest of access and the crawl's purposes; anything but permit means no.
        reason: the reason code of that effect.
        form: what log rows on this verdict share.
        counters: the names of the statistics that count it.
    """

    verdict: Verdict
    effect: Effect
    reason: str
    form: RowForm
    counters: tuple[str, ...]

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


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges verdicts for the purposes that a policy names as what the crawl is for.

    Attributes:
        policy: the policy in force.
        identity: who we are.
        identity_digest: how the log names the document that says so.
        node: the writer's name in the log.
    """

    policy: Policy
    identity: Identity
    identity_digest: str
    node: str

    def judge(self, verdict: Verdict, url: str, exchanges: str) -> Outcome:
        """Judge a verdict.

        Args:
            verdict: what was decided.
            url: a URL of the origin that it was decided on.
            exchanges: the digest by which the log names what it rests on.
        """
        decision = overall(verdict, self.policy.crawl_purposes)
        judged: dict[str, JSON] = {
            "effect": str(decision.effect),
            "reason": decision.reason,
            "signals": [_signal(signal) for signal in dict.fromkeys(decision.decisive)],
            "host": host_of(url),
            "exchanges": exchanges,
            "node": self.node,
        }
        counters = f"optout/effect/{decision.effect}", f"optout/reason/{decision.reason}"
        form = RowForm(self._grounds(verdict) | judged)
        return Outcome(verdict, decision.effect, decision.reason, form, counters)

    def _grounds(self, verdict: Verdict) -> dict[str, JSON]:
        return {
            "v": VERSION,
            "kind": DECISION,
            "agent": self.identity.token,
            "purpose": " ".join(self.policy.crawl_purposes),
            "policy": verdict.digests.policy,
            "registry": verdict.digests.registry,
            "identity": self.identity_digest,
            "access": str(verdict.access),
            "decisions": {str(decision.purpose): _decision(decision) for decision in verdict.decisions},
            "coverage": {carrier: str(found) for carrier, found in verdict.coverage.carriers},
        }


def _decision(decision: Decision) -> dict[str, JSON]:
    return {"effect": str(decision.effect), "reason": decision.reason}


def _signal(signal: Signal) -> dict[str, JSON]:
    """A signal as rows keep it; a stranger's undecodable bytes and endless text must not stop the log."""
    return {name: _fit(value) for name, value in signal_fields(signal).items()}


def _fit(value: JSON) -> JSON:
    if not isinstance(value, str):
        return value
    return value[:_LONGEST_VALUE].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
