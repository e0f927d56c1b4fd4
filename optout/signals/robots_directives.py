"""Robots directives of a response or page: `X-Robots-Tag`, `<meta name="robots">` and the `Robots-Tag` draft.

What each directive means, and to whom, is the table `MEANING`; every other directive (`nofollow`, `index`,
`max-image-preview`, …) says nothing about the purposes decided on here, and no directive ever permits anything.
General and agent-specific directives are united, because restrictions only add up.

In `X-Robots-Tag` an agent before a colon scopes all directives behind it in that field line, while the colon of
`max-snippet:50` or of a date in `unavailable_after` scopes nothing. In a page the name of the element is the agent;
an element outside the head is no metadata of the page and counts under `body-metadata`.

Conventions: DeviantArt's noai and noimageai (November 2022), Mojeek's noml (October 2023), Bing's noarchive and
nocache (September 2023), Amazon's noarchive (effective 15 June 2026), Google's and Apple's nosnippet and max-snippet.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from optout.model import (
    EVERYONE,
    SILENCE,
    Exchange,
    Layer,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    Statement,
    Strength,
    reserve,
)
from optout.protocol import HeaderField, MetaElement, Protocol
from optout.syntax import html_head, http_fields
from optout.syntax.robots_txt import product_token
from optout.syntax.structured_fields import InnerList, Item, Kind, Malformed, parse_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.syntax.html_head import Meta
    from optout.syntax.structured_fields import Member

MEANING: dict[tuple[str, str], tuple[Purpose, ...]] = {
    ("noai", EVERYONE): (Purpose.AI_TRAIN,),
    ("noimageai", EVERYONE): (Purpose.AI_TRAIN,),  # of an image only, see IMAGES_ONLY
    ("noml", EVERYONE): (Purpose.AI_TRAIN,),
    ("noindex", EVERYONE): (Purpose.SEARCH,),
    ("none", EVERYONE): (Purpose.SEARCH,),  # noindex and nofollow
    ("noarchive", "bingbot"): (Purpose.AI_TRAIN, Purpose.AI_INPUT),
    ("nocache", "bingbot"): (Purpose.AI_TRAIN,),
    ("noarchive", "amazonbot"): (Purpose.AI_TRAIN,),
    ("nosnippet", "googlebot"): (Purpose.AI_INPUT,),
    ("nosnippet", "applebot"): (Purpose.AI_INPUT,),
    ("max-snippet:0", "googlebot"): (Purpose.AI_INPUT,),
    ("max-snippet:0", "applebot"): (Purpose.AI_INPUT,),
}
"""What a directive reserves for an agent; `*` is every agent. A vendor's documentation binds that vendor alone."""

DIRECTIVES = frozenset(directive for directive, _ in MEANING)
IMAGES_ONLY = frozenset({"noimageai"})
STANDING = frozenset({"noindex", "none"})
"""Directives of long standing among search engines; the others are younger conventions."""

LIFTED_BY = {("noarchive", "bingbot"): "nocache"}
"""Bing reads both together as nocache alone."""

VALUED = frozenset({"unavailable_after", "unavailable-after"})
"""Directives whose value may hold commas and colons; those that begin with `max-` are known by that."""

NOT_ROBOTS = frozenset(
    {"author", "copyright", "description", "generator", "keywords", "rating", "referrer", "rights", "theme-color",
     "title", "viewport"}
)  # fmt: skip
"""Names of meta elements that no crawler has."""

MARKUP = frozenset({None, "text/html", "application/xhtml+xml", "application/xml", "text/xml"})
UNTYPED = frozenset({None, "application/octet-stream", "binary/octet-stream"})
"""Media types that say nothing, so that the suffix of the URL has to."""

IMAGE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jpeg", ".jpg", ".jxl", ".png", ".svg",
    ".tif", ".tiff", ".webp",
)  # fmt: skip

MAX_PROBLEMS = 50
"""Problems that are listed; a page of a thousand faulty elements is not worse than one of fifty."""

WORDS = frozenset(directive.encode() for directive in DIRECTIVES)

_AGENT = re.compile(r"\*|(?=[\w.-]*[a-z])[\w.-]+(?:/[\w.+-]*)?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s;|\"']+")
_YES = re.compile(r"[:=](?:1|true|yes)?\Z")
_BETWEEN_NAMES = re.compile(r"[\s,;|]+")


class Directive(NamedTuple):
    """One directive as it was found.

    Attributes:
        name: in lower case, a value joined by a colon without spaces.
        agent: whom it addresses.
        place: where it stands.
        value: the raw text around it.
        layer: of the field or element.
        leniency: the reading that alone finds it.
    """

    name: str
    agent: str
    place: Place
    value: str
    layer: Layer
    leniency: Leniency | None = None


Found = Directive | Problem


def read(exchange: Exchange) -> Reading:
    """Read header fields and page, whatever the status: a page that is gone may still say `noindex`."""
    if exchange.status is None or exchange.error is not None:
        return SILENCE
    found = [*_x_robots_tag(exchange), *_robots_tag(exchange), *_metas(exchange)]
    directives = _distinct(found, DIRECTIVES if is_image(exchange) else DIRECTIVES - IMAGES_ONLY)
    beside = frozenset((item.name, item.agent) for item in directives if item.leniency is None)
    return Reading(
        tuple(statement for directive in directives for statement in _statements(directive, beside)),
        tuple(dict.fromkeys(item for item in found if isinstance(item, Problem)))[:MAX_PROBLEMS],
    )


def _distinct(found: Iterable[Found], names: frozenset[str]) -> list[Directive]:
    """Each directive to each agent where it stands first; saying it again adds nothing."""
    first: dict[tuple[str, str, Layer, Leniency | None], Directive] = {}
    for item in found:
        if isinstance(item, Directive) and item.name in names:
            first.setdefault((item.name, item.agent, item.layer, item.leniency), item)
    return list(first.values())


def _statements(directive: Directive, beside: frozenset[tuple[str, str]]) -> Iterator[Statement]:
    """What a directive reserves, for each agent that it means something to."""
    for (name, agent), purposes in MEANING.items():
        reaches = EVERYONE in (agent, directive.agent) or agent == directive.agent
        if name == directive.name and reaches and not _lifted(name, agent, beside):
            yield Statement(
                f"robots-directives.{name.partition(':')[0]}",
                directive.place,
                directive.value,
                reserve(*purposes),
                (directive.agent if agent == EVERYONE else agent,),
                layer=directive.layer,
                strength=Strength.INDUSTRY if name in STANDING else Strength.CONVENTION,
                leniency=directive.leniency,
            )


def _lifted(name: str, agent: str, beside: frozenset[tuple[str, str]]) -> bool:
    """Whether another directive of the letter to the same agent takes this one's place."""
    by = LIFTED_BY.get((name, agent), "")
    return (by, agent) in beside or (by, EVERYONE) in beside


def is_image(exchange: Exchange) -> bool:
    """Whether a response is an image: by its media type, or where it has none that tells, by its URL."""
    kind = http_fields.media_type(exchange.headers)
    if kind in UNTYPED:
        return any(_path(url).endswith(IMAGE_SUFFIXES) for url in (exchange.url, exchange.final_url))
    return kind is not None and kind.startswith("image/")


def _path(url: str) -> str:
    try:
        return urlsplit(url).path.lower()
    except ValueError:
        return ""


# The list of directives.


def parse_directives(text: str, agent: str = EVERYONE) -> Iterator[tuple[str, str, bool]]:
    """Take a list of directives apart: agent, directive, and whether the list is written as it should be.

    Args:
        text: directives between commas, each perhaps behind an agent and a colon.
        agent: whom those without an agent address.
    """
    for part in text.lower().split(","):
        pieces = [piece.strip() for piece in part.split(":")]
        prefixes = list(takewhile(_is_agent, pieces[:-1]))
        agent = _agent(prefixes[-1]) if prefixes else agent
        directive = ":".join(pieces[len(prefixes) :])
        yield agent, directive, True
        if directive not in DIRECTIVES:
            words = map(_affirmed, _BETWEEN_WORDS.split(directive))
            yield from ((agent, word, False) for word in words if word in DIRECTIVES)


def _affirmed(word: str) -> str:
    """A directive without the yes that somebody put behind it, as in `noai:true`."""
    return _YES.sub("", word)


def _is_agent(head: str) -> bool:
    """Whether a name before a colon is that of an agent; no agent has the name of a directive."""
    valued = head in VALUED or head in DIRECTIVES or head.startswith("max-")
    return not valued and _AGENT.fullmatch(head) is not None


def _agent(name: str) -> str:
    token = product_token(name)
    return EVERYONE if token == "robots" else token


def _listed(text: str, where: Directive, fault: str) -> Iterator[Found]:
    """The directives of a field or element that is known by `where`, and a problem where commas are missing."""
    for agent, name, clean in parse_directives(text, where.agent):
        if clean:
            yield where._replace(agent=agent, name=name)
        else:
            leniency = where.leniency or Leniency.MALFORMED_RESERVATIONS
            yield where._replace(agent=agent, name=name, leniency=leniency)
            yield Problem(fault, where.place)


# Header fields.


def _x_robots_tag(exchange: Exchange) -> Iterator[Found]:
    """Each field line by itself: the agent of one line does not scope the next."""
    place = Place("headers", field="X-Robots-Tag")
    for value, _ in http_fields.values(exchange.headers, "x-robots-tag"):
        where = Directive("", EVERYONE, place, value, Layer.HEADER)
        yield from _listed(value, where, "robots-directives.no-commas")


def _robots_tag(exchange: Exchange) -> Iterator[Found]:
    """The structured field of draft-illyes-repext-03: agents are items, their rules are parameters."""
    value = http_fields.combined(exchange.headers, "robots-tag")
    if value is None:
        return
    where = Directive("", EVERYONE, Place("headers", field="Robots-Tag"), value, Layer.HEADER)
    meant = where._replace(leniency=Leniency.MALFORMED_RESERVATIONS)
    parsed = parse_list(value)
    if isinstance(parsed, Malformed):
        yield Problem("robots-directives.malformed-field", where.place)
        yield from _listed(value.replace(";", ","), meant, "robots-directives.malformed-field")
        return
    for member in parsed.members:
        yield from _item(member, where, meant)


def _item(member: Member, where: Directive, meant: Directive) -> Iterator[Found]:
    """One agent with its rules, or a bare rule, which by the draft is an agent without any."""
    if isinstance(member, InnerList) or member.kind is not Kind.TOKEN:
        yield Problem("robots-directives.malformed-field", where.place)
        return
    token = str(member.value).lower()
    if token in DIRECTIVES and not member.parameters:
        yield meant._replace(name=token)
        yield Problem("robots-directives.bare-rule", where.place)
    for rule in _rules(member):
        yield where._replace(name=rule, agent=_agent(token))


def _rules(item: Item) -> Iterator[str]:
    for key, bare in item.parameters:
        if bare.kind is not Kind.BOOLEAN:
            yield f"{key}:{bare.value!s}"
        elif bare.value:
            yield key


# The page.


def _metas(exchange: Exchange) -> Iterator[Found]:
    if http_fields.media_type(exchange.headers) not in MARKUP or not exchange.body:
        return
    content_type = next((value for value, _ in http_fields.values(exchange.headers, "content-type")), None)
    head = html_head.read_head(exchange.body, content_type, words=WORDS)
    for meta in head.metas:
        yield from _meta(meta)
    for fault in head.problems:
        if fault.code in PAGE_FAULTS:
            yield Problem(PAGE_FAULTS[fault.code], Place("page", offset=fault.offset))


PAGE_FAULTS = {
    "html.head-ended-early": "robots-directives.head-ended-early",
    "html.tag-unclosed": "robots-directives.page-unclosed",
    "html.comment-unclosed": "robots-directives.page-unclosed",
    "html.text-unclosed": "robots-directives.page-unclosed",
}
"""Faults of a page that may hide a directive, and the problem that each is."""


def _meta(meta: Meta) -> Iterator[Found]:
    """The directives of an element, for each agent that its name names."""
    place = Place("page", offset=meta.offset, field=f"meta {meta.name}")
    agents, leniency, fault = _addressed(meta)
    if not agents:
        return
    if not meta.in_head:
        leniency, fault = Leniency.BODY_METADATA, "robots-directives.meta-in-body"
    found = [
        item
        for agent in agents
        for item in _listed(
            meta.content, Directive("", agent, place, meta.content, Layer.PAGE, leniency), "robots-directives.no-commas"
        )
    ]
    if fault and any(isinstance(item, Directive) and item.name in DIRECTIVES for item in found):
        yield Problem(fault, place)
    yield from found


def _addressed(meta: Meta) -> tuple[tuple[str, ...], Leniency | None, str | None]:
    """Whom an element addresses, and the reading and problem where that takes a wider one."""
    if meta.attribute == "http-equiv":
        ours = meta.name == "x-robots-tag"
        return ((EVERYONE,) if ours else ()), Leniency.MALFORMED_RESERVATIONS, "robots-directives.wrong-attribute"
    names = tuple(_agent(name) for name in _BETWEEN_NAMES.split(meta.name) if _AGENT.fullmatch(name))
    if not names or NOT_ROBOTS.intersection(names):
        return (), None, None
    if meta.attribute == "property":
        return names, Leniency.MALFORMED_RESERVATIONS, "robots-directives.wrong-attribute"
    if len(names) > 1:
        return names, Leniency.AGENT_LISTS, "robots-directives.name-list"
    return names, None, None


PROTOCOL = Protocol(
    name="robots-directives",
    title="robots meta and X-Robots-Tag",
    specification="https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag",
    edition="conventions of 2022 and 2023, vendors' documentation of June 2026, draft-illyes-repext-03",
    carriers=(
        HeaderField("x-robots-tag"),
        HeaderField("robots-tag"),
        *(MetaElement("robots", word) for word in sorted(WORDS)),
    ),
    read=read,
    problems={
        "robots-directives.no-commas": "Directives lack commas between them or carry a value: unknown by the letter.",
        "robots-directives.malformed-field": "Robots-Tag is no structured-field list of agents with rules.",
        "robots-directives.bare-rule": "Robots-Tag names a rule where an agent should be.",
        "robots-directives.wrong-attribute": "A meta element is named by http-equiv or property instead of name.",
        "robots-directives.name-list": "A meta element names several agents at once.",
        "robots-directives.meta-in-body": "A meta element with directives stands outside the head.",
        "robots-directives.head-ended-early": "An element that has no place in the head ended it too early.",
        "robots-directives.page-unclosed": "The page ends inside a tag, comment or script, which may hide a directive.",
    },
)
