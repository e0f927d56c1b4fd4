"""Really Simple Licensing: machine-readable licences for content, found through robots.txt, headers or the page.

| token | tdm | ai-train | ai-input | search |
|---|---|---|---|---|
| `all` | x | x | x | x |
| `ai-all` | | x | x | |
| `ai-train` | | x | | |
| `ai-input` | | | x | |
| `ai-index` | | | under `wider-purposes` | |
| `search` | | | | x |

Per purpose, of all licences of a `content` element (sections 3.1.1 and 3.5 to 3.8):

1. prohibited by any of them: reserved;
2. permitted by one that asks nothing in return: permitted;
3. permitted by one that asks for payment, a server, certain users or places, or reports: reserved, with the offer;
4. left out of a `permits` list, which is closed: reserved;
5. asked a price for by a licence without any list: reserved, with the offer;
6. else nothing is stated; prohibiting some uses permits no other.

The narrowest `content` that states a purpose counts for it, of equals the more restrictive. Where a licence is named
and no valid document is found, the content is unlicensed: everything is reserved (section 4.9). Where a document has
no content element for a URL, that is so under `unlicensed`. Tokens of nobody's vocabulary (`train-ai`, which earlier
drafts had) prohibit under `malformed-reservations` and never permit.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.errors import MalformedUrl
from optout.model import (
    EVERYONE,
    RESERVE_ALL,
    RESOURCE,
    SILENCE,
    Availability,
    Exchange,
    Layer,
    Leniency,
    Place,
    Pointer,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    reserve,
)
from optout.protocol import HeaderField, Linked, MetaElement, Precedence, Protocol, WellKnown
from optout.syntax import html_head, http_fields, robots_blocks, robots_txt, rsl_document
from optout.urls import authority_of, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from optout.syntax.html_head import Head
    from optout.syntax.robots_txt import AgentLine, Group, Record, RobotsFile
    from optout.syntax.rsl_document import Content, License, RslDocument, TokenList

    Purposes = frozenset[Purpose]

ROBOTS = "/robots.txt"
DOCUMENT = "rsl-document"
HEADERS = "headers"
PAGE = "page"
MEDIA_TYPE = "application/rsl+xml"
WORDS = frozenset({b"application/rsl"})

MEANING: Mapping[str, Purposes] = {
    "all": frozenset(Purpose),
    "ai-all": frozenset({Purpose.AI_TRAIN, Purpose.AI_INPUT}),
    "ai-train": frozenset({Purpose.AI_TRAIN}),
    "ai-input": frozenset({Purpose.AI_INPUT}),
    "ai-index": frozenset(),
    "search": frozenset({Purpose.SEARCH}),
}
"""What the tokens of section 3.4.1.1 cover; `ai-index` has no purpose of its own here."""

SLIPS: tuple[tuple[re.Pattern[str], Purposes], ...] = (
    (re.compile(r"tdm|mining|\ball\b"), frozenset({Purpose.TDM, Purpose.AI_TRAIN, Purpose.AI_INPUT})),
    (re.compile(r"train|tuning|^ai$"), frozenset({Purpose.AI_TRAIN})),
    (
        re.compile(
            r"summar|ai-use|grounding|rag\b|inference|answer|cit(?:e|ation)|snippet|ai-search|ai-ind|ai-inp|^ai$"
        ),
        frozenset({Purpose.AI_INPUT}),
    ),
)
"""What tokens outside the vocabulary were evidently meant to prohibit, by what stands in them."""

NO = (("no",), ("false",), ("none",), ("deny",))
"""Lists that are an answer instead of tokens."""

OPEN = tuple((purpose, State.UNSPECIFIED) for purpose in Purpose)

MAX_DOCUMENTS = 16
"""Licences that one carrier may point to; those beyond are not fetched, so their content counts as unlicensed."""

_MAX_PROBLEMS_OF_A_KIND = 50
_WHOLE_SITE = frozenset({None, "/", "*", "/*"})
_ABSOLUTE = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_FULL_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)/?([^#]*)")
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_MARKUP_TYPES = frozenset({None, "text/html", "application/xhtml+xml", "application/xml", "text/xml"})

Found = Statement | Problem | Pointer


def read(exchange: Exchange) -> Reading:
    """Read a robots.txt, a response with its page, or a licence document."""
    if exchange.role == DOCUMENT:
        return _document(exchange)
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    if exchange.role == RESOURCE:
        return _collected((*_links(exchange), *_page(exchange)))
    return _robots(exchange)


def _collected(found: Iterable[Found], *, valid: bool = True, addressed: frozenset[str] = frozenset()) -> Reading:
    """Sort what was found, and keep a hostile file from filling reports and errands."""
    statements: list[Statement] = []
    problems: list[Problem] = []
    pointers: dict[str, Pointer] = {}
    counts: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Statement):
            statements.append(item)
        elif isinstance(item, Pointer):
            if len(pointers) < MAX_DOCUMENTS:
                pointers.setdefault(item.url, item)
        else:
            counts[item.code] += 1
            if counts[item.code] <= _MAX_PROBLEMS_OF_A_KIND:
                problems.append(item)
    return Reading(tuple(statements), tuple(problems), tuple(pointers.values()), addressed, valid)


# Association: who points to a licence (section 4).


def _association(url: str, place: Place, value: str, layer: Layer, base: str) -> Iterator[Found]:
    """A licence that is named. Its document replaces the statement; without one the content is unlicensed.

    Documents are to be fetched over HTTPS (section 4.1), so from an HTTPS site a plain URL is asked for there.
    """
    if base.lower().startswith("https://") and url.lower().startswith("http://"):
        yield Problem("rsl.insecure", place)
        url = f"https{url[4:]}"
    yield Pointer(url, DOCUMENT, place)
    yield Statement(
        "rsl.unlicensed", place, value[:200], RESERVE_ALL, layer=layer, strength=Strength.INDUSTRY, document=url
    )


def _robots(exchange: Exchange) -> Reading:
    """`License` lines: those of a crawler's group, and else those outside of groups (section 4.4.2)."""
    body = exchange.body
    file = robots_txt.parse(body, len(body) - exchange.truncated)
    if not any(record.field == "license" for record in file.records):
        return SILENCE
    found: list[Found] = []
    for record, agents in _addressed(file, robots_blocks.set_apart(file, body)):
        found += [
            item._replace(agents=agents) if isinstance(item, Statement) else item
            for item in _robots_license(record, exchange.url)
        ]
    return _collected(found, addressed=file.addressed)


def _tokens(agents: Iterable[AgentLine]) -> frozenset[str]:
    return frozenset(token for agent in agents for token in agent.tokens)


def _addressed(file: RobotsFile, apart: frozenset[int]) -> list[tuple[Record, frozenset[str]]]:
    """Each `License` line with whom it addresses.

    Inside a group these are the crawlers named above it, for `License` is a rule, and a `User-agent` line behind a
    rule begins a group of its own. A crawler that no such line addresses is addressed by those outside of groups,
    even where it has a group, which would free it of the rules for everybody.
    """
    inside = {line: agents for group in file.groups for line, agents in _served(group, apart)}
    everybody = file.addressed | {EVERYONE}
    rest = everybody.difference(*set(inside.values()))
    return [(record, inside.get(record.line, rest)) for record in file.records if record.field == "license"]


def _served(group: Group, apart: frozenset[int]) -> Iterator[tuple[int, frozenset[str]]]:
    """The lines of the licences inside one group, with the crawlers that each of them serves."""
    licenses = [record for record in group.others if record.field == "license" and record.line not in apart]
    named = iter(group.agents)
    agent = next(named, None)
    tokens: frozenset[str] = frozenset()
    for record in licenses:
        run = []
        while agent is not None and agent.line < record.line:
            run.append(agent)
            agent = next(named, None)
        tokens = _tokens(run) if run else tokens
        yield record.line, tokens


def _robots_license(record: Record, base: str) -> Iterator[Found]:
    place = Place(ROBOTS, record.line, record.offset, "License")
    if _fetchable(record.value):
        yield from _association(record.value, place, record.raw.strip(), Layer.ORIGIN, base)
    else:
        yield Problem("rsl.license-not-absolute", place)


def _fetchable(url: str) -> bool:
    return bool(_ABSOLUTE.fullmatch(url)) and authority_of(url) is not None


def _links(exchange: Exchange) -> Iterator[Found]:
    """`Link` fields with the relation `license` and the media type of RSL (section 4.5)."""
    place = Place(HEADERS, field="link")
    for value, _ in http_fields.values(exchange.headers, "link"):
        for link in http_fields.parse_links(value):
            if "license" in link.rel and link.type == MEDIA_TYPE and link.param("anchor") is None:
                yield from _reference(link.target, place, Layer.HEADER, exchange.final_url)


def _reference(target: str, place: Place, layer: Layer, base: str) -> Iterator[Found]:
    try:
        url = resolve(base, target)
    except MalformedUrl:
        url = ""
    if target.strip() and _fetchable(url):
        yield from _association(url, place, target, layer, base)
    else:
        yield Problem("rsl.license-not-absolute", place)


def _page(exchange: Exchange) -> Iterator[Found]:
    """`<link>` and `<script>` elements (sections 4.6 and 4.7).

    In the head they speak for the page. In the body they speak for the element around them, which is a part of the
    page that nobody can leave out: they only ever restrict, under `body-metadata`.
    """
    if http_fields.media_type(exchange.headers) not in _MARKUP_TYPES:
        return
    content_type = http_fields.combined(exchange.headers, "content-type")
    head = html_head.read_head(exchange.body, content_type, words=WORDS)
    for offset, in_head, found in _elements(head, exchange):
        if in_head:
            yield from found
            continue
        yield Problem("rsl.in-body", Place(PAGE, offset=offset))
        for item in found:
            yield from _restricted(item, Leniency.BODY_METADATA) if isinstance(item, Statement) else [item]


def _elements(head: Head, exchange: Exchange) -> Iterator[tuple[int, bool, Iterator[Found]]]:
    base = exchange.final_url
    with suppress(MalformedUrl):
        base = resolve(base, head.base_href or "")
    for link in head.links:
        if "license" in link.rel and link.type == MEDIA_TYPE:
            place = Place(PAGE, offset=link.offset, field="link")
            yield link.offset, link.in_head, _reference(link.href, place, Layer.PAGE, base)
    for script in head.scripts:
        if script.type == MEDIA_TYPE:
            place = Place(PAGE, offset=script.offset, field="script")
            yield script.offset, script.in_head, _inline(script.text, place, exchange)


def _inline(text: str, place: Place, exchange: Exchange) -> Iterator[Found]:
    """A document inside the page. Its contents may name the page by its URL; those of other sites are not ours."""
    document = rsl_document.parse(_DECLARATION.sub("", text, count=1).encode())
    yield from _document_problems(document, place)
    if not document.valid:
        yield Statement("rsl.unlicensed", place, "inline", RESERVE_ALL, layer=Layer.PAGE, strength=Strength.INDUSTRY)
        return
    hosts = {None, authority_of(exchange.url), authority_of(exchange.final_url)}
    for item in _contents(document, place):
        if not isinstance(item, Statement):
            yield item
        elif item.host in hosts:
            yield item._replace(layer=Layer.PAGE)


def _restricted(statement: Statement, leniency: Leniency) -> Iterator[Statement]:
    """What a wider reading makes of a statement: what it points to, or its reservations."""
    if statement.document is not None:
        yield statement._replace(leniency=leniency)
    elif statement.leniency is None:
        states = tuple((purpose, state) for purpose, state in statement.states if state is State.RESERVED)
        if states:
            yield statement._replace(states=states, leniency=leniency)


# The document (section 3).


def _document(exchange: Exchange) -> Reading:
    place = Place(exchange.url)
    if exchange.availability is not Availability.RETRIEVED:
        return Reading(problems=(Problem("rsl.unreachable", place),), valid=False)
    if exchange.truncated:
        return Reading(problems=(Problem("rsl.not-xml", place),), valid=False)
    document = rsl_document.parse(exchange.body)
    found = [*_document_problems(document, place), *(_contents(document, place) if document.valid else ())]
    return _collected(found, valid=document.valid)


def _document_problems(document: RslDocument, place: Place) -> Iterator[Problem]:
    for fault in document.faults:
        yield Problem(f"rsl.{fault.code}", place._replace(line=fault.line or None))


def _contents(document: RslDocument, place: Place) -> Iterator[Found]:
    covered: list[_Target] = []
    for content in document.contents:
        here = place._replace(line=content.line)
        target = _target(content, place.resource)
        if not target.literal:
            yield Problem("rsl.content-url", here)
        for item in _content(content, target, here):
            if isinstance(item, Statement) and not target.literal:
                yield from _restricted(item, Leniency.MALFORMED_RESERVATIONS)
            else:
                yield item
        if target.literal and (content.licenses or content.conditions):
            covered.append(target)
    yield from _unlicensed(covered, place)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a content element is about: a host or None, a path pattern or None, and whether the letter says so."""

    host: str | None
    pattern: str | None
    literal: bool = True


def _target(content: Content, document: str) -> _Target:
    """Read the `url` attribute (section 3.3): empty is what the association is about, a path is of its site.

    An item of a feed speaks for one page of the feed's own site (section 4.8).
    """
    url = content.url
    if full := _FULL_URL.match(url):
        host, pattern = authority_of(full[1]), f"/{full[2]}"
        foreign = content.item and host != authority_of(document)
        exact = "$" if content.item and not pattern.endswith(("*", "$")) else ""
        return _Target(host, pattern + exact, literal=host is not None and not foreign)
    if not url and not content.item:
        return _Target(None, None)
    if url.startswith(("/", "*")):
        return _Target(None, url, literal=not content.item)
    first, _, rest = url.partition("/")
    host = authority_of(f"https://{first}") if "." in first else None
    return _Target(host, f"/{rest}" if host else f"/{url}", literal=False)


def _unlicensed(covered: list[_Target], place: Place) -> Iterator[Statement]:
    """Under `unlicensed`: everything that no content element covers. Those that do leave it open, and hide this."""
    if any(target.host is None and target.pattern in _WHOLE_SITE for target in covered):
        return
    for target in covered:
        yield _statement(
            "rsl.covered", place, OPEN, target, leniency=Leniency.UNLICENSED, value="a content element covers this"
        )
    yield _statement(
        "rsl.no-content-matches",
        place,
        RESERVE_ALL,
        _Target(None, None),
        leniency=Leniency.UNLICENSED,
        value="no content element covers this",
    )


def _statement(
    reason: str,
    place: Place,
    states: Iterable[tuple[Purpose, State]],
    target: _Target,
    *,
    value: str,
    leniency: Leniency | None = None,
    conditions: tuple[tuple[str, str], ...] = (),
) -> Statement:
    return Statement(
        reason,
        place,
        value,
        tuple(states),
        pattern=target.pattern,
        strength=Strength.INDUSTRY,
        leniency=leniency,
        host=target.host,
        conditions=conditions,
    )


def _content(content: Content, target: _Target, place: Place) -> Iterator[Found]:
    """What all licences of one content element say together, by the list at the head of this file."""
    for token_list in (one for item in content.licenses for one in (*item.permits, *item.prohibits)):
        yield from _vocabulary_problems(token_list, place)
    terms = [_terms(item, content.conditions) for item in content.licenses]
    if not terms and content.conditions:
        terms = [_Terms(conditions=content.conditions)]
    value = _shown(content)
    outcomes: dict[tuple[str, tuple[tuple[str, str], ...]], list[Purpose]] = {}
    for purpose in Purpose:
        outcomes.setdefault(_outcome(purpose, terms), []).append(purpose)
    for (kind, conditions), purposes in outcomes.items():
        if kind:
            state = State.PERMITTED if kind == "permitted" else State.RESERVED
            states = tuple((purpose, state) for purpose in purposes)
            offered = conditions + content.contacts if conditions else ()
            yield _statement(f"rsl.{kind}", place, states, target, value=value, conditions=offered)
    yield from _meant(content, target, place, value)


@dataclass(frozen=True, slots=True)
class _Terms:
    """One licence in our purposes.

    Attributes:
        permitted: what its lists permit; None where it has no such list.
        prohibited: what it prohibits.
        doubtful: what it may prohibit in words that are not of the vocabulary, and so does not permit.
        worded: what its lists of permissions speak about in any words, to which its conditions are an offer.
        conditions: what it asks in return.
    """

    permitted: Purposes | None = None
    prohibited: Purposes = frozenset()
    doubtful: Purposes = frozenset()
    worded: Purposes = frozenset()
    conditions: tuple[tuple[str, str], ...] = ()

    @property
    def listless(self) -> bool:
        """Whether it has neither list, so that its conditions are for every use."""
        return self.permitted is None and not self.prohibited


def _terms(item: License, conditions: tuple[tuple[str, str], ...]) -> _Terms:
    """A licence by its lists of the type `usage`. Of two closed lists each closes what the other one opens."""
    permits = [_covered(one) for one in item.permits if one.type == "usage"]
    words = {token.lower() for one in item.permits if one.type == "usage" for token in one.tokens}
    prohibits = [_covered(one) for one in item.prohibits if one.type == "usage"]
    permitted = frozenset.intersection(*permits) if permits else None
    asked = (*item.conditions, *conditions)
    if prohibits and permitted is None:
        # A list of prohibitions alone infers nothing for the rest, not even an offer.
        asked = ()
    return _Terms(permitted, frozenset().union(*prohibits), _slips(item), frozenset().union(*map(_slip, words)), asked)


def _covered(one: TokenList) -> Purposes:
    return frozenset().union(*(MEANING.get(token, frozenset()) for token in one.tokens))


def _outcome(purpose: Purpose, terms: Sequence[_Terms]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What becomes of a purpose, and what is asked in return."""
    if any(purpose in one.prohibited for one in terms):
        return "prohibited", ()
    granting = [one for one in terms if one.permitted is not None and purpose in one.permitted]
    if any(not one.conditions for one in granting):
        return ("permitted", ()) if all(purpose not in one.doubtful for one in terms) else ("", ())
    asking = granting or [one for one in terms if one.conditions and (purpose in one.worded or one.listless)]
    if asking:
        return "offered", tuple(condition for one in asking for condition in one.conditions)
    return ("not-listed", ()) if any(one.permitted is not None for one in terms) else ("", ())


def _vocabulary_problems(one: TokenList, place: Place) -> Iterator[Problem]:
    here = place._replace(line=one.line)
    if one.type not in ("usage", "user", "geo"):
        yield Problem("rsl.list-type", here)
    elif one.type == "usage" and any(token not in MEANING for token in one.tokens):
        yield Problem("rsl.token", here)


def _meant(content: Content, target: _Target, place: Place, value: str) -> Iterator[Statement]:
    """What only a wider reading finds prohibited: AI retrieval indexes, and tokens outside the vocabulary."""
    lists = [one for item in content.licenses for one in item.prohibits if one.type == "usage"]
    if any("ai-index" in one.tokens for one in lists):
        states = reserve(Purpose.AI_INPUT)
        yield _statement("rsl.prohibited", place, states, target, value=value, leniency=Leniency.WIDER_PURPOSES)
    if slips := frozenset().union(*(_slips(item) for item in content.licenses)):
        states = reserve(*slips)
        yield _statement("rsl.intended", place, states, target, value=value, leniency=Leniency.MALFORMED_RESERVATIONS)


def _slips(item: License) -> Purposes:
    """What a licence prohibits in words outside the vocabulary, or in a list without a type that RSL knows.

    Some write the token as the type, and the answer into the list: `<permits type="ai-train">no</permits>`.
    """
    words = [token for one in item.prohibits if one.type == "usage" for token in one.tokens if token not in MEANING]
    for one in item.prohibits:
        if one.type not in ("usage", "user", "geo") and one.tokens[:1] not in NO:
            words += [one.type, *one.tokens]
    words += [one.type for one in item.permits if one.tokens[:1] in NO]
    return frozenset().union(*(_slip(word) for word in {word.lower() for word in words}))


def _slip(word: str) -> Purposes:
    """What a word was evidently meant to cover."""
    if covered := MEANING.get(word):
        return covered
    return frozenset().union(*(meaning for stem, meaning in SLIPS if stem.search(word)))


def _shown(content: Content) -> str:
    """The lists of a content element as one line."""
    lists = [
        (kind, one)
        for item in content.licenses
        for kind, many in (("permits", item.permits), ("prohibits", item.prohibits))
        for one in many
    ]
    told = "; ".join(f"{kind} {one.type}: {' '.join(one.tokens)}" for kind, one in lists)
    return f"{content.url or 'here'}: {told}"[:200]


PROTOCOL = Protocol(
    name="rsl",
    title="Really Simple Licensing",
    specification="https://rslstandard.org/rsl",
    edition="RSL 1.0, 10 December 2025, with errata to 7 August 2026",
    carriers=(
        WellKnown(ROBOTS),
        HeaderField("link"),
        MetaElement("license", b"application/rsl"),
        Linked(DOCUMENT),
    ),
    read=read,
    problems={
        "rsl.content-url": "A content element's url is neither a path pattern nor a full URL of one host.",
        "rsl.entity": "An element holds an entity, which may stand for anything; the document is not valid.",
        "rsl.in-body": "A licence stands in the body, where it speaks for the element around it only.",
        "rsl.insecure": "A licence is named by a plain http URL; documents are to be fetched over HTTPS.",
        "rsl.license-not-absolute": "What names a licence is no absolute http or https URL.",
        "rsl.list-type": "A permits or prohibits element has none of the types usage, user and geo.",
        "rsl.max-age": "max-age is not a whole number of days.",
        "rsl.misplaced-element": "An element of the structure stands where it may not; the document is not valid.",
        "rsl.no-content": "The document has no content element; it is not valid.",
        "rsl.no-url": "A content element has no url; the document is not valid.",
        "rsl.not-rsl": "The document is XML, but not in the namespace https://rslstandard.org/rsl; it is not valid.",
        "rsl.not-xml": "The document is not well-formed XML within our limits; it is not valid.",
        "rsl.repeated-list": "A licence has two lists of one kind and type; each of them closes what the other opens.",
        "rsl.token": "A list of uses has a token outside the vocabulary; it permits nothing.",
        "rsl.unknown-element": "The document has an element that RSL does not know; it is not valid.",
        "rsl.unreachable": "The licence document could not be fetched; the content counts as unlicensed.",
    },
    precedence=Precedence.NARROWEST_PER_PURPOSE,
)
