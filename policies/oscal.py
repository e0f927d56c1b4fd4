"""The gap analysis as OSCAL 1.2 assessment results (NIST), for tools of governance.

OSCAL knows satisfied and not satisfied only; our words stand in a property beside. Identifiers are derived from
what was assessed, so that the same evidence and facts give the same bytes.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from policies.document import visible
from policies.findings import Status
from policies.oscal_catalog import NAMESPACE, VERSION, catalog, control_id, objective_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from policies.document import Source
    from policies.evidence_facts import Observed
    from policies.facts import Facts
    from policies.findings import Finding


def assessment_results(
    found: Sequence[Finding], facts: Facts, observed: Observed, *, edition: str
) -> Mapping[str, Any]:
    """The findings as assessment results; the catalogue that their identifiers are of goes along, as an attachment.

    Args:
        found: the findings.
        edition: the day that the requirements are of, ISO 8601.
        facts: name the provider and enter into the identifiers.
        observed: at least one log that holds; its decisions give the times.
    """
    name = _Names(facts, observed, edition)
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
                {"include-controls": [{"control-id": control_id(item.requirement)} for item in found]}
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
                "version": visible(facts.policy.version or "unversioned", 200),
                "oscal-version": VERSION,
            },
            "import-ap": {"href": f"#{name('plan')}"},
            "results": [result],
            "back-matter": {"resources": [_plan(name), _attached(found, name, edition)]},
        }
    }


class _Names:
    """Identifiers from the digests of what was assessed."""

    def __init__(self, facts: Facts, observed: Observed, edition: str) -> None:
        parts = [
            edition,
            facts.digest,
            *(log.root for log in observed.logs),
            *(audit.digest for audit in observed.audits),
        ]
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


def _attached(found: Sequence[Finding], name: _Names, edition: str) -> Mapping[str, Any]:
    made = catalog([item.requirement for item in found], edition)
    data = json.dumps(made, ensure_ascii=False, sort_keys=True).encode()
    return {
        "uuid": name("catalog"),
        "title": "Catalogue of the requirements",
        "description": "Every control-id and target-id of this file is one of this OSCAL catalogue.",
        "base64": {
            "filename": "requirements.oscal-catalog.json", "media-type": "application/json",
            "value": b64encode(data).decode(),
        },
    }  # fmt: skip


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
            "target-id": objective_id(requirement),
            "status": {"state": "satisfied" if met else "not-satisfied", "reason": "pass" if met else "other"},
        },
        "related-observations": [{"observation-uuid": name(f"observation {requirement.name}")}],
    }
