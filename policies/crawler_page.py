"""The page about our crawlers, and its Atom feed (Code of Practice, Measure 1.3(4)).

The page is made of the configuration that the newest decisions on record were made under. What an answer of a server
leads to is not described by hand: the engine decides on it under that very policy, and the page prints its decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optout import engine
from optout.errors import EvidenceError
from optout.evidence.layout import find
from optout.model import RESOURCE, Effect, Exchange
from optout.policy import Mode
from optout.protocol import Embedded, HeaderField, Linked, MetaElement, PageText, Registry, ResponseStatus, WellKnown
from optout.signals import PROTOCOLS
from policies.claims import claims
from policies.crawler_feed import atom
from policies.crawler_settings import described, newest, planned, settings
from policies.document import (
    Block,
    Code,
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
from policies.standings import crawls_nothing, no_crawler, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optout.policy import Policy
    from policies.crawler_settings import Settings
    from policies.evidence_facts import LogFacts, Observed
    from policies.facts import Crawler, Facts

NAME = "crawler-page"
_SITE = "https://site.example"
_PAGE = f"{_SITE}/page"
_CLAIMS = ("access.", "robots.", "identity.", "lists.", "precedence", "second-reader", "prose", "other-agents",
           "purposes", "reuse", "kept.")  # fmt: skip
_MEASURE = Source(SourceKind.LAW, "Code of Practice, Copyright Chapter, Measure 1.3(4)")


def crawler_page(facts: Facts, observed: Observed) -> Document:
    """The page; its `.atom` form is the feed."""
    history = settings(observed)
    now = newest(history)
    blocks: list[Block] = [Paragraph("How our crawlers name themselves, and which opt-outs they follow.", (_MEASURE,))]
    if crawls_nothing(facts, observed):
        blocks.append(no_crawler(facts))
    elif not now:
        blocks.append(Missing("--evidence", "Name a crawl whose log verifies: the page is made of what it ran on"))
    for one in now:
        blocks += _crawler(one, _declared(facts, one))
    blocks += _claims(observed)
    blocks += _logs(observed)
    blocks += _contact(facts)
    blocks += _history(history)
    data = {"crawlers": [_data(one) for one in now]}
    return Document(
        NAME, "Our crawlers", tuple(blocks), data, observed.dated, "protocols",
        forms={".atom": atom(history, facts)} if history else {},
    )  # fmt: skip


def _data(one: Settings) -> Mapping[str, Any]:
    return {"token": one.identity.token, "settings": dict(described(one)), "in_force_since": one.begin.isoformat()}


def _declared(facts: Facts, one: Settings) -> Crawler | None:
    """The crawler of the facts file that has the token."""
    return next((each for each in facts.crawlers or () if (each.token or "").casefold() == one.identity.key), None)


def _sources(one: Settings, key: str) -> tuple[Source, ...]:
    return Source(SourceKind.POLICY, key, one.policy.digest), one.log.pointer(one.rows)


def _crawler(one: Settings, declared: Crawler | None) -> Iterator[Block]:
    policy, token = one.policy, one.identity.token
    yield Heading(f"{token}")
    rows: list[tuple[str, Value]] = [
        ("Product token, for robots.txt", token),
        ("User-Agent header", one.identity.header),
        ("Purposes", ", ".join(policy.crawl_purposes)),
        ("In force since", one.begin.date().isoformat()),
        ("Signals are fetched again after, at the latest", f"{policy.max_age_hours} hours"),
        ("robots.txt is read up to", f"{policy.robots_limit:,} bytes"),
    ]
    identity = Source(SourceKind.LOG, f"{one.log.origin} document identity", one.identity_digest)
    yield Fields(tuple(rows), (*_sources(one, "crawl, reading"), identity))
    yield from _declaration(token, declared)
    yield _protocols(one)
    yield from _plans(one)
    yield _answers(one)
    yield from _samples(one)
    yield Paragraph(
        f"To see what would be decided about an address, run: optout check ADDRESS --as {token} --policy {policy.name}",
        _sources(one, "name"),
    )


def _declaration(token: str, declared: Crawler | None) -> Iterator[Block]:
    if declared is None:
        yield Missing("crawlers", f"Declare the crawler {token}: operator, purposes, page")
        return
    rows: list[tuple[str, Value]] = [
        ("Run by", declared.operator or Missing("crawlers[].operator", "Who runs it?")),
        ("What the content is used for", declared.purposes or Missing("crawlers[].purposes", "What is it for?")),
        (
            "Captchas, password forms and paywalls that no status announces",
            declared.barriers or Missing("crawlers[].barriers", "What does it do there?"),
        ),
    ]
    days = declared.retention_days
    rows.append((
        "Pages that it keeps are deleted after",
        in_days(Missing("crawlers[].retention_days", "After how many days?") if days is None else days),
    ))  # fmt: skip
    yield Paragraph("The operator declares:")
    yield Fields(tuple(rows), (Source(SourceKind.FACTS, f"crawlers, token {token}"),))
    if declared.ip_ranges:
        yield Link("Address ranges", declared.ip_ranges)
    else:
        yield Paragraph("No address ranges are named.", (Source(SourceKind.FACTS, f"crawlers, token {token}"),))


def _protocols(one: Settings) -> Table:
    rows: list[tuple[Value, ...]] = []
    for name, protocol in sorted(PROTOCOLS.items()):
        entry = one.policy.registry.get(name)
        where = ", ".join(dict.fromkeys(_place(carrier) for carrier in protocol.carriers))
        status = str(entry.status) if entry else "not registered"
        mode = str(one.policy.mode(name))
        rows.append((protocol.title, name, where, mode, status, protocol.edition, protocol.specification))
    heads = ("Signal", "Name", "Where it stands", "Mode", "Status", "Edition", "Specification")
    registry = Source(SourceKind.POLICY, "protocols.toml", one.policy.registry_digest)
    caption = f"Signals that {one.identity.token} reads: enforced, observed (recorded only) or off"
    return Table(caption, heads, tuple(rows), (registry, *_sources(one, "name")), "protocols")


def _place(carrier: object) -> str:
    if isinstance(carrier, WellKnown):
        return carrier.path
    if isinstance(carrier, HeaderField):
        return f"header {carrier.name}"
    if isinstance(carrier, MetaElement):
        return f"meta element {carrier.name}"
    names: Mapping[type, str] = {
        PageText: "text of the page", ResponseStatus: "status of the answer", Linked: "linked document",
        Embedded: "metadata in the file", Registry: "registry or list",
    }  # fmt: skip
    return names.get(type(carrier), "elsewhere")


def _plans(one: Settings) -> Iterator[Block]:
    for name, day in planned(one.policy, one.begin.date()):
        registry = Source(SourceKind.POLICY, f"{name} enforce_from = {day.isoformat()}", one.policy.registry_digest)
        yield Paragraph(f"From {day.isoformat()} on, {name} will be enforced.", (registry, one.log.pointer(one.rows)))


def _robots(status: int | None = None, error: str | None = None, body: bytes = b"") -> Callable[[str], Exchange]:
    return lambda path: Exchange(f"{_SITE}{path}", path, status, body=body, error=error)


def _missing(path: str) -> Exchange:
    return Exchange(f"{_SITE}{path}", path, 404)


_ROBOTS = engine.ROBOTS_ROLE
_SITUATIONS: tuple[tuple[str, str, Callable[[str], Exchange]], ...] = (
    ("robots.txt is empty", _ROBOTS, _robots(200)),
    ("robots.txt answers 404", _ROBOTS, _robots(404)),
    ("robots.txt answers 401, 402 or 403", _ROBOTS, _robots(403)),
    ("robots.txt answers 429", _ROBOTS, _robots(429)),
    ("robots.txt answers 500 or another 5xx", _ROBOTS, _robots(500)),
    ("robots.txt cannot be reached, or not in time", _ROBOTS, _robots(error="timeout")),
    ("robots.txt redirects too often", _ROBOTS, _robots(error="too-many-redirects")),
    ("another signal file answers 500 or cannot be reached", "other", _robots(500)),
)
_STATUSES = (401, 402, 403, 404, 429, 451, 500)


def outcome(policy: Policy, one: Settings, carrier: str, made: Callable[[str], Exchange]) -> Effect:
    """What the engine decides where one signal file answers so and the site says nothing else."""
    paths = engine.required_paths(policy)
    special = carrier if carrier != "other" else next((path for path in paths if path != _ROBOTS), _ROBOTS)
    exchanges = [made(path) if path == special else _missing(path) for path in paths]
    return _strictest(engine.decide(exchanges, _PAGE, policy, one.identity), policy)


def _of_page(one: Settings, status: int) -> Effect:
    exchanges = [_missing(path) for path in engine.required_paths(one.policy)]
    page = Exchange(_PAGE, RESOURCE, status)
    return _strictest(engine.decide([*exchanges, page], _PAGE, one.policy, one.identity), one.policy)


def _strictest(verdict: Any, policy: Policy) -> Effect:  # noqa: ANN401 - a verdict
    found = {verdict.access, *(verdict.decision(purpose).effect for purpose in policy.crawl_purposes)}
    return next(effect for effect in (Effect.DENY, Effect.REVIEW, Effect.PERMIT) if effect in found)


_WORDS = {Effect.DENY: "refused", Effect.REVIEW: "set aside for a person", Effect.PERMIT: "no reservation"}


def _answers(one: Settings) -> Table:
    rows = [(text, _WORDS[outcome(one.policy, one, carrier, made)]) for text, carrier, made in _SITUATIONS]
    rows += [(f"The page itself answers {status}", _WORDS[_of_page(one, status)]) for status in _STATUSES]
    caption = f"What an answer leads to for {one.identity.token}, as the engine decides under this policy"
    sources = _sources(one, "decide, reading.honour")
    return Table(caption, ("Answer", "Decision"), tuple(rows), sources, "answers")


def _samples(one: Settings) -> Iterator[Block]:
    """Two files; each is printed only if the engine finds in it what its caption says."""
    token = one.identity.token
    everything = f"User-agent: {token}\nDisallow: /\n"
    part = f"User-agent: {token}\nDisallow: /private/\n"
    if one.policy.mode("robots-exclusion") is not Mode.ENFORCE:
        return
    for caption, text, url, other in (
        (f"robots.txt that keeps {token} out of everything", everything, _PAGE, ""),
        (f"robots.txt that keeps {token} out of one folder", part, f"{_SITE}/private/work", _PAGE),
    ):
        if _refuses(one, text, url) and not (other and _refuses(one, text, other)):
            yield Code(caption, text)


def _refuses(one: Settings, text: str, url: str) -> bool:
    made = _robots(200, body=text.encode())
    exchanges = [made(path) if path == _ROBOTS else _missing(path) for path in engine.required_paths(one.policy)]
    return engine.decide(exchanges, url, one.policy, one.identity).access is Effect.DENY


def _claims(observed: Observed) -> Iterator[Block]:
    found = [claim for claim in claims(observed) if claim.name.startswith(_CLAIMS)]
    if found:
        yield Heading("What they do")
        yield from standings(found)


def _logs(observed: Observed) -> Iterator[Block]:
    """Where decisions are on record, and by which keys anybody can check what they are given of it."""
    for log in observed.sound:
        keys = _public_keys(log)
        if keys:
            yield Heading("The log of decisions")
            rows: tuple[tuple[str, Value], ...] = (("Log", log.origin), *(("Public key", key) for key in keys))
            yield Fields(rows, (Source(SourceKind.LOG, f"{log.origin} policy.txt", log.root),))


def _public_keys(log: LogFacts) -> tuple[str, ...]:
    try:
        lines = find(log.directory).policy.read_text(encoding="utf-8").splitlines() if log.directory else []
    except (OSError, ValueError, EvidenceError):
        return ()
    return tuple(line.split()[1] for line in lines if line.startswith("log ") and len(line.split()) > 1)


def _contact(facts: Facts) -> Iterator[Block]:
    yield Heading("Contact and complaints")
    rows: list[tuple[str, Value]] = [
        ("Provider", facts.get("provider.name")),
        ("E-mail for rightsholders", facts.get("contact.email")),
        ("Complaints are answered within", in_days(facts.get("contact.answer_days"))),
    ]
    yield Fields(tuple(rows), (facts.pointer("provider.name, contact"),))
    if facts.contact.form:
        yield Link("Complaint form", facts.contact.form)


def _history(history: tuple[Settings, ...]) -> Iterator[Block]:
    if history:
        yield Heading("Configurations on record")
        rows = tuple(
            (
                one.begin.isoformat(timespec="seconds"), one.identity.token, one.policy.name, one.policy.digest,
                one.policy.registry_digest, one.identity_digest,
            )
            for one in history
        )  # fmt: skip
        heads = ("In force from", "Token", "Policy", "Policy SHA-256", "Registry SHA-256", "Identity SHA-256")
        sources = tuple(dict.fromkeys(one.log.pointer(one.rows) for one in history))
        yield Table("Each change of these is an entry of the feed", heads, rows, sources, "configurations")


DOCUMENTS = {NAME: crawler_page}
