"""ai.txt: one name for several formats, all of them conventions.

| form | where | what it states | under `wider-purposes` |
|---|---|---|---|
| Spawning (2023): robots.txt grammar, `Disallow` | `/ai.txt` | ai-train reserved for paths | tdm, ai-input as well |
| draft-car-ai-txt-wellknown-00: `Training: deny` | `/.well-known/ai.txt` | ai-train reserved | |
| … `Training: allow` without conditions | | ai-train permitted | |
| … `Training: conditional`, or `allow` with conditions | | ai-train reserved, with an offer | |
| … `Indexing: deny` | | - | ai-input |
| … `Scraping: deny` | | - | tdm, ai-train, ai-input |

`Allow` in the first form is silence that hides wider rules; neither form refuses access. Everything else that is
found under the name (`AI-Training: disallowed`, `Disallow: training`, either form at the other's place) reserves
under `malformed-reservations` where it plainly refuses, and never permits. Prose that objects is evidence.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.model import (
    EVERYONE,
    SILENCE,
    Availability,
    Exchange,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    permit,
    reserve,
)
from optout.protocol import Precedence, Protocol, WellKnown
from optout.syntax import key_lines, objection, plain_text, robots_blocks, robots_txt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from optout.syntax.key_lines import Field
    from optout.syntax.plain_text import Line
    from optout.syntax.robots_txt import Group, Record, RobotsFile

    States = tuple[tuple[Purpose, State], ...]

RULES_FILE, POLICY_FILE = "/ai.txt", "/.well-known/ai.txt"
MAX_BYTES = 512_000
"""Bytes of a file that are read."""

TRAINING = reserve(Purpose.AI_TRAIN)
MINING = reserve(Purpose.TDM)
OPEN: States = tuple((purpose, State.UNSPECIFIED) for purpose, _ in MINING)
"""What `Allow` states in the first form: nothing, about everything that a `Disallow` may reserve."""

VERSION = "1.0"
POLICY_VALUES = ("deny", "conditional", "allow")
"""The values of `Training`, the most restrictive first."""

POLICY_FIELDS = frozenset(
    {
        "agent", "ai-disclosure", "ai-json", "agents-txt", "attribution", "audit", "audit-format", "caching", "contact",
        "description", "generated-at", "indexing", "policy-url", "rate-limit", "scraping", "site-name", "site-url",
        "spec-version", "training", "training-allow", "training-deny", "training-fee", "training-license",
    }
)  # fmt: skip
"""The fields of draft-car-ai-txt-wellknown-00 sections 2.3 to 2.9."""

CONDITIONS: Mapping[str, frozenset[str]] = {
    "training-fee": frozenset(),
    "training-license": frozenset(),
    "attribution": frozenset({"required"}),
    "ai-disclosure": frozenset({"required"}),
    "audit": frozenset({"required"}),
}
"""Fields that make a permission one with conditions, at these values; an empty set is any value."""

STEMS: Sequence[tuple[re.Pattern[str], Purpose]] = (
    (re.compile(r"tdm|mining"), Purpose.TDM),
    (
        re.compile(r"train|fine-?tun|dataset|machine-learning|\bai-(?:usage|use)\b|(?<![a-z-])ai(?![a-z-])"),
        Purpose.AI_TRAIN,
    ),
    (re.compile(r"\brag\b|grounding|retrieval|inference|embedding|\bai-(?:usage|use|input)\b"), Purpose.AI_INPUT),
)
"""What a name or a list of words is about, in a file of no known form."""

REFUSALS = frozenset(
    {
        "0", "block", "blocked", "consent-required", "denied", "deny", "disallow", "disallowed",
        "explicit-consent-required", "false", "forbidden", "licence-required", "license-required", "n", "never", "no",
        "none", "not-allowed", "not-permitted", "off", "opt-out", "optout", "permission-required",
        "prohibited", "refused", "reserved", "restricted",
    }
)  # fmt: skip
"""Values that refuse what the name is about."""

REFUSING_NAME = re.compile(
    r"(?:^|-)(?:disallow(?:ed)?|no|deny|denied|block|prohibit(?:ed)?|forbid(?:den)?|restriction|reservation|opt-?out)(?:-|$)"
)
"""Names that refuse what they are about where the value says yes, or names paths."""

AGREEMENT = frozenset({"1", "all", "everything", "required", "true", "yes"})

_KEY = re.compile(r"[\w *-]{1,40}:")
_NO_TRAINING = re.compile(r"no-?(?:ai-?)?train(?:ing)?")
_PAIR = re.compile(r"([a-z][a-z-]*)[ \t]*=[ \t]*([a-z0-9-]+)")
_MAX_PROBLEMS_OF_A_KIND = 50

Found = Statement | Problem


def read(exchange: Exchange) -> Reading:
    """Read either file, whichever form it has."""
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    place = Place(exchange.role)
    if plain_text.is_markup(exchange.body):
        return Reading(problems=(Problem("ai-txt.html-body", place),))
    fields = key_lines.cut(exchange.body, MAX_BYTES, "agent")
    version = next((field for field in fields if field.line.text.lower().startswith("spec-version")), None)
    if version is not None:
        found, addressed = _policy(exchange.role, fields, version)
    else:
        found, addressed = _rules(exchange, fields)
    if not found and exchange.body.strip():
        found = [Problem("ai-txt.unknown-form", place)]
    return _collected((*found, *_prose(exchange)), addressed)


def _collected(found: Iterable[Found], addressed: frozenset[str]) -> Reading:
    problems: list[Problem] = []
    counts: Counter[str] = Counter()
    statements: list[Statement] = []
    for item in found:
        if isinstance(item, Statement):
            statements.append(item)
        else:
            counts[item.code] += 1
            if counts[item.code] <= _MAX_PROBLEMS_OF_A_KIND:
                problems.append(item)
    return Reading(tuple(statements), tuple(problems), addressed=addressed)


def _only_restricting(statements: Iterable[Statement]) -> Iterator[Statement]:
    """What remains of statements that the letter does not make: the reservations, as one wider reading."""
    for statement in statements:
        if statement.leniency is None and all(state is State.RESERVED for _, state in statement.states):
            yield statement._replace(leniency=Leniency.MALFORMED_RESERVATIONS)


# Spawning's form: the grammar of robots.txt.


def _rules(exchange: Exchange, fields: Iterable[Field]) -> tuple[list[Found], frozenset[str]]:
    body = exchange.body[:MAX_BYTES]
    file = robots_txt.parse(body, len(body))
    everybody = file.addressed | {EVERYONE}
    rules = [item for group in file.groups for item in _group(exchange.role, group)]
    found: list[Found] = list(rules)
    if rules and exchange.role != RULES_FILE:
        found = [Problem("ai-txt.misplaced", rules[0].place), *_only_restricting(rules)]
    found += _without_agent(exchange.role, file, everybody)
    groups = _groups_by_line(file, robots_blocks.set_apart(file, body))
    for field in fields:
        found += _dialect(exchange.role, field, groups.get(field.line.number, everybody))
    return found, file.addressed


def _group(role: str, group: Group) -> Iterator[Statement]:
    named, listed = group.tokens, group.listed
    for record in group.rules:
        if record.value.startswith(("/", "*")):
            if named:
                yield from _rule(role, record, named)
            if listed:
                yield from (
                    one._replace(leniency=Leniency.AGENT_LISTS)
                    for one in _rule(role, record, listed)
                    if not one.leniency
                )


def _rule(role: str, record: Record, agents: frozenset[str]) -> Iterator[Statement]:
    place = Place(role, record.line, record.offset, "Allow" if record.allow else "Disallow")
    states = OPEN if record.allow else TRAINING
    rule = Statement(
        "ai-txt.allow" if record.allow else "ai-txt.disallow",
        place,
        record.raw.strip()[:200],
        states,
        agents,
        record.value,
        strength=Strength.CONVENTION,
    )
    yield rule
    if not record.allow:
        yield rule._replace(states=MINING, leniency=Leniency.WIDER_PURPOSES)


def _without_agent(role: str, file: RobotsFile, everybody: frozenset[str]) -> Iterator[Found]:
    """Refusals before any `User-agent` line: they address nobody by the letter, and everybody by their wish."""
    for record in file.orphans:
        if not record.allow and record.value.startswith(("/", "*")):
            yield Problem("ai-txt.rule-before-agent", Place(role, record.line, record.offset, "Disallow"))
            yield from _only_restricting(_rule(role, record, everybody))


def _groups_by_line(file: RobotsFile, apart: frozenset[int]) -> dict[int, frozenset[str]]:
    """Whom a line addresses that stands in a group and is not set apart from it."""
    tokens = [group.tokens for group in file.groups]
    return {
        record.line: tokens[record.group]
        for record in file.records
        if record.group is not None and record.line not in apart
    }


# draft-car-ai-txt-wellknown-00.


@dataclass(frozen=True, slots=True)
class _Policy:
    """The fields of a policy.

    Attributes:
        role: the file.
        site: the fields of the site, by name.
        blocks: those of each agent's block, by product token.
        conditions: what is asked for in return, whoever trains.
    """

    role: str
    site: Mapping[str, list[Field]]
    blocks: Mapping[str, Mapping[str, list[Field]]]
    conditions: tuple[tuple[str, str], ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        """Everybody, and the agents that have a block."""
        return (EVERYONE, *sorted(set(self.blocks) - {EVERYONE}))

    def agents(self, name: str) -> list[tuple[list[Field], frozenset[str]]]:
        """The fields of a name with the agents for whom they count; a thousand blocks may share the site's."""
        shared: dict[int, tuple[list[Field], list[str]]] = {}
        nothing: list[Field] = []
        for token in self.tokens:
            fields = self._fields(token, name) or nothing
            shared.setdefault(id(fields), (fields, []))[1].append(token)
        return [(fields, frozenset(tokens)) for fields, tokens in shared.values()]

    def _fields(self, token: str, name: str) -> list[Field] | None:
        """Those of the agent's own block, of the block for all agents, or of the site."""
        places = (self.blocks.get(token, {}), self.blocks.get(EVERYONE, {}), self.site)
        return next((fields[name] for fields in places if name in fields), None)


def _policy(role: str, fields: Sequence[Field], version: Field) -> tuple[list[Found], frozenset[str]]:
    policy = _cut(role, fields)
    literal = role == POLICY_FILE and version.value == VERSION
    statements = [*_training(policy), *_paths(policy), *_wider(policy)]
    found: list[Found] = list(_policy_problems(policy, fields))
    if literal:
        found += [*_default(policy, version), *statements]
    else:
        code = "ai-txt.misplaced" if role != POLICY_FILE else "ai-txt.version"
        found += [Problem(code, _place(role, version)), *_only_restricting(statements)]
    everybody = frozenset(policy.tokens)
    for field in fields:
        if field.name not in POLICY_FIELDS:
            found += _dialect(role, field, everybody if field.block is None else _token(field.block))
    return found, everybody - {EVERYONE}


def _cut(role: str, fields: Iterable[Field]) -> _Policy:
    site: dict[str, list[Field]] = {}
    blocks: dict[str, dict[str, list[Field]]] = {}
    for field in fields:
        if field.block is None:
            site.setdefault(field.name, []).append(field)
        else:
            for token in _token(field.block):
                blocks.setdefault(token, {}).setdefault(field.name, []).append(field)
    conditions = tuple(
        (name, field.value)
        for name, values in CONDITIONS.items()
        for field in site.get(name, ())
        if field.value and (not values or field.value.lower() in values)
    )
    return _Policy(role, site, blocks, conditions)


def _token(agent: str) -> frozenset[str]:
    """The product token that an `Agent` line names: the first of the agent's User-Agent header (section 2.8)."""
    token = robots_txt.product_token(agent)
    return frozenset({token} if token else ())


def _place(role: str, field: Field) -> Place:
    return Place(role, field.line.number, field.line.offset, field.name)


def _policy_problems(policy: _Policy, fields: Iterable[Field]) -> Iterator[Problem]:
    for field in fields:
        if field.name == "training" and field.value.lower() not in POLICY_VALUES:
            yield Problem("ai-txt.value", _place(policy.role, field))
        if field.loose and field.name in ("training", "scraping", "indexing"):
            yield Problem("ai-txt.indentation", _place(policy.role, field))


def _default(policy: _Policy, version: Field) -> Iterator[Statement]:
    """Without a `Training` field the draft's default is to deny (section 2.4)."""
    for fields, agents in policy.agents("training"):
        if not fields:
            yield _policy_statement(policy, agents, version, "default", TRAINING)


def _strictest(fields: Iterable[Field]) -> tuple[Field, str]:
    """Of contradicting fields the one that restricts most, with its value; an unknown value only undoes `allow`."""

    def rank(field: Field) -> int:
        value = field.value.lower()
        known = POLICY_VALUES.index(value) if value in POLICY_VALUES else -1
        return 2 * known if known >= 0 else 3 - 2 * (value in REFUSALS)

    field = min(fields, key=rank)
    return field, field.value.lower()


def _training(policy: _Policy) -> Iterator[Statement]:
    for fields, agents in policy.agents("training"):
        if not fields:
            continue
        field, value = _strictest(fields)
        if value == "deny":
            yield _policy_statement(policy, agents, field, "deny", TRAINING)
        elif value in REFUSALS:
            yield from _only_restricting([_policy_statement(policy, agents, field, "deny", TRAINING)])
        elif value == "conditional" or (value == "allow" and policy.conditions):
            offer = _policy_statement(policy, agents, field, "conditional", TRAINING)
            yield offer._replace(conditions=policy.conditions)
        elif value == "allow" and not field.loose:
            yield _policy_statement(policy, agents, field, "allow", permit(Purpose.AI_TRAIN))


def _paths(policy: _Policy) -> Iterator[Statement]:
    """The paths of a conditional policy. Beside another value they say nothing by the letter; a denial is a wish."""
    conditional = frozenset(
        token
        for fields, agents in policy.agents("training")
        if fields and _strictest(fields)[1] == "conditional"
        for token in agents
    )
    others = frozenset(policy.tokens) - conditional
    for field in policy.site.get("training-deny", ()):
        if field.value.startswith(("/", "*")):
            anything = _policy_statement(policy, conditional, field, "deny", TRAINING)
            denied = anything._replace(pattern=_glob(field.value))
            yield from ([denied] if conditional else [])
            yield from _only_restricting([denied._replace(agents=others)] if others else [])
    for field in policy.site.get("training-allow", ()):
        exact = field.value.startswith(("/", "*")) and not set("?[]$") & set(field.value)
        if conditional and exact and not policy.conditions:
            pattern = field.value if field.value.endswith("*") else f"{field.value}$"
            allowed = _policy_statement(policy, conditional, field, "allow", permit(Purpose.AI_TRAIN))
            yield allowed._replace(pattern=pattern)


def _glob(value: str) -> str:
    """A glob as a path pattern that matches all that the glob does, and more: a denial may be too wide."""
    return re.split(r"[?\[$]", value, maxsplit=1)[0]


def _wider(policy: _Policy) -> Iterator[Statement]:
    """Refusals of other uses, which have no purpose of their own here."""
    for name, states in (("scraping", MINING), ("indexing", reserve(Purpose.AI_INPUT))):
        for fields, agents in policy.agents(name):
            denials = [field for field in fields if field.value.lower() == "deny"]
            if denials:
                statement = _policy_statement(policy, agents, denials[0], "deny", states)
                yield statement._replace(leniency=Leniency.WIDER_PURPOSES)


def _policy_statement(policy: _Policy, agents: frozenset[str], field: Field, verb: str, states: States) -> Statement:
    return Statement(
        f"ai-txt.policy.{verb}",
        _place(policy.role, field),
        field.line.text[:200],
        states,
        agents,
        strength=Strength.CONVENTION,
    )


# Everything else that people write into a file of this name.


def _dialect(role: str, field: Field, agents: frozenset[str]) -> Iterator[Found]:
    """A line that plainly refuses something, in no form that anybody has specified."""
    purposes, pattern = _refused(field)
    if not purposes:
        return
    yield Problem("ai-txt.dialect", _place(role, field))
    yield Statement(
        "ai-txt.intended",
        _place(role, field),
        field.line.text[:200],
        reserve(*purposes),
        agents,
        pattern,
        strength=Strength.CONVENTION,
        leniency=Leniency.MALFORMED_RESERVATIONS,
        apart=True,
    )


def _refused(field: Field) -> tuple[tuple[Purpose, ...], str | None]:
    """The purposes that a line refuses, and the paths for which it does; none where it is anything else."""
    value = field.value.lower().strip("\"'.")
    word = value.replace("_", "-").replace(" ", "-")
    is_path = value.startswith(("/", "*"))
    if field.name == robots_txt.DISALLOW:
        return ((), None) if is_path else (_purposes(value.replace("_", "-")), None)
    if _NO_TRAINING.fullmatch(word):
        return (Purpose.AI_TRAIN,), None
    if word in REFUSALS and not REFUSING_NAME.search(field.name):
        return _purposes(field.name), None
    if REFUSING_NAME.search(field.name) and "without" not in field.name and (word in AGREEMENT or is_path):
        return _purposes(field.name), field.value if is_path else None
    pairs = _PAIR.findall(value) if len(value) < 1000 else []
    return tuple(dict.fromkeys(one for name, said in pairs if said in REFUSALS for one in _purposes(name))), None


def _purposes(text: str) -> tuple[Purpose, ...]:
    """What a text is about; a sentence that is longer than any of these is prose and is left to people."""
    return tuple(purpose for stem, purpose in STEMS if stem.search(text)) if len(text) < 200 else ()


def _prose(exchange: Exchange) -> Iterator[Statement]:
    """Paragraphs that object to mining or training: evidence for a person, which never decides."""
    for first, text in _paragraphs(exchange.body):
        if objection.objects_to_mining(text):
            yield Statement(
                "ai-txt.prose",
                Place(exchange.role, first.number, first.offset),
                text[:200],
                TRAINING,
                strength=Strength.ADVISORY,
                advisory=True,
            )


def _paragraphs(body: bytes) -> Iterator[tuple[Line, str]]:
    """Runs of lines that are neither empty, nor comments or headings, nor `Key: value`."""
    run: list[Line] = []
    for line in plain_text.lines(body, MAX_BYTES):
        if line.text and not line.text.startswith("#") and not _KEY.match(line.text):
            run.append(line)
        elif run:
            yield run[0], " ".join(one.text for one in run)
            run = []
    if run:
        yield run[0], " ".join(one.text for one in run)


PROTOCOL = Protocol(
    name="ai-txt",
    title="ai.txt",
    specification="https://site.spawning.ai/spawning-ai-txt",
    edition="Spawning 2023; draft-car-ai-txt-wellknown-00, 12 June 2026",
    carriers=(WellKnown(RULES_FILE), WellKnown(POLICY_FILE)),
    read=read,
    problems={
        "ai-txt.dialect": "A line refuses in words of its own, in no form that anybody has specified.",
        "ai-txt.html-body": "The file is an HTML page; many sites answer every path with one.",
        "ai-txt.indentation": "A policy for an agent is not indented, so by the letter it is the policy of the site.",
        "ai-txt.misplaced": "A form stands at the path of the other one, where it says nothing by the letter.",
        "ai-txt.rule-before-agent": "A rule stands before any User-agent line and addresses nobody.",
        "ai-txt.unknown-form": "The file has none of the known forms and no line that plainly refuses anything.",
        "ai-txt.value": "Training is none of allow, deny and conditional.",
        "ai-txt.version": "The file follows another version of the draft than 1.0.",
    },
    precedence=Precedence.NARROWEST_PER_PURPOSE,
)
