"""The datasets that the provider names, with what audits of them found; one of them also as Croissant 1.1.

Croissant (MLCommons) has no field for opt-outs. What an audit enforced therefore stands in the RAI field for how data
was handled, and the audit's report is named as what the dataset was derived from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies.document import Block, Document, Heading, Missing, Paragraph, Table, Value, visible
from policies.facts import Dataset, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from policies.evidence_facts import AuditFacts, Observed
    from policies.facts import Facts

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
RAI_CONFORMS_TO = "http://mlcommons.org/croissant/RAI/1.0"

_CONTEXT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn", "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "prov": "http://www.w3.org/ns/prov#", "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source",
    "samplingRate": "cr:samplingRate", "equivalentProperty": "cr:equivalentProperty",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip


def datasets(facts: Facts, observed: Observed) -> Document:
    """Every dataset with its facts and audits."""
    named = facts.get("datasets")
    if isinstance(named, Missing):
        return Document("datasets", "Datasets", (named,))
    blocks: list[Block] = []
    for number, dataset in enumerate(named):
        blocks += _blocks(facts, dataset, number, _audit(dataset, observed))
    if not named:
        blocks.append(Paragraph("The provider declares that it uses no dataset.", (facts.pointer("datasets = []"),)))
    return Document("datasets", "Datasets", tuple(blocks), forms=_forms(named, observed))


def _audit(dataset: Dataset, observed: Observed) -> AuditFacts | None:
    return next((audit for audit in observed.audits if dataset.audit and audit.is_at(dataset.audit)), None)


def _blocks(facts: Facts, dataset: Dataset, number: int, audit: AuditFacts | None) -> Iterator[Block]:
    key = f"datasets[{number}]"
    yield Heading(dataset.name or f"Dataset {number + 1}")
    names = ("name", "kind", "version", "selection", "description", "legal_basis", "retention_days")
    rows = tuple((name.replace("_", " ").capitalize(), _text(known(dataset, name, key))) for name in names)
    yield Table("As declared", ("Fact", "Value"), rows, (facts.pointer(key),))
    if audit is None:
        yield Missing(f"{key}.audit", "Audit it with `optout audit`, name the directory here, and pass --audit")
        return
    yield Table("What the audit found", ("Rows", "Number"), audit.outcomes, (audit.pointer("rows"),))


def _text(value: object) -> Value:
    return value if isinstance(value, Missing) else str(value)


def _forms(named: tuple[Dataset, ...], observed: Observed) -> Mapping[str, Mapping[str, Any]]:
    """A Croissant file describes one dataset: `.2.croissant.json` is the second one's, without a number the only one's.

    It is made where the dataset has what the format demands.
    """
    made = {
        f".{number}.croissant.json": croissant(dataset, _audit(dataset, observed))
        for number, dataset in enumerate(named, start=1)
        if None not in (dataset.name, dataset.description, dataset.licence, dataset.url)
    }
    only = dict(zip([".croissant.json"], made.values(), strict=False)) if len(named) == 1 else {}
    return made | only


def croissant(dataset: Dataset, audit: AuditFacts | None) -> Mapping[str, Any]:
    """A dataset's metadata as Croissant 1.1 with RAI 1.0.

    Args:
        dataset: has a name, a description, a licence and an address.
        audit: what was found in it, where it was audited.
    """
    made: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CONFORMS_TO, RAI_CONFORMS_TO],
        "name": visible(dataset.name),
        "description": visible(dataset.description),
        "license": visible(dataset.licence),
        "url": visible(dataset.url),
        "rai:dataCollection": visible(dataset.selection) if dataset.selection else None,
        "version": visible(dataset.version) if dataset.version else None,
    }
    if audit is not None:
        made["rai:dataPreprocessingProtocol"] = [_protocol(audit)]
        made["prov:wasDerivedFrom"] = {"@id": f"urn:sha256:{audit.digest}", "sc:name": f"{audit.name}/report.json"}
    return {name: value for name, value in made.items() if value is not None}


def _protocol(audit: AuditFacts) -> str:
    policy = audit.figures.get("policy", {})
    rows = audit.rows
    return visible(
        f"Rights reservations were checked under the policy {policy.get('name', 'unnamed')} (SHA-256 "
        f"{policy.get('digest', 'not stated')}): {rows.get('kept', 0)} of {rows.get('judged', 0)} rows were kept, "
        f"{rows.get('denied', 0)} denied, {rows.get('unknown', 0)} of unknown origin."
    )


DOCUMENTS = {"datasets": datasets}
