"""Whom a `User-agent` line names (RFC 9309 section 2.2.1), and whom it may have been meant to name."""

from __future__ import annotations

import re

from optout.syntax.robots_records import EVERYONE, AgentLine, Record

RULE_INSIDE = re.compile(r"\b(allow|disallow)[ \t]*:[ \t]*(\S*)", re.IGNORECASE)
"""A rule that was written behind a product token on the same line."""

# The group is what the alphabet of the RFC, which has no digits, leaves of a token.
_TOKEN = re.compile(r"(?=[A-Za-z0-9_-])([A-Za-z_-]*)[A-Za-z0-9_-]*")
_SEPARATORS = re.compile(r"[\s,;|]+")
_QUOTES = "\"'(+"

# A product with its version, as a full User-Agent header names several.
_PRODUCT = re.compile(r"(?<![\w-])([A-Za-z][A-Za-z0-9_-]*)/v?[0-9]")

# Characters that look like a hyphen and come in with text copied from a typeset page.
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d", "-"))


def product_token(text: str) -> str:
    """The product token at the start of a string, in lower case: `CCBot/2.0` gives `ccbot`; empty: there is none.

    Digits are allowed although RFC 9309 section 2.2.1 has none, because real tokens such as `AI2Bot` have them. A `*`
    counts where nothing or white space follows it.
    """
    return _cut(text)[0]


def agent_line(record: Record) -> tuple[AgentLine, str]:
    """Read a `User-agent` record, and give the code of what is wrong with it, if anything is."""
    value = record.value
    token, strict = _cut(value)
    if len(token) == len(value):
        return AgentLine(value, record.line, record.offset, token, strict, "", ()), "" if value else "agent-empty"
    after = value[len(token) :].strip()
    fault = _fault(token, after, value)
    listed = _products(value) if fault == "agent-with-version" else _listed(value)
    return AgentLine(value, record.line, record.offset, token, strict, after, listed), fault


def _cut(text: str) -> tuple[str, str]:
    """The token at the start of a text, and what the RFC leaves of it where that is less; empty: there is none."""
    found = _TOKEN.match(text)
    if found is None:
        return (EVERYONE if text[:1] == EVERYONE and (len(text) == 1 or text[1].isspace()) else ""), ""
    token, letters = found.group().lower(), found.end(1)
    return token, token[:letters] if letters < len(token) else ""


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


def _products(value: str) -> tuple[str, ...]:
    """The products of a full User-Agent header, `Mozilla/5.0 (compatible; ExampleBot/1.0)`; none where it has one."""
    named = tuple(dict.fromkeys(product_token(name) for name in _PRODUCT.findall(value)))
    return named if len(named) > 1 else ()


def _listed_token(word: str) -> str:
    """The token of one word of a list: `*<br/>` is everyone, while `*ExampleBot*` is that bot."""
    bare = word.lstrip(EVERYONE)
    return product_token(bare) or (EVERYONE if bare != word else "")
