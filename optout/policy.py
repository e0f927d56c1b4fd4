"""Policy as code: the TOML files that alone can change a verdict.

A `Policy` is made of three texts, each named by its SHA-256 in every decision: the policy itself, the dated
registry of protocols (legal status and mode of each), and the dated table of known AI agents. This module
turns bytes into values and finds fault; it opens no file.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from optout.errors import PolicyError
from optout.model import Effect, Leniency, Purpose, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Kind = TypeVar("_Kind", bound=StrEnum)

PROSE = "terms-of-service"
"""The protocol whose mode the `prose` key sets."""

MINIMUM_ROBOTS_BYTES = 512_000
"""RFC 9309 section 2.5: a parsing limit must be at least 500 kibibytes."""

MAXIMUM_AGE_HOURS = 24
"""RFC 9309 section 2.4: a cached robots.txt should not be used for more than 24 hours."""

NEAREST_CAPTURE_DAYS = 366
"""What policy files that were written before this key was one mean; logged policies must read as they did."""

MOST_CAPTURE_DAYS = 36_525


HONOURED: Mapping[Leniency, str] = {
    Leniency.AGENT_LISTS: "A user-agent line that lists several tokens, or has words after its token, addresses each.",
    Leniency.MALFORMED_RESERVATIONS: "A reservation in broken syntax counts as it was evidently meant.",
    Leniency.RETIRED_LABELS: "A refusal in a vocabulary that a later draft has dropped still counts.",
    Leniency.DRAFT_VOCABULARY: "A refusal in vocabulary that is still in trial counts.",
    Leniency.UNLICENSED: "Where a licence document names no terms for a path, the path is not licensed.",
    Leniency.WIDER_PURPOSES: "A refusal covers the neighbouring purposes that it was evidently meant to cover.",
    Leniency.BODY_METADATA: "A meta element in the body counts like one in the head.",
    Leniency.ROBOTS_UNAUTHORISED: "A robots.txt that answers 401, 402 or 403 refuses everything.",
    Leniency.ROBOTS_RATE_LIMITED: "A robots.txt that answers 429 refuses everything.",
    Leniency.ROBOTS_REDIRECTS: "A robots.txt behind more redirects than are followed refuses everything.",
    Leniency.ROBOTS_TRUNCATED: "A robots.txt that is longer than is read refuses everything.",
}
"""What each word under `honour` does. Every one restricts; none permits."""


class Mode(StrEnum):
    """What becomes of a protocol's statements: they decide, they are only reported, or it is not read."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class Status(StrEnum):
    """The legal status of a protocol (Code of Practice, Measure 1.3)."""

    MANDATED = "mandated"
    AGREED = "agreed"
    CANDIDATE = "candidate"
    VENDOR = "vendor"
    DRAFT = "draft"


class LayerRule(StrEnum):
    """Whether a statement closer to the work may lift one further away, as TDMRep has it, or only add to it."""

    SUPERSEDE = "supersede"
    TIGHTEN = "tighten"


class SecondReading(StrEnum):
    """What to do where an independent reader of robots.txt forbids what ours allows."""

    DENY = "deny"
    RECORD = "record"
    OFF = "off"


class NamedAgents(StrEnum):
    """What rules for other AI crawlers mean for us, who are not named."""

    IGNORE = "ignore"
    REPORT = "report"
    RESERVE = "reserve"


class Prose(StrEnum):
    """What a reservation in natural language means."""

    IGNORE = "ignore"
    ADVISORY = "advisory"
    RESERVE = "reserve"


_PROSE_MODES = {Prose.IGNORE: Mode.OFF, Prose.ADVISORY: Mode.OBSERVE, Prose.RESERVE: Mode.ENFORCE}


class AgentClass(StrEnum):
    """What an AI crawler collects for."""

    CONTROL_ONLY = "control-only"
    TRAINING = "training"
    SEARCH = "search"
    USER = "user"
    DATA = "data"
    UNDOCUMENTED = "undocumented"


@dataclass(frozen=True, slots=True)
class Registered:
    """A protocol's line in the registry: its legal status and mode, with dates."""

    name: str
    status: Status
    mode: Mode
    effective: date | None = None
    enforce_from: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """A known AI crawler: its token, operator and class, and the purposes that refusing it reserves."""

    token: str
    operator: str
    agent_class: AgentClass
    purposes: frozenset[Purpose]

    @property
    def never_fetches(self) -> bool:
        """Whether the token exists in robots.txt only and is never sent in a request."""
        return self.agent_class is AgentClass.CONTROL_ONLY


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, complete with its registry and agents; every field is a key of its file.

    Attributes:
        name: what the file calls itself.
        effects: the effect of each state of a considered purpose.
        considers: per decided purpose, the purposes whose states bear on it.
        unreachable: effect where a carrier other than robots.txt could not be reached.
        not_consulted: effect where a carrier other than robots.txt was not looked at.
        unreadable: effect where a file has metadata that could not be read.
        unknown: effect where nothing is known about an origin, or robots.txt was not looked at.
        honour: the lenient readings that count.
        layers: how the layers of a superseding protocol relate.
        second_reader: what a dissenting second reading of robots.txt does.
        named_agents: what rules for other AI crawlers do.
        modes: the mode of each protocol.
        robots_limit: bytes of robots.txt that are read, at least 512,000.
        max_age_hours: hours that an origin's signals may be reused, at most 24.
        nearest_capture_days: how far a capture may lie from the date that it is to speak for; further away, nothing is
            known about that date.
        crawl_purposes: what the crawl is for; a page is fetched only if none of these is denied.
        digest: SHA-256 of the policy text.
        registry_digest: SHA-256 over the registry and agent texts.
    """

    name: str
    effects: Mapping[State, Effect]
    considers: Mapping[Purpose, tuple[Purpose, ...]]
    unreachable: Effect
    not_consulted: Effect
    unreadable: Effect
    unknown: Effect
    honour: frozenset[Leniency]
    layers: LayerRule
    second_reader: SecondReading
    named_agents: NamedAgents
    modes: Mapping[str, Mode]
    robots_limit: int
    max_age_hours: int
    nearest_capture_days: int
    crawl_purposes: tuple[Purpose, ...]
    registry: Mapping[str, Registered] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    digest: str = ""
    registry_digest: str = ""
    title: str = ""
    legal_basis: str = ""

    def mode(self, protocol: str) -> Mode:
        """What becomes of a protocol's statements; a protocol that the registry does not list is only observed."""
        return self.modes.get(protocol, Mode.OBSERVE)

    def in_force(self, as_of: date) -> Policy:
        """This policy as it stands on a day: protocols whose `enforce_from` has come are enforced."""
        due = {
            name: Mode.ENFORCE
            for name, entry in self.registry.items()
            if entry.enforce_from is not None and entry.enforce_from <= as_of and self.mode(name) is Mode.OBSERVE
        }
        return replace(self, modes={**self.modes, **due}) if due else self


class _Text:
    """One TOML file with the line of each key, so that faults can be shown where they are."""

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        try:
            self.text = data.decode("utf-8")
            self.table: dict[str, Any] = tomllib.loads(self.text)
        except UnicodeDecodeError as error:
            message = f"{source}: not UTF-8"
            raise PolicyError(message, place=f"byte {error.start}", mend="save it as UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            message = f"{source}: not TOML: {error}"
            raise PolicyError(message, mend="mend the syntax at that place") from error

    def line_of(self, table: str, key: str) -> int:
        """The line of a key, or of its table where the key itself is missing."""
        here, found = "", 1
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
                here = header[1].strip("\"' ")
                found = number if here == table else found
            elif here == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
                return number
        return found

    def fault(self, table: str, key: str, what: str, mend: str) -> PolicyError:
        """An error that names file, line and key."""
        name = f"{table}.{key}" if table else key
        return PolicyError(f"{self.source}: {what}: {name}", place=f"line {self.line_of(table, key)}", mend=mend)


def _choice(text: _Text, table: str, key: str, value: object, kind: type[_Kind]) -> _Kind:
    try:
        return kind(str(value))
    except ValueError:
        allowed = ", ".join(kind)
        raise text.fault(table, key, f"{value!r} is not a value of", f"use one of: {allowed}") from None


def _choices(text: _Text, table: str, key: str, values: object, kind: type[_Kind]) -> tuple[_Kind, ...]:
    if not isinstance(values, list):
        raise text.fault(table, key, "a list is needed in", 'write ["…", "…"]')
    return tuple(_choice(text, table, key, value, kind) for value in values)


def _whole(text: _Text, table: str, key: str, value: object, low: int, high: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise text.fault(table, key, f"{value!r} is out of range in", f"use a whole number from {low} to {high}")


_TABLES: Mapping[str, frozenset[str]] = {
    "": frozenset({"name", "title", "edition", "legal_basis"}),
    "decide": frozenset({*State, "unreachable", "not_consulted", "unreadable", "unknown"}),
    "considers": frozenset(Purpose),
    "reading": frozenset({"honour", "layers", "second_reader", "named_agents", "prose", "robots_limit"}),
    "crawl": frozenset({"purposes", "max_age_hours"}),
    "audit": frozenset({"nearest_capture_days"}),
}


def _check_keys(text: _Text, protocols: Iterable[str]) -> None:
    """Refuse every key that nothing would read: a misspelt switch must not be silence."""
    allowed = {**_TABLES, "protocols": frozenset(protocols)}
    for name, value in text.table.items():
        if isinstance(value, dict):
            if name not in allowed or not name:
                raise text.fault(name, "", "unknown table", f"use one of: {', '.join(filter(None, allowed))}")
            for key in value:
                if key not in allowed[name]:
                    raise text.fault(name, key, "unknown key", f"use one of: {', '.join(sorted(allowed[name]))}")
        elif name not in allowed[""]:
            raise text.fault("", name, "unknown key", f"use one of: {', '.join(sorted(allowed['']))}")


def _required(text: _Text, table: str, key: str) -> object:
    value = text.table.get(table, {}).get(key) if table else text.table.get(key)
    if value is None:
        raise text.fault(table, key, "missing key", "add it; every switch is visible in the file")
    return value


def parse(
    policy: bytes,
    registry: bytes,
    agents: bytes,
    *,
    source: str = "policy",
    registry_source: str = "protocols.toml",
    agents_source: str = "agents.toml",
) -> Policy:
    """Make a policy of its three texts.

    Args:
        policy: the policy file.
        registry: the protocol registry.
        agents: the table of known AI agents.
        source: how errors name the policy file.
        registry_source: how errors name the registry.
        agents_source: how errors name the agent table.

    Raises:
        PolicyError: a text is not TOML, or a key is missing, unknown or has a value it cannot have; the error
            names file, line and key.
    """
    registered = parse_registry(registry, registry_source)
    text = _Text(policy, source)
    _check_keys(text, registered)

    def get(table: str, key: str) -> object:
        return _required(text, table, key)

    def effect(key: str) -> Effect:
        return _choice(text, "decide", key, get("decide", key), Effect)

    prose = _choice(text, "reading", "prose", get("reading", "prose"), Prose)
    return Policy(
        name=str(get("", "name")),
        title=str(text.table.get("title", "")),
        legal_basis=str(text.table.get("legal_basis", "")),
        effects={state: effect(state) for state in State},
        considers=_considers(text, get),
        unreachable=effect("unreachable"),
        not_consulted=effect("not_consulted"),
        unreadable=effect("unreadable"),
        unknown=effect("unknown"),
        honour=frozenset(_choices(text, "reading", "honour", get("reading", "honour"), Leniency)),
        layers=_choice(text, "reading", "layers", get("reading", "layers"), LayerRule),
        second_reader=_choice(text, "reading", "second_reader", get("reading", "second_reader"), SecondReading),
        named_agents=_choice(text, "reading", "named_agents", get("reading", "named_agents"), NamedAgents),
        modes=_modes(text, registered) | {PROSE: _PROSE_MODES[prose]},
        robots_limit=_whole(
            text, "reading", "robots_limit", get("reading", "robots_limit"), MINIMUM_ROBOTS_BYTES, 16_000_000
        ),
        max_age_hours=_whole(text, "crawl", "max_age_hours", get("crawl", "max_age_hours"), 1, MAXIMUM_AGE_HOURS),
        nearest_capture_days=_nearest_capture_days(text),
        crawl_purposes=_crawl_purposes(text, get("crawl", "purposes")),
        registry=registered,
        agents=parse_agents(agents, agents_source),
        digest=sha256(policy).hexdigest(),
        registry_digest=sha256(sha256(registry).digest() + sha256(agents).digest()).hexdigest(),
    )


def _nearest_capture_days(text: _Text) -> int:
    """The one key that may be missing, because policies that older logs hold do not have it."""
    table, key = "audit", "nearest_capture_days"
    days = text.table.get(table, {}).get(key, NEAREST_CAPTURE_DAYS)
    return _whole(text, table, key, days, 0, MOST_CAPTURE_DAYS)


def _crawl_purposes(text: _Text, stated: object) -> tuple[Purpose, ...]:
    """What the crawl is for; a crawl for nothing would be refused nothing."""
    purposes = _choices(text, "crawl", "purposes", stated, Purpose)
    if not purposes:
        raise text.fault("crawl", "purposes", "no purpose in", f"name at least one of: {', '.join(Purpose)}")
    return purposes


def _considers(text: _Text, get: Callable[[str, str], object]) -> dict[Purpose, tuple[Purpose, ...]]:
    """The `considers` table; a decision that ignored its own purpose would be a trap."""
    table = {}
    for purpose in Purpose:
        considered = _choices(text, "considers", purpose, get("considers", purpose), Purpose)
        if purpose not in considered:
            raise text.fault("considers", purpose, "its own purpose is missing in", f'add "{purpose}"')
        table[purpose] = considered
    return table


def _modes(text: _Text, registered: Mapping[str, Registered]) -> dict[str, Mode]:
    """The registry's modes with the policy's own on top."""
    modes = {name: entry.mode for name, entry in registered.items()}
    for name, mode in text.table.get("protocols", {}).items():
        modes[name] = _choice(text, "protocols", name, mode, Mode)
    return modes


def parse_registry(data: bytes, source: str = "protocols.toml") -> dict[str, Registered]:
    """Read the dated registry of protocols.

    Raises:
        PolicyError: with file, line and key.
    """
    text = _Text(data, source)
    entries = {name: entry for name, entry in text.table.items() if isinstance(entry, dict)}
    return {name: _registered(text, name, entry) for name, entry in entries.items()}


def _registered(text: _Text, name: str, entry: Mapping[str, Any]) -> Registered:
    known = {"status", "mode", "effective", "enforce_from", "note"}
    for key in entry:
        if key not in known:
            raise text.fault(name, key, "unknown key", f"use one of: {', '.join(sorted(known))}")
    return Registered(
        name=name,
        status=_choice(text, name, "status", _required(text, name, "status"), Status),
        mode=_choice(text, name, "mode", _required(text, name, "mode"), Mode),
        effective=_day(text, name, "effective", entry),
        enforce_from=_day(text, name, "enforce_from", entry),
        note=str(entry.get("note", "")),
    )


def _day(text: _Text, table: str, key: str, entry: Mapping[str, Any]) -> date | None:
    value = entry.get(key)
    if value is None or isinstance(value, date):
        return value
    raise text.fault(table, key, f"{value!r} is not a date in", "write it as 2026-11-23, without quotes")


_CLASS_PURPOSES: Mapping[AgentClass, tuple[Purpose, ...]] = {
    AgentClass.CONTROL_ONLY: (Purpose.AI_TRAIN,),
    AgentClass.TRAINING: (Purpose.AI_TRAIN,),
    AgentClass.SEARCH: (Purpose.AI_INPUT, Purpose.SEARCH),
    AgentClass.USER: (Purpose.AI_INPUT,),
    AgentClass.DATA: (Purpose.AI_TRAIN,),
    AgentClass.UNDOCUMENTED: (Purpose.AI_TRAIN,),
}


def parse_agents(data: bytes, source: str = "agents.toml") -> dict[str, Agent]:
    """Read the dated table of known AI agents, keyed by lower-case token.

    Raises:
        PolicyError: with file, line and key.
    """
    text = _Text(data, source)
    entries = {token: entry for token, entry in text.table.items() if isinstance(entry, dict)}
    return {token.lower(): _agent(text, token, entry) for token, entry in entries.items()}


def _agent(text: _Text, token: str, entry: Mapping[str, Any]) -> Agent:
    agent_class = _choice(text, token, "class", _required(text, token, "class"), AgentClass)
    stated = entry.get("purposes")
    purposes = _CLASS_PURPOSES[agent_class] if stated is None else _choices(text, token, "purposes", stated, Purpose)
    return Agent(token, str(entry.get("operator", "")), agent_class, frozenset(purposes))
