"""The trees are those of RFC 9162, by its own definitions; a proof of anything else does not hold."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.stores.merkle import (
    EMPTY_ROOT,
    HASH_SIZE,
    Frontier,
    consistency_holds,
    consistency_proof,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    subtrees,
)

MOST = 70
sizes = st.integers(1, MOST)


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it stands there."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def naive_inclusion(m: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, as it stands there."""
    if len(entries) == 1:
        return []
    k = 1
    while k * 2 < len(entries):
        k *= 2
    if m < k:
        return [*naive_inclusion(m, entries[:k]), naive_root(entries[k:])]
    return [*naive_inclusion(m - k, entries[k:]), naive_root(entries[:k])]


def naive_consistency(m: int, entries: list[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 9162, 2.1.4.1, as it stands there."""
    if m == len(entries):
        return [] if whole else [naive_root(entries)]
    k = 1
    while k * 2 < len(entries):
        k *= 2
    if m <= k:
        return [*naive_consistency(m, entries[:k], whole=whole), naive_root(entries[k:])]
    return [*naive_consistency(m - k, entries[k:], whole=False), naive_root(entries[:k])]


ENTRIES = [f"entry {n}".encode() for n in range(MOST + 1)]


class Tree:
    """A tree grown entry by entry, with every complete subtree that it made."""

    def __init__(self, size: int) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.frontier = Frontier()
        for n in range(size):
            self.frontier, made = self.frontier.append(leaf_hash(ENTRIES[n]))
            self.nodes |= {(level, n >> level): digest for level, digest in enumerate(made)}

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def test_known_hashes() -> None:
    """RFC 6962's empty tree, and the leaf of no bytes."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert Frontier().root() == EMPTY_ROOT


@pytest.mark.parametrize("size", range(MOST + 1))
def test_a_grown_tree_has_the_root_of_its_definition(size: int) -> None:
    tree = Tree(size)
    assert tree.frontier.root() == naive_root(ENTRIES[:size])
    assert root_of(0, size, tree.node) == naive_root(ENTRIES[:size])
    assert Frontier.unpack(size, tree.frontier.packed()) == tree.frontier


@given(sizes, st.data())
def test_inclusion_is_as_defined_and_holds(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, Tree(size).node)
    assert proof == naive_inclusion(index, ENTRIES[:size])
    assert inclusion_holds(leaf_hash(ENTRIES[index]), index, size, proof, naive_root(ENTRIES[:size]))


@given(sizes, st.data())
def test_consistency_is_as_defined_and_holds(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    proof = consistency_proof(old, new, Tree(new).node)
    assert proof == ([] if old == 0 else naive_consistency(old, ENTRIES[:new]))
    assert consistency_holds(old, naive_root(ENTRIES[:old]), new, naive_root(ENTRIES[:new]), proof)


@given(sizes, st.data())
def test_an_inclusion_proof_proves_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, leaf = naive_root(ENTRIES[:size]), leaf_hash(ENTRIES[index])
    proof = inclusion_proof(index, size, Tree(size).node)
    assert not inclusion_holds(leaf_hash(b"another"), index, size, proof, root)
    assert not inclusion_holds(leaf, index, size, proof, leaf_hash(b"another"))
    assert not inclusion_holds(leaf, index, size, [*proof, EMPTY_ROOT], root)
    for other in {0, size - 1, size, -1, index + 1} - {index}:
        assert not inclusion_holds(leaf, other, size, proof, root)
    for at in range(len(proof)):
        assert not inclusion_holds(leaf, index, size, proof[:at] + proof[at + 1 :], root)
        changed = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert not inclusion_holds(leaf, index, size, [*proof[:at], changed, *proof[at + 1 :]], root)
        short = [*proof[:at], proof[at][:-1], *proof[at + 1 :]]
        assert not inclusion_holds(leaf, index, size, short, root)


@given(st.integers(2, MOST), st.data())
def test_a_consistency_proof_proves_nothing_else(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    first, second = naive_root(ENTRIES[:old]), naive_root(ENTRIES[:new])
    proof = consistency_proof(old, new, Tree(new).node)
    other = leaf_hash(b"another")
    assert not consistency_holds(old, other, new, second, proof)
    assert not consistency_holds(old, first, new, other, proof)
    assert not consistency_holds(old, first, new, second, [*proof, other])
    for at in range(len(proof)):
        assert not consistency_holds(old, first, new, second, proof[:at] + proof[at + 1 :])
        changed = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert not consistency_holds(old, first, new, second, [*proof[:at], changed, *proof[at + 1 :]])
    assert not consistency_holds(new, second, old, first, proof) or old == new


def test_a_forked_tree_has_no_proof() -> None:
    """The same size and end, one entry in the middle changed: no proof made of either tree leads to both roots."""
    forked = [*ENTRIES[:20], b"forked", *ENTRIES[21:60]]
    proof = consistency_proof(40, 60, Tree(60).node)
    assert not consistency_holds(40, naive_root(forked[:40]), 60, naive_root(ENTRIES[:60]), proof)
    assert not consistency_holds(40, naive_root(ENTRIES[:40]), 60, naive_root(forked), proof)


def test_an_empty_tree_is_the_beginning_of_all() -> None:
    root = naive_root(ENTRIES[:5])
    assert consistency_holds(0, EMPTY_ROOT, 5, root, [])
    assert not consistency_holds(0, root, 5, root, [])
    assert not consistency_holds(0, EMPTY_ROOT, 5, root, [root])
    assert not consistency_holds(3, naive_root(ENTRIES[:3]), 5, root, [])


def test_a_node_is_never_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_huge_trees_need_few_nodes(index: int, size: int) -> None:
    """Sizes that nobody grows: proofs stay short, and every node asked for is a complete subtree of the tree."""
    index, size = sorted((index, size + 1))
    asked: list[tuple[int, int]] = []

    def node(level: int, at: int) -> bytes:
        asked.append((level, at))
        return bytes(HASH_SIZE)

    if index < size:
        assert len(inclusion_proof(index, size, node)) <= size.bit_length()
    assert len(consistency_proof(index, size, node)) <= size.bit_length() + 1
    assert len(asked) <= 4 * 64
    assert all((at + 1) << level <= size for level, at in asked)


@given(sizes)
def test_subtrees_are_complete_and_in_order(size: int) -> None:
    found = subtrees(0, size)
    assert [level for level, _ in found] == sorted({level for level, _ in found}, reverse=True)
    edges = [(index << level, (index + 1) << level) for level, index in found]
    assert edges[0][0] == 0
    assert edges[-1][1] == size
    assert all(one[1] == other[0] for one, other in pairwise(edges))


@pytest.mark.parametrize(("size", "packed"), [(1, b""), (-1, b""), (3, bytes(HASH_SIZE)), (1, bytes(31)), (2**63, b"")])
def test_a_frontier_of_another_size_is_refused(size: int, packed: bytes) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        Frontier.unpack(size, packed)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_no_proof_of_an_entry_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is none of"):
        inclusion_proof(index, size, lambda _level, _index: b"")


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5)])
def test_no_proof_of_a_tree_that_shrank(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="do not begin"):
        consistency_proof(old, new, lambda _level, _index: b"")
