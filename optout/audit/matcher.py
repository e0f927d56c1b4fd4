"""All path rules of an origin in one structure, which tells for a path which rule of each table counts.

An origin has several tables (robots.txt for us, for each other AI crawler, TDMRep per purpose, …). Asking one after
the other costs a search each. Here their patterns stand together: the plain prefixes of all tables in one sorted list
in which every entry knows the whole answer, and the few patterns with wildcards or an end anchor beside them. The
meaning is that of `optout.syntax.patterns.PatternTable`; a property test holds the two equal.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from optout.engine import ROBOTS_ROLE
from optout.syntax.patterns import NO_MATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Key = tuple[int, ...]
    Ranks = tuple[tuple[int, int], ...]


# No target holds a sign beyond "~" or one below "!"; the line break stands between targets.
_AFTER_ALL, _AT_ONCE, _BREAK = "\x7f", " ", "\n"


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
    def needle(self) -> str:
        """The longest of what every target that it matches holds, a line break before the target being part of it."""
        return max((_BREAK + self.head, *self.runs, self.tail or ""), key=len)

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
        turns, between = self._turns
        number = between[bisect_right(turns, target)]
        found = self._specials(target)
        return self._improved(number, found) if found else number

    def match_lines(self, lines: str, count: int) -> list[int]:
        """The numbers for many targets.

        A wildcard pattern that no target matches is dismissed by one search in all of them together.

        Args:
            lines: the targets, a line break between each two.
            count: how many they are.
        """
        if self.constant and ROBOTS_ROLE not in lines:
            return [self.widest] * count
        targets = lines.split(_BREAK)
        turns, between = self._turns
        numbers = [between[bisect_right(turns, target)] for target in targets]
        if self.heads:
            self._search(lines, targets, numbers)
        return numbers

    @cached_property
    def _turns(self) -> tuple[list[str], list[int]]:
        """Where the answer turns as targets go by in their order, and the answers between; wildcards are left aside.

        A prefix speaks for the targets from itself up to where those that begin with it end, and an exact pattern for
        one target; behind them the answer is again that of the shorter prefix around them.
        """
        around = [*self.classes, 0]
        turns = list(zip(self.prefixes, self.classes, strict=True))
        turns += [(text + _AFTER_ALL, around[above]) for text, above in zip(self.prefixes, self.over, strict=True)]
        turns.sort()
        places, between = [text for text, _ in turns], [0, *(number for _, number in turns)]
        for text, ranks in self.exact.items():
            number = between[bisect_right(places, text)]
            turns += (text, self._improved(number, [ranks])), (text + _AT_ONCE, number)
        turns.sort(key=itemgetter(0))
        return [text for text, _ in turns], [0, *(number for _, number in turns)]

    @cached_property
    def _needles(self) -> list[tuple[str, Special]]:
        return [(special.needle, special) for bucket in self.buckets for special in bucket]

    def _specials(self, target: str) -> list[Ranks]:
        """The ranks of the wildcard patterns that match a target."""
        found: list[Ranks] = []
        at = bisect_right(self.heads, target) - 1
        while at >= 0:
            if target.startswith(self.heads[at]):
                found += [special.ranks for special in self.buckets[at] if special.matches(target)]
            at = self.over_heads[at]
        return found

    def _search(self, lines: str, targets: Sequence[str], numbers: list[int]) -> None:
        """Improve the numbers of targets that a wildcard pattern matches."""
        broken = _BREAK + lines
        for needle, special in self._needles:
            for at in _holding(broken, needle):
                if targets[at].startswith(special.head) and special.matches(targets[at]):
                    numbers[at] = self._improved(numbers[at], [special.ranks])

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


def _holding(lines: str, needle: str) -> Iterator[int]:
    """The places of the lines, before each of which stands a line break, that hold a text or begin with it."""
    line, begin, at = -1, 0, lines.find(needle)
    while at >= 0:
        line += lines.count(_BREAK, begin, at + 1)
        yield line
        begin = lines.find(_BREAK, at + 1)
        at = lines.find(needle, begin) if begin >= 0 else -1


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
