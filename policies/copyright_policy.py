"""The copyright policy of Measure 1.1 in one document, and its public summary.

What the provider *does* is printed from claims that the log bears out; what the provider *says* of itself is printed
as declared, with a pointer to the facts file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.claims import Claim, Standing, claims
from policies.complaint_log import KIND as COMPLAINT
from policies.document import (
    Block,
    Document,
    Fields,
    Heading,
    Link,
    Missing,
    Paragraph,
    Source,
    SourceKind,
    Table,
    Value,
    in_days,
)
from policies.evidence_facts import reasons_table, total
from policies.facts import MEASURES, known
from policies.standings import crawls_nothing, no_crawler, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from policies.evidence_facts import LogFacts, Observed
    from policies.facts import Facts

NAME = "copyright-policy"
TITLES: Mapping[str, str] = {
    "1.1": "Policy and responsibilities",
    "1.2": "Lawful access, and sites that are left out",
    "1.3": "Rights reservations",
    "1.4": "Infringing outputs",
    "1.5": "Contact and complaints",
}
"""The measures of the Copyright Chapter, in our words."""

_LAW = (
    Source(SourceKind.LAW, "Regulation (EU) 2024/1689 Art. 53(1)(c)"),
    Source(SourceKind.LAW, "Code of Practice, Copyright Chapter, Measure 1.1"),
)
_NO_LOG = Missing("--evidence", "Name a crawl whose log verifies; without it nothing can be said about behaviour")


def copyright_policy(facts: Facts, observed: Observed) -> Document:
    """The whole policy."""
    blocks: list[Block] = [*_head(facts), *_owners(facts)]
    found = claims(observed)
    for measure in MEASURES:
        blocks.append(Heading(f"Measure {measure}: {TITLES[measure]}"))
        blocks += _SECTIONS[measure](facts, observed)
        if measure in {"1.1", "1.2", "1.3"}:
            blocks += behaviour([claim for claim in found if claim.measure == measure], facts, observed)
    blocks += [*_retention(facts), *_changes(facts)]
    return Document(NAME, "Copyright policy", tuple(blocks), _data(found), _dated(facts))


def public_summary(facts: Facts, observed: Observed) -> Document:
    """What of the policy is published: no owners, no approval, and behaviour only where it is shown."""
    shown = [claim for claim in claims(observed) if claim.standing is Standing.SHOWN]
    rows = tuple((label, _text(facts.get(key))) for label, key in _PUBLIC)
    blocks: list[Block] = [Fields(rows, (facts.pointer("provider, policy"),)), Heading("What our crawlers do")]
    blocks += behaviour(shown, facts, observed)
    blocks += [Heading("Outputs"), *_outputs(facts, observed), Heading("Contact"), *_contact(facts, observed)]
    return Document(
        "public-summary", "Summary of our copyright policy", tuple(blocks), _data(tuple(shown)), _dated(facts)
    )


_PUBLIC = (
    ("Provider", "provider.name"),
    ("Version of the policy", "policy.version"),
    ("In effect from", "policy.effective"),
)


def _dated(facts: Facts) -> str:
    return facts.policy.effective.isoformat() if facts.policy.effective else ""


def _data(found: Sequence[Claim]) -> Mapping[str, object]:
    return {
        "claims": [
            {
                "name": claim.name, "measure": claim.measure, "standing": str(claim.standing), "text": claim.text,
                "sources": [str(source) for source in claim.sources], "log": claim.log,
            }
            for claim in found
        ]
    }  # fmt: skip


def behaviour(found: Sequence[Claim], facts: Facts, observed: Observed) -> Iterator[Block]:
    """Claims under the name of how far they are borne out."""
    if crawls_nothing(facts, observed):
        yield no_crawler(facts)
        return
    if not observed.sound:
        yield _NO_LOG
        return
    if not found:
        yield Paragraph("Policy and log bear out no statement on this.")
    yield from standings(found)


def _head(facts: Facts) -> Iterator[Block]:
    rows: list[tuple[str, Value]] = [
        (label, _text(facts.get(key)))
        for label, key in (
            ("Provider", "provider.name"),
            ("Address", "provider.address"),
            ("E-mail", "provider.email"),
            ("Signatory of the Copyright Chapter", "provider.signatory"),
            ("Version", "policy.version"),
            ("In effect from", "policy.effective"),
            ("Approved by", "policy.approved_by"),
        )
    ]
    models = facts.get("models")
    rows.append(("Models", models if isinstance(models, Missing) else _listed([model.label for model in models])))
    yield Heading("Scope")
    yield Paragraph("This policy covers the models named here, in one document for all measures.", _LAW)
    yield Fields(tuple(rows), (facts.pointer("provider, policy, models"),))


def _text(value: object) -> Value:
    """A fact as a reader sees it."""
    if isinstance(value, Missing):
        return value
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return _listed(value) if isinstance(value, tuple) else str(value)


def _listed(words: Sequence[object]) -> str:
    return ", ".join(str(word) for word in words) or "None"


def _owners(facts: Facts) -> Iterator[Block]:
    rows = tuple((f"{measure} {TITLES[measure]}", facts.owners.of(measure)) for measure in MEASURES)
    yield Heading("Responsibilities")
    yield Table("Who answers for each measure", ("Measure", "Owner"), rows, (facts.pointer("owners"),), "owners")


def _policies(_: Facts, observed: Observed) -> Iterator[Block]:
    rows = tuple(
        (
            log.origin, regime.policy.name, regime.begin.date().isoformat(), regime.end.date().isoformat(),
            total(regime.rows), f"{regime.policy.digest[:16]}…", f"{regime.policy.registry_digest[:16]}…",
        )
        for log in observed.sound
        for regime in log.regimes
    )  # fmt: skip
    if rows:
        heads = ("Log", "Policy", "First decision", "Last decision", "Decisions", "Policy SHA-256", "Registry SHA-256")
        pointers = (log.pointer(log.decisions) for log in observed.sound)
        digests = dict.fromkeys(source for log in observed.sound for source in _digests(log))
        yield Table("Configurations that crawls ran on", heads, rows, (*pointers, *digests), "policies")
    yield from _on_record(observed)


def _digests(log: LogFacts) -> Iterator[Source]:
    for regime in log.regimes:
        yield Source(SourceKind.POLICY, f"the policy {regime.policy.name}", regime.policy.digest)
        yield Source(SourceKind.POLICY, "protocols.toml", regime.policy.registry_digest)


def _on_record(observed: Observed) -> Iterator[Block]:
    """The versions of this document that were put on record before this one."""
    found = [(record, log) for log in observed.logs if log.holds for record in log.records if record.kind == NAME]
    if found:
        rows = tuple((record.since.date().isoformat(), record.digest, log.origin) for record, log in found)
        sources = (Source(SourceKind.LOG, f"{log.origin}, documents of the kind {NAME}", log.root) for _, log in found)
        heads = ("Since", "SHA-256", "Log")
        yield Table("Versions of this policy on record", heads, rows, tuple(dict.fromkeys(sources)), "on-record")


def _access(facts: Facts, observed: Observed) -> Iterator[Block]:
    entries = [entry for log in observed.sound for entry in log.lists]
    if entries:
        heads = ("List", "Kind", "Issuer", "Legal basis", "Date")
        rows = tuple(tuple(str(entry.get(key, "not stated")) for key in _LIST_KEYS) for entry in entries)
        sources = tuple(log.pointer(log.decisions, "documents lists") for log in observed.sound if log.lists)
        yield Table("Lists in force", heads, rows, sources, "lists")
    if not any(log.infringing for log in observed.sound) and not crawls_nothing(facts, observed):
        yield Missing("lists", "No list of infringing sites was in force in the logs; import one with `optout lists`")


_LIST_KEYS = ("name", "kind", "issuer", "basis", "as_of")


def _reservations(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield from _crawlers(facts, observed)
    if observed.sound:
        yield _protocols(observed)
        yield reasons_table(observed.sound)
    for audit in observed.audits:
        yield Table(f"Dataset audit {audit.name}", ("Rows", "Number"), audit.outcomes, (audit.pointer("rows"),))


def _crawlers(facts: Facts, observed: Observed) -> Iterator[Block]:
    crawlers = facts.get("crawlers")
    if isinstance(crawlers, Missing):
        yield crawlers
        return
    rows = tuple(
        tuple(_text(known(crawler, name, f"crawlers[{number}]")) for name in _CRAWLER)
        for number, crawler in enumerate(crawlers)
    )
    if rows:
        yield Table("Crawlers, as declared", tuple(_CRAWLER.values()), rows, (facts.pointer("crawlers"),), "crawlers")
    elif observed.sound:
        yield Missing("crawlers", "It says none, and a log has decisions of one: which one is true?")
    elif not crawls_nothing(facts, observed):
        yield Paragraph("The provider declares that it runs no crawler.", (facts.pointer("crawlers = []"),))


_CRAWLER: Mapping[str, str] = {
    "token": "Token", "purposes": "Purpose", "legal_basis": "Legal basis", "page": "Page",
    "retention_days": "Pages deleted after days", "barriers": "At captchas, password forms and paywalls",
}  # fmt: skip


def _protocols(observed: Observed) -> Table:
    """Each protocol of the registry in force, with its mode, and how many refusals rest on it."""
    rows: list[tuple[Value, ...]] = []
    for log in observed.sound:
        for regime in log.regimes:
            for name, entry in sorted(regime.policy.registry.items()):
                refused = total(row for row in regime.rows if name in row.protocols and row.effect == "deny")
                rows.append((name, str(entry.status), str(regime.policy.mode(name)), refused, entry.note))
    sources = (
        *(
            Source(SourceKind.POLICY, "protocols.toml", regime.policy.registry_digest)
            for log in observed.sound
            for regime in log.regimes
        ),
        *(log.pointer(log.decisions, "signals") for log in observed.sound),
    )
    heads = ("Protocol", "Legal status", "Mode", "Refusals because of it", "Note")
    return Table("Protocols", heads, tuple(dict.fromkeys(rows)), tuple(dict.fromkeys(sources)), "protocols")


def _outputs(facts: Facts, _: Observed) -> Iterator[Block]:
    yield Paragraph("The provider declares:")
    rows = (
        ("Technical safeguards", facts.get("declared.output_safeguards")),
        ("Prohibition of infringing uses", facts.get("declared.terms_prohibition")),
    )
    yield Fields(rows, (facts.pointer("declared"),))


def _contact(facts: Facts, observed: Observed) -> Iterator[Block]:
    rows = (
        ("E-mail for rightsholders", facts.get("contact.email")),
        ("Complaints are answered within", in_days(facts.get("contact.answer_days"))),
    )
    yield Fields(rows, (facts.pointer("contact"),))
    if facts.contact.form:
        yield Link("Complaint form", facts.contact.form)
    for log in observed.logs:
        steps = [row for row in log.rows if row.kind == COMPLAINT]
        if log.holds and steps:
            yield Paragraph(f"Steps of complaints on record in this log: {total(steps)}.", (log.pointer(steps),))


def _retention(facts: Facts) -> Iterator[Block]:
    yield Heading("Datasets, legal basis and retention")
    datasets = facts.get("datasets")
    if isinstance(datasets, Missing):
        yield datasets
        return
    names = ("name", "kind", "legal_basis", "retention_days")
    rows = tuple(
        (
            *(_text(known(dataset, name, f"datasets[{number}]")) for name in names),
            dataset.reservations or "Not stated",
        )
        for number, dataset in enumerate(datasets)
    )
    if rows:
        heads = ("Dataset", "Kind", "Legal basis", "Deleted after days", "Opt-outs honoured by its maker")
        yield Table("Datasets, as declared", heads, rows, (facts.pointer("datasets"),), "datasets")
    else:
        yield Paragraph("The provider declares that it uses no other dataset.", (facts.pointer("datasets = []"),))


def _changes(facts: Facts) -> Iterator[Block]:
    yield Heading("Change log")
    changes = facts.get("policy.changes")
    if isinstance(changes, Missing):
        yield changes
        return
    rows = tuple(
        tuple(_text(known(change, name, f"policy.changes[{number}]")) for name in ("version", "effective", "what"))
        for number, change in enumerate(changes)
    )
    if rows:
        yield Table("Versions", ("Version", "In effect from", "Change"), rows, (facts.pointer("policy.changes"),))
    else:
        yield Paragraph("This is the first version; nothing has changed.", (facts.pointer("policy.changes = []"),))


_SECTIONS: Mapping[str, Callable[[Facts, Observed], Iterator[Block]]] = {
    "1.1": _policies,
    "1.2": _access,
    "1.3": _reservations,
    "1.4": _outputs,
    "1.5": _contact,
}

DOCUMENTS = {NAME: copyright_policy, "public-summary": public_summary}
