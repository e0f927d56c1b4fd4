"""The Atom feed (RFC 4287) by which rightsholders learn of changes to our crawlers (Measure 1.3(4)).

Each configuration that a log shows is an entry, with the day from which it was in force and what was different
before; a change that the registry announces for a later day is an entry of its own.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from policies.crawler_settings import changes, described, narrows, planned
from policies.document import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from policies.crawler_settings import Change, Settings
    from policies.facts import Facts

AHEAD_DAYS = 14
"""How long before it begins rightsholders should hear of what narrows the handling of opt-outs."""


def atom(history: Sequence[Settings], facts: Facts) -> bytes:
    """The feed, newest entry first; the same log gives the same bytes.

    Args:
        history: at least one configuration, in the order in which they came into force.
        facts: for the provider's name and the page's address.
    """
    entries = [text for one in reversed(list(_entries(history))) for text in one]
    page = next((crawler.page for crawler in facts.crawlers or () if crawler.page), None)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">',
        f"<id>{_text(_tag(history[0], 'feed'))}</id>",
        "<title>Changes to our crawlers</title>",
        f"<updated>{_time(history[-1].begin)}</updated>",
        f"<author><name>{_text(facts.provider.name or history[-1].identity.token)}</name></author>",
    ]
    if page and page.lower().startswith(("https://", "http://")):
        lines.append(f'<link rel="alternate" type="text/html" href={quoteattr(visible(page))}/>')
    return ("\n".join([*lines, *entries, "</feed>"]) + "\n").encode()


def _entries(history: Sequence[Settings]) -> Iterator[list[str]]:
    before: dict[str, Mapping[str, str]] = {}
    for one in history:
        after, token = described(one), one.identity.key
        different = changes(before.get(token, {}), after)
        if different:
            yield from _announcements(one)
            yield _entry(one, different, first=token not in before)
        before[token] = after


def _entry(one: Settings, different: Sequence[Change], *, first: bool) -> list[str]:
    token = one.identity.token
    title = f"{token}: first configuration on record" if first else f"{token}: {len(different)} settings changed"
    head = f"In force from {_time(one.begin)}. Policy {one.policy.digest}, registry {one.policy.registry_digest}, "
    head += f"identity {one.identity_digest}; log {one.log.origin}."
    body = "\n".join([head, *(_difference(change) for change in different), *_narrowing(different)])
    return _written(_tag(one, f"{one.digest}{_time(one.begin)}"), title, one.begin, body)


def _narrowing(different: Sequence[Change]) -> Iterator[str]:
    """What a log shows has begun already, so an entry that narrows cannot claim that it was announced in time."""
    names = [change.key for change in different if narrows(change)]
    if names:
        yield f"This narrows what opt-outs lead to: {', '.join(names)}."
        yield f"This feed did not announce it {AHEAD_DAYS} days before."


def _announcements(one: Settings) -> Iterator[list[str]]:
    for name, day in planned(one.policy, one.begin.date()):
        title = f"{one.identity.token}: {name} will be enforced from {day.isoformat()}"
        body = f"In force from {day.isoformat()}. Until then what it says is recorded and does not decide."
        yield _written(_tag(one, f"{one.digest}{name}{day.isoformat()}"), title, one.begin, body)


def _written(identifier: str, title: str, updated: datetime, body: str) -> list[str]:
    return [
        "<entry>",
        f"<id>{_text(identifier)}</id>",
        f"<title>{_text(title)}</title>",
        f"<updated>{_time(updated)}</updated>",
        f'<content type="text">{_lines(body)}</content>',
        "</entry>",
    ]


def _difference(change: Change) -> str:
    if not change.before:
        return f"{change.key}: {change.after or 'none'}"
    return f"{change.key}: {change.before} became {change.after or 'none'}"


def _tag(one: Settings, what: str) -> str:
    """A tag URI (RFC 4151) in the name of the log, for ever the same for the same configuration."""
    authority = one.log.origin.partition("/")[0] or "evidence.invalid"
    name = sha256(f"{one.log.origin} {what}".encode()).hexdigest()[:32]
    return f"tag:{authority},{one.begin.year}:{name}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(text: str) -> str:
    return escape(visible(text))


def _lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.splitlines())
