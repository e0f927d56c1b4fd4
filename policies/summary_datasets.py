"""Sections 2.1, 2.2 and 2.4 to 2.6 of the official form: content that was not crawled by or for the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import content_sizes
from policies.content_sizes import Contents, most_relevant
from policies.document import Block, Fields, Heading, Missing, Paragraph, Table, Ticks, Value
from policies.facts import DatasetKind, known
from policies.summary_form import NO, NONE, YES, comments, listed, modalities, of_kind, plain, said_none, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.evidence_facts import AuditFacts, Observed
    from policies.facts import Dataset, Facts


def public(facts: Facts, observed: Observed) -> Iterator[Block]:
    """Section 2.1; datasets of the kind of Common Crawl belong here, not under crawled data."""
    yield Heading("2.1 Publicly available datasets", 3)
    yield from used(facts, "Publicly available datasets used?", DatasetKind.PUBLIC)
    found = of_kind(facts, DatasetKind.PUBLIC)
    large = [(number, one) for number, one in found if one.large]
    other = [(number, one) for number, one in found if not one.large]
    yield listed(facts, "List of large publicly available datasets", large)
    yield listed(facts, "General description of other publicly available datasets not listed above", other)
    for number, one in found:
        if one.large is None:
            yield Missing(f"datasets[{number}].large", "Is it large in the sense of the official form?")
    yield from audited(facts, observed, DatasetKind.PUBLIC)
    for audit in observed.audits:
        if dataset_of(facts, audit) is None:
            yield Missing("datasets[].audit", f"Which dataset does the audit {audit.name} belong to?")
    yield comments(facts, "public")


def private(facts: Facts, observed: Observed) -> Iterator[Block]:
    """Section 2.2."""
    yield Heading("2.2 Private non-publicly available datasets obtained from third parties", 3)
    yield Heading("2.2.1 Datasets commercially licensed by rightsholders or their representatives", 4)
    label = "Transactional commercial licensing agreements concluded with rightsholders or their representatives?"
    yield from used(facts, label, DatasetKind.LICENSED)
    yield from audited(facts, observed, DatasetKind.LICENSED)
    yield comments(facts, "licensed")
    yield Heading("2.2.2 Private datasets obtained from other third parties", 4)
    yield from used(facts, "Private datasets obtained from other third parties?", DatasetKind.THIRD_PARTY)
    found = of_kind(facts, DatasetKind.THIRD_PARTY)
    yield listed(facts, "List of publicly known private datasets", [each for each in found if each[1].publicly_known])
    yield _unknown(facts, [each for each in found if not each[1].publicly_known])
    yield from audited(facts, observed, DatasetKind.THIRD_PARTY)
    yield comments(facts, "third_party")


def _unknown(facts: Facts, found: list[tuple[int, Dataset]]) -> Fields:
    label = "General description of private datasets that are not publicly known"
    said = [plain(known(one, "description", f"datasets[{number}]")) for number, one in found]
    none = facts.get("datasets") if facts.datasets is None else "None: no such dataset is declared"
    return Fields(tuple((label, text) for text in said or [none]), (facts.pointer("datasets"),))


def dataset_of(facts: Facts, audit: AuditFacts) -> Dataset | None:
    """The dataset that names an audit."""
    return next((one for one in facts.datasets or () if one.audit and audit.is_at(one.audit)), None)


def audited(facts: Facts, observed: Observed, kind: DatasetKind) -> Iterator[Block]:
    """What audits of datasets of a kind filtered, and which domains the rest came from.

    The domains of crawled datasets are ranked together with those of crawls, where the form asks for them.
    """
    for number, audit in enumerate(observed.audits, start=1):
        dataset = dataset_of(facts, audit)
        if dataset is None or dataset.kind is not kind:
            continue
        name = dataset.name or "a dataset without a name"
        yield Table(
            f"Audit {audit.name} of {name}: rows by outcome",
            ("Rows", "Number"),
            audit.outcomes,
            (audit.pointer("rows"),),
        )
        contents = content_sizes.of_audit(audit)
        if contents.items and kind is not DatasetKind.CRAWLED:
            yield from ranking(
                facts, contents, f"Most relevant domain names of {name}, by its audit", f"domains-{number}"
            )


def ranking(facts: Facts, contents: Contents, caption: str, name: str) -> Iterator[Block]:
    """The domains with the most content, as many as the form asks for."""
    ranked, sme = contents.ranked, facts.provider.sme
    if sme is None:
        yield facts.get("provider.sme")
        return
    count = most_relevant(len(ranked), sme=sme)
    share = "the top 5 % or 1 000, whichever is lower, because the provider is an SME" if sme else "the top 10 %"
    measure = "the size of the content in bytes without HTTP headers"
    if not any(contents.octets.values()):
        measure = "the number of rows, not by the size of the content that the form asks for, which nothing here tells"
    yield Paragraph(
        f"Listed are {count} of {len(ranked)} domain names from which content was kept: {share}, by {measure}. "
        f"Names are registrable domains ({content_sizes.SUFFIXES}).",
        (*contents.sources, facts.pointer("provider.sme")),
    )
    if contents.unsized:
        text = f"Rows whose size the dataset does not tell, and which count as no bytes: {contents.unsized}."
        yield Paragraph(text, contents.sources)
    heads = ("Rank", "Domain name", "Bytes", "Pages or rows")
    rows = tuple((place, *row) for place, row in enumerate(ranked[:count], start=1))
    yield Table(caption, heads, rows, contents.sources, name)


def others(facts: Facts) -> Iterator[Block]:
    """Sections 2.4 to 2.6."""
    yield Heading("2.4 User data", 3)
    interactions = "Data from user interactions with the model used to train it?"
    services = "Data from user interactions with the provider's other services or products used to train it?"
    yield _user_tick(facts, interactions, "user_interactions")
    yield _user_tick(facts, services, "user_services")
    yield from _narrative(facts, "Description of those services or products", "user_data", DatasetKind.USER)
    yield comments(facts, "user")
    yield Heading("2.5 Synthetic data", 3)
    yield _tick(facts, "Synthetic data created by the provider or on its behalf used?", "synthetic_data")
    yield from _narrative(facts, "Description of the synthetic data", "synthetic_data", DatasetKind.SYNTHETIC)
    yield _makers(facts)
    yield comments(facts, "synthetic")
    yield Heading("2.6 Other sources of data", 3)
    yield _tick(facts, "Data from other sources used?", "other_data")
    yield from _narrative(facts, "Narrative description", "other_data", DatasetKind.OTHER)
    yield comments(facts, "other")


def _tick(facts: Facts, label: str, name: str) -> Ticks:
    said, source = facts.get(f"declared.{name}"), (facts.pointer(f"declared.{name}"),)
    chosen = said if isinstance(said, Missing) else (NO if said_none(said) else YES,)
    return Ticks(label, (YES, NO), chosen, source)


def _user_tick(facts: Facts, label: str, name: str) -> Ticks:
    """Where user data are described, each of the form's two questions needs its own answer."""
    said = facts.declared.user_data
    answer = facts.get(f"declared.{name}")
    if said_none(said) and answer is True:
        answer = Missing("declared.user_data", f"It says none, and {name} says yes: which one is true?")
    elif said is None or said_none(said):
        return _tick(facts, label, "user_data")
    chosen = answer if isinstance(answer, Missing) else (YES if answer else NO,)
    return Ticks(label, (YES, NO), chosen, (facts.pointer(f"declared.{name}"),))


def _makers(facts: Facts) -> Fields:
    labels = {
        "synthetic_market_models": "General-purpose AI model(s) on the market that made synthetic data",
        "synthetic_own_models": "Other AI models, own ones included, that made synthetic data",
    }
    none = said_none(facts.declared.synthetic_data)
    rows: list[tuple[str, Value]] = []
    for name, label in labels.items():
        said = facts.get(f"declared.{name}")
        if none and isinstance(said, str) and not said_none(said):
            said = Missing("declared.synthetic_data", f"It says none, and {name} names some: which one is true?")
        elif none:
            said = "Not applicable: no synthetic data was used"
        rows.append((label, plain(said)))
    return Fields(tuple(rows), (facts.pointer("declared"),))


def _narrative(facts: Facts, label: str, name: str, kind: DatasetKind) -> Iterator[Block]:
    said, found = facts.get(f"declared.{name}"), of_kind(facts, kind)
    source = (facts.pointer(f"declared.{name}"),)
    yield Fields(((label, NONE if said_none(said) else said),), source)
    if found and said_none(said):
        ask = f"It says none, and datasets[{found[0][0]}] is of the kind {kind}: which one is true?"
        yield Missing(f"declared.{name}", ask)
    if found or said_none(said):
        yield modalities(found, (facts.pointer("datasets"),))
    else:
        missing = Missing("datasets", f"Name a dataset of the kind {kind}, with its modalities")
        yield Fields((("Modalities", missing),), (facts.pointer("datasets"),))
    if found:
        yield listed(facts, f"Datasets of the kind {kind}", found)
