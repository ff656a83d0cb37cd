"""dcap-qvl's recorded outcome of every vector and of every mutant: where ours differs, the choice behind it by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from fuzz.case import Case
from fuzz.judges import quietly
from fuzz.runs import judge
from fuzz.triple import Triple
from tests.vectors.conftest import ABSENT, VECTORS, Vector, vectors
from tests.vectors.test_mutants import mutations

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPLETE: Final = {vector.name: vector for vector in vectors() if vector.entry["collateral"] is not None}
MUTANTS: Final = 6_543  # of the matrix, all under one seed
AGREED: Final = ("both accept", "both refuse")
# Why dcap-qvl refuses vectors that are genuine to us: its words -> our choice (docs/fuzzing.md).
CHOICE_OF_WORDS: Final = {
    "Failed to decode TcbInfo": "tcb-info-2",
    "Debug mode is enabled": "debug",
    "SEPT_VE_DISABLE is not enabled": "sept-ve",
    "Invalid MR service TD": "service-td",
}
# Kinds of mutants that the two judge differently -> the choices behind that.
CHOICES_OF_KIND: Final = {
    "bitflip": {"outer-type"},
    "bitflip-cert-root": {"whole-chain"},
    "chain": {"whole-chain"},
    "chain-order": {"whole-chain", "chain-spelling"},
    "length-cert": {"no-slack"},
    "length-sig": {"no-slack"},
    "outer-cert-type": {"outer-type"},
    "trailing": {"padding-bounded"},
}


def matrix() -> list[dict[str, Any]]:
    """What dcap-qvl made of the mutants, vector by vector; nothing where they are absent."""
    path = VECTORS / "mutations.json"
    if not path.is_file():
        return []
    rows = json.loads(path.read_text())["matrix"]
    assert isinstance(rows, list)
    return rows


def case_of(vector: Vector, bundle: str, raw: bytes, *changes: str) -> Case:
    at = int(vector.at.timestamp())
    with quietly():
        return Case.judged(Triple(raw=raw, bundle=bundle, at=at, root_der=None, origin=vector.name, mutations=changes))


def bundle_of(vector: Vector) -> str:
    return (VECTORS / str(vector.entry["collateral"])).read_text()


@pytest.mark.parametrize("vector", COMPLETE.values(), ids=lambda vector: vector.name)
def test_where_the_vectors_outcomes_differ_a_choice_says_why(vector: Vector) -> None:
    case, recorded = case_of(vector, bundle_of(vector), vector.raw), vector.entry["expected_error"]
    assert case.theirs.status == vector.entry["expected_status"]
    assert sorted(case.theirs.advisory_ids) == sorted(vector.entry["expected_advisory_ids"] or ())
    if case.ours.accepted is (recorded is None):
        assert judge(case) in AGREED
        return
    assert case.ours.accepted, "ours refuses what dcap-qvl takes"
    words = str(recorded).removeprefix("Verification failed: ").partition("\n")[0]
    assert judge(case) == f"choice: {CHOICE_OF_WORDS[words]}"


@pytest.mark.parametrize("row", matrix(), ids=lambda row: str(row["name"]))
def test_where_the_mutants_outcomes_differ_a_choice_says_why(row: dict[str, Any]) -> None:
    vector = COMPLETE[row["name"]]
    bundle = bundle_of(vector)
    made: Iterator[tuple[str, str, str, bytes]] = mutations()(vector.raw, row["seed"])
    for recorded in row["results"]:  # without the edits that changed nothing
        name, kind, _, raw = next(each for each in made if each[0] == recorded["mutation"])
        case = case_of(vector, bundle, raw, name)
        assert ("accept" if case.theirs.accepted else "reject") == recorded["dcap_qvl"], name
        with quietly():
            verdict, _, choice = judge(case).partition(": ")
        assert verdict in (*AGREED, "choice"), f"{name}: {verdict} {choice}"
        assert verdict in AGREED or choice in CHOICES_OF_KIND[kind], f"{name}: {choice} for {kind}"


def test_the_mutants_are_there() -> None:
    rows = matrix()
    if not rows:
        pytest.skip(ABSENT)
    assert sum(len(row["results"]) for row in rows) == MUTANTS
