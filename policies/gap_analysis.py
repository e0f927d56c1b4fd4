"""Each obligation against what policy, log, audits and facts show: met, partly, not met or not evidenced."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from policies.claims import Claim, Standing, claims
from policies.document import Block, Document, Fields, Heading, Missing, Paragraph, Source, SourceKind, Table
from policies.facts import known
from policies.findings import Finding, Requirement, Status
from policies.oscal import assessment_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from policies.evidence_facts import Observed
    from policies.facts import Facts

WATCH = "watch"


class _Check(StrEnum):
    """How one check of an obligation came out."""

    HOLDS = "holds"
    DECLARED = "declared"
    OPEN = "open"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Watched:
    """Something in the law that moves, and the day by which to look again."""

    name: str
    what: str
    due: date


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(files("policies").joinpath("requirements.toml").read_text(encoding="utf-8"))


def requirements() -> tuple[Requirement, ...]:
    """Every obligation, in the order of the file."""
    return tuple(
        _requirement(name, entry) for name, entry in _table().items() if isinstance(entry, dict) and name != WATCH
    )


def _requirement(name: str, entry: Mapping[str, Any]) -> Requirement:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Requirement(name, **given)


def watched() -> tuple[Watched, ...]:
    """What is watched, the next first."""
    found = (Watched(name, entry["what"], entry["due"]) for name, entry in _table()[WATCH].items())
    return tuple(sorted(found, key=lambda item: (item.due, item.name)))


def overdue(day: date) -> tuple[Watched, ...]:
    """What should have been looked at before a day."""
    return tuple(item for item in watched() if item.due < day)


def findings(facts: Facts, observed: Observed) -> tuple[Finding, ...]:
    """Every obligation with its status."""
    found = claims(observed)
    return tuple(_finding(requirement, facts, observed, found) for requirement in requirements())


def _finding(requirement: Requirement, facts: Facts, observed: Observed, found: tuple[Claim, ...]) -> Finding:
    checks: list[_Check] = []
    reasons: list[str] = []
    sources: list[Source] = []
    missing: list[Missing] = []
    for name in requirement.claims:
        check, why, where = _claim(name, observed, found)
        checks.append(check)
        reasons.append(f"{name}: {why}")
        sources += where
    for key in (*requirement.facts, *requirement.declared):
        gaps = list(_gaps(facts, key))
        given = _Check.DECLARED if key in requirement.declared else _Check.HOLDS
        checks.append(_Check.OPEN if gaps else given)
        reasons.append(f"{key}: {'missing' if gaps else 'declared' if given is _Check.DECLARED else 'given'}")
        missing += gaps
        sources += [] if gaps else [facts.pointer(key)]
    if requirement.audits:
        checks.append(_Check.HOLDS if observed.audits else _Check.OPEN)
        reasons.append(f"audits: {len(observed.audits)}")
        sources += [audit.pointer("rows") for audit in observed.audits]
    status = _status(checks)
    return Finding(requirement, status, tuple(reasons), tuple(dict.fromkeys(sources)), tuple(missing))


def _claim(name: str, observed: Observed, found: tuple[Claim, ...]) -> tuple[_Check, str, tuple[Source, ...]]:
    """A claim must be shown in every log: one that is contradicted, or not configured, anywhere does not hold."""
    own = [claim for claim in found if claim.name == name]
    sources = tuple(source for claim in own for source in claim.sources)
    if not observed.sound:
        return _Check.OPEN, "no log that verifies", ()
    if any(claim.standing is Standing.CONTRADICTED for claim in own):
        return _Check.FAILS, "the log says otherwise", sources
    if len({claim.log for claim in own}) < len({log.origin for log in observed.sound}):
        return _Check.FAILS, "not configured, or no evidence in a log", sources
    if all(claim.standing is Standing.SHOWN for claim in own):
        return _Check.HOLDS, "shown by policy and log", sources
    return _Check.OPEN, "configured, without a case in the log", sources


def _status(checks: list[_Check]) -> Status:
    if _Check.FAILS in checks:
        return Status.NOT_MET
    if checks and set(checks) == {_Check.HOLDS}:
        return Status.MET
    return Status.PARTLY if {_Check.HOLDS, _Check.DECLARED} & set(checks) else Status.NOT_EVIDENCED


def _gaps(facts: Facts, key: str) -> Iterator[Missing]:
    """What is missing under a key; `models[].licence` asks every model, and the list itself where nobody gave one."""
    listed, each, name = key.partition("[].")
    value = facts.get(listed)
    if isinstance(value, Missing):
        yield value
    elif each:
        for number, item in enumerate(value):
            found = known(item, name, f"{listed}[{number}]")
            if isinstance(found, Missing):
                yield found


def gap_analysis(facts: Facts, observed: Observed) -> Document:
    """The analysis; who has not signed compares the same measures with the Code's."""
    found = findings(facts, observed)
    blocks: list[Block] = [_whose(facts), _overview(found), Heading("One by one")]
    for finding in found:
        blocks += _blocks(finding)
    blocks += [Heading("What to watch"), _watch(observed)]
    data = {"findings": [_json(finding) for finding in found]}
    forms = {".oscal.json": assessment_results(found, facts, observed)} if observed.sound else {}
    title = "Gap analysis against the Copyright Chapter and the law"
    return Document("gap-analysis", title, tuple(blocks), data, observed.dated, "gaps", forms=forms)


def _whose(facts: Facts) -> Paragraph:
    signed = facts.get("provider.signatory")
    where = (facts.pointer("provider.signatory"),)
    if isinstance(signed, Missing):
        return Paragraph(signed)
    if signed:
        return Paragraph("The provider has signed the Copyright Chapter; its measures are its commitments.", where)
    text = "The provider has not signed the Copyright Chapter. Its measures are compared here with those of the Code."
    return Paragraph(text, where)


def _overview(found: tuple[Finding, ...]) -> Table:
    rows = tuple(
        (item.requirement.name, item.requirement.title, str(item.status), item.requirement.source) for item in found
    )
    return Table("Every requirement", ("Id", "Requirement", "Status", "Source"), rows, (), "gaps")


def _blocks(finding: Finding) -> Iterator[Block]:
    requirement = finding.requirement
    yield Heading(f"{requirement.name}: {requirement.title}", 3)
    rows: list[tuple[str, str]] = [
        ("Status", str(finding.status)),
        ("Control", requirement.control),
        ("Evidence asked for", requirement.evidence),
        ("Checks", "; ".join(finding.reasons) or "none that this toolkit can make"),
    ]
    if finding.status is not Status.MET:
        rows.append(("Mend", requirement.mend))
    yield Fields(tuple(rows), (Source(SourceKind.LAW, requirement.source), *finding.sources))
    yield from finding.missing


def _watch(observed: Observed) -> Table:
    day = observed.dated
    rows = tuple(
        (item.what, item.due.isoformat(), "overdue" if day and item.due.isoformat() < day else "not yet due")
        for item in watched()
    )
    return Table("Watch list", ("What", "Look again by", f"On {day or 'an unknown day'}"), rows, (), "watch")


def _json(finding: Finding) -> Mapping[str, object]:
    requirement = finding.requirement
    return {
        "id": requirement.name, "title": requirement.title, "source": requirement.source,
        "status": str(finding.status), "reasons": list(finding.reasons),
        "sources": [str(source) for source in finding.sources],
        "missing": [missing.fact for missing in finding.missing],
        "mend": "" if finding.status is Status.MET else requirement.mend,
    }  # fmt: skip


DOCUMENTS = {"gap-analysis": gap_analysis}
