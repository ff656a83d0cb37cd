"""Every policy of the corpus has its outcome, within the deadline, and the engine goes on as before."""

from __future__ import annotations

import pytest
from tests.unit.appraise.told import AT, SGX, rego
from tests.unit.rego.corpus import BOMBS, MISTAKES, Case

from ambergate.core.errors import MalformedPolicy
from ambergate.rego.engine import RegoEngine
from ambergate.rego.pool import Limits

GOOD = "good { input.sgx_isvsvn == 3 }"


def test_there_are_enough_of_them() -> None:
    assert len(BOMBS) + len(MISTAKES) >= 60


def checked(engine: RegoEngine, case: Case) -> str:
    try:
        engine.check(rego(case.text, case.kind))
    except MalformedPolicy as exc:
        refusal = exc
    else:
        return "loads"
    assert len(str(refusal)) + len(str(refusal.seen)) < 600
    return str(refusal)


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes(engine: RegoEngine, name: str) -> None:
    case = MISTAKES[name]
    assert case.check in checked(engine, case)
    outcome = engine.evaluate(rego(case.text, case.kind), SGX, at=AT)
    assert not outcome.matched
    assert outcome.mismatches
    assert not outcome.exports
    assert engine.evaluate(rego(GOOD), SGX, at=AT).matched


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs(name: str) -> None:
    """One second of CPU for each, by which the kernel ends it however busy the machine is; another worker answers."""
    case = BOMBS[name]
    with RegoEngine(workers=1, limits=Limits(seconds=60, cpu_seconds=0, memory_mib=64)) as engine:
        assert case.check in checked(engine, case)
        outcome = engine.evaluate(rego(case.text, case.kind), SGX, at=AT)
        assert not outcome.matched
        assert outcome.mismatches[0]["rule"] == "policy"
        assert outcome.mismatches[0]["wanted"] in ("an answer", "one answer")
    with RegoEngine(workers=1, limits=Limits(seconds=60)) as engine:
        assert engine.evaluate(rego(GOOD), SGX, at=AT).matched
