"""What machines are answered: verdicts as `optout check` prints them, rows as `optout evidence query` does."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optout.evidence.rows import FIELDS, Kind
from optout.model import Effect, Purpose
from optout.signals import tdmrep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.assess import Assessment
    from optout.model import Decision, Place, Problem, Signal, Verdict
    from optout.policy import Policy

LONGEST_VALUE = 160
"""How much of a stranger's text people are shown."""


def place_json(place: Place) -> dict[str, Any]:
    """A place as an object; what is not known is left out."""
    parts = {"resource": place.resource, "line": place.line, "offset": place.offset, "field": place.field}
    return {key: value for key, value in parts.items() if value is not None}


def signal_json(signal: Signal) -> dict[str, Any]:
    """A signal as an object."""
    form: dict[str, Any] = {
        "protocol": signal.protocol,
        "purpose": signal.purpose,
        "state": signal.state,
        "scope": signal.scope,
        "strength": signal.strength,
        "place": place_json(signal.place),
        "value": signal.value,
    }
    if signal.advisory:
        form["advisory"] = True
    if signal.conditions:
        form["conditions"] = [{"name": name, "text": text} for name, text in signal.conditions]
    return form


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as an object."""
    return {"code": problem.code, "place": place_json(problem.place)}


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as an object."""
    return {"effect": decision.effect, "reason": decision.reason}


def verdict_json(verdict: Verdict, purposes: Sequence[Purpose]) -> dict[str, Any]:
    """A verdict in the form of `optout check --json`, decisions limited to these purposes."""
    return {
        "states": {purpose: verdict.states[purpose] for purpose in Purpose},
        "crawl": "allow" if verdict.access is Effect.PERMIT else "disallow",
        "decisions": {purpose: decision_json(verdict.decision(purpose)) for purpose in purposes},
        "signals": [signal_json(signal) for signal in verdict.signals if not signal.advisory],
        "advisory": list(verdict.advisory),
        "advisory_signals": [signal_json(signal) for signal in verdict.signals if signal.advisory],
        "problems": [problem_json(problem) for problem in verdict.problems],
        "coverage": {carrier: str(availability) for carrier, availability in verdict.coverage.carriers},
        "digests": {
            "policy": verdict.digests.policy,
            "registry": verdict.digests.registry,
            "exchanges": [{"url": url, "sha256": digest} for url, digest in verdict.digests.exchanges],
        },
    }


def printable(text: str, longest: int = LONGEST_VALUE) -> str:
    """A stranger's text made safe to show: one line, no control characters, not too long."""
    safe = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return safe if len(safe) <= longest else f"{safe[: longest - 1]}…"


def policy_offers(assessment: Assessment) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """What the policies that a TDM reservation points to ask in return, and whom to write to (TDMRep section 6)."""
    exchanges = (exchange for step in (assessment, *assessment.then) for exchange in step.exchanges)
    found = {exchange.url: tdmrep.offer(exchange) for exchange in exchanges if exchange.role == tdmrep.POLICY}
    return [(url, offer) for url, offer in found.items() if offer]


def assessment_json(assessment: Assessment, policy: Policy, token: str, purposes: Sequence[Purpose]) -> dict[str, Any]:
    """An assessment in the form of `optout check --json`: whose question it answers, the verdict, and the offers."""
    offers = [
        {"policy": url, "terms": [{"name": name, "text": text} for name, text in offer]}
        for url, offer in policy_offers(assessment)
    ]
    asked: dict[str, Any] = {"url": assessment.url, "policy": policy.name, "agent": token}
    asked["redirects"] = [step.url for step in assessment.then]
    return asked | verdict_json(assessment.verdict, purposes) | {"offers": offers}


def row_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the log as `optout evidence query --json` prints it: times in ISO form, JSON columns as JSON."""
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - a value of a row
    if isinstance(value, datetime):
        return value.isoformat()
    if FIELDS.get(name) is Kind.JSON and isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value
