"""The flat form of a matcher: numbers and strings in one run of bytes, for the compiled tier, files and shared memory.

An array of 32-bit numbers in the machine's order, then all strings one after the other. The numbers are nine sizes
(tables, combinations, prefixes, exact patterns, heads, special patterns, runs, ranks, bytes of strings), then each
list as `_kernel.c` names it. A list of n strings is n + 1 places among the strings.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.audit.matcher import Key, Matcher, Ranks


class _Pool:
    """Strings one after the other."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, texts: Sequence[str]) -> list[int]:
        """Take in strings that follow each other, and give where each begins and the last ends."""
        begin = len(self.data)
        self.data += "".join(texts).encode("ascii")
        return list(accumulate(map(len, texts), initial=begin))


def flatten(matcher: Matcher) -> bytes:
    """The flat form of a matcher as it is now."""
    pool = _Pool()
    exact = sorted(matcher.exact.items())
    specials = [special for bucket in matcher.buckets for special in bucket]
    runs: list[str] = []
    run_starts, tails = [0], []
    for special in specials:
        runs += special.runs
        run_starts.append(len(runs))
    for special in specials:
        tails.append(-1 if special.tail is None else len(runs))
        runs += [] if special.tail is None else [special.tail]
    ranks = [pair for _, found in exact for pair in found]
    special_ranks = [len(ranks), *(len(ranks) + end for end in accumulate(len(special.ranks) for special in specials))]
    ranks += [pair for special in specials for pair in special.ranks]
    keys = matcher.keys
    numbers = [
        *(rank for key in keys for rank in key),
        *pool.add(matcher.prefixes), *matcher.over, *matcher.classes,
        *pool.add([text for text, _ in exact]), *_ends(found for _, found in exact),
        *pool.add(matcher.heads), *matcher.over_heads, *accumulate((len(one) for one in matcher.buckets), initial=0),
        *run_starts, *tails, *special_ranks,
        *pool.add(runs), *(table for table, _ in ranks), *(rank for _, rank in ranks),
    ]  # fmt: skip
    sizes = [
        len(keys[0]), len(keys), len(matcher.prefixes), len(exact), len(matcher.heads), len(specials), len(runs),
        len(ranks), len(pool.data),
    ]  # fmt: skip
    return array("i", sizes + numbers).tobytes() + bytes(pool.data)


def with_keys(flat: bytes | memoryview, keys: Sequence[Key]) -> bytes:
    """A flat form with all combinations that have come up since, the first of which it has."""
    sizes = array("i", bytes(flat[:_SIZES]))
    known = _SIZES + 4 * sizes[0] * sizes[1]
    sizes[1] = len(keys)
    return sizes.tobytes() + array("i", [rank for key in keys for rank in key]).tobytes() + bytes(flat[known:])


_SIZES = 9 * 4


def _ends(lists: Iterable[Ranks]) -> list[int]:
    return list(accumulate((len(one) for one in lists), initial=0))
