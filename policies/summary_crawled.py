"""Section 2.3 of the official form: what was crawled, by whom, how, when, and from which domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import content_sizes
from policies.claims import claims
from policies.content_sizes import Contents
from policies.document import Address, Block, Bullets, Fields, Heading, Missing, Paragraph, Table, Ticks, Value
from policies.evidence_facts import KEPT
from policies.facts import MODALITIES, DatasetKind, known
from policies.standings import labelled
from policies.summary_datasets import audited, dataset_of, ranking
from policies.summary_form import NO, YES, address, comments, mark, of_kind, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policies.evidence_facts import AuditFacts, LogFacts, Observed, Rows
    from policies.facts import Crawler, Facts

_FIELDS = (
    "Crawler name(s)/identifier(s)", "Purposes of the crawler(s)", "General description of crawler behaviour",
    "Period of data collection", "Types of content and online sources crawled", "Type of modality covered",
    "Summary of the most relevant domain names crawled",
)  # fmt: skip
_BEHAVIOUR: Mapping[str, tuple[str, ...]] = {
    "Access that a server refuses: passwords, paywalls and legal demands": ("access.",),
    "robots.txt": ("robots.", "second-reader", "other-agents"),
    "Other opt-out protocols": ("protocol.", "precedence", "prose"),
    "Identification, and sites that are left out": ("identity.", "lists."),
}
"""Each subject of the form's description of behaviour, and the claims that speak of it."""


def crawled(facts: Facts, observed: Observed) -> Iterator[Block]:
    """The whole section."""
    yield Heading("2.3 Data crawled and scraped from online sources", 3)
    crawlers = facts.crawlers
    label = "Crawlers used by the provider or on its behalf?"
    if crawlers is None and not observed.sound:
        yield Ticks(label, (YES, NO), facts.get("crawlers"), (facts.pointer("crawlers"),))
        return
    used, own = bool(crawlers or observed.sound), of_kind(facts, DatasetKind.CRAWLED)
    sources = (facts.pointer("crawlers"), *(log.pointer(log.decisions) for log in observed.sound))
    ask = "It says none, and a dataset is of the kind crawled: which one is true?"
    chosen = Missing("crawlers", ask) if own and not used else (YES if used else NO,)
    yield Ticks(label, (YES, NO), chosen, sources)
    if used or own:
        yield from _used(facts, observed)
    else:
        none = "Not applicable: no crawler is used"
        yield Fields(tuple((field, none) for field in _FIELDS), (facts.pointer("crawlers = []"),))
    yield comments(facts, "crawled")


def _used(facts: Facts, observed: Observed) -> Iterator[Block]:
    for number, crawler in enumerate(facts.crawlers or ()):
        yield from _crawler(facts, crawler, number)
    yield from _undeclared(facts, observed)
    yield from _behaviour(facts, observed)
    yield from _periods(facts, observed)
    yield from _domains(facts, observed)
    yield from audited(facts, observed, DatasetKind.CRAWLED)


def _crawler(facts: Facts, crawler: Crawler, number: int) -> Iterator[Block]:
    key, tell = f"crawlers[{number}]", mark("crawler", number, facts.crawlers)
    labels = {
        "token": "Crawler name/identifier: product token for robots.txt", "user_agent": "User-Agent header",
        "operator": "Run by", "purposes": "Purposes of the crawler",
        "content": "Types of content and online sources crawled",
    }  # fmt: skip
    rows = [(f"{label}{tell}", plain(known(crawler, name, key))) for name, label in labels.items()]
    rows.insert(3, (f"Page about the crawler{tell}", address(known(crawler, "page", key))))
    ranges: Value = Address(crawler.ip_ranges) if crawler.ip_ranges else "None stated"
    rows.insert(4, (f"Address ranges{tell}", ranges))
    source = (facts.pointer(key),)
    yield Fields(tuple(rows), source)
    yield Ticks(f"Type of modality covered{tell}", MODALITIES, known(crawler, "modalities", key), source)


def _undeclared(facts: Facts, observed: Observed) -> Iterator[Block]:
    """What the facts file and the logs do not agree about."""
    declared = {crawler.token.casefold(): crawler for crawler in facts.crawlers or () if crawler.token}
    logged = dict.fromkeys(token for log in observed.sound for token in log.tokens)
    for token in logged:
        if token.casefold() not in declared:
            yield Missing("crawlers", f"A log has decisions for {token}: declare that crawler")
    for log in observed.sound:
        yield from _other_header(log, declared)
    folded = {token.casefold() for token in logged}
    for key in (key for key in declared if key not in folded):
        yield Missing("--evidence", f"Name a log of the crawler {declared[key].token}, or its behaviour is not shown")


def _other_header(log: LogFacts, declared: Mapping[str, Crawler]) -> Iterator[Missing]:
    for identity in log.identities.values():
        crawler = declared.get(identity.get("product_token", "").casefold())
        header = identity.get("user_agent", "")
        if crawler and crawler.user_agent and header and crawler.user_agent != header:
            ask = f"The log {log.origin} has the User-Agent {header}: which one is true?"
            yield Missing("crawlers[].user_agent", ask)


def _behaviour(facts: Facts, observed: Observed) -> Iterator[Block]:
    yield Heading("2.3 General description of crawler behaviour", 4)
    yield from _barriers(facts)
    if not observed.sound:
        yield Missing("--evidence", "Name a crawl whose log verifies; without it no behaviour is shown")
        return
    found = claims(observed)
    for subject, names in _BEHAVIOUR.items():
        yield Paragraph(f"{subject}:")
        own = [claim for claim in found if claim.name.startswith(names)]
        yield labelled(own) if own else Bullets((Paragraph("Policy and log bear out no statement on this."),))


def _barriers(facts: Facts) -> Iterator[Block]:
    """What no status announces, no log can show."""
    for number, crawler in enumerate(facts.crawlers or ()):
        label = f"Captchas, password forms and paywalls, as declared{mark('crawler', number, facts.crawlers)}"
        key = f"crawlers[{number}]"
        yield Fields(((label, known(crawler, "barriers", key)),), (facts.pointer(f"{key}.barriers"),))


def _periods(facts: Facts, observed: Observed) -> Iterator[Block]:
    """When each crawler kept pages: by each log, and over all of them with the earlier months that are declared."""
    spans: dict[str, list[tuple[str, tuple[Rows, ...]]]] = {}
    for log in observed.sound:
        kept = tuple(row for row in log.rows if row.kind == KEPT)
        for token in log.tokens:
            own = tuple(row for row in log.decisions if row.agent == token)
            spans.setdefault(token, []).append((log.origin, kept if kept and len(log.tokens) == 1 else own))
    rows = [row for token, logs in spans.items() for row in _spans(token, logs, facts)]
    sources = [log.pointer([row for row in log.rows if row.kind == KEPT], "period") for log in observed.sound]
    sources += [
        facts.pointer(f"crawlers[{at}].from_month") for at, one in enumerate(facts.crawlers or ()) if one.from_month
    ]
    if rows:
        heads = ("Crawler", "Log", "From (MM/YYYY)", "To (MM/YYYY)", "First day", "Last day")
        yield Table("Period of data collection", heads, tuple(rows), tuple(sources), "periods")
    else:
        yield Missing("--evidence", "Name the logs that show when data were collected")


def _spans(token: str, logs: Sequence[tuple[str, tuple[Rows, ...]]], facts: Facts) -> Iterator[tuple[Value, ...]]:
    for origin, rows in logs:
        yield (token, origin, *_span(rows))
    declared = next(
        (one.from_month for one in facts.crawlers or () if (one.token or "").casefold() == token.casefold()), None
    )
    if declared or len(logs) > 1:
        begin, end, first, last = _span([row for _, rows in logs for row in rows])
        earlier = declared is not None and _month(declared) < _month(begin)
        label = "in all; the beginning as declared" if earlier else "in all"
        beginning = declared if declared and earlier else begin
        yield token, label, beginning, end, "not on record" if earlier else first, last


def _month(text: str) -> tuple[int, int]:
    month, year = text.split("/")
    return int(year), int(month)


def _span(rows: Sequence[Rows]) -> tuple[str, str, str, str]:
    begin, end = min(row.begin for row in rows), max(row.end for row in rows)
    return f"{begin:%m/%Y}", f"{end:%m/%Y}", begin.date().isoformat(), end.date().isoformat()


def _contents(facts: Facts, observed: Observed) -> Contents:
    """Kept pages of every sound log, and kept rows of audited datasets that the provider crawled itself."""
    logs = [content_sizes.of_crawl(log) for log in observed.sound]
    own = [audit for audit in observed.audits if _is_crawled(facts, audit)]
    return content_sizes.together([*logs, *(content_sizes.of_audit(audit) for audit in own)])


def _is_crawled(facts: Facts, audit: AuditFacts) -> bool:
    dataset = dataset_of(facts, audit)
    return dataset is not None and dataset.kind is DatasetKind.CRAWLED


def _domains(facts: Facts, observed: Observed) -> Iterator[Block]:
    contents = _contents(facts, observed)
    if contents.unlogged:
        text = f"Pages in the archive that the log does not have as kept, which are not counted: {contents.unlogged}."
        yield Paragraph(text, contents.sources)
    if not contents.items:
        ask = "Name a crawl with kept pages, or an audit of a crawled dataset, from which domains can be ranked"
        yield Missing("domains", ask)
        return
    yield from ranking(facts, contents, "Most relevant domain names crawled", "domains")
    file = facts.summary.domains
    where: Value = Address(file) if file else "None: the list stands in this document and in its machine-readable copy"
    yield Fields((("The list of domain names as a separate file", where),), (facts.pointer("summary.domains"),))
    kinds = tuple(sorted(contents.kinds.items(), key=lambda item: (-item[1], item[0])))
    if kinds:
        yield Table("Content by media type, as servers stated it", ("Media type", "Bytes"), kinds, contents.sources)
