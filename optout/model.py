"""The nouns of the product, all frozen, all without behaviour that needs a clock or a network.

An `Exchange` is what one fetch saw. A protocol reads it into a `Reading`: `Statement`s (what the file says,
to whom, about which paths) and `Problem`s (what could not be understood, and where). Applied to one URL and
one product token, a statement yields `Signal`s, one per purpose. The engine weighs signals and `Coverage`
into one `Decision` per purpose, and a `Verdict` holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

RESOURCE = "resource"
"""The role of the exchange that fetched the page or asset itself, as against a file about it."""

ASSET = "asset"
"""The role of what was located inside the resource: an XMP packet, a package document, a manifest report."""

EVERYONE = "*"
"""The product token that addresses every crawler (RFC 9309 section 2.2.1)."""

_NO_BYTES = sha256(b"").hexdigest()


class Purpose(StrEnum):
    """What a copy would be used for (CDSM Art. 2(2) and 4; AIPREF vocabulary; Content Signals)."""

    TDM = "tdm"
    AI_TRAIN = "ai-train"
    AI_INPUT = "ai-input"
    SEARCH = "search"


class State(StrEnum):
    """What the rightsholder has said about one purpose (CDSM Art. 4(3)). Silence is `UNSPECIFIED`."""

    RESERVED = "reserved"
    PERMITTED = "permitted"
    UNSPECIFIED = "unspecified"


class Effect(StrEnum):
    """What we may do. `REVIEW` means that a person has to decide; machines treat it as no."""

    PERMIT = "permit"
    DENY = "deny"
    REVIEW = "review"


class Scope(StrEnum):
    """Whom a signal binds: us by name, everybody, or somebody else."""

    EVERYONE = "everyone"
    THIS_AGENT = "this-agent"
    OTHER_AGENTS = "other-agents"


class Strength(StrEnum):
    """The pedigree of a signal, strongest first. It orders reasons; it never weakens a reservation."""

    STANDARD = "standard"
    INDUSTRY = "industry"
    CONVENTION = "convention"
    ADVISORY = "advisory"


class Availability(StrEnum):
    """What became of looking at a carrier (RFC 9309 section 2.3.1). None of the last three is permission."""

    RETRIEVED = "retrieved"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"
    NOT_CONSULTED = "not-consulted"


class Layer(StrEnum):
    """Where a statement stands, from the widest to the closest to the work itself."""

    ORIGIN = "origin"
    HEADER = "header"
    PAGE = "page"
    ASSET = "asset"


class Leniency(StrEnum):
    """A way of reading more than the letter; each is a visible word under `honour` in a policy file.

    A statement that only such a reading yields carries its word and counts only where the policy honours it.
    Lenient readings restrict; none of them ever yields a permission.
    """

    AGENT_LISTS = "agent-lists"
    MALFORMED_RESERVATIONS = "malformed-reservations"
    RETIRED_LABELS = "retired-labels"
    DRAFT_VOCABULARY = "draft-vocabulary"
    UNLICENSED = "unlicensed"
    WIDER_PURPOSES = "wider-purposes"
    BODY_METADATA = "body-metadata"
    ROBOTS_UNAUTHORISED = "robots-unauthorised"
    ROBOTS_RATE_LIMITED = "robots-rate-limited"
    ROBOTS_REDIRECTS = "robots-redirects"
    ROBOTS_TRUNCATED = "robots-truncated"


TOO_MANY_REDIRECTS = "too-many-redirects"
"""The `Exchange.error` of a redirect chain that was cut; RFC 9309 section 2.3.1.2 lets it count as unavailable."""


ELSEWHERE = "elsewhere"
"""The `Exchange.error` of a resource that redirects to another origin, whose signals come first; see `final_url`."""


class Place(NamedTuple):
    """Where something stands: a resource, and a line, byte offset or field inside it."""

    resource: str
    line: int | None = None
    offset: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        """Give the form that people read: `/robots.txt line 3 (Disallow)`."""
        line = f" line {self.line}" if self.line is not None else ""
        at = line or (f" byte {self.offset}" if self.offset is not None else "")
        return f"{self.resource}{at}{f' ({self.field})' if self.field else ''}"


class Problem(NamedTuple):
    """A stranger's mistake: a code that its protocol documents, and the place."""

    code: str
    place: Place


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one fetch saw, whatever it saw.

    Attributes:
        url: the URL that was asked for, absolute.
        role: what it was asked for as: a well-known path, `RESOURCE`, or the role of a pointer.
        status: the HTTP status of the final response; None when none arrived.
        headers: header fields of the final response in order, names as received.
        body: the bytes received, content codings removed.
        redirects: every URL that was redirected to, in order; the last is where the response came from.
        error: a short code where no response arrived (`timeout`, `refused`, `dns`, `too-many-redirects`, …).
        fetched_at: when the response was complete, in UTC.
        truncated: whether the body was cut at our limit.
        request_headers: what was sent, for the archive.
    """

    url: str
    role: str = RESOURCE
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    redirects: tuple[str, ...] = ()
    error: str | None = None
    fetched_at: datetime | None = None
    truncated: bool = False
    request_headers: tuple[tuple[str, str], ...] = ()

    def __hash__(self) -> int:
        """Tell most exchanges apart, at a tenth of the cost of all fields."""
        return hash((self.url, self.role))

    @property
    def final_url(self) -> str:
        """The URL that the response came from."""
        return self.redirects[-1] if self.redirects else self.url

    @property
    def availability(self) -> Availability:
        """What the outcome means for a carrier (RFC 9309 sections 2.3.1.1 to 2.3.1.4)."""
        if self.error is not None:
            return Availability.UNAVAILABLE if self.error == TOO_MANY_REDIRECTS else Availability.UNREACHABLE
        if self.status is None:
            return Availability.NOT_CONSULTED
        if 200 <= self.status < 300:
            return Availability.RETRIEVED
        return Availability.UNAVAILABLE if 300 <= self.status < 500 else Availability.UNREACHABLE

    @property
    def digest(self) -> str:
        """The SHA-256 of the body in hexadecimal, by which the archive and the log name these bytes."""
        return sha256(self.body).hexdigest() if self.body else _NO_BYTES


class Statement(NamedTuple):
    """What a carrier says: to whom, about which paths, for which purposes.

    Attributes:
        reason: the dotted reason code of a decision that rests on it, such as `robots.group.disallow`.
        place: where it stands.
        value: its raw text.
        states: purpose and state, flow-down already applied; a purpose not named is not stated, and one that is
            named as unspecified is left open on purpose.
        agents: the product tokens addressed, lower case; `("*",)` is everybody. A set where there may be many,
            because every statement is asked for its agents.
        pattern: the path pattern it is limited to (RFC 9309 section 2.2.3 syntax); None is every path.
        refuses_access: whether the agents may not even fetch (robots.txt, HTTP 401, 402, 403).
        layer: where it stands relative to the work.
        strength: its pedigree.
        leniency: the reading under which alone it counts; None where the letter says it.
        advisory: whether it is only evidence and must never decide.
        document: the URL of the document whose statements replace this one where that document is valid;
            this statement's own states hold where it is not.
        apart: whether it counts beside what its source says about other paths, instead of in order with it.
        host: in a document, the one site that it speaks about, as `Origin.authority`; None for every site that
            points to the document.
        conditions: name and text of what is asked in return (payment, server, contact, …): an offer.
    """

    reason: str
    place: Place
    value: str
    states: tuple[tuple[Purpose, State], ...] = ()
    agents: tuple[str, ...] | frozenset[str] = (EVERYONE,)
    pattern: str | None = None
    refuses_access: bool = False
    layer: Layer = Layer.ORIGIN
    strength: Strength = Strength.STANDARD
    leniency: Leniency | None = None
    advisory: bool = False
    document: str | None = None
    apart: bool = False
    host: str | None = None
    conditions: tuple[tuple[str, str], ...] = ()

    def state(self, purpose: Purpose) -> State:
        """What it states about a purpose."""
        for named, state in self.states:
            if named is purpose:
                return state
        return State.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Pointer:
    """A further document that a carrier refers to, for the planner to fetch."""

    url: str
    role: str
    place: Place


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one protocol found in one exchange.

    Attributes:
        statements: in the order of the carrier.
        problems: what could not be understood.
        pointers: documents to be fetched before a decision.
        addressed: product tokens that have a group of their own here, rules or not; their owners are not
            bound by what is said to everybody (RFC 9309 section 2.2.1).
        valid: whether the exchange holds the document it should hold; False makes what points to it
            fall back on its own states, and makes an asset one that has metadata which could not be read.
    """

    statements: tuple[Statement, ...] = ()
    problems: tuple[Problem, ...] = ()
    pointers: tuple[Pointer, ...] = ()
    addressed: frozenset[str] = frozenset()
    valid: bool = True


SILENCE = Reading()
"""A reading that found nothing at all."""


class Signal(NamedTuple):
    """One statement applied to one URL and one product token, for one purpose."""

    protocol: str
    purpose: Purpose
    state: State
    scope: Scope
    strength: Strength
    place: Place
    value: str
    conditions: tuple[tuple[str, str], ...] = ()
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of each carrier that had to be consulted, as (carrier, availability) in order."""

    carriers: tuple[tuple[str, Availability], ...] = ()

    def of(self, carrier: str) -> Availability:
        """The availability of one carrier."""
        return dict(self.carriers).get(carrier, Availability.NOT_CONSULTED)


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 digests, in hexadecimal, of what a decision rests on, so that it can be repeated."""

    policy: str = ""
    registry: str = ""
    exchanges: tuple[tuple[str, str], ...] = ()


class Decision(NamedTuple):
    """What we may do with a URL for one purpose, and why."""

    purpose: Purpose
    effect: Effect
    reason: str
    decisive: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything there is to say about one URL: states and decisions per purpose, with their grounds.

    Attributes:
        states: what the rightsholder has said, per purpose.
        decisions: what we may do, per purpose, in the order of `Purpose`.
        access: whether this agent may fetch the URL at all.
        signals: every signal that bears on it, deciding or not.
        advisory: purposes for which there is evidence that must not decide alone.
        problems: what could not be understood on the way here.
        coverage: what was consulted.
        digests: of the policy, the registry and the exchanges.
    """

    states: Mapping[Purpose, State]
    decisions: tuple[Decision, ...]
    access: Effect
    signals: tuple[Signal, ...] = ()
    advisory: tuple[Purpose, ...] = ()
    problems: tuple[Problem, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    digests: Digests = field(default_factory=Digests)

    def decision(self, purpose: Purpose) -> Decision:
        """The decision for one purpose."""
        return next(decision for decision in self.decisions if decision.purpose is purpose)


_FLOW = {
    (Purpose.TDM, State.RESERVED): (Purpose.AI_TRAIN, Purpose.AI_INPUT),
}


def flow_down(states: Mapping[Purpose, State]) -> tuple[tuple[Purpose, State], ...]:
    """Complete the states of one signal: a reserved `tdm` reserves what it contains, unless the signal says otherwise.

    Text and data mining in the sense of CDSM Art. 2(2) contains training and input; permissions never flow.
    """
    full = dict(states)
    for (purpose, state), implied in _FLOW.items():
        if states.get(purpose) is state:
            for narrower in implied:
                full.setdefault(narrower, state)
    return tuple((purpose, full[purpose]) for purpose in Purpose if purpose in full)


def reserve(*purposes: Purpose) -> tuple[tuple[Purpose, State], ...]:
    """The states of a signal that reserves these purposes, flow-down applied."""
    return flow_down(dict.fromkeys(purposes, State.RESERVED))


def permit(*purposes: Purpose) -> tuple[tuple[Purpose, State], ...]:
    """The states of a signal that permits these purposes; a permission never flows down."""
    return tuple((purpose, State.PERMITTED) for purpose in Purpose if purpose in purposes)


RESERVE_ALL = reserve(*Purpose)
"""Every purpose reserved: what a refusal of access means for the refused agent."""
