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
from optout.audit.second import NONE, doubts_about, reads_alike, their_form
from optout.engine.precedence import pattern_of
from optout.model import RESOURCE, Coverage, Effect
from optout.syntax.patterns import NO_MATCH
from optout.urls import match_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from optout.audit.locate import Located
    from optout.engine import CompiledOrigin, Ranked
    from optout.identity import Identity
    from optout.model import Exchange, Verdict
    from optout.policy import Policy

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
        matcher = Matcher([*tables, [pattern.normal for pattern in self._doubts.patterns]])
        self.constant = matcher.constant and not self._doubts.patterns
        self.delicate = bool(matcher.exact) or not self._doubts.never
        self.matcher: Any = matcher
        self._theirs: Any = Matcher([self._doubts.refusals])
        self._numbers: dict[int, int] = {}
        self._dissents: dict[int, int] = {}
        if view.kernel is not None:
            self._flatten(view.kernel)

    def _flatten(self, kernel: ModuleType) -> None:
        """Take the form of the compiled tier, which needs a tenth of the memory."""
        self.matcher, self._theirs = kernel.Matcher(flatten(self.matcher)), kernel.Matcher(flatten(self._theirs))
        if not self._doubts.never:
            self.matcher.ask(self._theirs)

    def compiled(self) -> CompiledOrigin:
        """The engine's own form."""
        return self._view.keep(self.key, self._load)

    def outcome(self, combination: int) -> int:
        """The number of the outcome of a combination of rules, the second reader left aside."""
        number = self._numbers.get(combination)
        if number is None:
            key = self.matcher.key(combination)
            verdict = self.compiled()._origin_verdict(key[: self._own], key[self._own : -1])  # noqa: SLF001
            number = self._numbers[combination] = self._view.number(verdict)
        return number

    @property
    def usual(self) -> int:
        """The number of the outcome of every target but those in `matcher.exact`, where the site is constant."""
        return self.outcome(self.matcher.widest)

    def judge(self, targets: Sequence[str], rows: np.ndarray, located: Located) -> np.ndarray:
        """The numbers of the outcomes of rows that all belong here, of which the targets are given."""
        combinations = self.matcher.match_all(targets)
        known = {combination: self.outcome(combination) for combination in set(combinations)}
        numbers = [known[combination] for combination in combinations]
        if not self._doubts.never:
            doubtful = self._doubtful(known)
            asked = {at for at, one in enumerate(combinations) if one in doubtful} if doubtful else set()
            asked.update(np.flatnonzero(located.odd[rows]).tolist())
            permitted = [at for at in asked if self._permits(numbers[at])]
            for at, url in zip(permitted, located.several(rows[permitted]) if permitted else (), strict=True):
                numbers[at] = self._settled(combinations[at], numbers[at], targets[at], url)
        return np.array(numbers, np.int32)

    def judge_target(self, target: str, url: str) -> int:
        """The number of the outcome of one URL."""
        return self._learnt(self.matcher.match(target), target, url)

    def settle(self, combination: int, url: str) -> int:
        """The same where the combination of rules is known."""
        return self._learnt(combination, None, url)

    def _learnt(self, combination: int, target: str | None, url: str) -> int:
        """The number of the outcome of a combination, which the compiled tier learns, with the second reader's view."""
        number = self.outcome(combination)
        if self._view.kernel is not None:
            self.matcher.put(combination, number, self._permits(number), self._doubted(combination))
        if self._doubts.never or not self._permits(number):
            return number
        return self._settled(combination, number, target, url)

    def _settled(self, combination: int, number: int, target: str | None, url: str) -> int:
        """What the second reader makes of a number that permits access, where it has to be asked."""
        target = match_target(url) if target is None else target
        if reads_alike(target, url) and not self._doubted(combination):
            return number
        form = their_form(target, url)
        if form is None or not self._theirs.match(form):
            return number
        return self._second_outcome(url, combination, number)

    def _permits(self, number: int) -> bool:
        return self._view.outcomes.all[number].access is Effect.PERMIT

    def _doubtful(self, combinations: Iterable[int]) -> set[int]:
        return {combination for combination in combinations if self._doubted(combination)}

    def _doubted(self, combination: int) -> bool:
        """Whether a doubt matches, for which the last table stands."""
        return bool(self.matcher.key(combination)[-1] != NO_MATCH)

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

    def __init__(
        self, policy: Policy, identity: Identity, outcomes: Outcomes, kernel: ModuleType | None = None
    ) -> None:
        """Begin with no sites."""
        self.policy, self.identity, self.outcomes, self.kernel = policy, identity, outcomes, kernel
        self._sites: dict[str, Site] = {}
        self._waiting: dict[str, Load] = {}
        self._compile: Callable[[str], CompiledOrigin] = lru_cache(maxsize=COMPILED_KEPT)(self._compiled)

    def __len__(self) -> int:
        """How many sites are at hand."""
        return len(self._sites)

    def clear(self) -> None:
        """Forget all sites."""
        self._sites.clear()

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


def _patterns(order: Ranked) -> list[str]:
    return [pattern_of(bound.statement.pattern).normal for bound in order.bounds]
