"""The public summary of training content on the AI Office's template (Art. 53(1)(d) AI Act).

Every field of the form stands in it: with what facts, logs and audits give, with an explicit "None" or "Not
applicable" and why, or with what is missing. The JSON form holds the same fields by the numbers of the form.
"""

from __future__ import annotations

from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from policies import content_sizes
from policies.claims import Claim, Standing, claims
from policies.content_sizes import Contents, most_relevant
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
)
from policies.evidence_facts import KEPT, reasons_table
from policies.facts import MODALITIES, DatasetKind, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from policies.evidence_facts import AuditFacts, Observed, Rows
    from policies.facts import Crawler, Dataset, Facts, Model

TEMPLATE = "C(2025) 5235 of 24 July 2025, reissued as C(2025) 8311 of 5 December 2025"
NAME = "training-summary"
YES, NO = "Yes", "No"

_BANDS = {
    "text": ("text_tokens", 10**9, 10**13, "tokens", ("Less than 1 billion tokens", "1 billion to 10 trillion tokens",
                                                    "More than 10 trillion tokens")),
    "image": ("images", 10**6, 10**9, "images", ("Less than 1 million images", "1 million to 1 billion images",
                                               "More than 1 billion images")),
    "audio": ("audio_hours", 10**4, 10**6, "hours", ("Less than 10 000 hours", "10 000 to 1 million hours",
                                                   "More than 1 million hours")),
    "video": ("video_hours", 10**4, 10**6, "hours", ("Less than 10 000 hours", "10 000 to 1 million hours",
                                                   "More than 1 million hours")),
}  # fmt: skip
_UPDATE_MONTHS = 6
_FORM = Source(SourceKind.LAW, f"Regulation (EU) 2024/1689 Art. 53(1)(d); template {TEMPLATE}")


def training_summary(facts: Facts, observed: Observed) -> Document:
    """The whole form."""
    blocks = (
        *_head(facts), *_general(facts), *_sizes(facts), *_public(facts, observed), *_private(facts),
        *_crawled(facts, observed), *_other_sources(facts), *_reservations(facts, observed), *_processing(facts),
    )  # fmt: skip
    updated = facts.summary.updated
    return Document(
        NAME, "Public summary of training content", blocks, {"template": TEMPLATE, "form": machine(blocks)},
        updated.isoformat() if updated else "", "domains",
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
                if label in section and isinstance(section[label], list) and isinstance(value, list):
                    section[label] += value
                else:
                    section[label] = value
    return form


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


def _head(facts: Facts) -> Iterator[Block]:
    yield Paragraph(
        "Dates are written as year-month-day, months of collection as month/year. Every field of the official "
        "template follows in its order.",
        (_FORM,),
    )
    rows = [
        ("Version of the Summary", facts.get("summary.version")),
        ("Last update", _day(facts.get("summary.updated"))),
        ("Next update due", _next_update(facts)),
        ("Whether this is the latest version", _latest(facts)),
        ("Copyright policy", facts.policy.url or "No public summary of the policy is named"),
    ]
    yield Fields(tuple(rows), (facts.pointer("summary, policy.url"),))
    if facts.summary.url:
        yield Link("The newest version is published at", facts.summary.url)
    yield from _versions(facts)


def _latest(facts: Facts) -> Value:
    """Only the list of versions can tell."""
    changes, version = facts.summary.changes, facts.summary.version
    if changes is None or version is None:
        return Missing("summary.changes", "List every version of the summary, so that the latest can be told")
    dated = [change for change in changes if change.effective and change.version]
    newest = max(dated, key=lambda change: change.effective or date.min, default=None)
    if newest is None or newest.version == version:
        return "Yes, of the versions listed here"
    return f"No: version {newest.version} is newer"


def _versions(facts: Facts) -> Iterator[Block]:
    changes = facts.get("summary.changes")
    if isinstance(changes, Missing):
        yield changes
    elif not changes:
        yield Paragraph("This is the first version; there is no earlier one.", (facts.pointer("summary.changes = []"),))
    else:
        names = ("version", "effective", "what")
        rows = tuple(
            (
                *(_plain(known(change, name, f"summary.changes[{number}]")) for name in names),
                change.url or "Not linked",
            )
            for number, change in enumerate(changes)
        )  # fmt: skip
        heads = ("Version", "Date", "What changed", "Where it is")
        yield Table("Versions and what changed", heads, rows, (facts.pointer("summary.changes"),), "versions")


def _next_update(facts: Facts) -> Value:
    """At six-month intervals where training goes on (Art. 53(1)(d); explanatory notice of the template)."""
    updated = facts.summary.updated
    going_on = {model.continued_training for model in facts.models or ()}
    if updated is None:
        return facts.get("summary.updated")  # type: ignore[no-any-return]
    if True in going_on:
        return f"{months_later(updated, _UPDATE_MONTHS).isoformat()}, sooner where something material changes"
    if None in going_on or not going_on:
        return Missing("models[].continued_training", "Does training go on with new data?")
    return "None by time, because training does not go on; when something material changes"


def months_later(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for number in range(day.day, 27, -1):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    return date(year, month + 1, min(day.day, 28))


def _day(value: object) -> Value:
    return value if isinstance(value, Missing) else value.isoformat() if isinstance(value, date) else str(value)


def _plain(value: object) -> Value:
    if isinstance(value, Missing):
        return value
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "None"
    return _day(value)


def _general(facts: Facts) -> Iterator[Block]:
    yield Heading("1. General information")
    yield Heading("1.1 Provider identification", 3)
    contact = facts.contact.email or facts.provider.email
    rows = [
        ("Provider name", facts.get("provider.name")),
        ("Provider contact details: address", facts.get("provider.address")),
        ("Provider contact details: e-mail", contact or facts.get("provider.email")),
        *_representative(facts),
    ]
    yield Fields(tuple(rows), (facts.pointer("provider"),))
    yield Heading("1.2 Model identification", 3)
    if isinstance(facts.get("models"), Missing):
        yield facts.get("models")
    for number, model in enumerate(facts.models or ()):
        mark = _mark("model", number, facts.models)
        yield Fields(tuple(_model(model, f"models[{number}]", mark)), (facts.pointer(f"models[{number}]"),))


def _representative(facts: Facts) -> Iterator[tuple[str, Value]]:
    provider = facts.provider
    if provider.representative_name:
        yield "Authorised representative name", provider.representative_name
        contact = Missing("provider.representative_contact", "How can the representative be reached?")
        yield "Authorised representative contact details", provider.representative_contact or contact
    elif provider.established_in_eu:
        yield "Authorised representative", "Not applicable: the provider is established in the Union (Art. 54(1))"
    elif provider.established_in_eu is None:
        yield "Authorised representative", facts.get("provider.established_in_eu")
    else:
        yield "Authorised representative", Missing("provider.representative_name", "Who is it (Art. 54)?")


def _mark(what: str, number: int, among: Sequence[object] | None) -> str:
    """Tells labels apart where there are several models or crawlers."""
    return f" ({what} {number + 1})" if len(among or ()) > 1 else ""


def _model(model: Model, key: str, mark: str) -> Iterator[tuple[str, Value]]:
    label = f"{model.name} {model.version}" if model.name and model.version else None
    missing = "version" if model.name else "name"
    yield f"Versioned model name{mark}", label or known(model, missing, key)
    if model.derived:
        summary = model.base_model_summary or Missing(f"{key}.base_model_summary", "Where is its summary?")
        yield f"Model dependencies{mark}", model.base_model or ""
        yield f"Summary of the base model{mark}", summary
    else:
        none = None if model.derived is None else "None: it was not made from another model"
        yield f"Model dependencies{mark}", none or known(model, "base_model", key)
    yield f"Date of placement on the Union market{mark}", _day(known(model, "placed_on_market", key))


def _sizes(facts: Facts) -> Iterator[Block]:
    yield Heading("1.3 Modalities, overall training data size and other characteristics", 3)
    for number, model in enumerate(facts.models or ()):
        key, mark = f"models[{number}]", _mark("model", number, facts.models)
        source = (facts.pointer(key),)
        used = known(model, "modalities", key)
        yield Ticks(f"Modalities{mark}", MODALITIES, used, source)
        for modality in MODALITIES:
            yield _band(model, modality, key, mark, source)
        ends = known(model, "latest_acquisition", key)
        rows = [
            (f"Types of content{mark}", known(model, "content_types", key)),
            (f"Latest date of data acquisition, MM/YYYY{mark}", ends),
            (f"Training goes on with new data{mark}", _plain(known(model, "continued_training", key))),
            (f"Linguistic characteristics: languages{mark}", _plain(known(model, "languages", key))),
            (f"Other relevant characteristics{mark}", model.other_characteristics or "None stated"),
            (f"Additional comments{mark}", "None"),
        ]
        yield Fields(tuple(rows), source)
    if not facts.models:
        yield facts.get("models") if facts.models is None else Missing("models", "Which models does the summary cover?")


def _band(model: Model, modality: str, key: str, mark: str, source: tuple[Source, ...]) -> Block:
    """The size band of one modality, after processing and before training."""
    label = f"{modality.capitalize()}: training data size{mark}"
    if model.modalities is not None and modality not in model.modalities:
        return Fields(((label, "Not applicable: the model was not trained on this modality"),), source)
    if modality == "other":
        missing = Missing(f"{key}.other_size", "What other content, its size and unit?")
        return Fields(((label, model.other_size or missing),), source)
    name, low, high, unit, options = _BANDS[modality]
    size = getattr(model, name)
    if size is None:
        return Ticks(label, options, Missing(f"{key}.{name}", f"How many {unit}, after processing?"), source)
    return Ticks(label, options, (options[(size >= low) + (size > high)],), source)


def _datasets(facts: Facts, kind: DatasetKind) -> tuple[tuple[int, Dataset], ...]:
    return tuple((number, one) for number, one in enumerate(facts.datasets or ()) if one.kind is kind)


def _used(facts: Facts, label: str, kind: DatasetKind) -> Iterator[Block]:
    """The yes or no of a section, and the modalities."""
    source = (facts.pointer("datasets"),)
    if facts.datasets is None:
        yield Ticks(label, (YES, NO), facts.get("datasets"), source)
        return
    if any(one.kind is None for one in facts.datasets):
        missing = Missing("datasets[].kind", "Of which kind is each dataset?")
        yield Ticks(label, (YES, NO), missing, source)
        return
    found = _datasets(facts, kind)
    yield Ticks(label, (YES, NO), (YES if found else NO,), source)
    if found:
        words = tuple(dict.fromkeys(word for _, one in found for word in one.modalities or ()))
        unsaid = [number for number, one in found if one.modalities is None]
        chosen = Missing(f"datasets[{unsaid[0]}].modalities", "Which modalities does it hold?") if unsaid else words
        yield Ticks("Modalities", MODALITIES, chosen, source)
    else:
        yield Fields((("Modalities", "Not applicable: none was used"),), source)


def _public(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield Heading("2. List of data sources")
    yield Heading("2.1 Publicly available datasets", 3)
    yield from _used(facts, "Publicly available datasets used?", DatasetKind.PUBLIC)
    found = _datasets(facts, DatasetKind.PUBLIC)
    large = [(number, one) for number, one in found if one.large]
    other = [(number, one) for number, one in found if not one.large]
    yield from _listed(facts, "List of large publicly available datasets", large)
    yield from _listed(facts, "General description of other publicly available datasets not listed above", other)
    for number, one in found:
        if one.large is None:
            yield Missing(f"datasets[{number}].large", "Is it large in the sense of the official form?")
    yield from _audited(facts, observed)
    yield Fields((("Additional comments", "None"),))


def _listed(facts: Facts, label: str, found: Sequence[tuple[int, Dataset]]) -> Iterator[Block]:
    if not found:
        yield Fields(((label, "None"),), (facts.pointer("datasets"),))
        return
    names = ("name", "version", "selection", "description")
    rows = tuple(
        (*(_plain(known(one, name, f"datasets[{number}]")) for name in names), one.url or "No link stated")
        for number, one in found
    )
    heads = ("Name", "Version or period", "Selection", "Description", "Link")
    yield Table(label, heads, rows, (facts.pointer("datasets"),))


def _audited(facts: Facts, observed: Observed) -> Iterator[Block]:
    """What audits filtered, by the dataset that each belongs to."""
    for audit in observed.audits:
        of = _dataset_of(facts, audit)
        if of is None:
            yield Missing("datasets[].audit", f"Which dataset does the audit {audit.name} belong to?")
        label = of.name if of is not None and of.name else "a dataset without a name"
        rows = tuple((name.replace("_", " ").capitalize(), count) for name, count in audit.rows.items())
        yield Table(
            f"Audit {audit.name} of {label}: rows by outcome", ("Rows", "Number"), rows, (audit.pointer("rows"),)
        )


def _dataset_of(facts: Facts, audit: AuditFacts) -> Dataset | None:
    return next((one for one in facts.datasets or () if one.audit and PurePath(one.audit).name == audit.name), None)


def _private(facts: Facts) -> Iterator[Block]:
    yield Heading("2.2 Private non-publicly available datasets obtained from third parties", 3)
    yield Heading("2.2.1 Datasets commercially licensed by rightsholders or their representatives", 4)
    yield from _used(
        facts, "Transactional commercial licensing agreements concluded with rightsholders?", DatasetKind.LICENSED
    )
    yield Fields((("Additional comments", "None"),))
    yield Heading("2.2.2 Private datasets obtained from other third parties", 4)
    yield from _used(facts, "Private datasets obtained from third parties?", DatasetKind.THIRD_PARTY)
    found = _datasets(facts, DatasetKind.THIRD_PARTY)
    listed = [(number, one) for number, one in found if one.publicly_known]
    unlisted = [(number, one) for number, one in found if not one.publicly_known]
    yield from _listed(facts, "List of publicly known private datasets", listed)
    rows = tuple(_plain(known(one, "description", f"datasets[{number}]")) for number, one in unlisted)
    described = rows or ("None",)
    yield Fields(tuple(("General description of those not publicly known", text) for text in described))
    yield Fields((("Additional comments", "None"),))


def _crawled(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield Heading("2.3 Data crawled and scraped from online sources", 3)
    crawlers = facts.crawlers
    label = "Crawlers used by the provider or on its behalf?"
    if crawlers is None and not observed.sound:
        yield Ticks(label, (YES, NO), facts.get("crawlers"), (facts.pointer("crawlers"),))
        return
    used = bool(crawlers) or bool(observed.sound)
    yield Ticks(label, (YES, NO), (YES if used else NO,), _crawl_sources(facts, observed))
    if not used:
        text = "Not applicable: no crawler is used"
        yield Fields(tuple((field, text) for field in _CRAWL_FIELDS), (facts.pointer("crawlers = []"),))
        return
    for number, crawler in enumerate(crawlers or ()):
        mark = _mark("crawler", number, crawlers)
        yield Fields(tuple(_crawler(crawler, f"crawlers[{number}]", mark)), (facts.pointer(f"crawlers[{number}]"),))
    yield from _undeclared(facts, observed)
    yield from _behaviour(observed)
    yield from _periods(facts, observed)
    yield from _domains(facts, observed)
    yield Fields((("Additional comments", "None"),))


_CRAWL_FIELDS = (
    "Crawler name(s)/identifier(s)", "Purposes of the crawler(s)", "General description of crawler behaviour",
    "Period of data collection", "Types of content and online sources crawled", "Type of modality covered",
    "Summary of the most relevant domain names crawled", "Additional comments",
)  # fmt: skip


def _crawl_sources(facts: Facts, observed: Observed) -> tuple[Source, ...]:
    return (facts.pointer("crawlers"), *(log.pointer(log.decisions) for log in observed.sound))


def _crawler(crawler: Crawler, key: str, mark: str) -> Iterator[tuple[str, Value]]:
    labels = {
        "token": "Crawler name/identifier: product token for robots.txt", "user_agent": "User-Agent header",
        "operator": "Run by", "page": "Page about the crawler", "purposes": "Purposes of the crawler",
        "content": "Types of content and online sources crawled", "modalities": "Type of modality covered",
    }  # fmt: skip
    for name, label in labels.items():
        yield f"{label}{mark}", _plain(known(crawler, name, key))
    yield f"Captchas, password forms and paywalls, as declared{mark}", known(crawler, "barriers", key)


def _undeclared(facts: Facts, observed: Observed) -> Iterator[Block]:
    """What the facts file and the logs do not agree about."""
    declared = {crawler.token.casefold(): crawler for crawler in facts.crawlers or () if crawler.token}
    logged = dict.fromkeys(token for log in observed.sound for token in log.tokens)
    for token in logged:
        if token.casefold() not in declared:
            yield Missing("crawlers", f"A log has decisions for {token}: declare that crawler")
    for log in observed.sound:
        for identity in log.identities.values():
            crawler = declared.get(identity.get("product_token", "").casefold())
            header = identity.get("user_agent", "")
            if crawler and crawler.user_agent and header and crawler.user_agent != header:
                ask = f"The log {log.origin} has the User-Agent {header}: which one is true?"
                yield Missing("crawlers[].user_agent", ask)
    folded = {token.casefold() for token in logged}
    for key in declared.keys() - folded:
        yield Missing("--evidence", f"Name a log of the crawler {declared[key].token}, or its behaviour is not shown")


_BEHAVIOUR = ("access.", "robots.", "protocol.", "identity.", "lists.", "precedence", "second-reader", "prose",
              "other-agents")  # fmt: skip


def _behaviour(observed: Observed) -> Iterator[Block]:
    yield Heading("2.3 General description of crawler behaviour", 4)
    found = [claim for claim in claims(observed) if claim.name.startswith(_BEHAVIOUR)]
    if not observed.sound:
        yield Missing("--evidence", "Name a crawl whose log verifies; without it no behaviour is shown")
    yield from standings(found)


def standings(found: Iterable[Claim]) -> Iterator[Block]:
    """Claims in three groups: shown, only configured, contradicted by the log."""
    heads = {
        Standing.SHOWN: "Shown by policy and log:",
        Standing.CONFIGURED: "Configured; the log cannot show it or has no case of it:",
        Standing.CONTRADICTED: "The log has this against the policy:",
    }
    listed = tuple(found)
    for standing, head in heads.items():
        items = tuple(claim.paragraph for claim in listed if claim.standing is standing)
        if items:
            yield Paragraph(head)
            yield Bullets(items)


def _periods(facts: Facts, observed: Observed) -> Iterator[Block]:
    """When each crawler kept pages, by the log; earlier months only as declared."""
    rows: list[tuple[Value, ...]] = []
    sources: list[Source] = []
    for log in observed.sound:
        kept = [row for row in log.rows if row.kind == KEPT]
        for token in log.tokens:
            own = [row for row in log.decisions if row.agent == token]
            rows.append((token, log.origin, *_span(kept if kept and len(log.tokens) == 1 else own)))
        sources.append(log.pointer(kept or log.decisions, "period"))
    for number, crawler in enumerate(facts.crawlers or ()):
        if crawler.from_month:
            declared = facts.pointer(f"crawlers[{number}].from_month")
            rows.append((crawler.token or "not named", "declared", crawler.from_month, "not stated", "", ""))
            sources.append(declared)
    if rows:
        heads = ("Crawler", "Log", "From (MM/YYYY)", "To (MM/YYYY)", "First day", "Last day")
        yield Table("Period of data collection", heads, tuple(rows), tuple(sources), "periods")
    else:
        yield Missing("--evidence", "Name the logs that show when data were collected")


def _span(rows: Sequence[Rows]) -> tuple[str, str, str, str]:
    begin, end = min(row.begin for row in rows), max(row.end for row in rows)
    return f"{begin:%m/%Y}", f"{end:%m/%Y}", begin.date().isoformat(), end.date().isoformat()


def _contents(facts: Facts, observed: Observed) -> Contents:
    """Kept pages of every sound log, and kept rows of audited datasets that the provider crawled itself."""
    logs = [content_sizes.of_crawl(log) for log in observed.sound]
    own = [audit for audit in observed.audits if _is_crawled(_dataset_of(facts, audit))]
    return content_sizes.together([*logs, *(content_sizes.of_audit(audit) for audit in own)])


def _is_crawled(dataset: Dataset | None) -> bool:
    return dataset is not None and dataset.kind is DatasetKind.CRAWLED


def _domains(facts: Facts, observed: Observed) -> Iterator[Block]:
    contents = _contents(facts, observed)
    ranked, sme = contents.ranked, facts.provider.sme
    if contents.unlogged:
        text = f"Pages in the archive that the log does not have as kept, which are not counted: {contents.unlogged}."
        yield Paragraph(text, contents.sources)
    if not ranked:
        ask = "Name a crawl with kept pages, or an audit of a crawled dataset, from which domains can be ranked"
        yield Missing("domains", ask)
        return
    if sme is None:
        yield facts.get("provider.sme")
        return
    count = most_relevant(len(ranked), sme=sme)
    share = "the top 5 % or 1 000, whichever is lower, because the provider is an SME" if sme else "the top 10 %"
    yield Paragraph(
        f"Of {len(ranked)} domain names from which content was kept, {count} are listed: {share}, by the size of the "
        f"content in bytes without HTTP headers. Names are registrable domains ({content_sizes.SUFFIXES}).",
        (*contents.sources, facts.pointer("provider.sme")),
    )
    if contents.unsized:
        text = f"Rows whose size the dataset does not tell, and which count as no bytes: {contents.unsized}."
        yield Paragraph(text, contents.sources)
    heads = ("Rank", "Domain name", "Bytes", "Pages or rows")
    rows = tuple((place, *row) for place, row in enumerate(ranked[:count], start=1))
    yield Table("Most relevant domain names crawled", heads, rows, contents.sources, "domains")
    kinds = tuple(sorted(contents.kinds.items(), key=lambda item: (-item[1], item[0])))
    if kinds:
        yield Table("Content by media type, as servers stated it", ("Media type", "Bytes"), kinds, contents.sources)


def _other_sources(facts: Facts) -> Iterator[Block]:
    yield Heading("2.4 User data", 3)
    for question in (
        "Data from user interactions with the model used to train it?",
        "Data from user interactions with the provider's other services or products used to train it?",
    ):
        yield _declared_tick(facts, question, "user_data")
    yield from _narrative(facts, "Description of those services, and modalities", "user_data", DatasetKind.USER)
    yield Heading("2.5 Synthetic data", 3)
    yield _declared_tick(facts, "Synthetic data created by the provider or on its behalf used?", "synthetic_data")
    label = "Models on the market and other models used, own ones included"
    yield from _narrative(facts, label, "synthetic_data", DatasetKind.SYNTHETIC)
    yield Heading("2.6 Other sources of data", 3)
    yield _declared_tick(facts, "Data from other sources used?", "other_data")
    yield from _narrative(facts, "Narrative description", "other_data", DatasetKind.OTHER)


def _declared_tick(facts: Facts, label: str, name: str) -> Block:
    """The declaration `none` is a no; a description says what it is about and is not split into two questions."""
    said, source = getattr(facts.declared, name), (facts.pointer(f"declared.{name}"),)
    if said is None:
        return Ticks(label, (YES, NO), facts.get(f"declared.{name}"), source)
    if said.casefold() == "none":
        return Ticks(label, (YES, NO), (NO,), source)
    if name == "user_data":
        return Ticks(label, (YES, NO, "See the description"), ("See the description",), source)
    return Ticks(label, (YES, NO), (YES,), source)


def _narrative(facts: Facts, label: str, name: str, kind: DatasetKind) -> Iterator[Block]:
    said = facts.get(f"declared.{name}")
    none = isinstance(said, str) and said.casefold() == "none"
    yield Fields(((label, "None" if none else said),), (facts.pointer(f"declared.{name}"),))
    found = _datasets(facts, kind)
    if found and none:
        ask = f"It says none, and datasets[{found[0][0]}] is of the kind {kind}: which one is true?"
        yield Missing(f"declared.{name}", ask)
    words = tuple(dict.fromkeys(word for _, one in found for word in one.modalities or ()))
    modalities = _plain(words) if found else "Not applicable: none was used" if none else "As described above"
    yield Fields((("Modalities", modalities), ("Additional comments", "None")), (facts.pointer("datasets"),))
    if found:
        yield from _listed(facts, f"Datasets of the kind {kind}", found)


def _reservations(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield Heading("3. Data processing aspects")
    yield Heading("3.1 Respect of reservation of rights from text and data mining exception or limitation", 3)
    signatory = facts.get("provider.signatory")
    chosen = signatory if isinstance(signatory, Missing) else (YES if signatory else NO,)
    yield Ticks("Signatory to the Code of Practice?", (YES, NO), chosen, (facts.pointer("provider.signatory"),))
    yield Paragraph("Measures implemented to respect reservations before and during data collection:")
    if observed.sound:
        yield from standings(claim for claim in claims(observed) if claim.measure in {"1.1", "1.3"})
        yield reasons_table(observed.sound)
    else:
        yield Missing("--evidence", "Name a crawl whose log verifies; without it no measure is shown")
    for audit in observed.audits:
        yield _filtered(audit)
    yield from _third_parties(facts)
    yield Fields((("Additional comments", "None"),))


def _filtered(audit: AuditFacts) -> Paragraph:
    rows = audit.rows
    return Paragraph(
        f"In the audit {audit.name}, {rows.get('judged', 0)} rows were judged by their sites' signals; "
        f"{rows.get('denied', 0)} were denied, {rows.get('review', 0)} set aside for review, "
        f"{rows.get('kept', 0)} kept.",
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
        (_plain(known(one, "name", f"datasets[{number}]")), one.reservations or "Not known") for number, one in found
    )
    yield Table(label, ("Dataset", "Opt-outs honoured by its maker"), rows, (facts.pointer("datasets"),))


def _processing(facts: Facts) -> Iterator[Block]:
    yield Heading("3.2 Removal of illegal content", 3)
    text = facts.get("declared.illegal_content")
    source = (facts.pointer("declared.illegal_content"),)
    yield Fields((("General description of measures taken, as declared", text),), source)
    yield Heading("3.3 Other information", 3)
    other = facts.declared.other_information or "None"
    yield Fields((("Other information", other),), (facts.pointer("declared.other_information"),))
    days = facts.get("contact.answer_days")
    rows = [("Contact for rightsholders", facts.get("contact.email"))]
    rows.append(("Complaints are answered within", days if isinstance(days, Missing) else f"{days} days"))
    yield Fields(tuple(rows), (facts.pointer("contact"),))


DOCUMENTS = {NAME: training_summary}
