"""The parts that a robots.txt is cut into, and the codes of what can be wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from optout.syntax.patterns import Pattern

EVERYONE = "*"
"""The token of a group that addresses every crawler without a group of its own (RFC 9309 section 2.2.1)."""

AGENT, ALLOW, DISALLOW = "user-agent", "allow", "disallow"

PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "agent-empty": "A User-agent line names nobody.",
        "agent-list": "A User-agent line lists several tokens; by the letter only the first counts.",
        "agent-unusable": "A User-agent line begins with something no product token may hold; it names nobody.",
        "agent-with-spaces": "Words or other characters follow a product token; the token alone counts.",
        "agent-with-version": "A version follows a product token; the token alone counts.",
        "binary-body": "The body is binary; it holds no rules.",
        "bom": "A byte order mark stands before the first line; it is skipped.",
        "bom-latin1": "A byte order mark that was decoded as Latin-1 stands before the first line; it is skipped.",
        "full-url-rule": "A rule holds a whole URL instead of a path; it matches nothing.",
        "hash-in-path": "A rule is cut by a # right behind its path, which begins a comment.",
        "html-body": "The body is an HTML page; only lines in it that are records of their own count.",
        "invisible-characters": "Invisible characters end a rule, or stand before a field name and are skipped.",
        "joined-group": "Records that are no rules part User-agent lines, which begin one group; others read two.",
        "json-body": "The body is JSON; it holds no rules.",
        "misspelt-field": "A field name is one slip away from a known one, or follows other text; it is ignored.",
        "no-colon": "A line that is neither empty nor a comment has no colon; it is ignored.",
        "no-leading-slash": "A rule begins with neither a slash nor a wildcard; it matches nothing.",
        "rule-before-agent": "A rule stands before any User-agent line and addresses nobody.",
        "rule-on-agent-line": "A rule stands on a User-agent line; by the letter it does not count.",
        "text-body": "The body is text without a single known field, such as an error message; it holds no rules.",
        "truncated": "The file is longer than the limit; the line that the limit cuts and all after it are not read.",
        "undecodable-bytes": "A line is not UTF-8; its undecodable bytes are read as percent escapes.",
        "unescaped-octets": "A rule holds characters that a URL holds only as escapes; by the letter they differ.",
        "unknown-field": "A field that neither RFC 9309 nor a known extension defines; it is kept without a meaning.",
        "utf16-body": "The body is UTF-16, while a robots.txt has to be UTF-8; by the letter it holds no rules.",
    }
)
"""Every code of a `Fault`, and what it means."""


class Fault(NamedTuple):
    """Something wrong with a file.

    Attributes:
        code: a key of `PROBLEMS`.
        line: counted from 1.
        offset: of the line's first byte, from 0.
    """

    code: str
    line: int
    offset: int


class Record(NamedTuple):
    """One `field: value` line. A named tuple, because a crawl makes millions of them.

    Attributes:
        line: counted from 1.
        offset: of the line's first byte in the original body, from 0.
        field: lower case, without white space around it.
        value: without comment and without white space around it; undecodable bytes are percent escapes.
        raw: the whole line without its end.
        group: the index of its group in `RobotsFile.groups`; None before the first group.
    """

    line: int
    offset: int
    field: str
    value: str
    raw: str
    group: int | None

    @property
    def allow(self) -> bool:
        """Whether it is an `Allow` record."""
        return self.field == ALLOW

    @property
    def pattern(self) -> Pattern | None:
        """The pattern of a rule, built when asked for, because most groups never are; None: it matches nothing."""
        return Pattern(self.value) if self.value else None


class AgentLine(NamedTuple):
    """One `User-agent` line.

    Attributes:
        value: as written, without comment.
        line: counted from 1.
        offset: of the line's first byte.
        token: the product token it names, in lower case, or `*`; empty where it names nobody. It is cut where a
            character stands that no token may have, digits being allowed because real tokens have them.
        strict: what the alphabet of RFC 9309 section 2.2.1 leaves of a token with a digit; otherwise empty.
        after: what follows the token.
        listed: every token of a line that holds more than one word, for a reading that honours such lists.
    """

    value: str
    line: int
    offset: int
    token: str
    strict: str = ""
    after: str = ""
    listed: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token that it names by the letter: none, one, or with a digit the whole and what the RFC leaves."""
        if self.strict:
            return self.token, self.strict
        return (self.token,) if self.token else ()


class Group(NamedTuple):
    """Who is addressed, and what follows.

    Attributes:
        agents: its `User-agent` lines.
        rules: its `Allow` and `Disallow` records.
        others: its other records, those between its `User-agent` lines included.
        intended: refusals that the letter ignores although they were plainly meant, as repaired `Disallow` records
            at the place of the original.
    """

    agents: tuple[AgentLine, ...]
    rules: tuple[Record, ...]
    others: tuple[Record, ...]
    intended: tuple[Record, ...]

    @property
    def tokens(self) -> frozenset[str]:
        """Whom it addresses by the letter."""
        return frozenset([token for agent in self.agents for token in agent.tokens])

    @property
    def listed(self) -> frozenset[str]:
        """Whom only a list on one of its lines names."""
        words = frozenset([token for agent in self.agents for token in agent.listed])
        return words - self.tokens if words else words

    def names(self, token: str) -> bool:
        """Whether one of its lines names a token, given in lower case."""
        return any(token in (agent.token, agent.strict) for agent in self.agents)


@dataclass(frozen=True, eq=False)
class RobotsFile:
    """A robots.txt as it was cut. Compared by identity, which lets what is compiled from it be cached.

    Attributes:
        records: every `field: value` line in order, those of the groups included.
        groups: in order.
        orphans: rules before the first `User-agent` line, which address nobody by the letter.
        meant: groups that the letter does not see although they were plainly meant: those behind a misspelt
            `User-agent` line, and those of a file in UTF-16. Their rules may stand in `groups` or `orphans` too.
        faults: what is wrong with it: first the file as a whole, then line by line.
        truncated: whether the limit cut it.
    """

    records: tuple[Record, ...] = ()
    groups: tuple[Group, ...] = ()
    orphans: tuple[Record, ...] = ()
    meant: tuple[Group, ...] = ()
    faults: tuple[Fault, ...] = ()
    truncated: bool = False

    @cached_property
    def addressed(self) -> frozenset[str]:
        """Every product token that a group names by the letter."""
        return frozenset[str]().union(*(group.tokens for group in self.groups)) - {EVERYONE}
