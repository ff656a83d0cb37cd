"""Merkle trees over an append-only list (RFC 9162, section 2.1; the same trees as RFC 6962): hashes in, proofs out.

A root of n entries fixes all of them and their order. An inclusion proof shows that an entry stands at its place under
a root; a consistency proof, that a later root only appends to an earlier one. Both take about log2(n) hashes. Neither
says that an entry is true, or who made the root: that is for whoever signs it.

A complete subtree of 2^level leaves is named by its level and its index among those of its level: `(0, 5)` is the sixth
leaf, `(1, 2)` the parent of the fifth and sixth. Complete subtrees never change, so their hashes can be kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HASH_SIZE: Final = 32  # bytes: SHA-256
MAX_SIZE: Final = 2**63 - 1  # entries: what SQL's widest integer counts
MAX_PROOF: Final = 2 * 63  # hashes; the longest consistency proof of a tree of MAX_SIZE is shorter
EMPTY_ROOT: Final = hashlib.sha256().digest()
# Leaves and nodes are hashed apart, so that no node can be shown as a leaf.
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees."""
    return hashlib.sha256(_NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that a tree must know of its past to grow: the roots of its largest complete subtrees, the widest first.

    Attributes:
        size: entries.
        peaks: one for each bit that is set in `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Self:
        """The frontier that `packed` gave.

        Raises:
            ValueError: so many peaks do not belong to this size.
        """
        if not 0 <= size <= MAX_SIZE or len(packed) != HASH_SIZE * size.bit_count():
            msg = f"{len(packed)} bytes are no frontier of {size} entries"
            raise ValueError(msg)
        return cls(size, tuple(packed[at : at + HASH_SIZE] for at in range(0, len(packed), HASH_SIZE)))

    def packed(self) -> bytes:
        """The peaks in one string of bytes."""
        return b"".join(self.peaks)

    def append(self, leaf: bytes) -> tuple[Self, tuple[bytes, ...]]:
        """The frontier with one entry more, and every complete subtree that ends with it: level 0 (the leaf), 1, ..."""
        peaks = list(self.peaks)
        made = [leaf]
        rest = self.size
        while rest & 1:  # a complete subtree of this level waits for its neighbour
            made.append(node_hash(peaks.pop(), made[-1]))
            rest >>= 1
        return type(self)(self.size + 1, (*peaks, made[-1])), tuple(made)

    def root(self) -> bytes:
        """The root of the tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """The complete subtrees that make up the entries from `start` to before `end`, in order.

    `start` is a multiple of the power of two at or above their number: so it is wherever a tree is split.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def root_of(start: int, end: int, node: Callable[[int, int], bytes]) -> bytes:
    """The root over the entries from `start` to before `end`, which a tree was split into.

    Args:
        start: the first entry.
        end: the one after the last.
        node: level and index of a complete subtree -> its hash.
    """
    return Frontier(end - start, tuple(node(level, index) for level, index in subtrees(start, end))).root()


def inclusion_proof(index: int, size: int, node: Callable[[int, int], bytes]) -> list[bytes]:
    """The hashes that lead from an entry to the root of the first `size` entries (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: there is no such entry.
    """
    if not 0 <= index < size:
        msg = f"entry {index} is none of {size}"
        raise ValueError(msg)
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(root_of(middle, end, node))
            end = middle
        else:
            proof.append(root_of(start, middle, node))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: Callable[[int, int], bytes]) -> list[bytes]:
    """The hashes that show that `new` entries begin with the first `old` of them (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: the sizes are in no order.
    """
    if not 0 <= old <= new:
        msg = f"{new} entries do not begin with {old}"
        raise ValueError(msg)
    if old in {0, new}:
        return []
    proof = []
    start, end = 0, new
    whole = True  # whether what is left of the old tree is all of it: then its reader knows the root
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(root_of(middle, end, node))
            end = middle
        else:
            proof.append(root_of(start, middle, node))
            start, whole = middle, False
    if not whole:
        proof.append(root_of(start, end, node))
    return proof[::-1]


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf stands at this place under the root of `size` entries (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE or not _usable(proof):
        return False
    place, last = index, size - 1
    found = leaf
    for step in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(step, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `new` entries under one root begins with that of `old` under another (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new <= MAX_SIZE or not _usable(proof):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    # An old tree that is one complete subtree is a step of its own proof, which its reader knows already.
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, step)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`: where a tree of so many entries is split."""
    return 1 << (size - 1).bit_length() - 1


def _usable(proof: Sequence[bytes]) -> bool:
    return len(proof) <= MAX_PROOF and all(len(step) == HASH_SIZE for step in proof)
