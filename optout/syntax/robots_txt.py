"""robots.txt cut into lines, records and groups (RFC 9309 section 2), without any opinion on what they reserve.

Bytes come in, because bytes are the evidence: every record keeps its line, its byte offset and its text. Only CR, LF
and CRLF end a line. Records that RFC 9309 does not know stay in their group for the protocols that do know them, and
never end a run of `User-agent` lines. What the letter of the RFC ignores although its author plainly meant a refusal
is kept apart (`Group.intended`, `Group.listed`, `RobotsFile.orphans`), so that a policy can choose to honour it.

A file never raises: whatever is wrong with it is a `Fault` with one of the codes in `PROBLEMS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from optout.syntax.patterns import Pattern, PatternTable, specificity_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_LIMIT = 512_000
"""Bytes of a file that are read where the caller does not say: 500 KiB, the least RFC 9309 section 2.5 allows."""

FAULTS_PER_CODE = 50
"""How many faults of one code are listed; a file of a hundred thousand faulty lines is not worse than one of fifty."""

EVERYONE = "*"
"""The token of a group that addresses every crawler without a group of its own (RFC 9309 section 2.2.1)."""

AGENT, ALLOW, DISALLOW = "user-agent", "allow", "disallow"

PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "bom": "A byte order mark stands before the first line; it is skipped.",
        "bom-latin1": "A byte order mark that was decoded as Latin-1 stands before the first line; it is skipped.",
        "invisible-characters": "Zero-width characters stand before a field name; they are skipped.",
        "undecodable-bytes": "A line is not UTF-8; its undecodable bytes are read as percent escapes.",
        "truncated": "The file is longer than the limit; the line that the limit cuts and all after it are not read.",
        "html-body": "The body is an HTML page; whatever lines in it can be parsed are.",
        "json-body": "The body is JSON; it holds no rules.",
        "binary-body": "The body is binary or in another encoding than UTF-8; it holds no rules.",
        "text-body": "The body is text without a single field; it holds no rules.",
        "rule-before-agent": "A rule stands before any User-agent line and addresses nobody.",
        "no-colon": "A line that is neither empty nor a comment has no colon; it is ignored.",
        "unknown-field": "A field that neither RFC 9309 nor a known extension defines; it is kept but has no meaning.",
        "misspelt-field": "A field name looks like a known one that lost, gained or changed a letter; it is ignored.",
        "agent-empty": "A User-agent line names nobody.",
        "agent-with-version": "A version or comment follows a product token; the token alone counts.",
        "agent-with-spaces": "Words follow a product token; the token alone counts.",
        "agent-list": "A User-agent line lists several tokens; by the letter only the first counts.",
        "agent-unusable": "A User-agent line begins with something no product token may hold; it names nobody.",
        "rule-on-agent-line": "A rule stands on a User-agent line; by the letter it does not count.",
        "full-url-rule": "A rule holds a whole URL instead of a path; it matches nothing.",
        "no-leading-slash": "A rule begins with neither a slash nor a wildcard; it matches nothing.",
        "unescaped-octets": "A rule holds characters that a URL holds only as escapes; by the letter they differ.",
        "hash-in-path": "A rule is cut by a # right behind its path, which begins a comment.",
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
        tokens: the product tokens it names, in lower case; empty where it names nobody. The first is cut where a
            character stands that no token may have, digits being allowed because real tokens have them. Where it has
            one, the token that the alphabet of RFC 9309 section 2.2.1 leaves of it is named as well.
        after: what follows the token.
        listed: every token of a line that lists several, for a reading that honours such lists.
    """

    value: str
    line: int
    offset: int
    tokens: tuple[str, ...]
    after: str = ""
    listed: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """The token it names, or an empty string."""
        return self.tokens[0] if self.tokens else ""


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

    def names(self, token: str) -> bool:
        """Whether one of its lines names a token, given in lower case."""
        return any(token in agent.tokens for agent in self.agents)


@dataclass(frozen=True, slots=True, eq=False)
class RobotsFile:
    """A robots.txt as it was cut. Compared by identity, which lets what is compiled from it be cached.

    Attributes:
        records: every `field: value` line in order, those of the groups included.
        groups: in order.
        orphans: rules before the first `User-agent` line, which address nobody by the letter.
        faults: what is wrong with it, in order.
        truncated: whether the limit cut it.
    """

    records: tuple[Record, ...]
    groups: tuple[Group, ...]
    orphans: tuple[Record, ...]
    faults: tuple[Fault, ...]
    truncated: bool


@lru_cache(maxsize=4)
def parse(body: bytes, limit: int = DEFAULT_LIMIT) -> RobotsFile:
    """Cut a robots.txt. The last few files are kept, so that several protocols can read one without cutting it again.

    Args:
        body: the bytes received, content codings removed.
        limit: how many of them to read (RFC 9309 section 2.5). A line that the limit cuts is dropped, because half a
            rule is another rule.
    """
    readable, truncated = _within(body, limit)
    cutter = _Cutter()
    cutter.cut(readable)
    sniffed = _sniff(readable)
    faults = cutter.faults
    if sniffed:
        faults = [Fault(sniffed, 1, 0), *(faults if cutter.groups else ())]
    if truncated:
        faults = [Fault("truncated", 1, 0), *faults]
    if sniffed and not cutter.groups:
        return RobotsFile((), (), (), tuple(faults), truncated)
    groups = tuple(group.close() for group in cutter.groups)
    return RobotsFile(tuple(cutter.records), groups, tuple(cutter.orphans), tuple(faults), truncated)


def product_token(text: str) -> str:
    """The product token at the start of a string, in lower case: `CCBot/2.0` gives `ccbot`; empty: there is none.

    Digits are allowed although RFC 9309 section 2.2.1 has none, because real tokens such as `AI2Bot` have them.
    """
    found = _TOKEN.match(text)
    if found:
        return found.group().lower()
    return EVERYONE if text[:1] == EVERYONE and (len(text) == 1 or text[1].isspace()) else ""


def select(file: RobotsFile, token: str) -> tuple[Group, ...]:
    """The groups that govern a crawler (RFC 9309 section 2.2.1): all that name it, or else all for everyone.

    Args:
        file: as cut.
        token: a product token in any case, or `*`; what follows a token in a full user-agent string is ignored.
    """
    wanted = product_token(token) or EVERYONE
    named = tuple(group for group in file.groups if group.names(wanted))
    if named or wanted == EVERYONE:
        return named
    return tuple(group for group in file.groups if group.names(EVERYONE))


class Rules:
    """The rules of some groups, merged and made ready to be asked many times."""

    __slots__ = ("_ordered", "_table")

    def __init__(self, records: Iterable[Record]) -> None:
        """Compile rules by the precedence of RFC 9309 section 2.2.2: most octets first, `Allow` on a tie."""
        pairs = [(record, pattern) for record in records if (pattern := record.pattern)]
        patterns = [pattern for _, pattern in pairs]
        order = specificity_order(patterns, [not record.allow for record, _ in pairs])
        self._ordered = [pairs[index][0] for index in order]
        self._table = PatternTable([patterns[index] for index in order])

    def first(self, target: str) -> Record | None:
        """The rule that decides about a target from `optout.urls.match_target`; None: no rule does, so it is allowed.

        `/robots.txt` itself is always allowed (RFC 9309 section 2.2.2).
        """
        index = self._table.first(target)
        return None if index < 0 or target == "/robots.txt" else self._ordered[index]


@lru_cache(maxsize=16)
def rules_for(file: RobotsFile, token: str) -> Rules:
    """The merged rules that govern a crawler."""
    return Rules(record for group in select(file, token) for record in group.rules)


def rule_for(file: RobotsFile, token: str, target: str) -> Record | None:
    """The rule that decides whether a crawler may fetch a target, by the letter of RFC 9309; None: it may."""
    return rules_for(file, token).first(target)


KNOWN_FIELDS = frozenset({
    "allowaitraining", "cache-delay", "clean-param", "comment", "content-signal", "content-usage", "crawl-delay",
    "disallowaitraining", "host", "license", "noarchive", "nofollow", "noindex", "request-rate", "robot-version",
    "sitemap", "visit-time",
})  # fmt: skip
"""Fields beyond RFC 9309 that are in use, so that meeting one is no fault."""


class _OpenGroup:
    """A group that is being read."""

    __slots__ = ("agents", "intended", "others", "rules")

    def __init__(self) -> None:
        self.agents: list[AgentLine] = []
        self.rules: list[Record] = []
        self.others: list[Record] = []
        self.intended: list[Record] = []

    def close(self) -> Group:
        return Group(tuple(self.agents), tuple(self.rules), tuple(self.others), tuple(self.intended))


class _Cutter:
    """The state of going through a file once, line by line."""

    __slots__ = ("_counts", "_group", "_index", "_starting", "faults", "groups", "orphans", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.groups: list[_OpenGroup] = []
        self.orphans: list[Record] = []
        self.faults: list[Fault] = []
        self._counts: dict[str, int] = {}
        self._group = _OpenGroup()
        self._index: int | None = None
        # Whether a User-agent line here joins the current group: only a rule ends the run of such lines.
        self._starting = False

    def cut(self, body: bytes) -> None:
        """Read all lines. `bytes.splitlines` ends lines at CR, LF and CRLF only; that of `str` at six more."""
        offset = 0
        for number, line in enumerate(body.splitlines(keepends=True), 1):
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self.fault("undecodable-bytes", number, offset)
                text = _escaped(line)
            content, hash_sign, _ = text.partition("#")
            head, colon, value = content.partition(":")
            if colon:
                self._field(number, offset, head.strip(_WS).lower(), value.strip(_WS), text)
                if hash_sign and content[-1] not in _WS:
                    self._cut_by_comment(number, offset)
            elif content and not content.isspace():
                self._without_colon(number, offset, content.strip(_WS), text)
            offset += len(line)

    def fault(self, code: str, line: int, offset: int) -> None:
        """Note a fault, unless there are plenty of the kind already."""
        seen = self._counts[code] = self._counts.get(code, 0) + 1
        if seen <= FAULTS_PER_CODE:
            self.faults.append(Fault(code, line, offset))

    def _field(self, number: int, offset: int, field: str, value: str, text: str) -> None:
        if not text.isascii():
            field, value = self._visible(number, offset, field), value.lstrip(_INVISIBLE)
        if field == AGENT and not self._starting:
            self._open()
        record = Record(number, offset, field, value, text.rstrip("\r\n"), self._index)
        self.records.append(record)
        if field in (DISALLOW, ALLOW):
            self._rule(record)
        elif field == AGENT:
            self._agent(record)
        else:
            self._group.others.append(record)
            if field not in KNOWN_FIELDS:
                self._unknown(record)

    def _open(self) -> None:
        self._index = len(self.groups)
        self._group = _OpenGroup()
        self.groups.append(self._group)
        self._starting = True

    def _visible(self, number: int, offset: int, field: str) -> str:
        """A field name without the invisible characters that editors and collectors leave in front of it."""
        shown = field.lstrip(_INVISIBLE)
        if number == 1 and shown.startswith(_MARK_AS_LATIN1):
            self.fault("bom-latin1", number, offset)
            return shown.removeprefix(_MARK_AS_LATIN1).lstrip(_INVISIBLE)
        if shown != field:
            self.fault("bom" if number == 1 and field.startswith(_MARK) else "invisible-characters", number, offset)
        return shown

    def _agent(self, record: Record) -> None:
        agent, fault = _agent_line(record)
        self._group.agents.append(agent)
        if fault:
            self.fault(fault, record.line, record.offset)
            self._rules_inside(record)

    def _rules_inside(self, record: Record) -> None:
        for name, path in _RULE_INSIDE.findall(record.value):
            self.fault("rule-on-agent-line", record.line, record.offset)
            if name.lower() == DISALLOW:
                self._intend(record, path)

    def _rule(self, record: Record) -> None:
        value = record.value
        if self._index is None:
            self.orphans.append(record)
            self.fault("rule-before-agent", record.line, record.offset)
        self._starting = False
        self._group.rules.append(record)
        if value[:1] not in _BEGINNINGS:
            self._without_slash(record)
        elif _UNESCAPED.search(value):
            self.fault("unescaped-octets", record.line, record.offset)
            self._intend_as(record, _UNESCAPED.sub(_escape, value))

    def _without_slash(self, record: Record) -> None:
        whole_url = _FULL_URL.match(record.value)
        self.fault("full-url-rule" if whole_url else "no-leading-slash", record.line, record.offset)
        self._intend_as(record, _path_meant(record.value, whole_url))

    def _intend_as(self, record: Record, path: str) -> None:
        if record.field == DISALLOW:
            self._intend(record, path)

    def _intend(self, record: Record, path: str) -> None:
        if path:
            self._group.intended.append(record._replace(field=DISALLOW, value=path, group=self._index))

    def _unknown(self, record: Record) -> None:
        meant = _meant_field(record.field)
        self.fault("misspelt-field" if meant else "unknown-field", record.line, record.offset)
        if meant == DISALLOW:
            self._intend(record, record.value)

    def _without_colon(self, number: int, offset: int, content: str, text: str) -> None:
        self.fault("no-colon", number, offset)
        name, _, path = content.partition(" ")
        if name.lower() == DISALLOW:
            self._intend(Record(number, offset, DISALLOW, "", text.rstrip("\r\n"), self._index), path.strip(_WS))

    def _cut_by_comment(self, number: int, offset: int) -> None:
        last = self.records[-1]
        if last.value and last.field in (DISALLOW, ALLOW):
            self.fault("hash-in-path", number, offset)


_WS = " \t\r\n\v\f\0"
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\xa0\u3000 \t"
_MARK = "\ufeff"
_MARK_AS_LATIN1 = "\xef\xbb\xbf"
_BEGINNINGS = ("/", "*", "")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_RFC_TOKEN = re.compile(r"[a-z_-]+")
_RULE_INSIDE = re.compile(r"\b(allow|disallow)[ \t]*:[ \t]*(\S*)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s,;|]+")
_FULL_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?]*", re.IGNORECASE)
_UNESCAPED = re.compile(r"[\"<>\\^`{|}]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d", "-"))
_HTML = re.compile(rb"\s*(?:<!--.{0,300}?-->\s*)?<(?:!doctype|html|head|body|\?xml)\b", re.IGNORECASE | re.DOTALL)
_JSON = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[\"\[\]{])")
_BINARY = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|PK\x03\x04|%PDF-|\x1f\x8b|\xff\xfe|\xfe\xff|[^\0]{0,1023}\0")


def _within(body: bytes, limit: int) -> tuple[bytes, bool]:
    """The part of a body that is read, in whole lines, and whether that is not all of it."""
    if len(body) <= limit:
        return body, False
    if body[limit] in b"\r\n":
        return body[:limit], True
    return body[: max(body.rfind(b"\n", 0, limit), body.rfind(b"\r", 0, limit)) + 1], True


def _sniff(body: bytes) -> str | None:
    """The code for a body that looks like something else than a robots.txt."""
    head = body[:1024].removeprefix(_MARK.encode())
    if _BINARY.match(head):
        return "binary-body"
    if _HTML.match(head):
        return "html-body"
    return "json-body" if _JSON.match(head) else None


def _escaped(line: bytes) -> str:
    """A line that is not UTF-8, its undecodable bytes as percent escapes: that is what a URL would hold."""
    text = line.decode("utf-8", "surrogateescape")
    return _UNDECODED.sub(lambda found: f"%{ord(found.group()) - 0xDC00:02X}", text)


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"


def _agent_line(record: Record) -> tuple[AgentLine, str]:
    """Read a `User-agent` line, and give the code of what is wrong with it."""
    value = record.value
    found = _TOKEN.match(value)
    if found and found.end() == len(value):
        return AgentLine(value, record.line, record.offset, _names(value.lower())), ""
    if not value or value == EVERYONE:
        return AgentLine(value, record.line, record.offset, (value,) if value else ()), "" if value else "agent-empty"
    token = product_token(value)
    after = value[len(token) :].strip()
    fault = _agent_fault(token, after, value)
    listed = () if fault == "agent-with-version" else _listed(value)
    return AgentLine(value, record.line, record.offset, _names(token), after, listed), fault


def _names(token: str) -> tuple[str, ...]:
    """The tokens that a line names: the one that it has, and the one that the alphabet of the RFC leaves of it."""
    strict = _RFC_TOKEN.match(token)
    if strict is None or strict.end() == len(token):
        return (token,) if token else ()
    return token, strict.group()


def _agent_fault(token: str, after: str, value: str) -> str:
    if _RULE_INSIDE.search(value):
        return "rule-on-agent-line"
    if not token:
        return "agent-unusable"
    if after.startswith("/"):
        return "agent-with-version"
    return "agent-list" if any(mark in after for mark in ",;|") else "agent-with-spaces"


def _listed(value: str) -> tuple[str, ...]:
    """Every token of a list, in order; look-alikes of the hyphen are hyphens here."""
    inside = _RULE_INSIDE.search(value)
    words = _SEPARATORS.split((value[: inside.start()] if inside else value).translate(_DASHES))
    tokens = (product_token(word.lstrip("\"'(+")) for word in words)
    return tuple(dict.fromkeys(token for token in tokens if token))


def _path_meant(value: str, whole_url: re.Match[str] | None) -> str:
    """The path that the author of a rule without a leading slash had in mind, read as widely as it can be."""
    if whole_url:
        path = value[whole_url.end() :]
        return path if path.startswith("/") else "/" + path
    return ("*" if value[0] in ".?&=" else "/") + value


def _one_letter_less(word: str) -> frozenset[str]:
    return frozenset(word[:at] + word[at + 1 :] for at in range(len(word)))


_SHORTENED = {known: _one_letter_less(known) for known in (AGENT, DISALLOW, ALLOW, "sitemap")}


def _meant_field(field: str) -> str | None:
    """The known field that a name is one slip away from: a letter less, more, swapped or wrong, or a torn beginning."""
    if not 3 <= len(field) <= 40:
        return None
    for known, shortened in _SHORTENED.items():
        if field.endswith(known) or (len(field) > 4 and known.endswith(field)) or field in shortened:
            return known
        if abs(len(field) - len(known)) <= 1 and not shortened.isdisjoint({known, *_one_letter_less(field)} - {known}):
            return known
        if known in _one_letter_less(field):
            return known
    return None
