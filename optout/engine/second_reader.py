"""The second reader of robots.txt: an independent parser that may only forbid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optout.engine.binding import Bound
from optout.engine.conclusion import conclude
from optout.engine.precedence import ALL_PURPOSES, Winner
from optout.engine.reading import ROBOTS, ROBOTS_ROLE
from optout.model import Availability, Place, Problem, Purpose, Scope, Statement, reserve
from optout.policy import SecondReading
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optout.engine.conclusion import Ground
    from optout.engine.others import Refusals
    from optout.engine.reading import Read
    from optout.identity import Identity
    from optout.model import Verdict
    from optout.policy import Policy

SECOND_READER_FORBIDS = Problem("robots.second-reader-forbids", Place(ROBOTS_ROLE))
"""The record that an independent reader of robots.txt forbids what ours allows."""


def second_readers(reads: Sequence[Read], policy: Policy, identity: Identity) -> tuple[Callable[[str], bool], ...]:
    """Independent predicates 'this URL is forbidden', where the policy asks for them.

    A token that never fetches is not asked about: a second reader knows crawl rules only.
    """
    agent = policy.agents.get(identity.key)
    if policy.second_reader is SecondReading.OFF or (agent is not None and agent.never_fetches):
        return ()
    return tuple(
        item.protocol.second_reader(item.exchange, identity.token)
        for item in reads
        if item.protocol.second_reader is not None and item.exchange.availability is Availability.RETRIEVED
    )


def with_second_reading(winners: Sequence[Winner], ground: Ground, others: Refusals) -> Verdict:
    """What becomes of a verdict that allows the fetch where the second reader forbids it."""
    place = Place(ROBOTS_ROLE)
    reads_on = SecondReading.DENY is ground.policy.second_reader
    statement = Statement(
        reason="robots.second-reader",
        place=place,
        value="an independent reader of this robots.txt forbids the URL",
        states=reserve(*Purpose) if reads_on else (),
        refuses_access=reads_on,
    )
    dissent = Bound(PROTOCOLS[ROBOTS], statement, Scope.EVERYONE, advisory=not reads_on)
    noted = replace(ground, problems=(*ground.problems, SECOND_READER_FORBIDS))
    return conclude((*winners, Winner(dissent, ALL_PURPOSES)), others, noted)
