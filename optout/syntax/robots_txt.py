"""robots.txt as records, groups and rules (RFC 9309), without any opinion on what they reserve.

Bytes come in, because bytes are the evidence: every record keeps its line, its byte offset and its text. Only CR, LF
and CRLF end a line. Records that RFC 9309 does not know stay in their group, for the protocols that do know them, and
never end a run of `User-agent` lines. What the letter of the RFC ignores although its author plainly meant a refusal
is kept apart (`Group.intended`, `AgentLine.listed`, `RobotsFile.orphans`), so that a policy can choose to honour it.

No file raises: whatever is wrong with one is a `Fault` with one of the codes in `PROBLEMS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

from optout.syntax.patterns import PatternTable, specificity_order
from optout.syntax.robots_agents import product_token
from optout.syntax.robots_lines import KNOWN_FIELDS, MARK, MARK_AS_LATIN1, Cutter, named_path
from optout.syntax.robots_records import (
    AGENT,
    ALLOW,
    DISALLOW,
    EVERYONE,
    PROBLEMS,
    AgentLine,
    Fault,
    Group,
    Record,
    RobotsFile,
)

__all__ = [
    "AGENT",
    "ALLOW",
    "DEFAULT_LIMIT",
    "DISALLOW",
    "EVERYONE",
    "PROBLEMS",
    "AgentLine",
    "Fault",
    "Group",
    "Record",
    "RobotsFile",
    "Rules",
    "named_path",
    "parse",
    "product_token",
    "rule_for",
    "rules_for",
    "select",
]

DEFAULT_LIMIT = 512_000
"""Bytes of a file that are read where the caller does not say: 500 KiB, the least RFC 9309 section 2.5 allows."""

_LOOKS = (
    ("utf16-body", re.compile(rb"\xff\xfe|\xfe\xff|(?:[\x01-\x7f]\0){4}|(?:\0[\x01-\x7f]){4}")),
    ("binary-body", re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|PK\x03\x04|%PDF-|\x1f\x8b|[^\0]{0,1023}\0")),
    ("html-body", re.compile(rb"(?is)\s*(?:<!--.{0,300}?-->\s*)?<(?:!doctype|html|head|body|\?xml)\b")),
    ("json-body", re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[\"\[\]{])")),
)
_MARKUP = re.compile(rb"\s*<[a-z!?]", re.IGNORECASE)
_NONSENSE = frozenset({"misspelt-field", "no-colon", "unknown-field"})
_MARKS = (MARK.encode(), MARK_AS_LATIN1.encode())


@lru_cache(maxsize=4)
def parse(body: bytes, limit: int = DEFAULT_LIMIT) -> RobotsFile:
    """Cut a robots.txt. The last few files are kept, so that several protocols can read one without cutting it again.

    Args:
        body: the bytes received, content codings removed.
        limit: how many of them to read (RFC 9309 section 2.5). A line that the limit cuts is dropped, because half a
            rule is another rule. Less than none: the body was cut before, and nothing is left of it.
    """
    readable, truncated = _within(body, limit)
    cutter = Cutter()
    cutter.cut(readable)
    faults = [Fault("truncated", 1, 0)] if truncated else []
    look = _look(readable, cutter)
    if look:
        faults.append(Fault(look, 1, 0))
        if not cutter.groups:
            meant = _in_utf16(readable) if look == "utf16-body" else ()
            return RobotsFile(meant=meant, faults=tuple(faults), truncated=truncated)
    return RobotsFile(
        tuple(cutter.records),
        tuple(group.close() for group in cutter.groups),
        tuple(cutter.orphans),
        tuple(group.close() for group in cutter.meant),
        (*faults, *cutter.faults),
        truncated,
    )


def _in_utf16(body: bytes) -> tuple[Group, ...]:
    """The groups of a file in UTF-16, their records at the offsets of the bytes that were received."""
    mark = body[:2] if body[:2] in (b"\xff\xfe", b"\xfe\xff") else b""
    codec = "utf-16-be" if mark == b"\xfe\xff" or body[:1] == b"\0" else "utf-16-le"
    lines = body[len(mark) :].decode(codec, "replace").encode().splitlines(keepends=True)
    cutter = Cutter()
    cutter.cut(b"".join(lines))
    widths = (len(line.decode().encode(codec)) for line in lines)
    offsets = list(accumulate(widths, initial=len(mark)))
    return tuple(_moved(group.close(), offsets) for group in (*cutter.groups, *cutter.meant))


def _moved(group: Group, offsets: Sequence[int]) -> Group:
    def moved(records: Iterable[Record]) -> tuple[Record, ...]:
        return tuple(record._replace(offset=offsets[record.line - 1]) for record in records)

    agents = tuple(agent._replace(offset=offsets[agent.line - 1]) for agent in group.agents)
    return Group(agents, moved(group.rules), moved(group.others), moved(group.intended))


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


@lru_cache(maxsize=4)
def rules_for(file: RobotsFile, token: str) -> Rules:
    """The merged rules that govern a crawler."""
    return Rules(record for group in select(file, token) for record in group.rules)


def rule_for(file: RobotsFile, token: str, target: str) -> Record | None:
    """The rule that decides whether a crawler may fetch a target, by the letter of RFC 9309; None: it may."""
    return rules_for(file, token).first(target)


def _within(body: bytes, limit: int) -> tuple[bytes, bool]:
    """The part of a body that is read, in whole lines, and whether that is not all of it."""
    if len(body) <= limit:
        return body, False
    if not body:
        # Somebody has dropped all of it: its first line had no end.
        return body, True
    if body[limit] in b"\r\n":
        return body[:limit], True
    return body[: max(body.rfind(b"\n", 0, limit), body.rfind(b"\r", 0, limit)) + 1], True


def _look(body: bytes, cutter: Cutter) -> str | None:
    """The code for a body that is something else than a robots.txt."""
    head = body[:1024]
    for mark in _MARKS:
        head = head.removeprefix(mark)
    for code, pattern in _LOOKS:
        if pattern.match(head):
            return code
    # What follows is guesswork, and one line of sense outweighs it.
    if any(record.field in KNOWN_FIELDS for record in cutter.records) or _NONSENSE.isdisjoint(
        fault.code for fault in cutter.faults
    ):
        return None
    return "html-body" if _MARKUP.match(head) else "text-body"
