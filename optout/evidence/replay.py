"""Deciding again: from the archived bytes and the logged policy to the fields that a row should have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import permutations
from typing import TYPE_CHECKING, Any

from optout import engine, policy
from optout.engine.overall import overall
from optout.errors import EvidenceError
from optout.identity import Identity
from optout.model import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from optout.model import Exchange
    from optout.policy import Policy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POLICIES_KEPT = 16


class Redecision:
    """Repeats decisions; give it to `optout.evidence.verify.verify` as `replay`."""

    def __init__(self, document: Callable[[str], Sequence[bytes]]) -> None:
        """Decide again under the documents that were logged.

        Args:
            document: gives the texts of a logged document by the digest that rows name it by. It raises
                EvidenceError where nobody logged it.
        """
        self._document = document
        self._policy = lru_cache(maxsize=_POLICIES_KEPT)(self._parsed)

    def __call__(self, row: Mapping[str, Any], exchanges: Sequence[Exchange]) -> dict[str, Any]:
        """The fields that a decision row should have.

        Raises:
            EvidenceError: the policy or registry that the row names was not logged or cannot be read.
        """
        decided_at = _EPOCH + timedelta(microseconds=row["t"])
        found = self._policy(row["policy"], row["registry"]).in_force(decided_at.date())
        verdict = engine.decide(exchanges, row["url"], found, Identity(row["agent"]))
        decision = overall(verdict, [Purpose(purpose) for purpose in row["purpose"].split()])
        return {
            "effect": str(decision.effect),
            "reason": decision.reason,
            "access": str(verdict.access),
            "decisions": {
                str(item.purpose): {"effect": str(item.effect), "reason": item.reason} for item in verdict.decisions
            },
        }

    def _parsed(self, policy_digest: str, registry_digest: str) -> Policy:
        (text,) = self._document(policy_digest)
        registry, agents = self._document(registry_digest)
        parsed = policy.parse(text, registry, agents, source=f"document {policy_digest[:16]}")
        if (parsed.digest, parsed.registry_digest) != (policy_digest, registry_digest):
            raise EvidenceError(f"document {policy_digest[:16]} is not the policy that the row names")
        return parsed


def documents_in(folder: Path) -> Callable[[str], Sequence[bytes]]:
    """Find logged documents in an evidence directory's `documents/` by their digests.

    A policy is one text and named by its SHA-256. A registry is two texts, and named by the SHA-256 of their two; which
    two belong together is found by trying, since only the right ones have that digest.
    """
    texts = {path.name: path.read_bytes() for path in sorted(folder.glob("*"))} if folder.is_dir() else {}

    def document(digest: str) -> Sequence[bytes]:
        if digest in texts:
            return (texts[digest],)
        for first, second in permutations(sorted(texts), 2):
            if sha256(bytes.fromhex(first) + bytes.fromhex(second)).hexdigest() == digest:
                return texts[first], texts[second]
        raise EvidenceError(
            f"document {digest[:16]} is not among the logged documents", mend="hand over documents/ too"
        )

    return document
