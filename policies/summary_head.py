"""The head of the official form: which version this is, what changed, and where the next one is announced."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from policies.document import Address, Block, Fields, Missing, Paragraph, Source, SourceKind, Table, Value
from policies.facts import known
from policies.summary_form import address, plain, said_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from policies.evidence_facts import Observed
    from policies.facts import Facts

TEMPLATE = "C(2025) 5235 of 24 July 2025, reissued as C(2025) 8311 of 5 December 2025"
_UPDATE_MONTHS = 6
_FORM = Source(SourceKind.LAW, f"Regulation (EU) 2024/1689 Art. 53(1)(d); template {TEMPLATE}")
_MOST = 200
_SHORT = 300


def head(facts: Facts, observed: Observed) -> Iterator[Block]:
    """Everything before section 1."""
    yield Paragraph(
        "Days are written as year-month-day, months of collection as MM/YYYY. Every field of the official template "
        "follows in its order; what is missing is named as missing.",
        (_FORM,),
    )
    rows: list[tuple[str, Value]] = [
        ("Version of the Summary", facts.get("summary.version")),
        ("Last update", plain(facts.get("summary.updated"))),
        ("Whether this is the latest version", _latest(facts)),
        ("Where the newest version is published", address(facts.get("summary.url"))),
        ("Where updates are announced", address(facts.get("summary.updates"))),
        ("Next update due", _next_update(facts, observed)),
        ("Machine-readable copy", _machine_readable(facts)),
        ("Copyright policy (public summary)", _policy(facts)),
        ("Contact for questions about this summary", facts.contact.email or facts.get("provider.email")),
    ]
    yield Fields(tuple(rows), (facts.pointer("summary, policy.url, contact"),))
    yield from _versions(facts)


def _machine_readable(facts: Facts) -> Value:
    said = facts.get("summary.machine_readable")
    return "None published" if said_none(said) else address(said)


def _policy(facts: Facts) -> Value:
    return Address(facts.policy.url) if facts.policy.url else Missing("policy.url", "Where is its public summary?")


def _latest(facts: Facts) -> Value:
    """Only the list of versions can tell; a version that is not on it is dated by the day of its own update."""
    changes, version = facts.summary.changes, facts.summary.version
    if changes is None or version is None:
        return Missing("summary.changes", "List every version of the summary, so that the latest can be told")
    dated = [(change.effective, change.version) for change in changes if change.effective and change.version]
    own = max((day for day, name in dated if name == version), default=facts.summary.updated)
    if own is None:
        return Missing("summary.updated", f"Of which day is version {version}?")
    newer = [each for each in dated if each[0] > own]
    if newer:
        return f"No: version {max(newer)[1]} is newer"
    listed = not dated or any(name == version for _, name in dated)
    return f"Yes: version {version} is {'the newest of the' if listed else 'newer than all'} versions listed here"


def _versions(facts: Facts) -> Iterator[Block]:
    changes = facts.get("summary.changes")
    if isinstance(changes, Missing):
        yield changes
    elif not changes:
        text = "This is the first version: there is no earlier one, and nothing has changed."
        yield Paragraph(text, (facts.pointer("summary.changes = []"),))
    else:
        names = ("version", "effective", "what")
        rows = tuple(
            (
                *(plain(known(change, name, f"summary.changes[{number}]")) for name in names),
                _where(facts, change.version, change.url, number),
            )
            for number, change in enumerate(changes)
        )
        heads = ("Version", "Date", "What changed", "Where it is")
        yield Table("Versions and what changed", heads, rows, (facts.pointer("summary.changes"),), "versions")


def _where(facts: Facts, version: str | None, url: str | None, number: int) -> Value:
    if url:
        return Address(url)
    if version == facts.summary.version:
        return "This version"
    return Missing(f"summary.changes[{number}].url", f"Where is version {version}?")


def _next_update(facts: Facts, observed: Observed) -> Value:
    """At six-month intervals where training goes on (explanatory notice of the template)."""
    due = next_update(facts)
    if isinstance(due, Missing):
        return due
    if due is None:
        return "None by time, because training does not go on; when something material changes"
    late = f"; overdue on {observed.dated}, the day of the newest decision" if due.isoformat() < observed.dated else ""
    return f"{due.isoformat()}, sooner where something material changes{late}"


def next_update(facts: Facts) -> date | Missing | None:
    """The day by which the summary is to be updated; None where time alone asks for no update."""
    updated = facts.summary.updated
    going_on = {model.continued_training for model in facts.models or ()}
    if updated is None:
        return Missing("summary.updated", facts.get("summary.updated").ask)
    if True in going_on:
        return months_later(updated, _UPDATE_MONTHS)
    if None in going_on or not going_on:
        return Missing("models[].continued_training", "Does training go on with new data?")
    return None


def months_later(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for number in range(day.day, 27, -1):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    return date(year, month + 1, min(day.day, 28))


def differences(before: Mapping[str, Any], now: Mapping[str, Any], source: Source) -> Iterator[Block]:
    """What differs between the machine-readable forms of two versions, field by field.

    Args:
        before: the form of the version before, as its JSON has it under `data`, `form`.
        now: this version's form.
        source: the file that the version before stands in.
    """
    fields = [(section, label) for form in (before, now) for section, said in form.items() for label in said]
    rows: list[tuple[Value, ...]] = []
    for section, label in dict.fromkeys(fields):
        old, new = (form.get(section, {}).get(label) for form in (before, now))
        if old != new and label != "title":
            rows.append((section, label, _short(old), _short(new)))
    if not rows:
        yield Paragraph("No field differs from the version before.", (source,))
        return
    heads = ("Section", "Field", "Before", "Now")
    yield Table("What differs from the version before", heads, tuple(rows[:_MOST]), (source,), "differences")
    if len(rows) > _MOST:
        yield Paragraph(f"{len(rows) - _MOST} more fields differ.", (source,))


def _short(value: object) -> str:
    if value is None:
        return "No such field"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
