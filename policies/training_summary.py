"""The public summary of training content on the AI Office's template (Art. 53(1)(d) AI Act).

Every field of the form stands in it: with what facts, logs and audits give, with an explicit "None" or "Not
applicable" and why, or with what is missing. The JSON form holds the same fields by the numbers of the form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies.claims import claims
from policies.document import (
    Block,
    Bullets,
    Document,
    Fields,
    Heading,
    Link,
    Missing,
    Paragraph,
    Source,
    SourceKind,
    Table,
    Ticks,
    Value,
    in_days,
)
from policies.evidence_facts import reasons_table
from policies.facts import DatasetKind, known
from policies.standings import crawls_nothing, no_crawler, standings
from policies.summary_crawled import crawled
from policies.summary_datasets import others, private, public
from policies.summary_form import NO, NONE, YES, comments, plain
from policies.summary_general import general
from policies.summary_head import TEMPLATE, differences, head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policies.evidence_facts import AuditFacts, Observed
    from policies.facts import Facts

NAME = "training-summary"


def training_summary(facts: Facts, observed: Observed) -> Document:
    """The whole form."""
    beginning = tuple(head(facts, observed))
    blocks = (
        *general(facts, observed), Heading("2. List of data sources"), *public(facts, observed),
        *private(facts, observed), *crawled(facts, observed), *others(facts), *_reservations(facts, observed),
        *_processing(facts),
    )  # fmt: skip
    form = machine((*beginning, *blocks))
    changed = tuple(differences(observed.previous.form, form, observed.previous.source)) if observed.previous else ()
    updated = facts.summary.updated
    return Document(
        NAME, "Public summary of training content", (*beginning, *changed, *blocks),
        {"template": TEMPLATE, "form": form}, updated.isoformat() if updated else "", "domains",
    )  # fmt: skip


def machine(blocks: Sequence[Block]) -> Mapping[str, Any]:
    """The fields of the form by its numbers, for programs; what is missing is an object that says so."""
    form: dict[str, dict[str, Any]] = {}
    section = form.setdefault("head", {})
    for block in blocks:
        if isinstance(block, Heading):
            section = form.setdefault(block.text.split(" ", 1)[0].rstrip("."), {"title": block.text})
        else:
            for label, value in _said(block):
                section[label] = [*_list(section[label]), *_list(value)] if label in section else value
    return form


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _said(block: Block) -> Iterator[tuple[str, Any]]:
    if isinstance(block, Fields):
        yield from ((label, _json(value)) for label, value in block.rows)
    elif isinstance(block, Ticks):
        chosen = block.chosen
        yield block.label, _json(chosen) if isinstance(chosen, Missing) else list(chosen)
    elif isinstance(block, Table):
        heads = block.columns
        yield block.caption, [dict(zip(heads, map(_json, row), strict=True)) for row in block.rows]
    elif isinstance(block, Bullets):
        yield "statements", [_statement(item) for item in block.items]
    elif isinstance(block, Paragraph):
        yield "text", [_statement(block)]
    elif isinstance(block, Link):
        yield block.text, block.address
    elif isinstance(block, Missing):
        yield block.fact, _json(block)


def _statement(block: Paragraph) -> Any:  # noqa: ANN401 - JSON
    return {"text": _json(block.text), "sources": [str(source) for source in block.sources]}


def _json(value: Value) -> Any:  # noqa: ANN401 - JSON
    return {"missing": value.fact, "ask": value.ask} if isinstance(value, Missing) else value


def _reservations(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield Heading("3. Data processing aspects")
    yield Heading("3.1 Respect of reservation of rights from text and data mining exception or limitation", 3)
    signatory = facts.get("provider.signatory")
    chosen = signatory if isinstance(signatory, Missing) else (YES if signatory else NO,)
    yield Ticks("Signatory to the Code of Practice?", (YES, NO), chosen, (facts.pointer("provider.signatory"),))
    yield Paragraph(
        "Measures implemented before model training to respect reservations before and during data collection, with "
        "the opt-out protocols and solutions honoured:"
    )
    if observed.sound:
        yield from standings(claim for claim in claims(observed) if claim.measure in {"1.1", "1.3"})
        yield reasons_table(observed.sound)
    elif crawls_nothing(facts, observed):
        yield no_crawler(facts)
    else:
        yield Missing("--evidence", "Name a crawl whose log verifies; without it no measure is shown")
    for audit in observed.audits:
        yield _filtered(audit)
    yield from _third_parties(facts)
    yield comments(facts, "reservations")


def _filtered(audit: AuditFacts) -> Paragraph:
    rows = audit.rows
    return Paragraph(
        f"In the audit {audit.name}, {rows.get('judged', 0)} rows were judged; "
        f"{rows.get('denied', 0)} were denied, {rows.get('review', 0)} set aside for review, "
        f"{rows.get('kept', 0)} kept. Of {rows.get('unknown', 0)} nothing was known of the site, and "
        f"{rows.get('malformed', 0)} named none; the others were judged by what their sites had said.",
        (audit.pointer("rows"), Source(SourceKind.POLICY, "policy of the audit", _policy_digest(audit))),
    )


def _policy_digest(audit: AuditFacts) -> str:
    policy = audit.figures.get("policy")
    return str(policy.get("digest", "")) if isinstance(policy, dict) else ""


def _third_parties(facts: Facts) -> Iterator[Block]:
    """What makers of datasets honoured, as the provider declares it."""
    kinds = {DatasetKind.PUBLIC, DatasetKind.LICENSED, DatasetKind.THIRD_PARTY}
    found = [(number, one) for number, one in enumerate(facts.datasets or ()) if one.kind in kinds]
    label = "Opt-outs honoured by third parties from which datasets were obtained, as declared"
    if not found:
        none = facts.get("datasets") if facts.datasets is None else "Not applicable: none was obtained"
        yield Fields(((label, none),), (facts.pointer("datasets"),))
        return
    rows = tuple(
        (plain(known(one, "name", f"datasets[{number}]")), one.reservations or "Not known") for number, one in found
    )
    yield Table(label, ("Dataset", "Opt-outs honoured by its maker"), rows, (facts.pointer("datasets"),))


def _processing(facts: Facts) -> Iterator[Block]:
    yield Heading("3.2 Removal of illegal content", 3)
    text = facts.get("declared.illegal_content")
    source = (facts.pointer("declared.illegal_content"),)
    yield Fields((("General description of measures taken, as declared", text),), source)
    yield Heading("3.3 Other information", 3)
    other = facts.declared.other_information or NONE
    yield Fields((("Other information", other),), (facts.pointer("declared.other_information"),))
    rows = [("Contact for rightsholders", facts.get("contact.email"))]
    rows.append(("Complaints are answered within", in_days(facts.get("contact.answer_days"))))
    yield Fields(tuple(rows), (facts.pointer("contact"),))


DOCUMENTS = {NAME: training_summary}
