"""Every tree up to 300 leaves: each inclusion, consistency and range proof holds, and what is changed does not."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from optout.evidence import tlog
from optout.evidence.tlog import Frontier, Tree, leaf_hash

SIZES = 300
VECTORS = json.loads((Path(__file__).parent / "vectors" / "tlog.json").read_bytes())
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in VECTORS["leaves"]]
HASHES = [leaf_hash(b"%d" % number) for number in range(SIZES)]
TREE = Tree(HASHES)


def _by_definition(hashes: list[bytes]) -> bytes:
    """MTH as RFC 9162 section 2.1.1 writes it, without any of our code."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\x01" + _by_definition(hashes[:k]) + _by_definition(hashes[k:])).digest()


ROOTS = [_by_definition(HASHES[:size]) for size in range(SIZES + 1)]


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_reference_leaves(size: int) -> None:
    assert Tree(LEAVES[:size]).root.hex() == VECTORS["roots"][size]


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda case: f"{case['index']} of {case['size']}")
def test_reference_inclusion_proofs(case: dict) -> None:
    proof = tlog.inclusion_proof(case["index"], case["size"], Tree(LEAVES).node)
    assert [item.hex() for item in proof] == case["proof"]
    root = bytes.fromhex(VECTORS["roots"][case["size"]])
    assert tlog.check_inclusion(case["index"], case["size"], LEAVES[case["index"]], proof, root)


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda case: f"{case['old']} to {case['new']}")
def test_reference_consistency_proofs(case: dict) -> None:
    proof = tlog.consistency_proof(case["old"], case["new"], Tree(LEAVES).node)
    assert [item.hex() for item in proof] == case["proof"]


def test_every_root_is_the_one_of_the_definition() -> None:
    frontier = Frontier()
    for size in range(SIZES + 1):
        assert tlog.root(size, TREE.node) == ROOTS[size]
        assert frontier.root == ROOTS[size]
        if size < SIZES:
            frontier.append(HASHES[size])


def test_every_inclusion_proof_of_every_size_holds() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = tlog.inclusion_proof(index, size, TREE.node)
            assert tlog.check_inclusion(index, size, HASHES[index], proof, ROOTS[size])


def test_every_consistency_proof_of_every_pair_of_sizes_holds() -> None:
    for new in range(SIZES + 1):
        for old in range(new + 1):
            proof = tlog.consistency_proof(old, new, TREE.node)
            assert tlog.check_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def test_changed_inclusion_proofs_do_not_hold() -> None:
    for size in range(1, 34):
        for index in range(size):
            proof = tlog.inclusion_proof(index, size, TREE.node)
            wrong = [(*proof, proof[0])] if proof else [(HASHES[0],)]
            wrong += [proof[:-1], proof[1:]] if proof else []
            wrong += [(*proof[:at], bytes(32), *proof[at + 1 :]) for at in range(len(proof))]
            assert not any(tlog.check_inclusion(index, size, HASHES[index], item, ROOTS[size]) for item in wrong)
            assert not tlog.check_inclusion(index, size, HASHES[index - 1 if index else 299], proof, ROOTS[size])
            assert not tlog.check_inclusion(index, size, HASHES[index], proof, ROOTS[size - 1])
            assert not tlog.check_inclusion(size, size, HASHES[index], proof, ROOTS[size])
            assert not tlog.check_inclusion(-1, size, HASHES[index], proof, ROOTS[size])


def test_a_proof_holds_at_no_other_place() -> None:
    for size in range(2, 20):
        for index in range(size):
            proof = tlog.inclusion_proof(index, size, TREE.node)
            for other in set(range(size)) - {index}:
                assert not tlog.check_inclusion(other, size, HASHES[index], proof, ROOTS[size])


def test_changed_consistency_proofs_do_not_hold() -> None:
    fork = [_by_definition([*HASHES[: size - 1], leaf_hash(b"fork")]) if size else b"" for size in range(34)]
    for new in range(1, 34):
        for old in range(1, new):
            proof = tlog.consistency_proof(old, new, TREE.node)
            wrong = [proof[:-1], proof[1:], (*proof, proof[0]), ()]
            wrong += [(*proof[:at], bytes(32), *proof[at + 1 :]) for at in range(len(proof))]
            assert not any(tlog.check_consistency(old, ROOTS[old], new, ROOTS[new], item) for item in wrong)
            assert not tlog.check_consistency(old, fork[old], new, ROOTS[new], proof)
            assert not tlog.check_consistency(old, ROOTS[old], new, fork[new], proof)
            assert not tlog.check_consistency(new, ROOTS[new], old, ROOTS[old], proof)


def test_an_empty_tree_needs_no_proof_and_takes_none() -> None:
    assert tlog.check_consistency(0, tlog.EMPTY_ROOT, 5, ROOTS[5], ())
    assert not tlog.check_consistency(0, tlog.EMPTY_ROOT, 5, ROOTS[5], (HASHES[0],))
    assert not tlog.check_consistency(0, ROOTS[1], 5, ROOTS[5], ())
    assert not tlog.check_consistency(5, ROOTS[5], 5, ROOTS[4], ())


def test_every_range_of_small_trees_is_complete() -> None:
    for size in range(1, 26):
        for first in range(size):
            for end in range(first + 1, size + 1):
                proof = tlog.range_proof(first, end, size, TREE.node)
                assert tlog.check_range(first, HASHES[first:end], size, proof, ROOTS[size])


def test_a_range_with_a_leaf_left_out_or_moved_does_not_hold() -> None:
    for size in range(2, 20):
        for first in range(size - 1):
            for end in range(first + 2, size + 1):
                proof, leaves = tlog.range_proof(first, end, size, TREE.node), HASHES[first:end]
                changed = [leaves[1:], leaves[:-1], leaves[::-1], [*leaves, HASHES[299]], [bytes(32), *leaves[1:]], []]
                assert not any(tlog.check_range(first, item, size, proof, ROOTS[size]) for item in changed)
                assert not tlog.check_range(first, leaves, size, (*proof, HASHES[0]), ROOTS[size])
                assert not tlog.check_range(first, leaves, size, proof[:-1], ROOTS[size] if proof else b"")


@pytest.mark.parametrize(("call", "arguments"), [
    (tlog.inclusion_proof, (3, 3)), (tlog.inclusion_proof, (-1, 3)), (tlog.consistency_proof, (4, 3)),
    (tlog.range_proof, (2, 2, 3)), (tlog.range_proof, (0, 4, 3)),
])  # fmt: skip
def test_what_cannot_be_proved_is_refused(call, arguments: tuple) -> None:
    with pytest.raises(IndexError):
        call(*arguments, TREE.node)


@pytest.mark.parametrize(("path", "expected"), [
    (tlog.tile_path(0, 0), "tile/0/000"),
    (tlog.tile_path(1, 1234067), "tile/1/x001/x234/067"),
    (tlog.tile_path(0, 273, 112), "tile/0/273.p/112"),
    (tlog.bundle_path(1000, 5), "tile/entries/x001/000.p/5"),
])  # fmt: skip
def test_tile_paths(path: str, expected: str) -> None:
    assert path == expected


def test_the_tiles_of_the_specification_s_examples() -> None:
    widths = {(level, width) for level, _, width in tlog.tiles(70_000)}
    assert widths == {(0, 256), (0, 112), (1, 256), (1, 17), (2, 1)}
    assert sum(1 for level, _, width in tlog.tiles(70_000) if (level, width) == (0, 256)) == 273
    assert list(tlog.tiles(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tlog.tiles(0)) == []


def test_new_tiles_of_every_growth_are_those_that_changed() -> None:
    def content(size: int) -> dict:
        return {tile: tlog.tile_bytes(*tile, TREE.node) for tile in tlog.tiles(size)}

    for old in range(0, SIZES, 7):
        for new in range(old, SIZES, 13):
            added = {tile: tlog.tile_bytes(*tile, TREE.node) for tile in tlog.tiles(new, old)}
            assert added == {tile: data for tile, data in content(new).items() if tile not in content(old)}


def test_nodes_read_from_tiles_prove_the_same() -> None:
    stored = {
        (level, index): tlog.tile_bytes(level, index, width, TREE.node) for level, index, width in tlog.tiles(SIZES)
    }
    nodes = tlog.tile_nodes(lambda level, index: stored[level, index])
    assert tlog.root(SIZES, nodes) == ROOTS[SIZES]
    for size in (1, 2, 255, 256, 257, 300):
        for index in (0, size // 2, size - 1):
            proof = tlog.inclusion_proof(index, size, nodes)
            assert tlog.check_inclusion(index, size, HASHES[index], proof, ROOTS[size])


def test_a_tile_that_is_too_short_is_noticed() -> None:
    nodes = tlog.tile_nodes(lambda level, index: b"".join(HASHES[:3]))
    with pytest.raises(IndexError):
        nodes(2, 0)


def test_bundles() -> None:
    entries = (b"", b"one", b"x" * 0xFFFF)
    assert tlog.bundle_entries(tlog.bundle_bytes(entries)) == entries
    with pytest.raises(ValueError, match="65536"):
        tlog.bundle_bytes([b"x" * 0x10000])
    with pytest.raises(ValueError, match="inside"):
        tlog.bundle_entries(tlog.bundle_bytes(entries)[:-1])
