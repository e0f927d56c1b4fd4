"""Deciding on one URL, plainly; and preparing an origin so that its URLs are decided on in microseconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from optout.engine.binding import bind
from optout.engine.conclusion import Ground, conclude, prepare_ground
from optout.engine.others import OtherAgents, other_agents, refused
from optout.engine.precedence import Ranked, Winner, plain_winners, rank, table_of
from optout.engine.reading import SPEAKING, carries_signals, documents, read, read_anew, unreached, unreadable
from optout.engine.second_reader import second_readers, with_second_reading
from optout.model import RESOURCE, Coverage, Effect, Verdict
from optout.syntax.patterns import PatternTable
from optout.urls import match_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optout.engine.others import Refusals
    from optout.engine.reading import Documents, Reader
    from optout.identity import Identity
    from optout.model import Exchange
    from optout.policy import Policy

MOST_VERDICTS = 4_096
"""How many verdicts an origin keeps; a hostile file could have as many as rules."""


def decide(exchanges: Sequence[Exchange], url: str, policy: Policy, identity: Identity) -> Verdict:
    """Decide on one URL from everything that was seen of its origin and of itself.

    Args:
        exchanges: of the well-known files, of the documents these point to, and, once it was fetched, of the
            resource; each with its role.
        url: the absolute URL to decide on.
        policy: the policy in force.
        identity: who we are.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    target = match_target(url)
    origin = [exchange for exchange in exchanges if exchange.role not in SPEAKING]
    page = [exchange for exchange in exchanges if exchange.role in SPEAKING]
    reads = read(origin, policy)
    ground = prepare_ground(reads, origin, policy, identity)
    others = refused(other_agents(reads, policy, identity), lambda _, ranked: ranked.plain_winner(target))
    winners = plain_winners(rank(bind(reads, documents(reads), policy, identity)), target)
    closer, ground = _page_winners(page, documents(reads), target, ground)
    return _verdict(url, [*winners, *closer], others, ground, second_readers(reads, policy, identity))


def _telling(page: Sequence[Exchange], policy: Policy) -> list[Exchange]:
    """What of a page and its parts can make a difference: what may speak, and what nobody could look at."""
    return [
        exchange
        for exchange in page
        if exchange.role != RESOURCE or exchange.error is not None or carries_signals(exchange, policy)
    ]


def _page_winners(
    page: Sequence[Exchange], known: Documents, target: str, ground: Ground
) -> tuple[list[Winner], Ground]:
    """What headers, page and asset add, and the ground with their problems and digests."""
    telling = _telling(page, ground.policy)
    if not telling:
        return [], ground
    reads = read(telling, ground.policy)
    bounds = bind(reads, {**known, **documents(reads)}, ground.policy, ground.identity)
    added = prepare_ground(reads, telling, ground.policy, ground.identity)
    wider = replace(
        ground,
        problems=tuple(dict.fromkeys(ground.problems + added.problems)),
        coverage=Coverage(ground.coverage.carriers + unreached(telling) + unreadable(reads)),
        digests=replace(ground.digests, exchanges=ground.digests.exchanges + added.digests.exchanges),
    )
    return plain_winners(rank(bounds), target), wider


def _verdict(
    url: str,
    winners: Sequence[Winner],
    others: Refusals,
    ground: Ground,
    second: Sequence[Callable[[str], bool]],
) -> Verdict:
    verdict = conclude(winners, others, ground)
    if verdict.access is Effect.PERMIT and any(forbids(url) for forbids in second):
        return with_second_reading(winners, ground, others)
    return verdict


@dataclass(frozen=True)
class CompiledOrigin:
    """What an origin says site-wide, ready to be applied to its URLs in microseconds.

    Attributes:
        ground: the policy, identity, coverage, problems and digests that every verdict shares.
        ranked: the statements that address us, each group in its order of precedence.
    """

    ground: Ground
    ranked: tuple[Ranked, ...]
    _known: Documents
    _others: tuple[OtherAgents, ...]
    _second: tuple[Callable[[str], bool], ...]
    _verdicts: dict[tuple[int, ...], Verdict] = field(default_factory=dict)

    # Made at the first question: an audit puts its own tables together and asks these about few URLs.

    @cached_property
    def _tables(self) -> tuple[PatternTable, ...]:
        return tuple(table_of(order) for order in self.ranked)

    @cached_property
    def _other_tables(self) -> tuple[PatternTable, ...]:
        return tuple(table_of(group.ranked) for group in self._others)

    def decide(self, url: str, page: Sequence[Exchange] = ()) -> Verdict:
        """Decide on one URL of this origin.

        Args:
            url: absolute.
            page: the exchange of the resource, once it was fetched, and of the documents that it points to.

        Raises:
            MalformedUrl: the URL names no origin.
        """
        target = match_target(url)
        key = tuple([table.first(target) for table in self._tables])
        other_key = tuple([table.first(target) for table in self._other_tables])
        telling = _telling(page, self.ground.policy) if page else []
        if telling or self._second:
            return self._decide_closer(url, target, key, other_key, telling)
        return self._origin_verdict(key, other_key)

    def _origin_verdict(self, key: tuple[int, ...], other_key: tuple[int, ...]) -> Verdict:
        """The verdict of the origin alone; the same winners always give the same verdict."""
        verdict = self._verdicts.get(key + other_key)
        if verdict is None:
            if len(self._verdicts) >= MOST_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[key + other_key] = self.verdict_of(key, other_key)
        return verdict

    def verdict_of(self, key: tuple[int, ...], other_key: tuple[int, ...]) -> Verdict:
        """The verdict where these statements count, made anew and not kept.

        Args:
            key: of each of `ranked`, which of its statements counts; -1 where none does.
            other_key: the same of what is said to other AI crawlers.
        """
        return conclude(self._winners(key), self._refused(other_key), self.ground)

    def _decide_closer(
        self, url: str, target: str, key: tuple[int, ...], other_key: tuple[int, ...], page: Sequence[Exchange]
    ) -> Verdict:
        """The verdict with what the page adds and what the second reader of robots.txt says."""
        if not page:
            verdict = self._origin_verdict(key, other_key)
            if verdict.access is not Effect.PERMIT or not any(forbids(url) for forbids in self._second):
                return verdict
        closer, ground = _page_winners(page, self._known, target, self.ground)
        return _verdict(url, [*self._winners(key), *closer], self._refused(other_key), ground, self._second)

    def _winners(self, key: tuple[int, ...]) -> list[Winner]:
        pairs = zip(self.ranked, key, strict=True)
        return [Winner(ranked.bounds[index], ranked.purposes) for ranked, index in pairs if index >= 0]

    def _refused(self, key: tuple[int, ...]) -> Refusals:
        return refused(self._others, lambda number, _: key[number])


def compile(
    exchanges: Sequence[Exchange], policy: Policy, identity: Identity, reader: Reader = read_anew
) -> CompiledOrigin:
    """Read an origin's exchanges once, so that its URLs can be decided on quickly.

    Args:
        exchanges: of the well-known files and of the documents these point to.
        policy: the policy in force.
        identity: who we are.
        reader: gives what a protocol reads in an exchange; see `optout.engine.read`.
    """
    reads = read(exchanges, policy, reader)
    known = documents(reads)
    ranked = rank(bind(reads, known, policy, identity))
    others = other_agents(reads, policy, identity)
    return CompiledOrigin(
        ground=prepare_ground(reads, exchanges, policy, identity),
        ranked=ranked,
        _known=known,
        _others=others,
        _second=second_readers(reads, policy, identity),
    )
