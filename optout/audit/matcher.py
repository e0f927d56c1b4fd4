"""All path rules of an origin in one structure, which tells for a path which rule of each table counts.

An origin has several tables (robots.txt for us, for each other AI crawler, TDMRep per purpose, …). Asking one after
the other costs a search each. Here their patterns stand together: the plain prefixes of all tables in one sorted list
in which every entry knows the whole answer, and the few patterns with wildcards or an end anchor beside them. The
meaning is that of `optout.syntax.patterns.PatternTable`; a property test holds the two equal.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from optout.engine import ROBOTS_ROLE
from optout.syntax.patterns import NO_MATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Key = tuple[int, ...]
    Ranks = tuple[tuple[int, int], ...]


_FEW = 4


class Special(NamedTuple):
    """A pattern that is not a plain prefix.

    Attributes:
        head: its literal beginning.
        runs: what must follow, one after the other.
        tail: what the target must end with; None where it need not end there.
        ranks: the tables that it stands in, each with its rank there.
    """

    head: str
    runs: tuple[str, ...]
    tail: str | None
    ranks: Ranks

    @property
    def longest(self) -> str:
        """The longest of its runs, which every target that it matches holds."""
        return max((*self.runs, self.tail or ""), key=len)

    def matches(self, target: str) -> bool:
        """Whether it matches a target that begins with its head."""
        at = len(self.head)
        if self.tail is None:
            end = len(target)
        else:
            end = len(target) - len(self.tail)
            if not target.endswith(self.tail):
                return False
        for run in self.runs:
            at = target.find(run, at, end)
            if at < 0:
                return False
            at += len(run)
        return at <= end


class Matcher:
    """The tables of an origin, together.

    Attributes:
        keys: the combinations of ranks that have come up, by number; number 0 is that of no match at all. A rank is
            `NO_MATCH` where no pattern of a table matches.
    """

    def __init__(self, tables: Sequence[Sequence[str]]) -> None:
        """Put patterns in their normal form together; of each table, index 0 wins against all others."""
        prefixes: dict[str, dict[int, int]] = {}
        specials: dict[tuple[str, tuple[str, ...], str | None], dict[int, int]] = {}
        for table, normals in enumerate(tables):
            for rank, normal in enumerate(normals):
                if "*" in normal or normal[-1:] == "$":
                    head, runs, tail = cut(normal)
                    if runs or tail is not None:
                        specials.setdefault((head, runs, tail), {}).setdefault(table, rank)
                        continue
                else:
                    head = normal
                prefixes.setdefault(head, {}).setdefault(table, rank)
        self._numbers: dict[Key, int] = {}
        self.keys: list[Key] = []
        self.number((NO_MATCH,) * len(tables))
        self.prefixes, self.over = chains(prefixes)
        self.classes = self._classes(prefixes)
        self.exact: dict[str, Ranks] = {}
        buckets: dict[str, list[Special]] = {}
        for (head, runs, tail), ranks in specials.items():
            special = Special(head, runs, tail, tuple(ranks.items()))
            if runs:
                buckets.setdefault(head, []).append(special)
            else:
                self.exact[head] = special.ranks
        self.heads, self.over_heads = chains(buckets)
        self.buckets = [buckets[head] for head in self.heads]

    @cached_property
    def _searched(self) -> list[list[tuple[str, Special]]]:
        """The special patterns, each with what to look for first; the compiled tier has its own."""
        return [[(special.longest, special) for special in bucket] for bucket in self.buckets]

    @property
    def constant(self) -> bool:
        """Whether every target has the same answer; only `/robots.txt` itself may have another."""
        return not self.heads and set(self.prefixes) <= {"", "/"} and set(self.exact) <= {ROBOTS_ROLE}

    @property
    def widest(self) -> int:
        """The number for every target where the matcher is constant."""
        return self.classes[-1] if self.classes else 0

    def number(self, key: Key) -> int:
        """The number of a combination of ranks."""
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self.keys)
            self.keys.append(key)
        return known

    def key(self, number: int) -> Key:
        """The combination of ranks of a number."""
        return self.keys[number]

    def match(self, target: str) -> int:
        """The number of the combination of ranks for a target from `match_target`."""
        number = self._prefixed([target])[0]
        found = self._specials(target)
        return self._improved(number, found) if found else number

    def match_all(self, targets: Sequence[str]) -> list[int]:
        """The numbers for many targets.

        A special pattern that no target matches is dismissed by one search in all of them together.
        """
        numbers = self._prefixed(targets)
        if not (self.exact or self.heads):
            return numbers
        found: dict[int, list[Ranks]] = {}
        for text, ranks in self.exact.items() if len(self.exact) <= _FEW else ():
            if text in targets:
                found |= {at: [ranks] for at, target in enumerate(targets) if target == text}
        if len(self.exact) > _FEW:
            found = {at: [self.exact[target]] for at, target in enumerate(targets) if target in self.exact}
        if self.heads:
            self._search(targets, found)
        for at, improving in found.items():
            numbers[at] = self._improved(numbers[at], improving)
        return numbers

    def _prefixed(self, targets: Sequence[str]) -> list[int]:
        """The numbers of what plain prefixes come to."""
        if not self.prefixes:
            return [0] * len(targets)
        prefixes, over, classes = self.prefixes, self.over, [*self.classes, 0]
        numbers = []
        for target in targets:
            at = bisect_right(prefixes, target) - 1
            while at >= 0 and not target.startswith(prefixes[at]):
                at = over[at]
            numbers.append(classes[at])
        return numbers

    def _specials(self, target: str) -> list[Ranks]:
        """The ranks of the special patterns that match a target."""
        exact = self.exact.get(target)
        found = [] if exact is None else [exact]
        at = bisect_right(self.heads, target) - 1
        while at >= 0:
            if target.startswith(self.heads[at]):
                found += [special.ranks for special in self.buckets[at] if special.matches(target)]
            at = self.over_heads[at]
        return found

    def _search(self, targets: Sequence[str], found: dict[int, list[Ranks]]) -> None:
        """Put in the ranks of the wildcard patterns that match."""
        together = _Together(targets)
        for bucket in self._searched:
            for longest, special in bucket:
                for at in together.holding(longest):
                    if targets[at].startswith(special.head) and special.matches(targets[at]):
                        found.setdefault(at, []).append(special.ranks)

    def _improved(self, number: int, found: Iterable[Iterable[tuple[int, int]]]) -> int:
        key = list(self.keys[number])
        for ranks in found:
            for table, rank in ranks:
                if rank < key[table] or key[table] == NO_MATCH:
                    key[table] = rank
        return self.number(tuple(key))

    def _classes(self, prefixes: dict[str, dict[int, int]]) -> list[int]:
        """For each prefix the number of what it and all shorter ones that it begins with come to."""
        classes: list[int] = []
        for entry, above in zip(self.prefixes, self.over, strict=True):
            base = classes[above] if above >= 0 else 0
            classes.append(self._improved(base, (prefixes[entry].items(),)))
        return classes


class _Together:
    """Texts one after the other, so that one search goes through all of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        # No target holds a line break.
        self._text = "\n".join(texts)
        self._count = len(texts)
        self._ends: list[int] = []
        self._lengths = texts

    def holding(self, run: str) -> Iterable[int]:
        """The texts that hold a run, by their places."""
        text = self._text
        if not run:
            return range(self._count)
        at = text.find(run)
        if at < 0:
            return ()
        if not self._ends:
            self._ends = list(accumulate(len(one) + 1 for one in self._lengths))
        places = []
        while at >= 0:
            place = bisect_right(self._ends, at)
            places.append(place)
            at = text.find(run, self._ends[place])
        return places


@lru_cache(maxsize=65_536)
def cut(normal: str) -> tuple[str, tuple[str, ...], str | None]:
    """Of a normal form the literal beginning, the further runs, and what a target must end with, if it must."""
    anchored = normal.endswith("$") and not normal.endswith("*$")
    head, *runs = normal.removesuffix("$").split("*")
    tail = None
    if anchored:
        tail = runs.pop() if runs else ""
        if not runs and "*" not in normal:
            return head, (), ""
    filled = tuple(run for run in runs if run)
    if anchored and not filled:
        # A wildcard between head and tail, with nothing else: the empty run keeps it apart from an exact pattern.
        return head, ("",), tail
    return head, filled, tail


def chains(entries: Iterable[str]) -> tuple[list[str], list[int]]:
    """Sort strings, and link each to the longest other one that it begins with (-1: none)."""
    ordered = sorted(entries)
    over: list[int] = []
    inside: list[int] = []
    for index, entry in enumerate(ordered):
        while inside and not entry.startswith(ordered[inside[-1]]):
            inside.pop()
        over.append(inside[-1] if inside else -1)
        inside.append(index)
    return ordered, over
