"""Mutants of every kind of vector: none that must be refused is accepted, and no error but ours leaves the verifier."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest
from tests.vectors.conftest import ABSENT, VECTORS, Vector, vectors

from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.verify import Verifier

GENUINE = [v for v in vectors() if v.ours["outcome"] == "genuine"]


def mutations() -> Any:  # noqa: ANN401  the vectors' own program, not part of this project
    """The mutator beside the vectors."""
    program = VECTORS / "mutate.py"
    if not program.is_file():
        pytest.skip(ABSENT)
    spec = importlib.util.spec_from_file_location("vectors_mutate", program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.mutations


@pytest.mark.parametrize("vector", GENUINE, ids=lambda v: v.name)
def test_no_mutant_that_must_be_refused_is_accepted(vector: Vector) -> None:
    verifier, collateral = Verifier(), vector.collateral
    genuine = verifier.verify(vector.raw, collateral, at=vector.at)
    seen: dict[str, int] = {}
    for name, _, expect, raw in mutations()(vector.raw, 0):
        try:
            verified = verifier.verify(raw, collateral, at=vector.at)
        except (NotGenuine, MalformedEvidence):
            assert expect != "accept", f"{name}: still validly signed, and refused"
        else:
            assert expect != "reject", f"{name}: must be refused, and is accepted"
            assert verified.tcb == genuine.tcb, name
            assert verified.report == genuine.report, name
        seen[expect] = seen.get(expect, 0) + 1
    assert seen.get("reject", 0) > 50
