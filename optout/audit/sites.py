"""What an origin says, made ready for many URLs: compiled once for each distinct content, whoever has it.

`Site` is the compiled form of the engine with its verdicts told as outcomes. It adds nothing to the meaning: every
outcome is that of a verdict of `optout.engine.CompiledOrigin`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from optout import engine
from optout.audit.flat import flatten
from optout.audit.matcher import Matcher
from optout.audit.outcomes import MALFORMED, Outcomes, outcome_of
from optout.audit.second import NONE, doubts_about, reads_alike
from optout.engine.precedence import pattern_of
from optout.model import RESOURCE, Coverage, Effect
from optout.syntax.patterns import NO_MATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from optout.audit.locate import Located
    from optout.engine import CompiledOrigin, Ranked
    from optout.identity import Identity
    from optout.model import Exchange, Verdict
    from optout.policy import Policy
    from optout.syntax.patterns import Pattern

    Load = Callable[[], Sequence[Exchange]]

NO_URL = "https://url.invalid/"
"""Stands for a URL that names no origin; the name can belong to nobody (RFC 2606)."""

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
        asked = bool(compiled._second)  # noqa: SLF001
        self._doubts = doubts_about(exchanges, compiled.ranked, view.identity.token) if asked else NONE
        tables = [_patterns(order) for order in (*compiled.ranked, *others)]
        self.matcher = Matcher([*tables, self._doubts.patterns])
        self._numbers: list[int] = []
        self._dissents: dict[int, int] = {}
        self._flat: Any = None
        self.constant = self.matcher.constant and not self._doubts.patterns

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
            verdict = self.compiled()._origin_verdict(key[: self._own], key[self._own : -1])  # noqa: SLF001
            numbers[combination] = self._view.number(verdict)
        return numbers[combination]

    @property
    def delicate(self) -> bool:
        """Whether a constant site may answer otherwise for the URL of robots.txt, or for odd URLs."""
        return bool(self.matcher.exact) or not self._doubts.never

    @property
    def usual(self) -> int:
        """The number of the outcome of every target but those in `matcher.exact`, where the site is constant."""
        return self.outcome(self.matcher.widest)

    def judge(self, located: Located, rows: np.ndarray) -> np.ndarray:
        """The numbers of the outcomes of rows that all belong here."""
        targets = located.targets(rows)
        combinations = self.matcher.match_all(targets)
        known = {combination: self.outcome(combination) for combination in set(combinations)}
        numbers = [known[combination] for combination in combinations]
        if not self._doubts.never:
            odd = {at for at in np.flatnonzero(located.odd[rows]).tolist() if not reads_alike(targets[at])}
            keys = self.matcher.keys
            doubtful = {combination for combination in known if keys[combination][-1] != NO_MATCH}
            places = [at for at, one in enumerate(combinations) if one in doubtful or at in odd]
            self._ask(located, rows, places, combinations, numbers)
        return np.array(numbers, np.int32)

    def judge_target(self, target: str, url: str) -> int:
        """The number of the outcome of one URL whose target is odd."""
        combination = self.matcher.match(target)
        number = self.outcome(combination)
        if self._doubts.never or self._view.outcomes.all[number].access is not Effect.PERMIT:
            return number
        if reads_alike(target) and self.matcher.keys[combination][-1] == NO_MATCH:
            return number
        return self._second_outcome(url, combination, number)

    def flat(self, kernel: ModuleType) -> Any:  # noqa: ANN401 - a type of the compiled tier
        """The matcher in the form of the compiled tier; made once."""
        if self._flat is None:
            self._flat = kernel.Matcher(flatten(self.matcher))
            if not self._doubts.never:
                self._flat.ask()
        return self._flat

    def resolve(self, number: int, url: Callable[[], str]) -> int:
        """The number of an outcome that the compiled tier does not know yet, or must not know alone.

        Args:
            number: of the combination, by its own count.
            url: gives the URL of the row.
        """
        key = self._flat.key(number)
        combination = self.matcher.number(key)
        outcome = self.outcome(combination)
        if self._doubts.never or key[-1] == NO_MATCH or self._view.outcomes.all[outcome].access is not Effect.PERMIT:
            self._flat.put(number, outcome)
            return outcome
        return self._second_outcome(url(), combination, outcome)

    def _ask(
        self, located: Located, rows: np.ndarray, places: Iterable[int], combinations: list[int], numbers: list[int]
    ) -> None:
        """Put in what the second reader adds at some places of a list of rows."""
        outcomes = self._view.outcomes.all
        for at in places:
            if outcomes[numbers[at]].access is Effect.PERMIT:
                url = located.url(int(rows[at]))
                numbers[at] = self._second_outcome(url, combinations[at], numbers[at])

    def _second_outcome(self, url: str, combination: int, number: int) -> int:
        if not self._doubts.forbid(url):
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

    def has(self, key: str) -> bool:
        """Whether the site of a content is at hand."""
        return key in self._sites

    def number(self, verdict: Verdict) -> int:
        """The number of what a verdict comes to."""
        return self.outcomes.number(outcome_of(verdict, self.policy))

    def telling(self, page: Sequence[Exchange]) -> bool:
        """Whether any of what a page is can carry a signal."""
        return any(item.role != RESOURCE or engine.carries_signals(item, self.policy) for item in page)

    def page_alone(self, url: str, page: Sequence[Exchange], status: str) -> int:
        """The number of what a page says where nothing is known about its origin.

        Args:
            url: of the row; where it names no origin, what the page says counts all the same.
            page: its exchanges.
            status: of the row.
        """
        compiled = self.keep("", lambda: ())
        bare = replace(compiled, ground=replace(compiled.ground, coverage=Coverage()))
        verdict = bare.decide(NO_URL if status == MALFORMED else url, page)
        return self.outcomes.number(replace(outcome_of(verdict, self.policy), status=status))

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
