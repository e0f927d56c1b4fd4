"""Cutting a robots.txt into lines, records and groups (RFC 9309 sections 2.1 and 2.2), once and in one direction."""

from __future__ import annotations

import re
from functools import lru_cache

from optout.syntax.robots_agents import RULE_INSIDE, agent_line
from optout.syntax.robots_records import AGENT, ALLOW, DISALLOW, AgentLine, Fault, Group, Record

FAULTS_PER_CODE = 50
"""How many faults of one code are listed: a file of a hundred thousand faulty lines is no worse than one of fifty."""

KNOWN_FIELDS = frozenset({
    AGENT, ALLOW, DISALLOW,
    "allowaitraining", "cache-delay", "clean-param", "comment", "content-signal", "content-usage", "crawl-delay",
    "disallowaitraining", "host", "license", "noarchive", "nofollow", "noindex", "request-rate", "robot-version",
    "sitemap", "visit-time",
})  # fmt: skip
"""The fields of RFC 9309 and others that are in use, so that meeting one is no fault."""

MARK = "\ufeff"
"""The byte order mark."""

MARK_AS_LATIN1 = "\xef\xbb\xbf"
"""The byte order mark as it looks after its UTF-8 form was decoded as Latin-1."""

# Most lines spell their field in one of these ways, and one string for all of them saves time and memory.
_USUAL = {
    spelling: spelling.lower()
    for spelling in ("User-agent", "User-Agent", "user-agent", "Disallow", "disallow", "Allow", "allow", "Sitemap")
}
_WHITE_SPACE = " \t\r\n\v\f\0"
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\xa0\u3000 \t"
_INVISIBLE_ENDS = frozenset(_INVISIBLE)
_BEGINNINGS = ("/", "*", "")
_FULL_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?]*", re.IGNORECASE)
_COLONLESS = re.compile(rf"({AGENT}|{DISALLOW})(?:[ \t]*=[ \t]*|[ \t]+)(.+)", re.IGNORECASE)
_BEFORE_PATH = re.compile(rf"(?:{DISALLOW}\b)?[\s:=\"']*(?=[/*])", re.IGNORECASE)
_UNESCAPED = re.compile(r"[\"<>\\^`{|}]")
_UNDECODED = re.compile("[\udc80-\udcff]")


class OpenGroup:
    """A group that is being read."""

    __slots__ = ("agents", "intended", "others", "rules")

    def __init__(self) -> None:
        self.agents: list[AgentLine] = []
        self.rules: list[Record] = []
        self.others: list[Record] = []
        self.intended: list[Record] = []

    def close(self) -> Group:
        """The group as a value."""
        return Group(tuple(self.agents), tuple(self.rules), tuple(self.others), tuple(self.intended))


class Cutter:
    """The state of going through a file once, line by line; what it finds is in its attributes."""

    __slots__ = (
        "_counts", "_group", "_index", "_meant", "_starting", "faults", "groups", "meant", "orphans", "records",
    )  # fmt: skip

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.groups: list[OpenGroup] = []
        self.meant: list[OpenGroup] = []
        self.orphans: list[Record] = []
        self.faults: list[Fault] = []
        self._counts: dict[str, int] = {}
        self._group = OpenGroup()
        self._meant: OpenGroup | None = None
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
                self._fault("undecodable-bytes", number, offset)
                text = _escaped(line)
            content, hash_sign, _ = (text if number > 1 else self._after_mark(text)).partition("#")
            head, colon, value = content.partition(":")
            if colon:
                field = _USUAL.get(head) or head.strip(_WHITE_SPACE).lower()
                self._field(number, offset, field, value.strip(_WHITE_SPACE), text)
                if hash_sign and content[-1] not in _WHITE_SPACE:
                    self._cut_by_comment(self.records[-1])
            elif content and not content.isspace():
                self._without_colon(number, offset, content.strip(_WHITE_SPACE), text)
            offset += len(line)

    def _fault(self, code: str, line: int, offset: int) -> None:
        seen = self._counts[code] = self._counts.get(code, 0) + 1
        if seen <= FAULTS_PER_CODE:
            self.faults.append(Fault(code, line, offset))

    def _after_mark(self, text: str) -> str:
        """The first line without its byte order mark, which would hide its field."""
        for code, mark in (("bom", MARK), ("bom-latin1", MARK_AS_LATIN1)):
            if text.startswith(mark):
                self._fault(code, 1, 0)
                return text.removeprefix(mark)
        return text

    def _field(self, number: int, offset: int, field: str, value: str, text: str) -> None:
        if not text.isascii():
            field, value = self._visible(number, offset, field), value.lstrip(_INVISIBLE)
        if field == AGENT and not self._starting:
            self._open()
        elif field == AGENT and self._is_parted():
            self._fault("joined-group", number, offset)
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
        self._group = OpenGroup()
        self.groups.append(self._group)
        self._starting = True

    def _is_parted(self) -> bool:
        """Whether something else than sitemaps, which belong to no group, follows the last `User-agent` line."""
        return next((record.field != AGENT for record in reversed(self.records) if record.field != "sitemap"), False)

    def _visible(self, number: int, offset: int, field: str) -> str:
        """A field name without the invisible characters that editors and copying leave in front of it."""
        shown = field.lstrip(_INVISIBLE)
        if shown != field:
            self._fault("invisible-characters", number, offset)
        return shown

    def _agent(self, record: Record) -> None:
        agent, fault = agent_line(record)
        self._group.agents.append(agent)
        if self._meant is not None and self._meant.rules:
            self._meant = None
        if fault:
            self._fault(fault, record.line, record.offset)
            for name, path in RULE_INSIDE.findall(record.value):
                self._intend(record, path if name.lower() == DISALLOW else "")

    def _rule(self, record: Record) -> None:
        value = record.value
        self._starting = False
        self._group.rules.append(record)
        if self._meant is not None:
            self._meant.rules.append(record)
        if self._index is None:
            self.orphans.append(record)
            self._fault("rule-before-agent", record.line, record.offset)
        if value[:1] not in _BEGINNINGS:
            self._without_slash(record)
        elif _UNESCAPED.search(value):
            self._fault("unescaped-octets", record.line, record.offset)
            self._intend(record, "" if record.allow else _UNESCAPED.sub(_escape, value))
        elif value[-1:] in _INVISIBLE_ENDS:
            self._fault("invisible-characters", record.line, record.offset)
            self._intend(record, "" if record.allow else value.rstrip(_INVISIBLE))

    def _without_slash(self, record: Record) -> None:
        url = _FULL_URL.match(record.value)
        self._fault("full-url-rule" if url else "no-leading-slash", record.line, record.offset)
        meant = _path_of(record.value[url.end() :]) if url else named_path(record.value) or _widest_path(record.value)
        self._intend(record, "" if record.allow else meant)

    def _intend(self, record: Record, path: str) -> None:
        """Keep a refusal that was meant, where there is one."""
        if path:
            self._group.intended.append(record._replace(field=DISALLOW, value=path, group=self._index))

    def _unknown(self, record: Record) -> None:
        meant = meant_field(record.field)
        self._fault("misspelt-field" if meant else "unknown-field", record.line, record.offset)
        self._intend(record, record.value if meant == DISALLOW else "")
        if meant == AGENT:
            self._address(record)

    def _address(self, record: Record) -> None:
        """Keep whom a line was meant to address that is no `User-agent` line; the rules behind it are for them."""
        if self._meant is None or self._meant.rules:
            self._meant = OpenGroup()
            self.meant.append(self._meant)
        self._meant.agents.append(agent_line(record)[0])

    def _without_colon(self, number: int, offset: int, content: str, text: str) -> None:
        self._fault("no-colon", number, offset)
        written = _COLONLESS.fullmatch(content)
        if written:
            record = Record(number, offset, written[1].lower(), written[2], text.rstrip("\r\n"), None)
            if record.field == AGENT:
                self._address(record)
            else:
                self._intend(record, record.value)

    def _cut_by_comment(self, record: Record) -> None:
        if record.value and record.field in (DISALLOW, ALLOW):
            self._fault("hash-in-path", record.line, record.offset)


def named_path(value: str) -> str:
    """The path of a rule behind a second colon, a second field name or a quotation mark; empty: it begins with none."""
    before = _BEFORE_PATH.match(value)
    return value[before.end() :].rstrip("\"'") if before else ""


def meant_field(field: str) -> str | None:
    """The known field that a name is one slip away from.

    A slip is a letter left out, doubled, wrong or swapped with its neighbour, a name that lost its beginning, or one
    behind other text on the line. Cheap, because a hostile file can have a hundred thousand names.
    """
    return _slip(field) if 3 <= len(field) <= 40 else None


@lru_cache(maxsize=4096)
def _slip(field: str) -> str | None:
    for known, shortened in _SHORTENED.items():
        if field.endswith(known) or (len(field) > 4 and known.endswith(field)) or field in shortened:
            return known
        if abs(len(field) - len(known)) < 2:
            shorter = _one_letter_less(field)
            if known in shorter or not shortened.isdisjoint(shorter):
                return known
    return None


def _one_letter_less(word: str) -> frozenset[str]:
    return frozenset(word[:at] + word[at + 1 :] for at in range(len(word)))


_SHORTENED = {known: _one_letter_less(known) for known in (AGENT, DISALLOW, ALLOW, "sitemap")}


def _escaped(line: bytes) -> str:
    """A line that is not UTF-8, with its undecodable bytes as percent escapes, which is what a URL would hold."""
    text = line.decode("utf-8", "surrogateescape")
    return _UNDECODED.sub(lambda found: f"%{ord(found.group()) - 0xDC00:02X}", text)


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"


def _path_of(rest: str) -> str:
    """What follows the host of a URL, as a path."""
    return rest if rest.startswith("/") else "/" + rest


def _widest_path(value: str) -> str:
    """The widest path that the author of a rule without a leading slash can have had in mind."""
    return ("*" if value[0] in ".?&=" else "/") + value
