"""Each obligation against what policy, log, audits and facts show, in one of the words of `Status`."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from policies.claims import Claim, Standing, claims
from policies.document import Block, Document, Fields, Heading, Missing, Paragraph, Source, SourceKind, Table, Value
from policies.evidence_facts import total
from policies.facts import known
from policies.findings import Finding, Requirement, Status
from policies.oscal import assessment_results
from policies.oscal_catalog import catalog
from policies.standings import crawls_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from policies.evidence_facts import Observed
    from policies.facts import Facts, Review

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


def overdue(day: date, reviews: Iterable[Review] = ()) -> tuple[Watched, ...]:
    """What should have been looked at before a day, and has not been since it was due."""
    reviewed = {(each.watch, each.on) for each in reviews}
    return tuple(item for item in watched() if item.due < day and not _reviewed(item, reviewed, day))


def _reviewed(item: Watched, reviewed: Iterable[tuple[str | None, date | None]], day: date) -> bool:
    return any(watch == item.name and on is not None and item.due <= on <= day for watch, on in reviewed)


def findings(facts: Facts, observed: Observed) -> tuple[Finding, ...]:
    """Every obligation with its status."""
    found = claims(observed)
    return tuple(_finding(requirement, facts, observed, found) for requirement in requirements())


@dataclass(frozen=True, slots=True)
class _Checked:
    """How one check came out, why, where that can be seen, and what is missing."""

    check: _Check
    why: str
    sources: tuple[Source, ...] = ()
    missing: tuple[Missing, ...] = ()


def _finding(requirement: Requirement, facts: Facts, observed: Observed, found: tuple[Claim, ...]) -> Finding:
    if requirement.crawling and crawls_nothing(facts, observed):
        why = "crawlers: none is declared, and this binds who crawls or has others crawl"
        return Finding(requirement, Status.NOT_APPLICABLE, (why,), (facts.pointer("crawlers = []"),), ())
    checked = (
        *(_claim(name, observed, found) for name in requirement.claims),
        *(_fact(facts, key, _Check.HOLDS) for key in requirement.facts),
        *(_fact(facts, key, _Check.DECLARED) for key in requirement.declared),
        *(_record(kind, observed) for kind in requirement.records),
        *(_kept_rows(kind, observed) for kind in requirement.rows),
        *([_audits(observed)] if requirement.audits else ()),
    )
    return Finding(
        requirement,
        _status([each.check for each in checked]),
        tuple(each.why for each in checked),
        tuple(dict.fromkeys(source for each in checked for source in each.sources)),
        tuple(gap for each in checked for gap in each.missing),
    )


def _fact(facts: Facts, key: str, given: _Check) -> _Checked:
    gaps = tuple(_gaps(facts, key))
    if gaps:
        return _Checked(_Check.OPEN, f"{key}: missing", (), gaps)
    return _Checked(given, f"{key}: {'declared' if given is _Check.DECLARED else 'given'}", (facts.pointer(key),))


def _record(kind: str, observed: Observed) -> _Checked:
    """A document must be on record in a log that verifies; which version that was, its digest says."""
    held = [(log, record) for log in observed.logs if log.holds for record in log.records if record.kind == kind]
    if not held:
        return _Checked(_Check.OPEN, f"{kind}: no version is on record in a log")
    log, newest = max(held, key=lambda pair: pair[1].since)
    source = Source(SourceKind.LOG, f"{log.origin}, document {kind}, SHA-256 {newest.digest}", log.root)
    why = f"{kind}: on record since {newest.since.date().isoformat()}, versions: {len(held)}"
    return _Checked(_Check.HOLDS, why, (source,))


def _kept_rows(kind: str, observed: Observed) -> _Checked:
    held = [(log, [row for row in log.rows if row.kind == kind]) for log in observed.logs if log.holds]
    sources = tuple(log.pointer(rows, kind) for log, rows in held if rows)
    count = total(row for _, rows in held for row in rows)
    return _Checked(_Check.HOLDS if count else _Check.OPEN, f"rows of the kind {kind}: {count}", sources)


def _audits(observed: Observed) -> _Checked:
    check = _Check.HOLDS if observed.audits else _Check.OPEN
    return _Checked(check, f"audits: {len(observed.audits)}", tuple(audit.pointer("rows") for audit in observed.audits))


def _claim(name: str, observed: Observed, found: tuple[Claim, ...]) -> _Checked:
    """A claim must be shown in every log: one that is contradicted, or not configured, anywhere does not hold."""
    own = [claim for claim in found if claim.name == name]
    sources = tuple(source for claim in own for source in claim.sources)
    if not observed.sound:
        return _Checked(_Check.OPEN, f"{name}: no log that verifies")
    if any(claim.standing is Standing.CONTRADICTED for claim in own):
        return _Checked(_Check.FAILS, f"{name}: the log says otherwise", sources)
    if len({claim.log for claim in own}) < len({log.origin for log in observed.sound}):
        return _Checked(_Check.FAILS, f"{name}: not configured, or no evidence in a log", sources)
    if all(claim.standing is Standing.SHOWN for claim in own):
        return _Checked(_Check.HOLDS, f"{name}: shown by policy and log", sources)
    return _Checked(_Check.OPEN, f"{name}: configured; the log has no case of it or cannot show it", sources)


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
    blocks: list[Block] = [_whose(facts), _counts(found), Heading("Overview"), _overview(found)]
    blocks += [*_first(found), Heading("One by one")]
    for finding in found:
        blocks += _blocks(finding)
    blocks += [Heading("What to watch"), *_watch(facts, observed)]
    edition = str(_table()["edition"])
    data = {"edition": edition, "findings": [_json(finding) for finding in found]}
    forms = {".oscal-catalog.json": catalog(requirements(), edition)}
    if observed.sound:
        forms[".oscal.json"] = assessment_results(found, facts, observed, edition=edition)
    title = "Gap analysis against the Copyright Chapter and the law"
    return Document("gap-analysis", title, tuple(blocks), data, observed.dated, "gaps", forms=forms)


def _whose(facts: Facts) -> Paragraph:
    signed = facts.get("provider.signatory")
    where = (facts.pointer("provider.signatory"),)
    if isinstance(signed, Missing):
        return Paragraph(signed)
    if signed:
        return Paragraph("The provider has signed the Copyright Chapter; its measures are its commitments.", where)
    text = (
        "The provider has not signed the Copyright Chapter. Its own measures are compared here with those of the Code, "
        "as the AI Office asks of those who show compliance by other means."
    )
    return Paragraph(text, (*where, Source(SourceKind.LAW, "Regulation (EU) 2024/1689 Art. 53(4)")))


def _counts(found: tuple[Finding, ...]) -> Table:
    """How many requirements have each status, and what the words mean."""
    counts = Counter(item.status for item in found)
    rows = tuple((status, meaning, counts[status]) for status, meaning in _MEANINGS.items())
    edition = f"policies/requirements.toml, edition {_table()['edition']}"
    heads = ("Status", "What it means", "Requirements")
    return Table(f"{len(found)} requirements", heads, rows, (Source(SourceKind.LAW, edition),), "counts")


_NOTHING_TO_DO = frozenset({Status.MET, Status.NOT_APPLICABLE})
_MEANINGS: Mapping[Status, str] = {
    Status.MET: "every check holds",
    Status.PARTLY: "some checks hold, or only the provider's word stands for it",
    Status.NOT_MET: "the log says otherwise, or the policy in force lacks it",
    Status.NOT_EVIDENCED: "nothing here shows it; that does not say that it is not done",
    Status.NOT_APPLICABLE: "it binds who crawls, and the provider declares that no crawler collects for it",
}


def _overview(found: tuple[Finding, ...]) -> Table:
    rows = tuple(
        (item.requirement.name, item.requirement.title, item.status, item.requirement.source) for item in found
    )
    return Table("Every requirement", ("Id", "Requirement", "Status", "Source"), rows, (), "gaps")


def _first(found: tuple[Finding, ...]) -> Iterator[Block]:
    """What is not met comes first, then what is met in part."""
    rows = [
        (item.requirement.name, item.status, item.requirement.mend)
        for status in (Status.NOT_MET, Status.PARTLY, Status.NOT_EVIDENCED)
        for item in found
        if item.status is status
    ]
    if rows:
        yield Heading("What to do, in this order")
        yield Table("Mends", ("Id", "Status", "Mend"), tuple(rows), (), "mends")


def _blocks(finding: Finding) -> Iterator[Block]:
    requirement = finding.requirement
    yield Heading(f"{requirement.name}: {requirement.title}", 3)
    rows: list[tuple[str, Value]] = [
        ("Status", finding.status),
        ("Source", requirement.source),
        ("Control", requirement.control),
        ("Evidence asked for", requirement.evidence),
        ("Checks", "; ".join(finding.reasons) or "none that this toolkit can make"),
    ]
    if finding.status not in _NOTHING_TO_DO:
        rows.append(("Mend", requirement.mend))
    yield Fields(tuple(rows), (Source(SourceKind.LAW, requirement.source), *finding.sources))
    yield from finding.missing


def _watch(facts: Facts, observed: Observed) -> Iterator[Block]:
    day = date.fromisoformat(observed.dated) if observed.dated else None
    late = {item.name for item in overdue(day, facts.reviews or ())} if day else set()
    state = {True: "overdue", False: "not overdue"}
    rows = tuple(
        (item.what, item.due.isoformat(), state[item.name in late] if day else "unknown without a log")
        for item in watched()
    )
    yield Table("Watch list", ("What", "Look again by", f"On {day or 'an unknown day'}"), rows, (), "watch")
    yield from _reviews(facts)


def _reviews(facts: Facts) -> Iterator[Block]:
    names = {item.name for item in watched()}
    rows: list[tuple[Value, ...]] = []
    for number, each in enumerate(facts.reviews or ()):
        key = f"reviews[{number}]"
        if each.watch is not None and each.watch not in names:
            yield Missing(f"{key}.watch", f"The watch list has no {each.watch}: use one of {', '.join(sorted(names))}")
        rows.append(tuple(_said(known(each, name, key)) for name in ("watch", "on", "outcome")))
    if rows:
        yield Table("Reviews on record", ("What", "Day", "Outcome"), tuple(rows), (facts.pointer("reviews"),))


def _said(value: object) -> Value:
    return value if isinstance(value, Missing) else str(value)


def _json(finding: Finding) -> Mapping[str, object]:
    requirement = finding.requirement
    return {
        "id": requirement.name, "title": requirement.title, "source": requirement.source,
        "status": str(finding.status), "reasons": list(finding.reasons),
        "sources": [str(source) for source in finding.sources],
        "missing": [missing.fact for missing in finding.missing],
        "mend": "" if finding.status in _NOTHING_TO_DO else requirement.mend,
    }  # fmt: skip


DOCUMENTS = {"gap-analysis": gap_analysis}
