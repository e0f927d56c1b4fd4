"""Steps 3 and 4: statements in the order in which the first that matches a path counts, and which one does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from optout.model import Leniency, Purpose, State
from optout.protocol import Precedence
from optout.syntax.patterns import Pattern, PatternTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optout.engine.binding import Bound
    from optout.model import Statement

ALL_PURPOSES = frozenset(Purpose)
RESTRICTIVE_FIRST = {State.RESERVED: 0, State.PERMITTED: 1, State.UNSPECIFIED: 2}
_EVERYWHERE = Pattern("*")
_READ_APART = frozenset({Leniency.AGENT_LISTS, Leniency.ROBOTS_TRUNCATED, Leniency.UNLICENSED})


@dataclass(frozen=True, slots=True)
class Ranked:
    """Statements in the order in which the first that matches a path counts, for these purposes only."""

    bounds: tuple[Bound, ...]
    purposes: frozenset[Purpose]

    def plain_winner(self, target: str) -> int:
        """The index of the statement that counts, found by looking at one after the other; -1 for none."""
        for index, bound in enumerate(self.bounds):
            if pattern_of(bound.statement.pattern).matches(target):
                return index
        return -1


class Winner(NamedTuple):
    """A statement that counts for a URL, for these purposes."""

    bound: Bound
    purposes: frozenset[Purpose]

    def states(self) -> Iterable[tuple[Purpose, State]]:
        """What it states about those purposes; what it leaves open is not stated."""
        return (
            (purpose, state)
            for purpose, state in self.bound.statement.states
            if purpose in self.purposes and state is not State.UNSPECIFIED
        )


@lru_cache(maxsize=65_536)
def pattern_of(text: str | None) -> Pattern:
    """The pattern of a statement; one without a path matches every URL."""
    return _EVERYWHERE if text is None else Pattern(text)


def _octets(statement: Statement) -> int:
    """How narrow a statement is; one without a path is the widest (AIPREF attach-05: length zero)."""
    return 0 if statement.pattern is None else pattern_of(statement.pattern).octets


def rank(bounds: Sequence[Bound]) -> tuple[Ranked, ...]:
    """Order the statements of each source by their protocol's own rule of precedence.

    Precedence holds within one source (a file, a document, a page); across sources the engine merges.
    """
    sources: dict[tuple[str, str, str, str], list[Bound]] = {}
    for bound in bounds:
        statement = bound.statement
        source = (bound.protocol.name, statement.layer, statement.place.resource, _apart(statement))
        sources.setdefault(source, []).append(bound)
    return tuple(ranked for source in sorted(sources) for ranked in _ranked(sources[source]))


def _apart(statement: Statement) -> str:
    """What is read beside its source: an `Allow` of the letter must not lift it, nor may it hide what decides.

    That holds for groups that only a list of agents addresses to us, for what a cut file may still say, for what a
    licence leaves out, for evidence, and for what a protocol itself sets apart.
    """
    if statement.advisory:
        return "advisory"
    if statement.apart:
        return "apart"
    leniency = statement.leniency
    return leniency if leniency is not None and leniency in _READ_APART else ""


def _ranked(bounds: list[Bound]) -> Iterable[Ranked]:
    match bounds[0].protocol.precedence:
        case Precedence.ALL:
            return [Ranked((bound,), ALL_PURPOSES) for bound in bounds]
        case Precedence.FIRST_IN_FILE:
            return [Ranked(tuple(bounds), ALL_PURPOSES)]
        case Precedence.MOST_OCTETS:
            return [Ranked(tuple(sorted(bounds, key=most_octets)), ALL_PURPOSES)]
        case Precedence.MOST_OCTETS_COMBINED:
            return _per_purpose(dict.fromkeys(Purpose, bounds))
        case Precedence.NARROWEST_PER_PURPOSE:
            return _per_purpose({purpose: _stating(bounds, purpose) for purpose in Purpose})


def most_octets(bound: Bound) -> tuple[int, int]:
    """RFC 9309 section 2.2.2: most octets first; allow wins an equivalent tie."""
    statement = bound.statement
    return -_octets(statement), len(statement.states)


def _stating(bounds: Iterable[Bound], purpose: Purpose) -> list[Bound]:
    """Those that name a purpose, be it only to leave it open."""
    return [bound for bound in bounds if any(named is purpose for named, _ in bound.statement.states)]


def _per_purpose(chosen: Mapping[Purpose, list[Bound]]) -> list[Ranked]:
    """One order a purpose; purposes with the same order share it."""
    orders: dict[tuple[Bound, ...], set[Purpose]] = {}
    for purpose, bounds in chosen.items():

        def restrictive_among_equals(bound: Bound, purpose: Purpose = purpose) -> tuple[int, int]:
            return -_octets(bound.statement), RESTRICTIVE_FIRST[bound.statement.state(purpose)]

        order = tuple(sorted(bounds, key=restrictive_among_equals))
        orders.setdefault(order, set()).add(purpose)
    return [Ranked(order, frozenset(purposes)) for order, purposes in orders.items() if order]


def plain_winners(ranked: Iterable[Ranked], target: str) -> list[Winner]:
    """The statements that count for a target, found by the plain matcher."""
    found = ((order, order.plain_winner(target)) for order in ranked)
    return [Winner(order.bounds[index], order.purposes) for order, index in found if index >= 0]


def table_of(ranked: Ranked) -> PatternTable:
    """The same order, ready to be asked many times."""
    return PatternTable([pattern_of(bound.statement.pattern) for bound in ranked.bounds])
