"""The gap analysis as OSCAL 1.2 assessment results (NIST), for tools of governance.

OSCAL knows satisfied and not satisfied only; our four words stand in a property beside. Identifiers are derived from
what was assessed, so that the same evidence and facts give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from policies.document import visible
from policies.findings import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from policies.document import Source
    from policies.evidence_facts import Observed
    from policies.facts import Facts
    from policies.findings import Finding

VERSION = "1.2.0"
NAMESPACE = "https://optout.invalid/ns/oscal"


def assessment_results(found: Sequence[Finding], facts: Facts, observed: Observed) -> Mapping[str, Any]:
    """The findings as assessment results.

    Args:
        found: the findings.
        facts: name the provider and enter into the identifiers.
        observed: at least one log that holds; its decisions give the times.
    """
    name = _Names(facts, observed)
    begin = min(row.begin for log in observed.sound for row in log.decisions)
    end = max(row.end for log in observed.sound for row in log.decisions)
    result = {
        "uuid": name("result"),
        "title": "Gap analysis",
        "description": "Each requirement against policy, log, audits and the provider's facts.",
        "start": _moment(begin),
        "end": _moment(end),
        "reviewed-controls": {
            "control-selections": [
                {"include-controls": [{"control-id": item.requirement.name.lower()} for item in found]}
            ]
        },
        "observations": [_observation(item, name, end) for item in found],
        "findings": [_finding(item, name) for item in found],
    }
    return {
        "assessment-results": {
            "uuid": name("assessment-results"),
            "metadata": {
                "title": f"Gap analysis of {visible(facts.provider.name or 'a provider that has not been named', 200)}",
                "last-modified": _moment(end),
                "version": facts.policy.version or "unversioned",
                "oscal-version": VERSION,
            },
            "import-ap": {"href": f"#{name('plan')}"},
            "results": [result],
            "back-matter": {"resources": [_plan(name)]},
        }
    }


class _Names:
    """Identifiers from the digests of what was assessed."""

    def __init__(self, facts: Facts, observed: Observed) -> None:
        parts = [facts.digest, *(log.root for log in observed.logs), *(audit.digest for audit in observed.audits)]
        self._base = uuid5(NAMESPACE_URL, f"{NAMESPACE}/{'/'.join(parts)}")

    def __call__(self, what: str) -> str:
        return str(uuid5(self._base, what))


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


def _plan(name: _Names) -> Mapping[str, Any]:
    """OSCAL wants a plan; there was none, and a resource says so."""
    return {
        "uuid": name("plan"),
        "title": "No assessment plan",
        "description": "The requirements of policies/requirements.toml were assessed without a separate plan.",
    }


def _observation(item: Finding, name: _Names, collected: datetime) -> Mapping[str, Any]:
    requirement = item.requirement
    made: dict[str, Any] = {
        "uuid": name(f"observation {requirement.name}"),
        "title": requirement.title,
        "description": visible("; ".join(item.reasons) or "There is no check that this toolkit can make."),
        "methods": ["EXAMINE"],
        "collected": _moment(collected),
    }
    if item.sources:
        made["relevant-evidence"] = [_evidence(source) for source in item.sources]
    return made


def _evidence(source: Source) -> Mapping[str, Any]:
    made: dict[str, Any] = {"description": visible(source)}
    if source.digest:
        made["props"] = [{"name": "sha256", "ns": NAMESPACE, "value": source.digest, "class": str(source.kind)}]
    return made


def _finding(item: Finding, name: _Names) -> Mapping[str, Any]:
    requirement = item.requirement
    met = item.status is Status.MET
    return {
        "uuid": name(f"finding {requirement.name}"),
        "title": requirement.title,
        "description": f"{requirement.source}: {item.status}." + ("" if met else f" {requirement.mend}"),
        "props": [{"name": "status", "ns": NAMESPACE, "value": str(item.status)}],
        "target": {
            "type": "objective-id",
            "target-id": requirement.name.lower(),
            "status": {"state": "satisfied" if met else "not-satisfied", "reason": "pass" if met else "other"},
        },
        "related-observations": [{"observation-uuid": name(f"observation {requirement.name}")}],
    }
