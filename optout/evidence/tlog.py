"""The Merkle tree of RFC 6962 and RFC 9162 section 2.1: hashes, proofs and their checks, and C2SP tiles.

Proving and checking are twins in this one file. What proves reads the tree's nodes; what checks has only the
proof, and never calls what proves, so a mistake in one is not repeated by the other.

A tree is read through `Nodes`: a function that gives the hash of the complete subtree number `index` at `level`,
which covers the leaves from `index << level` up to `(index + 1) << level`.

Three kinds of proof exist: that a leaf is in a tree (inclusion), that a tree only grew (consistency), and that
certain leaves are a contiguous and therefore complete stretch of a tree (range).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Nodes = Callable[[int, int], bytes]

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162 section 2.1.1)."""

HASH_SIZE = 32

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""How many hashes a full tile holds (C2SP tlog-tiles)."""

LARGEST_ENTRY = 0xFFFF
"""In bytes: a bundle gives an entry's length in two bytes (C2SP tlog-tiles)."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree whose leaf hashes are all in memory, such as that of a segment."""

    __slots__ = ("_levels", "size")

    def __init__(self, leaves: Iterable[bytes]) -> None:
        """Hash every complete subtree once.

        Args:
            leaves: the leaf hashes in order.
        """
        level = list(leaves)
        self.size = len(level)
        self._levels = [level]
        while len(level) > 1:
            level = [sha256(b"\x01" + left + right).digest() for left, right in _pairs(level)]
            self._levels.append(level)

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._levels[level][index]

    @property
    def root(self) -> bytes:
        """The root hash."""
        return root(self.size, self.node)


class Frontier:
    """The root of a growing tree in memory that grows with the logarithm of its size."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        """Begin with no leaves."""
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        self._roots.append(leaf)
        self.size += 1
        complete = self.size
        while complete % 2 == 0:
            right = self._roots.pop()
            self._roots.append(node_hash(self._roots.pop(), right))
            complete //= 2

    @property
    def root(self) -> bytes:
        """The root hash."""
        return _folded(self._roots)


def root(size: int, nodes: Nodes) -> bytes:
    """The root hash of the tree's first `size` leaves."""
    return _subtree(0, size, nodes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that a leaf is in a tree (RFC 9162 section 2.1.3.1).

    Raises:
        IndexError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} of {size}")
    return tuple(_path(index, 0, size, nodes))


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes) -> bool:
    """Check that a leaf hash is in the tree with the expected root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, running = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node % 2 or node == last:
            running = node_hash(sibling, running)
            while not node % 2 and node:
                node, last = node // 2, last // 2
        else:
            running = node_hash(running, sibling)
        node, last = node // 2, last // 2
    return last == 0 and running == expected


def consistency_proof(old: int, new: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that a tree of size `new` begins with the tree of size `old` (RFC 9162 section 2.1.4.1).

    Raises:
        IndexError: the old tree is larger than the new one.
    """
    if not 0 <= old <= new:
        raise IndexError(f"from size {old} to {new}")
    return tuple(_subproof(old, 0, new, nodes, known=True)) if old else ()


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Check that the new tree begins with the old one (RFC 9162 section 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < new or not proof:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    first, last = _skipped(old - 1, new - 1)
    from_old = from_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if first % 2 or first == last:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not first % 2 and first:
                first, last = first // 2, last // 2
        else:
            from_new = node_hash(from_new, sibling)
        first, last = first // 2, last // 2
    return last == 0 and from_old == old_root and from_new == new_root


def range_proof(first: int, end: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that the leaves from `first` up to `end` are the tree's leaves at those places, with none left out.

    Raises:
        IndexError: the tree has no such leaves, or none are meant.
    """
    if not 0 <= first < end <= size:
        raise IndexError(f"leaves {first} to {end} of {size}")
    return tuple(_outside(first, end, 0, size, nodes))


def check_range(first: int, leaves: Sequence[bytes], size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Check that these leaf hashes stand side by side from `first` on in the tree with the expected root."""
    if not leaves or not 0 <= first <= size - len(leaves):
        return False
    given = iter(proof)
    try:
        running = _rebuilt(first, leaves, 0, size, given)
    except StopIteration:
        return False
    return running == expected and next(given, None) is None


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """The path of a tile below the log's prefix (C2SP tlog-tiles)."""
    return f"tile/{level}/{_number(index)}{_partial(width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """The path of a bundle of entries below the log's prefix (C2SP tlog-tiles)."""
    return f"tile/entries/{_number(index)}{_partial(width)}"


def tiles(size: int, old: int = 0) -> Iterator[tuple[int, int, int]]:
    """Level, index and width of every tile that a tree has and that it did not have at the old size."""
    level = 0
    while size >> (TILE_HEIGHT * level):
        now, before = size >> (TILE_HEIGHT * level), old >> (TILE_HEIGHT * level)
        for index in range(before // TILE_WIDTH, -(-now // TILE_WIDTH)):
            width = min(TILE_WIDTH, now - index * TILE_WIDTH)
            if index * TILE_WIDTH + width > before:
                yield level, index, width
        level += 1


def tile_bytes(level: int, index: int, width: int, nodes: Nodes) -> bytes:
    """The content of a tile."""
    start = index * TILE_WIDTH
    return b"".join(nodes(level * TILE_HEIGHT, start + offset) for offset in range(width))


def tile_nodes(read: Callable[[int, int], bytes]) -> Nodes:
    """Read a tree's nodes from its tiles.

    Args:
        read: gives the content of a tile by level and index, full or the widest partial one.
    """

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        start = index << height
        tile = read(tile_level, start // TILE_WIDTH)
        offset = start % TILE_WIDTH * HASH_SIZE
        hashes = _cut(tile[offset : offset + (HASH_SIZE << height)])
        if len(hashes) != 1 << height:
            raise IndexError(f"level {level} node {index}: the tile ends before it")
        return Tree(hashes).root

    return node


def bundle_bytes(entries: Iterable[bytes]) -> bytes:
    """Entries as they stand in a bundle (C2SP tlog-tiles).

    Raises:
        ValueError: an entry is longer than two bytes can say.
    """
    parts = []
    for entry in entries:
        if len(entry) > LARGEST_ENTRY:
            raise ValueError(f"an entry of {len(entry)} bytes")
        parts.append(len(entry).to_bytes(2, "big") + entry)
    return b"".join(parts)


def bundle_entries(data: bytes) -> tuple[bytes, ...]:
    """The entries of a bundle.

    Raises:
        ValueError: the last entry is cut off, or there are more than a bundle holds.
    """
    entries: list[bytes] = []
    offset = 0
    while offset < len(data):
        if len(entries) == TILE_WIDTH:
            raise ValueError(f"the bundle holds more than {TILE_WIDTH} entries")
        end = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
        if end > len(data):
            raise ValueError("the bundle ends inside an entry")
        entries.append(data[offset + 2 : end])
        offset = end
    return tuple(entries)


def _pairs(level: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(level[::2], level[1::2], strict=False)


def _folded(roots: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that become smaller from left to right."""
    if not roots:
        return EMPTY_ROOT
    running = roots[-1]
    for left in reversed(roots[:-1]):
        running = node_hash(left, running)
    return running


def _split(width: int) -> int:
    """The largest power of two smaller than the width (RFC 9162 section 2.1.1)."""
    return 1 << (width - 1).bit_length() - 1


def _subtree(start: int, end: int, nodes: Nodes) -> bytes:
    """The hash over leaves that begin where a subtree of their size may begin."""
    roots = []
    while start < end:
        level = (end - start).bit_length() - 1
        roots.append(nodes(level, start >> level))
        start += 1 << level
    return _folded(roots)


def _path(index: int, start: int, end: int, nodes: Nodes) -> Iterator[bytes]:
    if end - start == 1:
        return
    middle = start + _split(end - start)
    if index < middle:
        yield from _path(index, start, middle, nodes)
        yield _subtree(middle, end, nodes)
    else:
        yield from _path(index, middle, end, nodes)
        yield _subtree(start, middle, nodes)


def _subproof(old: int, start: int, end: int, nodes: Nodes, *, known: bool) -> Iterator[bytes]:
    """SUBPROOF of RFC 9162 section 2.1.4.1; `known` says that the checker has this subtree's hash already."""
    if old == end:
        if not known:
            yield _subtree(start, end, nodes)
        return
    middle = start + _split(end - start)
    if old <= middle:
        yield from _subproof(old, start, middle, nodes, known=known)
        yield _subtree(middle, end, nodes)
    else:
        yield from _subproof(old, middle, end, nodes, known=False)
        yield _subtree(start, middle, nodes)


def _outside(first: int, stop: int, start: int, end: int, nodes: Nodes) -> Iterator[bytes]:
    """The hashes, from left to right, of the largest subtrees that hold no leaf of the range."""
    if first <= start and end <= stop:
        return
    if stop <= start or end <= first:
        yield _subtree(start, end, nodes)
        return
    middle = start + _split(end - start)
    yield from _outside(first, stop, start, middle, nodes)
    yield from _outside(first, stop, middle, end, nodes)


def _skipped(first: int, last: int) -> tuple[int, int]:
    while first % 2:
        first, last = first // 2, last // 2
    return first, last


def _rebuilt(first: int, leaves: Sequence[bytes], start: int, end: int, given: Iterator[bytes]) -> bytes:
    if start >= first + len(leaves) or end <= first:
        return next(given)
    if end - start == 1:
        return leaves[start - first]
    width = 1
    while width * 2 < end - start:
        width *= 2
    left = _rebuilt(first, leaves, start, start + width, given)
    return node_hash(left, _rebuilt(first, leaves, start + width, end, given))


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def _number(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
