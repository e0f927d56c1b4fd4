"""Path patterns and the one matcher for them, shared by every protocol whose statements are limited to paths.

The language is that of RFC 9309 sections 2.2.2 and 2.2.3: octets are compared from the first octet of the path, `*`
is any run of octets, a `$` at the end is the end of the URL, and a `$` anywhere else is itself. Which of several
matching patterns counts differs between protocols (the longest, the first in the file, …), so `PatternTable` takes
patterns in their order of precedence and knows nothing else.

Regular expressions are never built from a stranger's pattern: matching is a chain of substring searches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from optout.urls import normalise_octets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NO_MATCH = -1
"""What `PatternTable.first` gives where no pattern matches."""


def normalise(text: str) -> str:
    """The normal form of a pattern: octets as in `normalise_octets`, `*` the wildcard, `$` only as end anchor.

    A `$` that is not the last octet becomes `%24`, as it does in a normalised target. Runs of `*` become one.
    """
    return _one_form(normalise_octets(text))


@dataclass(frozen=True, slots=True, init=False)
class Pattern:
    """One path pattern.

    Attributes:
        text: as it was written.
        normal: its normal form, see `normalise`.
        octets: the length by which RFC 9309 section 2.2.2 calls a match specific: that of the text with its escapes
            normalised (so a non-ASCII octet counts three and a decoded escape one), special characters included.
    """

    text: str
    normal: str
    octets: int

    def __init__(self, text: str) -> None:
        """Derive everything from the text, so that an inconsistent pattern cannot exist."""
        octets = normalise_octets(text)
        put = object.__setattr__
        put(self, "text", text)
        put(self, "normal", _one_form(octets))
        put(self, "octets", len(octets))

    @property
    def anchored(self) -> bool:
        """Whether it reaches to the end of the URL."""
        return self.normal.endswith("$")

    @property
    def pieces(self) -> list[str]:
        """The literal runs between its wildcards, first to last, without the anchor."""
        return self.normal.removesuffix("$").split("*")

    def matches(self, target: str) -> bool:
        """Whether it matches a target from `optout.urls.match_target`.

        Taking each literal run at its first place leaves most room for the next, so no choice is ever taken back.
        """
        head, *runs = self.pieces
        if not runs:
            return target == head if self.anchored else target.startswith(head)
        tail = runs.pop() if self.anchored else ""
        return target.startswith(head) and _goes_on(target, len(head), runs, tail)


def specificity_order(patterns: Sequence[Pattern], tie: Sequence[int]) -> list[int]:
    """The order of precedence of RFC 9309 section 2.2.2: most octets first.

    Args:
        patterns: in file order.
        tie: a rank for each; among patterns of equal length the lower rank comes first, then the earlier one.
            For robots.txt an allow rule has the lower rank.

    Returns:
        Indices into `patterns`, the one that wins against all others first.
    """
    order = sorted(range(len(patterns)), key=tie.__getitem__)
    order.sort(key=[-pattern.octets for pattern in patterns].__getitem__)
    return order


class PatternTable:
    """Patterns in order of precedence, made ready to be asked many times.

    Plain prefixes and the literal beginnings of wildcard patterns are kept sorted, each with a link to the longest
    other entry that it begins with. All entries that a target begins with then lie on one chain of links, whose end
    is found by bisection. Patterns without a wildcard that reach to the end are looked up whole.
    """

    __slots__ = ("_best", "_buckets", "_exact", "_heads", "_none", "_over_heads", "_over_prefixes", "_prefixes")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        """Compile patterns; index 0 wins against all others."""
        self._none = len(patterns)
        self._exact: dict[str, int] = {}
        prefixes: dict[str, int] = {}
        buckets: dict[str, list[_Wildcard]] = {}
        for index, pattern in enumerate(patterns):
            normal = pattern.normal
            if "*" in normal.rstrip("*$"):
                head, *runs = pattern.pieces
                buckets.setdefault(head, []).append(_wildcard(index, len(head), runs, anchored=pattern.anchored))
            elif normal.endswith("$") and not normal.endswith("*$"):
                self._exact.setdefault(normal[:-1], index)
            else:
                prefixes.setdefault(normal.rstrip("*$"), index)
        self._prefixes, self._over_prefixes = _chains(prefixes)
        self._best = _best(prefixes, self._prefixes, self._over_prefixes)
        self._heads, self._over_heads = _chains(buckets)
        self._buckets = [_Bucket(buckets[head]) for head in self._heads]

    def first(self, target: str) -> int:
        """The lowest index whose pattern matches a target from `match_target`, or `NO_MATCH`."""
        best = self._exact.get(target, self._none)
        entries, over = self._prefixes, self._over_prefixes
        at = bisect_right(entries, target) - 1
        while at >= 0:
            if target.startswith(entries[at]):
                best = min(best, self._best[at])
                break
            at = over[at]
        if self._heads:
            best = self._first_wildcard(target, best)
        return best if best < self._none else NO_MATCH

    def _first_wildcard(self, target: str, best: int) -> int:
        """The lowest index below `best` of a wildcard pattern that matches, or else `best`."""
        entries, over = self._heads, self._over_heads
        at = bisect_right(entries, target) - 1
        while at >= 0:
            if target.startswith(entries[at]):
                best = self._buckets[at].first(target, best)
            at = over[at]
        return best


class _Wildcard(NamedTuple):
    """A wildcard pattern as a scan wants it.

    Attributes:
        rank: its place in the order of precedence.
        start: the length of the literal beginning, which its bucket has already compared.
        longest: the longest of its other runs; where it is absent, nothing else needs to be looked at.
        runs: what to find one after the other; empty where finding the longest is all there is to it.
        tail: what the target must end with; empty where the pattern is not anchored.
    """

    rank: int
    start: int
    longest: str
    runs: tuple[str, ...]
    tail: str


_GRAM = 4
_INDEXED = 64
_WORTH_INDEXING = 48
_QUESTIONS = 32


class _Bucket:
    """The wildcard patterns with the same literal beginning, in order of precedence.

    Where there are many and they have been asked for a while, each is filed under the four characters of its longest
    run that are rarest among them all, so that only those are tried whose four characters occur in the target. Filing
    costs as much as a few dozen questions without it, and most files are never asked that often.
    """

    __slots__ = ("_by_gram", "_plain", "_until_filed")

    def __init__(self, patterns: list[_Wildcard]) -> None:
        self._plain = patterns
        self._by_gram: dict[str, list[_Wildcard]] = {}
        self._until_filed = _QUESTIONS if len(patterns) >= _WORTH_INDEXING else -1

    def first(self, target: str, best: int) -> int:
        """The lowest rank below `best` of a pattern that matches, or else `best`."""
        if self._until_filed >= 0:
            self._until_filed -= 1
            if self._until_filed < 0:
                self._file()
        best = _scan(self._plain, target, best)
        if self._by_gram:
            for gram in self._by_gram.keys() & _grams(target):
                best = _scan(self._by_gram[gram], target, best)
        return best

    def _file(self) -> None:
        filed = [(pattern, _grams(pattern.longest[:_INDEXED])) for pattern in self._plain]
        frequency = Counter(chain.from_iterable(grams for _, grams in filed))
        by_gram: dict[str, list[_Wildcard]] = {}
        for pattern, grams in filed:
            if grams:
                by_gram.setdefault(min(grams, key=frequency.__getitem__), []).append(pattern)
        # In this order another thread that asks meanwhile tries a pattern twice rather than never.
        self._by_gram = by_gram
        self._plain = [pattern for pattern, grams in filed if not grams]


def _grams(text: str) -> set[str]:
    return {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}


def _wildcard(rank: int, start: int, runs: list[str], *, anchored: bool) -> _Wildcard:
    longest = max(runs, key=len)
    tail = runs.pop() if anchored else ""
    runs = [run for run in runs if run]
    alone = len(runs) == 1 and not tail
    return _Wildcard(rank, start, longest, () if alone else tuple(runs), tail)


def _scan(patterns: list[_Wildcard], target: str, best: int) -> int:
    """The rank of the first pattern that matches and precedes `best`; most are dismissed by a single search."""
    for rank, start, longest, runs, tail in patterns:
        if rank >= best:
            break
        if target.find(longest, start) >= 0 and (not (runs or tail) or _goes_on(target, start, runs, tail)):
            return rank
    return best


def _goes_on(target: str, at: int, runs: Sequence[str], tail: str) -> bool:
    """Whether from a place on a target holds some runs one after the other, and then ends with the tail."""
    end = len(target) - len(tail)
    for run in runs:
        at = target.find(run, at, end)
        if at < 0:
            return False
        at += len(run)
    return at <= end and target.endswith(tail)


def _chains(entries: Iterable[str]) -> tuple[list[str], list[int]]:
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


def _best(indices: Mapping[str, int], ordered: list[str], over: list[int]) -> list[int]:
    """For each entry the lowest index on its chain of links; a linked entry always comes earlier."""
    best: list[int] = []
    for entry, above in zip(ordered, over, strict=True):
        best.append(min(indices[entry], best[above]) if above >= 0 else indices[entry])
    return best


def _one_form(octets: str) -> str:
    if "$" in octets:
        inside, last = octets[:-1], octets[-1]
        octets = inside.replace("$", "%24") + last
    while "**" in octets:
        octets = octets.replace("**", "*")
    return octets
