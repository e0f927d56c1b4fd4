"""The obligations as an OSCAL 1.2 catalogue, so that the identifiers in assessment results lead somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policies.findings import Requirement

VERSION = "1.2.0"
NAMESPACE = "https://optout.invalid/ns/oscal"
GROUPS: Mapping[str, str] = {
    "cc": "Code of Practice, Copyright Chapter",
    "aia": "Regulation (EU) 2024/1689",
    "ts": "Template of the public summary of training content",
    "ds": "Directive (EU) 2019/790",
    "op": "Good practice",
    "gdpr": "Regulation (EU) 2016/679 (cross-references)",
    "data": "Regulation (EU) 2023/2854 (cross-references)",
}
"""With what the name of a requirement begins, and where it comes from."""


def control_id(requirement: Requirement) -> str:
    """The requirement's identifier as a control."""
    return requirement.name.lower()


def objective_id(requirement: Requirement) -> str:
    """The identifier of what is examined: the evidence that the requirement asks for."""
    return f"{control_id(requirement)}-obj"


def catalog(found: Sequence[Requirement], edition: str) -> Mapping[str, Any]:
    """Every requirement as a control, in groups by its source.

    Args:
        found: the requirements.
        edition: the day that they are of, ISO 8601.
    """
    groups = [
        {"id": name, "title": title, "controls": [_control(each) for each in found if _group(each) == name]}
        for name, title in GROUPS.items()
    ]
    return {
        "catalog": {
            "uuid": str(uuid5(NAMESPACE_URL, f"{NAMESPACE}/catalog/{edition}/{[each.name for each in found]}")),
            "metadata": {
                "title": "Obligations on rights reservations, from policies/requirements.toml",
                "last-modified": f"{edition}T00:00:00+00:00",
                "version": edition,
                "oscal-version": VERSION,
            },
            "groups": [group for group in groups if group["controls"]],
        }
    }


def _group(requirement: Requirement) -> str:
    return control_id(requirement).partition("-")[0]


def _control(requirement: Requirement) -> Mapping[str, Any]:
    name = control_id(requirement)
    parts = {"statement": ("smt", f"{requirement.title}. Source: {requirement.source}."),
             "guidance": ("gdn", requirement.control),
             "assessment-objective": ("obj", requirement.evidence)}  # fmt: skip
    return {
        "id": name,
        "title": requirement.title,
        "props": [{"name": "label", "value": requirement.name}],
        "parts": [{"id": f"{name}-{end}", "name": kind, "prose": text} for kind, (end, text) in parts.items()],
    }
