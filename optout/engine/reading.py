"""Step 1: every protocol reads the exchanges that are its own, and coverage says what could not be looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from optout.model import ASSET, RESOURCE, Availability, Coverage
from optout.policy import Mode
from optout.protocol import PageText, Protocol, Registry
from optout.signals import PROTOCOLS
from optout.syntax.html_head import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from optout.model import Exchange, Reading
    from optout.policy import Policy

    Documents = Mapping[tuple[str, str], Reading]
    Reader = Callable[[Protocol, Exchange], Reading]

ROBOTS = "robots-exclusion"
ROBOTS_ROLE = "/robots.txt"
_PARTIAL = 206
_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
SPEAKING = frozenset({RESOURCE, ASSET})
"""Roles of exchanges that are the resource itself or stand inside it."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one protocol read in one exchange."""

    protocol: Protocol
    exchange: Exchange
    reading: Reading


def read_anew(protocol: Protocol, exchange: Exchange) -> Reading:
    """What a protocol reads in an exchange."""
    return protocol.read(exchange)


def read(exchanges: Iterable[Exchange], policy: Policy, reader: Reader = read_anew) -> tuple[Read, ...]:
    """Let every protocol that is not switched off read the exchanges that are its own.

    Args:
        exchanges: to read.
        policy: says which protocols are switched off, and how much of a robots.txt is read; no reading depends on
            anything else.
        reader: gives what a protocol reads in an exchange, for callers who keep it for the next policy.
    """
    return tuple(
        Read(protocol, exchange, reader(protocol, exchange))
        for exchange in (_within_limit(exchange, policy) for exchange in exchanges)
        for protocol in _readers(exchange.role)
        if policy.mode(protocol.name) is not Mode.OFF
    )


@lru_cache(maxsize=256)
def _readers(role: str) -> tuple[Protocol, ...]:
    return tuple(protocol for protocol in PROTOCOLS.values() if role in protocol.roles)


def _within_limit(exchange: Exchange, policy: Policy) -> Exchange:
    """Cut a robots.txt at the last line end within the policy's limit (RFC 9309 section 2.5).

    A file of which a server sent a part by itself, whatever kind it is, was cut as well.
    """
    if exchange.status == _PARTIAL and _is_part(exchange):
        exchange = replace(exchange, truncated=True)
    if exchange.role != ROBOTS_ROLE or len(exchange.body) <= policy.robots_limit:
        return exchange
    head = exchange.body[: policy.robots_limit]
    end = max(head.rfind(b"\n"), head.rfind(b"\r")) + 1
    return replace(exchange, body=head[:end], truncated=True)


def _is_part(exchange: Exchange) -> bool:
    """Whether an answer says that there is more of the file than it holds (RFC 9110 section 14.4)."""
    said = next((value for name, value in exchange.headers if name.lower() == "content-range"), "")
    found = _RANGE.match(said)
    return found is not None and (int(found[1]) > 0 or found[3] == "*" or int(found[2]) + 1 < int(found[3]))


def carries_signals(exchange: Exchange, policy: Policy) -> bool:
    """Whether a page can carry anything at all; False spares the readers, and never a signal.

    Looks for the header fields and statuses that the enforced and observed protocols declare, for elements in which
    one of their words stands, however it is written, and for text that has to be read.
    """
    fields, words, statuses, texts = _screen(_heard(policy))
    if exchange.status in statuses or any(name.lower() in fields for name, _ in exchange.headers):
        return True
    if not exchange.body:
        return False
    content_type = next((value for name, value in exchange.headers if name.lower() == "content-type"), None)
    head = read_head(exchange.body, content_type, words=words)
    if head.metas or head.links or head.scripts or head.problems:
        return True
    return any(text.extent(exchange) for text in texts)


@lru_cache(maxsize=16)
def _screen(
    names: frozenset[str],
) -> tuple[frozenset[str], frozenset[bytes], frozenset[int], tuple[PageText, ...]]:
    protocols = [PROTOCOLS[name] for name in sorted(names)]
    return (
        frozenset().union(*(protocol.header_fields for protocol in protocols)),
        frozenset().union(*(protocol.page_words for protocol in protocols)),
        frozenset().union(*(protocol.statuses for protocol in protocols)),
        tuple(text for protocol in protocols for text in protocol.texts),
    )


def documents(reads: Iterable[Read]) -> Documents:
    """The readings of documents that other exchanges point to, by the protocol that reads them and by URL."""
    return {(item.protocol.name, item.exchange.url): item.reading for item in reads if is_document(item)}


def is_document(item: Read) -> bool:
    """Whether this is a document that speaks only through what points to it; nothing points to an imported list."""
    role = item.exchange.role
    return role not in SPEAKING and not role.startswith("/") and Registry(role) not in item.protocol.carriers


def coverage(exchanges: Iterable[Exchange], policy: Policy) -> Coverage:
    """What became of each well-known file that the policy's enforced protocols ask of an origin."""
    seen = {exchange.role: exchange.availability for exchange in exchanges}
    return Coverage(tuple((path, seen.get(path, Availability.NOT_CONSULTED)) for path in required_paths(policy)))


def required_paths(policy: Policy) -> tuple[str, ...]:
    """The well-known paths that the policy's enforced and observed protocols ask of every origin, robots.txt first."""
    return _well_known(_heard(policy))


def _heard(policy: Policy) -> frozenset[str]:
    """The names of the protocols that a policy does not switch off."""
    return frozenset([name for name in PROTOCOLS if policy.mode(name) is not Mode.OFF])


@lru_cache(maxsize=16)
def _well_known(names: frozenset[str]) -> tuple[str, ...]:
    paths = {path for name in names for path in PROTOCOLS[name].well_known}
    return tuple(sorted(paths, key=lambda path: (path != ROBOTS_ROLE, path)))


def unreached(page: Iterable[Exchange]) -> tuple[tuple[str, Availability], ...]:
    """The resource as a carrier that was to be looked at, where no response came that could be read."""
    return tuple((RESOURCE, item.availability) for item in page if item.role == RESOURCE and item.error is not None)


def unreadable(reads: Iterable[Read]) -> tuple[tuple[str, Availability], ...]:
    """The asset as a carrier that could not be reached, where metadata in it exists and cannot be read."""
    lost = any(item.exchange.role == ASSET and not item.reading.valid for item in reads)
    return ((ASSET, Availability.UNREACHABLE),) if lost else ()
