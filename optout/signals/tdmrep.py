"""TDM Reservation Protocol: a reservation under CDSM Art. 4(3) for a site, a response or a page (TDMRep).

| `tdm-reservation` | tdm | ai-train | ai-input | search |
|---|---|---|---|---|
| 1 | reserved | reserved | reserved | - |
| 0 | permitted | - | - | - |
| anything else | - | - | - | - |

Text and data mining contains training and input, and is stated not to touch search. In the file the first matching
rule in sequence counts (section 5.2); headers supersede the file, and the page's metadata both (section 5.4).

A third of the files on the web are not of this shape although their wish is plain. Whatever departs from the letter
is a problem, reserves under `malformed-reservations` where it was evidently meant to, and never permits.
`tdm-policy` points to an offer: it says whom to ask, and changes nothing about the reservation (section 4.2).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.errors import MalformedUrl
from optout.model import (
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
    permit,
    reserve,
)
from optout.protocol import HeaderField, Layers, Linked, MetaElement, Precedence, Protocol, WellKnown
from optout.syntax import html_head, http_fields, json_text, objection, odrl, plain_text
from optout.urls import origin_of, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from optout.syntax.html_head import Head
    from optout.syntax.json_text import Document, Node, Object

FILE = "/.well-known/tdmrep.json"
POLICY = "tdm-policy"
RESERVATION = "tdm-reservation"
HEADERS = "headers"
PAGE = "page"

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "1": reserve(Purpose.TDM),
    "0": permit(Purpose.TDM),
}
"""What a value states (section 4.1); any other value is a protocol error and states nothing."""

MEANT_AS_ONE = frozenset({"1", "1.0", "?1", "true", "yes", "reserved", "reserve"})
"""What people write for `1`."""

REFUSALS = frozenset(
    {
        "all-rights-reserved", "denied", "deny", "disallow", "disallowed", "forbidden", "not-allowed", "not-permitted",
        "notallowed", "opt-out", "optout", "prohibited", "refused", "reservationclaimed", "reserved", "restricted",
    }
)  # fmt: skip
"""Words that refuse where a policy URL or another field about mining was due."""

ABOUT_MINING = ("tdm", "mining", "train", "policy", "reservation", "claim", "rights")
"""A refusal counts under a field whose name contains one of these."""

MAX_POLICIES = 16
"""Policies that one carrier may point to; a file is not a list of errands."""

_MAX_PROBLEMS_OF_A_KIND = 50
_CATCH_ALL = frozenset({"/", "*", "/*"})
_ALIASES = {
    "reservation": RESERVATION,
    "tdmreservation": RESERVATION,
    "policy": POLICY,
    "tdmpolicy": POLICY,
    "path": "location",
    "pattern": "location",
    "url": "location",
    "locations": "location",
}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LOOSE = re.compile(rb"tdm[-_: ]?reservation[\"']?[ \t]*[:=][ \t]*[\"']?1(?![0-9.])", re.IGNORECASE)
_MARKUP_TYPES = frozenset({None, "text/html", "application/xhtml+xml", "application/xml", "text/xml"})

Found = Statement | Problem | Pointer


def read(exchange: Exchange) -> Reading:
    """Read `/.well-known/tdmrep.json`, a response with its page, or a policy."""
    if exchange.role == RESOURCE:
        # What a response says about itself it says whatever its status.
        return _collected((*_headers(exchange), *_metas(exchange)))
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    if exchange.role == FILE:
        return _collected(_file(exchange))
    return _collected(_policy_problems(exchange))


def _collected(found: Iterable[Found]) -> Reading:
    """Sort what was found, and keep a hostile file from filling reports and errands."""
    statements: list[Statement] = []
    problems: list[Problem] = []
    pointers: list[Pointer] = []
    counts: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Statement):
            statements.append(item)
        elif isinstance(item, Problem):
            counts[item.code] += 1
            if counts[item.code] <= _MAX_PROBLEMS_OF_A_KIND:
                problems.append(item)
        elif len(pointers) < MAX_POLICIES:
            pointers.append(item)
    return Reading(tuple(statements), tuple(problems), tuple(pointers))


# The file (section 5.2).


@dataclass(frozen=True, slots=True)
class _File:
    """The file that is being read, and the URL it was asked at."""

    document: Document
    url: str

    def place(self, node: Node, field: str) -> Place:
        return Place(FILE, node.line, node.start, field or None)

    def problem(self, code: str, node: Node, field: str) -> Problem:
        return Problem(f"tdmrep.{code}", self.place(node, field))


@dataclass(frozen=True, slots=True)
class _Rule:
    """The members of a rule by what they mean, as (name written, value), and where the rule stands."""

    node: Node
    field: str
    reservations: tuple[tuple[str, Node], ...]
    locations: tuple[tuple[str, Node], ...]
    policies: tuple[tuple[str, Node], ...]

    @property
    def literal(self) -> bool:
        """Whether it has the mandatory members once each, under their names and with values of their types."""
        if len(self.reservations) != 1 or len(self.locations) != 1 or len(self.policies) > 1:
            return False
        (name, reservation), (place, location) = self.reservations[0], self.locations[0]
        return (
            (name, place) == (RESERVATION, "location")
            and _literal_value(reservation.value) is not None
            and isinstance(location.value, str)
            and location.value.startswith(("/", "*"))
        )


def _file(exchange: Exchange) -> Iterator[Found]:
    if plain_text.is_markup(exchange.body):
        yield Problem("tdmrep.html-body", Place(FILE))
        return
    document = json_text.parse(exchange.body)
    file = _File(document, exchange.url)
    yield from _syntax_problems(document, Place(FILE), "tdmrep.not-json")
    if document.root is not None and isinstance(document.root.value, tuple | json_text.Object):
        yield from _root(file, document.root)
    else:
        yield from _loose(exchange.body)


def _syntax_problems(document: Document, place: Place, code: str) -> Iterator[Problem]:
    """At most one problem of a kind: the first fault is the one to mend."""
    if document.root is None:
        yield Problem(code, place)
    seen: set[str] = set()
    for fault in document.faults:
        name = "tdmrep.bom" if fault.code == "bom" else code
        if name not in seen:
            seen.add(name)
            yield Problem(name, Place(place.resource, fault.line, fault.offset))


def _root(file: _File, root: Node) -> Iterator[Found]:
    if not isinstance(root.value, tuple):
        yield file.problem("not-an-array", root, "")
        yield from _intended(file, root, "", ())
    elif not file.document.well_formed:
        yield from _intended(file, root, "", ())
    else:
        yield from _array(file, root.value)


def _array(file: _File, nodes: Sequence[Node]) -> Iterator[Found]:
    """The rules in sequence; the first that matches counts, so one behind a catch-all can never match."""
    catch_all: Statement | None = None
    for index, node in enumerate(nodes):
        field = f"[{index}]"
        if not isinstance(node.value, json_text.Object):
            yield file.problem("rule-not-object", node, field)
            yield from _intended(file, node, field, ())
            continue
        for item in _rule(file, _cut(node, node.value, field)):
            if isinstance(item, Statement) and item.leniency is None:
                if catch_all is not None and catch_all.states != item.states:
                    yield file.problem("shadowed-rule", node, field)
                elif catch_all is None and item.pattern in _CATCH_ALL:
                    catch_all = item
            yield item


def _cut(node: Node, rule: Object, field: str) -> _Rule:
    by_meaning: dict[str, list[tuple[str, Node]]] = {RESERVATION: [], "location": [], POLICY: []}
    for name, value in rule.members:
        meaning = _canonical(name)
        if meaning in by_meaning:
            by_meaning[meaning].append((name, value))
    return _Rule(node, field, *(tuple(by_meaning[name]) for name in (RESERVATION, "location", POLICY)))


def _canonical(name: str) -> str:
    """The name that somebody had in mind who wrote `tdm_reservation` or `tdmReservation`."""
    spelt = _CAMEL.sub("-", name.strip()).lower().replace("_", "-").replace(":", "-").replace(" ", "-")
    return _ALIASES.get(spelt, spelt)


def _rule(file: _File, rule: _Rule) -> Iterator[Found]:
    """One rule of the array, by the letter where it has the shape of the specification."""
    if not rule.literal:
        yield from _departures(file, rule)
        yield from _meant(file, rule)
        return
    value = rule.reservations[0][1].value
    states = MEANING[str(value)]
    conditions: tuple[tuple[str, str], ...] = ()
    if value == 1:
        url, found = _policy(file, rule)
        yield from found
        conditions = (("policy", url),) if url else ()
    yield Statement(
        "tdmrep.file.reserved" if value == 1 else "tdmrep.file.permitted",
        file.place(rule.node, rule.field),
        file.document.text(rule.node),
        states,
        pattern=str(rule.locations[0][1].value),
        conditions=conditions,
    )


def _literal_value(value: json_text.Value) -> int | None:
    """1 or 0 as an integer. `true` is no integer in JSON, whatever Python thinks."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1) else None


def _departures(file: _File, rule: _Rule) -> Iterator[Problem]:
    """Every way in which a rule departs from the specification."""
    if not rule.reservations:
        yield file.problem("reservation-missing", rule.node, rule.field)
    if not rule.locations:
        yield file.problem("location-missing", rule.node, rule.field)
    for members, name in ((rule.reservations, RESERVATION), (rule.locations, "location"), (rule.policies, POLICY)):
        if len(members) > 1:
            yield file.problem("duplicate-name", rule.node, rule.field)
        yield from (
            file.problem("misnamed", node, f"{rule.field}.{written}") for written, node in members if written != name
        )
    for written, node in rule.reservations:
        if _literal_value(node.value) is None:
            yield file.problem("value", node, f"{rule.field}.{written}")
    for written, node in rule.locations:
        if not isinstance(node.value, str) or not node.value.startswith(("/", "*")):
            yield file.problem("location-not-a-path", node, f"{rule.field}.{written}")


def _meant(file: _File, rule: _Rule) -> Iterator[Found]:
    """What a rule that departs from the specification was evidently meant to reserve.

    In a list, a rule without a location may be about anything, so it is about nothing; an object that stands alone
    speaks for the site.
    """
    if not any(_meant_as_one(node.value) for _, node in rule.reservations):
        return
    patterns = [pattern for _, node in rule.locations for pattern in _patterns(node.value, file.url)]
    alone = not rule.locations and not rule.field.endswith("]")
    url, found = _policy(file, rule)
    yield from found
    for pattern in [None] if alone else dict.fromkeys(patterns):
        yield _reservation(file, rule.node, rule.field, pattern, (("policy", url),) if url else ())


def _reservation(
    file: _File, node: Node, field: str, pattern: str | None = None, conditions: tuple[tuple[str, str], ...] = ()
) -> Statement:
    return Statement(
        "tdmrep.file.intended",
        file.place(node, field),
        file.document.text(node),
        MEANING["1"],
        pattern=pattern,
        leniency=Leniency.MALFORMED_RESERVATIONS,
        conditions=conditions,
    )


def _meant_as_one(value: json_text.Value) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in MEANT_AS_ONE
    return isinstance(value, int | float) and value == 1


def _patterns(value: json_text.Value, url: str) -> Iterator[str | None]:
    """The path patterns that a location stands for: a list is each of its elements, a URL of this site its path."""
    if isinstance(value, tuple):
        for node in value:
            if isinstance(node.value, str):
                yield from _patterns(node.value, url)
    elif isinstance(value, str):
        text = value.strip()
        if "://" not in text:
            yield (text if text.startswith(("/", "*")) else f"/{text.removeprefix('./')}") if text else None
        elif _same_site(text, url):
            yield "/" + text.partition("://")[2].partition("/")[2]


def _same_site(written: str, url: str) -> bool:
    try:
        hosts = {origin_of(one.replace("*", "")).host.removeprefix("www.") for one in (written, url)}
    except MalformedUrl:
        return False
    return len(hosts) == 1


def _policy(file: _File, rule: _Rule) -> tuple[str | None, list[Found]]:
    """The URL of a rule's policy with a pointer to it, or the problem that it is none."""
    if not rule.policies:
        return None, []
    written, node = rule.policies[0]
    field = f"{rule.field}.{written}"
    url = _url(node.value, file.url) if isinstance(node.value, str) else None
    if url is None:
        return None, [file.problem("policy-not-a-url", node, field)]
    return url, [Pointer(url, POLICY, file.place(node, field))]


def _url(text: str, base: str) -> str | None:
    """The URL of a policy; a bare word is none, although as a reference it would be one."""
    if not text.lower().startswith(("https://", "http://", "/")):
        return None
    try:
        return resolve(base, text)
    except MalformedUrl:
        return None


def _intended(file: _File, node: Node, field: str, names: tuple[str, ...]) -> Iterator[Found]:
    """Rules and refusals anywhere in a file of another shape.

    Args:
        file: where they stand.
        node: the value to look into; the reader of JSON has bounded its depth.
        field: the way to it, for places.
        names: the names on that way.
    """
    match node.value:
        case tuple() as items:
            for index, item in enumerate(items):
                yield from _intended(file, item, f"{field}[{index}]", names)
        case json_text.Object() as rule:
            cut = _cut(node, rule, field)
            if cut.reservations:
                yield from _departures(file, cut)
                yield from _meant(file, cut)
            else:
                for name, value in rule.members:
                    yield from _intended(file, value, f"{field}.{name}".lstrip("."), (*names, _canonical(name)))
        case str() as text if _refuses(text, names):
            yield _reservation(file, node, field)
        case _:
            return


def _refuses(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text refuses mining: by one word under a name about mining, or in a sentence."""
    if len(text) > objection.MAX_LENGTH:
        return False
    word = re.sub(r"[\s_]+", "-", text.strip().lower().rpartition("#")[2].rstrip(".!"))
    if word in REFUSALS:
        return any(stem in name for name in names for stem in ABOUT_MINING)
    return objection.objects_to_mining(text)


def _loose(body: bytes) -> Iterator[Statement]:
    """`tdm-reservation: 1` somewhere in a text that is nothing like JSON."""
    if found := _LOOSE.search(body[: json_text.MAX_BYTES]):
        line = body.count(b"\n", 0, found.start()) + 1
        yield Statement(
            "tdmrep.file.intended",
            Place(FILE, line, found.start(), RESERVATION),
            found.group().decode("utf-8", "replace"),
            MEANING["1"],
            leniency=Leniency.MALFORMED_RESERVATIONS,
        )


# Headers and metadata of the page (sections 5.1 and 5.3).


@dataclass(frozen=True, slots=True)
class _Written:
    """A value that a header field or a `<meta>` gives, and where."""

    text: str
    place: Place


def _headers(exchange: Exchange) -> Iterator[Found]:
    def values(name: str) -> list[_Written]:
        return [_Written(text, Place(HEADERS, field=name)) for text, _ in http_fields.values(exchange.headers, name)]

    yield from _declared(Layer.HEADER, values(RESERVATION), values(POLICY), exchange.final_url)
    unofficial = [*values(f"x-{RESERVATION}"), *values(f"x-{POLICY}")]
    yield from _misnamed(Layer.HEADER, unofficial)


def _metas(exchange: Exchange) -> Iterator[Found]:
    if not exchange.body or http_fields.media_type(exchange.headers) not in _MARKUP_TYPES:
        return
    content_type = http_fields.combined(exchange.headers, "content-type")
    head = html_head.read_head(exchange.body, content_type, words=frozenset({b"tdm"}))

    def values(name: str, *, exact: bool = True) -> list[_Written]:
        return [
            _Written(meta.content, Place(PAGE, offset=meta.offset, field=meta.name))
            for meta in head.metas
            if meta.in_head
            and _canonical(meta.name) == name
            and ((meta.name, meta.attribute) == (name, "name")) is exact
        ]

    yield from _in_body(head)
    yield from _declared(Layer.PAGE, values(RESERVATION), values(POLICY), exchange.final_url)
    yield from _misnamed(Layer.PAGE, [*values(RESERVATION, exact=False), *values(POLICY, exact=False)])


def _in_body(head: Head) -> Iterator[Found]:
    """Elements that are no metadata of the page; where they are honoured, they come before what the head says."""
    for meta in head.metas:
        if not meta.in_head and meta.name == RESERVATION:
            place = Place(PAGE, offset=meta.offset, field=meta.name)
            yield Problem("tdmrep.meta-in-body", place)
            if meta.content == "1":
                yield _page_statement(Layer.PAGE, _Written("1", place), "1", Leniency.BODY_METADATA)


def _declared(layer: Layer, reservations: list[_Written], policies: list[_Written], base: str) -> Iterator[Found]:
    """What one layer declares: a value that is given once, or every time alike."""
    texts = {written.text for written in reservations}
    if texts == {"0"}:
        # A policy beside 0 is not to be processed (section 4.2).
        yield _page_statement(layer, reservations[0], "0", None)
        return
    urls = [(url, written.place) for written in policies if (url := _url(written.text, base))]
    conditions = tuple(("policy", url) for url, _ in urls[:1])
    yield from (Pointer(url, POLICY, place) for url, place in urls)
    if texts == {"1"}:
        yield _page_statement(layer, reservations[0], "1", None, conditions)
    else:
        yield from _unset(layer, reservations, conditions)
    yield from _policy_words(layer, [written for written in policies if not _url(written.text, base)])


def _unset(layer: Layer, reservations: list[_Written], conditions: tuple[tuple[str, str], ...]) -> Iterator[Found]:
    """Values that contradict each other or mean nothing, and what was evidently meant."""
    if len({written.text for written in reservations}) > 1:
        yield Problem("tdmrep.contradiction", reservations[0].place)
    for written in reservations:
        if written.text not in MEANING:
            yield Problem("tdmrep.value", written.place)
        if any(part.strip(" \t\"'/").lower() in MEANT_AS_ONE for part in re.split(r"[,;]", written.text)):
            yield _page_statement(layer, written, "1", Leniency.MALFORMED_RESERVATIONS, conditions)


def _page_statement(
    layer: Layer,
    written: _Written,
    value: str,
    leniency: Leniency | None,
    conditions: tuple[tuple[str, str], ...] = (),
) -> Statement:
    carrier = "header" if layer is Layer.HEADER else "meta"
    verb = "intended" if leniency else "reserved" if value == "1" else "permitted"
    return Statement(
        f"tdmrep.{carrier}.{verb}",
        written.place,
        written.text,
        MEANING[value],
        layer=layer,
        leniency=leniency,
        conditions=conditions,
    )


def _policy_words(layer: Layer, policies: Iterable[_Written]) -> Iterator[Found]:
    """A policy that is a word instead of a URL; some of them refuse."""
    for written in policies:
        yield Problem("tdmrep.policy-not-a-url", written.place)
        if _refuses(written.text, (POLICY,)):
            yield _page_statement(layer, written, "1", Leniency.MALFORMED_RESERVATIONS)


def _misnamed(layer: Layer, unofficial: Iterable[_Written]) -> Iterator[Found]:
    """Fields and elements under names that the specification does not have."""
    for written in unofficial:
        yield Problem("tdmrep.misnamed", written.place)
        if written.text.lower() in MEANT_AS_ONE or _refuses(written.text, (POLICY,)):
            yield _page_statement(layer, written, "1", Leniency.MALFORMED_RESERVATIONS)


# The policy (section 6).


def _policy_problems(exchange: Exchange) -> Iterator[Problem]:
    """A policy that people read is fine; one that begins like JSON should be JSON."""
    if exchange.body.lstrip()[:1] in (b"{", b"["):
        yield from _syntax_problems(json_text.parse(exchange.body), Place(exchange.url), "tdmrep.policy-not-json")


def offer(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """What a TDM policy offers: whom to ask and for what in return, as name and text in the order of the policy.

    An unreachable or unreadable policy offers nothing, and changes nothing about the reservation that points to it
    (section 4.2). One for people gives its URL under `page`.

    Args:
        exchange: with the role `tdm-policy`.
    """
    if exchange.availability is not Availability.RETRIEVED or not exchange.body.strip():
        return ()
    if plain_text.is_markup(exchange.body):
        return (("page", exchange.final_url),)
    root = json_text.parse(exchange.body).root
    if root is None or not isinstance(root.value, tuple | json_text.Object):
        return (("page", exchange.final_url),)
    return odrl.offer(root)


PROTOCOL = Protocol(
    name="tdmrep",
    title="TDM Reservation Protocol",
    specification="https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/",
    edition="W3C Community Group Final Report, 10 May 2024",
    carriers=(
        WellKnown(FILE),
        HeaderField(RESERVATION),
        HeaderField(POLICY),
        HeaderField(f"x-{RESERVATION}"),
        HeaderField(f"x-{POLICY}"),
        MetaElement(RESERVATION, b"tdm"),
        MetaElement(POLICY, b"tdm"),
        Linked(POLICY),
    ),
    read=read,
    problems={
        "tdmrep.bom": "A byte order mark stands before the JSON; it is skipped.",
        "tdmrep.contradiction": "The header or element is given more than once with different values; it is unset.",
        "tdmrep.duplicate-name": "A rule has the same member twice.",
        "tdmrep.html-body": "The file is an HTML page; many sites answer every path with one.",
        "tdmrep.location-missing": "A rule has no location, so nobody knows what it is about.",
        "tdmrep.location-not-a-path": "A location is not one path pattern: a list, a URL, or without a leading slash.",
        "tdmrep.meta-in-body": "A tdm-reservation element stands in the body, where it is no metadata of the page.",
        "tdmrep.misnamed": "A member, header or element has a name that only resembles one of the specification.",
        "tdmrep.not-an-array": "The file is not an array of rules; the brackets are mandatory even around one rule.",
        "tdmrep.not-json": "The file is not JSON, or longer than what is read of it.",
        "tdmrep.policy-not-a-url": "A tdm-policy is not a URL.",
        "tdmrep.policy-not-json": "A policy begins like JSON and is none.",
        "tdmrep.reservation-missing": "A rule has no tdm-reservation.",
        "tdmrep.rule-not-object": "An element of the array is not a rule.",
        "tdmrep.shadowed-rule": "A rule stands behind one that matches every path, so it can never count.",
        "tdmrep.value": "A tdm-reservation is neither 0 nor 1; it counts as unset.",
    },
    precedence=Precedence.FIRST_IN_FILE,
    layers=Layers.SUPERSEDE,
)
