"""Whom a `User-agent` line names (RFC 9309 section 2.2.1), and whom it may have been meant to name."""

from __future__ import annotations

import re

from optout.syntax.robots_records import EVERYONE, AgentLine, Record

RULE_INSIDE = re.compile(r"\b(allow|disallow)[ \t]*:[ \t]*(\S*)", re.IGNORECASE)
"""A rule that was written behind a product token on the same line."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_RFC_TOKEN = re.compile(r"[a-z_-]+")
_SEPARATORS = re.compile(r"[\s,;|]+")
_QUOTES = "\"'(+"

# Characters that look like a hyphen and come in with text copied from a typeset page.
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d", "-"))


def product_token(text: str) -> str:
    """The product token at the start of a string, in lower case: `CCBot/2.0` gives `ccbot`; empty: there is none.

    Digits are allowed although RFC 9309 section 2.2.1 has none, because real tokens such as `AI2Bot` have them. A `*`
    counts where nothing or white space follows it.
    """
    found = _TOKEN.match(text)
    if found:
        return found.group().lower()
    return EVERYONE if text[:1] == EVERYONE and (len(text) == 1 or text[1].isspace()) else ""


def agent_line(record: Record) -> tuple[AgentLine, str]:
    """Read a `User-agent` record, and give the code of what is wrong with it, if anything is."""
    value = record.value
    token = product_token(value)
    if len(token) == len(value):
        return AgentLine(value, record.line, record.offset, _names(token)), "" if value else "agent-empty"
    after = value[len(token) :].strip()
    fault = _fault(token, after, value)
    listed = () if fault == "agent-with-version" else _listed(value)
    return AgentLine(value, record.line, record.offset, _names(token), after, listed), fault


def _names(token: str) -> tuple[str, ...]:
    """The token that a line names, and the one that is left of it by the alphabet of the RFC, which has no digits."""
    if token.isalpha() or not token:
        return (token,) if token else ()
    strict = _RFC_TOKEN.match(token)
    return (token,) if strict is None or strict.end() == len(token) else (token, strict.group())


def _fault(token: str, after: str, value: str) -> str:
    if RULE_INSIDE.search(value):
        return "rule-on-agent-line"
    if not token:
        return "agent-unusable"
    if after.startswith("/"):
        return "agent-with-version"
    return "agent-list" if after[:1] in (",", ";", "|") else "agent-with-spaces"


def _listed(value: str) -> tuple[str, ...]:
    """The token of every word before a rule on the same line, in order and once each."""
    inside = RULE_INSIDE.search(value)
    words = _SEPARATORS.split((value[: inside.start()] if inside else value).translate(_DASHES))
    return tuple(dict.fromkeys(token for word in words if (token := _listed_token(word.lstrip(_QUOTES)))))


def _listed_token(word: str) -> str:
    return product_token(word) or (EVERYONE if word.startswith(EVERYONE) else "")
