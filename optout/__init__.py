"""optout: what has the rightsholder reserved, and what may we therefore do?

The pure core on one screen. An `Exchange` is what one fetch saw; `decide` weighs the exchanges of an origin and
a page under a `Policy` for an `Identity`; `compile` prepares an origin for many URLs.

    exchanges = [Exchange("https://example.com/robots.txt", role="/robots.txt", status=200, body=b"...")]
    verdict = decide(exchanges, "https://example.com/page", policy, Identity("ExampleBot"))
    verdict.decision(Purpose.AI_TRAIN).effect
"""

from __future__ import annotations

from optout.engine import CompiledOrigin, compile, decide
from optout.errors import MalformedUrl, OptoutError, PolicyError, UnreadableInput
from optout.identity import Identity
from optout.model import (
    Availability,
    Coverage,
    Decision,
    Effect,
    Exchange,
    Place,
    Problem,
    Purpose,
    Scope,
    Signal,
    State,
    Strength,
    Verdict,
)
from optout.policy import Policy
from optout.policy import parse as parse_policy

__all__ = [
    "Availability",
    "CompiledOrigin",
    "Coverage",
    "Decision",
    "Effect",
    "Exchange",
    "Identity",
    "MalformedUrl",
    "OptoutError",
    "Place",
    "Policy",
    "PolicyError",
    "Problem",
    "Purpose",
    "Scope",
    "Signal",
    "State",
    "Strength",
    "UnreadableInput",
    "Verdict",
    "compile",
    "decide",
    "parse_policy",
]
