"""What an origin says, made ready for many URLs: compiled once for each distinct content, whoever has it.

`Site` is the compiled form of the engine with its verdicts told as outcomes. It adds nothing to the meaning: every
outcome is that of a verdict of `optout.engine.CompiledOrigin`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from optout import engine
from optout.audit.matcher import Matcher
from optout.audit.outcomes import Outcomes, outcome_of
from optout.audit.second import Second, when_to_ask
from optout.engine.precedence import pattern_of
from optout.model import RESOURCE, Coverage, Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optout.audit.locate import Located
    from optout.engine import CompiledOrigin, Ranked
    from optout.identity import Identity
    from optout.model import Exchange, Verdict
    from optout.policy import Policy
    from optout.syntax.patterns import Pattern

    Load = Callable[[], Sequence[Exchange]]

COMPILED_KEPT = 2_048
"""How many origins are kept in the engine's own form; the others are compiled again when something new comes up."""


class Site:
    """One content of an origin's signal files, under one policy."""

    def __init__(self, key: str, view: View, load: Load) -> None:
        """Compile it and put its tables together."""
        exchanges = load()
        self.key = key
        self._view = view
        self._load = load
        compiled = view.keep(key, lambda: exchanges)
        self._own = len(compiled.ranked)
        others = [group.ranked for group in compiled._others]  # noqa: SLF001
        self.matcher = Matcher([_patterns(order) for order in (*compiled.ranked, *others)])
        asked = bool(compiled._second)  # noqa: SLF001
        self.second = when_to_ask(exchanges, compiled.ranked, view.identity.token) if asked else Second.NEVER
        self._numbers: list[int] = []
        self._dissents: dict[int, int] = {}
        self.constant = self.matcher.constant and self.second is not Second.ALWAYS

    def compiled(self) -> CompiledOrigin:
        """The engine's own form."""
        return self._view.keep(self.key, self._load)

    def outcome(self, combination: int) -> int:
        """The number of the outcome of a combination of rules, the second reader left aside."""
        numbers = self._numbers
        while len(numbers) <= combination:
            numbers.append(-1)
        if numbers[combination] < 0:
            key = self.matcher.keys[combination]
            verdict = self.compiled()._origin_verdict(key[: self._own], key[self._own :])  # noqa: SLF001
            numbers[combination] = self._view.number(verdict)
        return numbers[combination]

    @property
    def delicate(self) -> bool:
        """Whether a constant site may answer otherwise for the URL of robots.txt, or for odd URLs."""
        return bool(self.matcher.exact) or self.second is not Second.NEVER

    @property
    def usual(self) -> int:
        """The number of the outcome of every target but those in `matcher.exact`, where the site is constant."""
        return self.outcome(self.matcher.widest)

    def judge(self, located: Located, rows: np.ndarray) -> np.ndarray:
        """The numbers of the outcomes of rows that all belong here."""
        combinations = self.matcher.match_all(located.targets(rows))
        known = {combination: self.outcome(combination) for combination in set(combinations)}
        numbers = np.array([known[combination] for combination in combinations], np.int32)
        if self.second is not Second.NEVER:
            self.ask(located, rows, np.array(combinations), numbers)
        return numbers

    def ask(self, located: Located, rows: np.ndarray, combinations: np.ndarray, numbers: np.ndarray) -> None:
        """Put in what the second reader adds, for rows that it must be asked about."""
        outcomes = self._view.outcomes.all
        for at in np.flatnonzero(located.odd[rows]) if self.second is Second.ODD else range(len(rows)):
            if outcomes[numbers[at]].access is Effect.PERMIT:
                url = located.url(int(rows[at]))
                numbers[at] = self._second_outcome(url, int(combinations[at]), int(numbers[at]))

    def _second_outcome(self, url: str, combination: int, number: int) -> int:
        if not any(forbids(url) for forbids in self.compiled()._second):  # noqa: SLF001
            return number
        if combination not in self._dissents:
            self._dissents[combination] = self._view.number(self.compiled().decide(url))
        return self._dissents[combination]

    def judge_page(self, url: str, page: Sequence[Exchange]) -> int:
        """The number of the outcome of one URL with what its page says."""
        return self._view.number(self.compiled().decide(url, page))


class View:
    """One policy and identity, with the sites that were compiled under them."""

    def __init__(self, policy: Policy, identity: Identity, outcomes: Outcomes) -> None:
        """Begin with no sites."""
        self.policy, self.identity, self.outcomes = policy, identity, outcomes
        self._sites: dict[str, Site] = {}
        self._waiting: dict[str, Load] = {}
        self._compile: Callable[[str], CompiledOrigin] = lru_cache(maxsize=COMPILED_KEPT)(self._compiled)

    def site(self, key: str, load: Load) -> Site:
        """The site of a content.

        Args:
            key: names the content; equal contents have equal keys.
            load: gives the content where it is needed.
        """
        site = self._sites.get(key)
        if site is None:
            site = self._sites[key] = Site(key, self, load)
        return site

    def number(self, verdict: Verdict) -> int:
        """The number of what a verdict comes to."""
        return self.outcomes.number(outcome_of(verdict, self.policy))

    def telling(self, page: Sequence[Exchange]) -> bool:
        """Whether any of what a page is can carry a signal."""
        return any(item.role != RESOURCE or engine.carries_signals(item, self.policy) for item in page)

    def page_alone(self, url: str, page: Sequence[Exchange]) -> int:
        """The number of what a page says where nothing is known about its origin."""
        compiled = self.keep("", lambda: ())
        bare = replace(compiled, ground=replace(compiled.ground, coverage=Coverage()))
        return self.number(bare.decide(url, page))

    def keep(self, key: str, load: Load) -> CompiledOrigin:
        """The compiled form of a content, from the last ones that were used where it is among them."""
        self._waiting[key] = load
        try:
            return self._compile(key)
        finally:
            del self._waiting[key]

    def _compiled(self, key: str) -> CompiledOrigin:
        return engine.compile(self._waiting[key](), self.policy, self.identity)


def _patterns(order: Ranked) -> list[Pattern]:
    return [pattern_of(bound.statement.pattern) for bound in order.bounds]
