"""Salts that can be destroyed one by one: a tree of seeds (Goldreich, Goldwasser and Micali) per segment.

Every salt follows from one random seed of 16 bytes: SHA-512 of a seed, cut in four, is the seeds below it. To destroy
a salt, the seeds on its path are forgotten and their siblings kept, so every other salt can still be derived and this
one cannot. One redaction costs three seeds a level, under a kilobyte.

Row number *i* of a segment has two salts: number 2i for the row, number 2i + 1 for its URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha512
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SALT_SIZE = 16

_LABEL = b"optout/salt/1"
_BITS = 2
_FAN = 1 << _BITS

Place = tuple[int, int]
"""A node of the tree: its level, counted from the root, and its number in that level."""


@dataclass(frozen=True, slots=True, repr=False)
class Salts:
    """What is known of a segment's salts: the seeds of subtrees that hold no destroyed one. They are secret."""

    depth: int
    seeds: Mapping[Place, bytes]

    def __repr__(self) -> str:
        return f"Salts(depth={self.depth}, {len(self.seeds)} seeds)"

    def salt(self, number: int) -> bytes | None:
        """One salt; None where it has been destroyed."""
        for level in range(self.depth + 1):
            seed = self.seeds.get((level, number >> _BITS * (self.depth - level)))
            if seed is not None:
                return _descend(seed, number, self.depth - level)
        return None

    def first(self, count: int) -> list[bytes | None]:
        """The salts from number 0 on; None where one has been destroyed."""
        found: list[bytes | None] = [None] * count
        for (level, index), seed in self.seeds.items():
            shift = _BITS * (self.depth - level)
            start, wanted = index << shift, min(count - (index << shift), 1 << shift)
            if wanted > 0:
                found[start : start + wanted] = _expanded(seed, self.depth - level, wanted)
        return found

    def without(self, numbers: Iterable[int]) -> Salts:
        """What is left to know once these salts have been destroyed."""
        seeds = dict(self.seeds)
        for number in numbers:
            _puncture(seeds, self.depth, number)
        return Salts(self.depth, seeds)

    def cut(self, rows: int) -> Salts:
        """Without the seeds from which no salt of a segment of so many rows follows."""
        used = {
            (level, index): seed
            for (level, index), seed in self.seeds.items()
            if index << _BITS * (self.depth - level) < 2 * rows
        }
        return Salts(self.depth, used)

    @property
    def json(self) -> dict[str, Any]:
        """The form in which they are kept."""
        named = {f"{level}/{index}": seed.hex() for (level, index), seed in sorted(self.seeds.items())}
        return {"depth": self.depth, "seeds": named}


def whole(seed: bytes, rows: int) -> Salts:
    """The salts of a new segment.

    Args:
        seed: 16 random bytes.
        rows: how many rows the segment has.
    """
    return Salts(depth_of(rows), {(0, 0): seed})


def depth_of(rows: int) -> int:
    """How many levels the tree of a segment of so many rows has below its root."""
    return -(-(2 * rows - 1).bit_length() // _BITS)


def from_json(value: Mapping[str, Any]) -> Salts:
    """Read the form in which salts are kept.

    Raises:
        EvidenceError: it is damaged.
    """
    try:
        seeds = {_place(name): bytes.fromhex(seed) for name, seed in value["seeds"].items()}
        depth = int(value["depth"])
    except (KeyError, ValueError, TypeError, AttributeError) as fault:
        raise EvidenceError("the salts are damaged", place=str(fault)) from fault
    if any(len(seed) != SALT_SIZE or not 0 <= level <= depth for (level, _), seed in seeds.items()):
        raise EvidenceError("the salts are damaged", mend="a seed has 16 bytes and a level of the tree")
    return Salts(depth, seeds)


def _place(name: str) -> Place:
    level, _, index = name.partition("/")
    return int(level), int(index)


def _children(seed: bytes) -> list[bytes]:
    digest = sha512(_LABEL + seed).digest()
    return [digest[at : at + SALT_SIZE] for at in range(0, _FAN * SALT_SIZE, SALT_SIZE)]


def _descend(seed: bytes, number: int, levels: int) -> bytes:
    for level in reversed(range(levels)):
        seed = _children(seed)[number >> _BITS * level & _FAN - 1]
    return seed


def _expanded(seed: bytes, levels: int, wanted: int) -> list[bytes]:
    seeds = [seed]
    for level in reversed(range(levels)):
        digests = [sha512(_LABEL + parent).digest() for parent in seeds]
        # The same as `_children`, without a call for each of the 44,000 nodes of a segment.
        seeds = [part for d in digests for part in (d[:16], d[16:32], d[32:48], d[48:])]
        del seeds[-(-wanted >> _BITS * level) :]
    return seeds


def _puncture(seeds: dict[Place, bytes], depth: int, number: int) -> None:
    for level in range(depth + 1):
        seed = seeds.pop((level, number >> _BITS * (depth - level)), None)
        if seed is None:
            continue
        for below in range(level + 1, depth + 1):
            way = number >> _BITS * (depth - below)
            parts = _children(seed)
            first = way - way % _FAN
            seeds |= {(below, first + at): part for at, part in enumerate(parts) if first + at != way}
            seed = parts[way % _FAN]
        return
