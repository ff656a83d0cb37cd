"""A proof convinces of the record that it is for, and of nothing else; no text breaks its reader."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import Malformed, NotIntact
from ambergate.services.attestation.audit_routes import shown
from ambergate.stores.audit import Proof
from ambergate.stores.audit_proof import MAX_TEXT, check_proof, read_proof
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.merkle import Frontier, inclusion_proof, leaf_hash

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
SIGNER = CheckpointSigner("attest.example", bytes(32))


def example(size: int = 7, index: int = 4) -> Proof:
    frontier, nodes = Frontier(), dict[tuple[int, int], bytes]()
    for n in range(size):
        frontier, made = frontier.append(leaf_hash(f'{{"n":{n}}}'.encode()))
        nodes |= {(level, n >> level): digest for level, digest in enumerate(made)}
    hashes = inclusion_proof(index, size, lambda level, at: nodes[level, at])
    note = SIGNER.signed(size, frontier.root(), at=AT)
    return Proof(seq=index, record=f'{{"n":{index}}}', hashes=tuple(hashes), checkpoint=note)


PROOF = example()


def test_a_proof_survives_its_journey() -> None:
    assert read_proof(json.dumps(shown(PROOF))) == PROOF
    assert check_proof(PROOF, SIGNER.key) == SIGNER.key.opened(PROOF.checkpoint)


@pytest.mark.parametrize(
    "other",
    [
        replace(PROOF, record='{"n":5}'),
        replace(PROOF, seq=5),
        replace(PROOF, hashes=PROOF.hashes[:-1]),
        replace(PROOF, hashes=PROOF.hashes[::-1]),
        replace(PROOF, checkpoint=example(6).checkpoint),
        replace(PROOF, checkpoint=CheckpointSigner("attest.example", b"f" * 32).signed(7, bytes(32), at=AT)),
    ],
)
def test_anything_else_proves_nothing(other: Proof) -> None:
    with pytest.raises(NotIntact):
        check_proof(other, SIGNER.key)


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1},
        {"index": "4"},
        {"index": True},
        {"index": 2**63},
        {"record": None},
        {"record": "ü"},
        {"record": "x" * 70_000},
        {"checkpoint": 1},
        {"hashes": None},
        {"hashes": ["AAAA"]},
        {"hashes": [1]},
        {"hashes": ["*"]},
        {"hashes": [shown(PROOF)["hashes"][0]] * 200},  # type: ignore[index]
        {"more": 1},
    ],
)
def test_other_shapes_are_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="no proof"):
        read_proof(json.dumps(shown(PROOF) | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "x" * (MAX_TEXT + 1), b"\xff", "[" * 100_000])
def test_other_texts_are_malformed(text: str | bytes) -> None:
    with pytest.raises(Malformed, match="no proof"):
        read_proof(text)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_proof(raw)
