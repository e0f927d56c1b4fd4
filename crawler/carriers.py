"""Where in a response the protocols of a policy may speak, and how much of it is kept as evidence."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from optout.policy import Mode
from optout.signals import PROTOCOLS
from optout.syntax.html_head import read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.model import Exchange
    from optout.policy import Policy
    from optout.protocol import Protocol


def header_fields(policy: Policy) -> frozenset[bytes]:
    """The header fields that protocols read, as Scrapy writes their names."""
    return frozenset(name.title().encode("ascii") for protocol in _read(policy) for name in protocol.header_fields)


def excerpt(page: Exchange, policy: Policy) -> Exchange:
    """A page up to the end of its last element that speaks; of a page that speaks only in its headers, no body.

    That is enough to repeat the decision, and no more of the work than that.
    """
    content_type = next((value for name, value in page.headers if name.lower() == "content-type"), None)
    head = read_head(page.body, content_type, words=_words(frozenset(protocol.name for protocol in _read(policy))))
    starts = [meta.offset for meta in head.metas] + [link.offset for link in head.links]
    ends = [page.body.find(b">", start) for start in starts]
    if head.scripts:
        lower = page.body.lower()
        ends += [lower.find(b"</script", script.offset) for script in head.scripts]
    end = len(page.body) if -1 in ends else max(ends, default=-1) + 1
    return replace(page, body=page.body[:end], truncated=page.truncated or end < len(page.body))


def _read(policy: Policy) -> Iterator[Protocol]:
    return (protocol for protocol in PROTOCOLS.values() if policy.mode(protocol.name) is not Mode.OFF)


@lru_cache(maxsize=16)
def _words(names: frozenset[str]) -> frozenset[bytes]:
    return frozenset().union(*(PROTOCOLS[name].page_words for name in names))
