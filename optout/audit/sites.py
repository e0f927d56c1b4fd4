"""What an origin says, made ready for many URLs: compiled once for each distinct content, whoever has it.

`Site` is the compiled form of the engine with its verdicts told as outcomes. It adds nothing to the meaning: every
outcome is that of a verdict of `optout.engine.CompiledOrigin`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optout import engine
from optout.audit.flat import flatten, with_keys
from optout.audit.matcher import Matcher
from optout.audit.outcomes import MALFORMED, Outcomes, outcome_of
from optout.audit.second import NONE, doubts_about, reads_alike, their_form, their_readings
from optout.audit.shelf import WORTH_A_SEGMENT, Record
from optout.engine.precedence import pattern_of
from optout.model import RESOURCE, Coverage, Effect
from optout.syntax.patterns import NO_MATCH
from optout.urls import match_target, without_dot_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from optout.audit.locate import Located
    from optout.audit.second import Doubts, Reader, Theirs
    from optout.audit.shelf import Shelf
    from optout.engine import CompiledOrigin, Ranked
    from optout.identity import Identity
    from optout.model import Exchange, Reading, Verdict
    from optout.policy import Policy
    from optout.protocol import Protocol

    Load = Callable[[], Sequence[Exchange]]

NO_URL = "https://url.invalid/"
"""Stands for a URL that names no origin; the name can belong to nobody (RFC 2606)."""

COMPILED_KEPT = 8_192
"""How many origins are kept in the engine's own form; the others are compiled again when something new comes up."""

READ_KEPT = 2_048
"""How many contents are kept as they were read, for the other policies that they are compiled under."""


class Content:
    """One content of an origin's signal files, and what protocols read in it, which is the same under every policy."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        """Begin with nothing read."""
        self.exchanges = exchanges
        self._read: dict[tuple[str, Exchange], Reading] = {}
        self._theirs: dict[str, tuple[Theirs, ...]] = {}

    def reading(self, protocol: Protocol, exchange: Exchange) -> Reading:
        """What a protocol reads in an exchange; what a policy's limit leaves of a file is an exchange of its own."""
        key = protocol.name, exchange
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = protocol.read(exchange)
        return found

    def theirs(self, token: str) -> tuple[Theirs, ...]:
        """What the second reader reads for a token."""
        found = self._theirs.get(token)
        if found is None:
            found = self._theirs[token] = their_readings(self.exchanges, token)
        return found


class Contents:
    """The contents that were read last, shared by all views of a judge."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[str, Content] = OrderedDict()

    def get(self, key: str, load: Load) -> Content:
        """A content, loaded where it is not among the last."""
        if key not in self._kept:
            self.offer(key, load())
        self._kept.move_to_end(key)
        return self._kept[key]

    def offer(self, key: str, exchanges: Sequence[Exchange]) -> None:
        """Take in a content that was loaded for another reason."""
        if key not in self._kept:
            self._kept[key] = Content(exchanges)
            if len(self._kept) > READ_KEPT:
                self._kept.popitem(last=False)


class Site:
    """One content of an origin's signal files, under one policy."""

    def __init__(self, key: str, view: View, load: Load) -> None:
        """Take it from the view's shelf, or compile it and put its tables together."""
        self.key = key
        self._view = view
        self._load = load
        self._numbers: dict[int, int] = {}
        self._dissents: dict[int, int] = {}
        self.grown = False
        self._readers: tuple[Reader, ...] | None = None
        self._stepped: bool | None = None
        record = None if view.shelf is None else view.shelf.get(key)
        if record is None or not self._take(record):
            self._make()

    def _make(self) -> None:
        compiled = self.compiled()
        self._own = len(compiled.ranked)
        doubts = self._doubts(compiled)
        self._never, self._stepped = doubts.never, True
        self._order = "" if self._view.shelf is None else _order(compiled)
        tables = [_patterns(order) for order in _tables(compiled)]
        matcher = Matcher([*tables, [pattern.normal for pattern in doubts.patterns]])
        self.matcher: Any = matcher
        self._theirs: Any = Matcher([doubts.refusals])
        if self._view.kernel is not None:
            self._flatten(self._view.kernel, flatten(matcher), flatten(self._theirs))
        self.grown = True

    def _flatten(self, kernel: ModuleType, flat: bytes | memoryview, theirs: bytes | memoryview) -> None:
        """Take the form of the compiled tier, which needs a tenth of the memory."""
        self.matcher, self._theirs = kernel.Matcher(flat), kernel.Matcher(theirs)
        self._flat = flat, theirs
        if not self._never:
            self.matcher.ask(self._theirs)

    def _take(self, record: Record) -> bool:
        """Use what was compiled before; false where it does not hold together."""
        assert self._view.kernel is not None  # noqa: S101 - a shelf holds the form of the compiled tier
        self._own, self._never, self._order = record.own, record.never, record.order
        self._stepped = None
        self._readers = None
        try:
            self._flatten(self._view.kernel, record.flat, record.theirs)
            for combination, outcome in record.outcomes.items():
                self._numbers[combination] = self._view.outcomes.number(outcome)
                self._teach(combination)
        except (ValueError, IndexError):
            self._numbers.clear()
            return False
        return True

    def record(self) -> Record:
        """What a shelf keeps of it."""
        flat, theirs = self._flat
        keys = [self.matcher.key(number) for number in range(len(self.matcher))]
        outcomes = {number: self._view.outcomes.all[outcome] for number, outcome in self._numbers.items()}
        return Record(self._own, self._never, self._order, with_keys(flat, keys), theirs, outcomes)

    def _teach(self, combination: int) -> None:
        """Tell the compiled tier what a combination comes to."""
        number = self._numbers[combination]
        self.matcher.put(combination, number, self._permits(number), self._doubted(combination))

    def compiled(self) -> CompiledOrigin:
        """The engine's own form."""
        return self._view.keep(self.key, self._load)

    def _doubts(self, compiled: CompiledOrigin) -> Doubts:
        """When the second reader has to be asked."""
        if not compiled._second:  # noqa: SLF001
            return NONE
        content = self._view.contents.get(self.key, self._load)
        return doubts_about(content.theirs(self._view.identity.token), compiled.ranked)

    def outcome(self, combination: int) -> int:
        """The number of the outcome of a combination of rules, the second reader left aside."""
        number = self._numbers.get(combination)
        if number is None:
            key = self.matcher.key(combination)
            verdict = self.compiled().verdict_of(key[: self._own], key[self._own : -1])
            number = self._numbers[combination] = self._view.number(verdict)
            self.grown = True
        return number

    def judge(self, lines: str, rows: np.ndarray, located: Located) -> list[int]:
        """The numbers of the outcomes of rows that all belong here and are not odd.

        Args:
            lines: their match targets, a line break between each two.
            rows: their numbers.
            located: where they are found.
        """
        combinations = self.matcher.match_lines(lines, len(rows))
        known = {combination: self.outcome(combination) for combination in set(combinations)}
        numbers = [known[combination] for combination in combinations]
        doubtful = {one for one in known if self._doubted(one) and self._permits(known[one])}
        for at in [at for at, one in enumerate(combinations) if one in doubtful] if doubtful else ():
            numbers[at] = self._settled(combinations[at], numbers[at], None, located.url(int(rows[at])))
        return numbers

    def learn(self, combination: int) -> bool:
        """Find out what a combination comes to, for the compiled tier too; False where that is known or cannot be."""
        if combination in self._numbers or not self._in_step():
            return False
        self.outcome(combination)
        if self._view.kernel is not None:
            self._teach(combination)
        return True

    def judge_target(self, target: str, url: str) -> int:
        """The number of the outcome of one URL."""
        return self._learnt(self.matcher.match(target), target, url)

    def settle(self, combination: int, url: str) -> int:
        """The same where the combination of rules is known."""
        return self._learnt(combination, None, url)

    def _learnt(self, combination: int, target: str | None, url: str) -> int:
        """The number of the outcome of a combination, which the compiled tier learns, with the second reader's view."""
        if combination not in self._numbers and not self.learn(combination):
            return self._view.number(self.compiled().decide(url))
        number = self._numbers[combination]
        if self._never or not self._permits(number):
            return number
        return self._settled(combination, number, target, url)

    def _in_step(self) -> bool:
        """Whether numbers mean here what they meant where it was compiled: the engine's tables stand in one order."""
        if self._stepped is None:
            self._stepped = _order(self.compiled()) == self._order
        return self._stepped

    def _settled(self, combination: int, number: int, target: str | None, url: str) -> int:
        """What the second reader makes of a number that permits access, where it has to be asked."""
        target = match_target(url) if target is None else target
        url = without_dot_segments(url)
        if reads_alike(target, url) and not self._doubted(combination):
            return number
        form = their_form(target, url)
        if form is None or not self._theirs.match(form):
            return number
        return self._second_outcome(url, combination, number)

    def _permits(self, number: int) -> bool:
        return self._view.outcomes.all[number].access is Effect.PERMIT

    def _doubted(self, combination: int) -> bool:
        """Whether a doubt matches, for which the last table stands."""
        return bool(self.matcher.key(combination)[-1] != NO_MATCH)

    def _second_outcome(self, url: str, combination: int, number: int) -> int:
        if self._readers is None:
            # Not kept from the beginning: one site in hundreds ever asks, and all that Protego read is large.
            self._readers = self._doubts(self.compiled()).readers
        if not any(reader.forbids(url) for reader in self._readers):
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
        self,
        policy: Policy,
        identity: Identity,
        outcomes: Outcomes,
        kernel: ModuleType | None = None,
        shelf: Shelf | None = None,
        contents: Contents | None = None,
    ) -> None:
        """Begin with no sites at hand."""
        self.policy, self.identity, self.outcomes, self.kernel = policy, identity, outcomes, kernel
        self.shelf = None if kernel is None else shelf
        self.contents = Contents() if contents is None else contents
        self._sites: dict[str, Site] = {}
        self._waiting: dict[str, Load] = {}
        self._compile: Callable[[str], CompiledOrigin] = lru_cache(maxsize=COMPILED_KEPT)(self._compiled)

    def __len__(self) -> int:
        """How many sites are at hand."""
        return len(self._sites)

    def clear(self) -> None:
        """Forget all sites."""
        self.shelve()
        self._sites.clear()

    def shelve(self) -> None:
        """Put what is new on the shelf, if it is much, and look what others have put there."""
        if self.shelf is None:
            return
        grown = [site for site in self._sites.values() if site.grown]
        if len(grown) >= WORTH_A_SEGMENT:
            self.shelf.put({site.key: site.record() for site in grown})
            for site in grown:
                site.grown = False
        self.shelf.look()

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
        content = self.contents.get(key, self._waiting[key])
        return engine.compile(content.exchanges, self.policy, self.identity, content.reading)


def _tables(compiled: CompiledOrigin) -> Iterable[Ranked]:
    return (*compiled.ranked, *(group.ranked for group in compiled._others))  # noqa: SLF001


def _order(compiled: CompiledOrigin) -> str:
    """Names the statements of all tables in their order."""
    told = [
        [
            (
                protocol.name,
                stated.pattern,
                stated.reason,
                stated.place.resource,
                stated.place.line or str(stated.place),
            )
            for protocol, stated, _, _ in order.bounds
        ]
        for order in _tables(compiled)
    ]
    return sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _patterns(order: Ranked) -> list[str]:
    return [pattern_of(bound.statement.pattern).normal for bound in order.bounds]
