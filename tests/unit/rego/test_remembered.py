"""Outcomes are remembered by the policy's words and the claims that it reads, and by nothing less."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.appraise.told import AT, SGX, TDX, rego, typed
from tests.unit.rego.conftest import PATIENT
from tests.unit.rego.test_dialects import SAMPLE_SGX, SAMPLE_TDX, SAMPLE_V2

from ambergate.core.appraise.named import PolicyKind
from ambergate.core.errors import MalformedPolicy, SettingsError, Unavailable
from ambergate.rego import engine as engine_module
from ambergate.rego.engine import RegoEngine
from ambergate.rego.pool import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.core.appraise.named import Policy

READS_ONE = "a { input.sgx_isvsvn == 3 }"


@pytest.fixture
def fresh() -> Iterator[RegoEngine]:
    with RegoEngine(workers=1, limits=PATIENT) as opened:
        yield opened


@pytest.fixture(scope="module")
def forgetful() -> Iterator[RegoEngine]:
    with RegoEngine(workers=1, limits=PATIENT, max_cached=0) as opened:
        yield opened


def served(engine: RegoEngine) -> int:
    """How many requests its one worker has had."""
    worker = engine._pool._free.queue[0]
    return 0 if worker is None else worker._requests


def asked(engine: RegoEngine, policy: Policy, claims: dict[str, object]) -> bool:
    """Whether a worker had to be asked."""
    before = served(engine)
    assert engine.evaluate(policy, claims, at=AT).policy is policy
    return served(engine) != before


def test_the_same_question_is_asked_once(fresh: RegoEngine) -> None:
    assert asked(fresh, rego(READS_ONE), SGX)
    assert not asked(fresh, rego(READS_ONE), SGX)
    other_id = replace(rego(READS_ONE), id=UUID(int=9), name="same-words", version=4)
    assert not asked(fresh, other_id, SGX), "the words are what is judged by"
    assert fresh.evaluate(other_id, SGX, at=AT).policy is other_id


@pytest.mark.parametrize(
    ("text", "change", "again"),
    [
        (READS_ONE, {"sgx_isvsvn": 4}, True),
        (READS_ONE, {"sgx_report_data": "11" * 64}, False),
        (READS_ONE, {"sgx_collateral": {}}, False),
        ('a { input["sgx_isvsvn"] == 3 }', {"sgx_isvsvn": 4}, True),
        ('a { input["sgx_isvsvn"] == 3 }', {"sgx_mrenclave": "11" * 32}, False),
        # Whoever takes input whole, or by a name that is only known when it runs, reads everything.
        ("a { count(input) > 0 }", {"sgx_report_data": "11" * 64}, True),
        ('a { x := "sgx_isvsvn"; input[x] == 3 }', {"sgx_report_data": "11" * 64}, True),
        ("a { some name; input[name] == 3 }", {"sgx_report_data": "11" * 64}, True),
        ("a { x := input; x.sgx_isvsvn == 3 }", {"sgx_report_data": "11" * 64}, True),
        ('a { object.get(input, "sgx_isvsvn", 0) == 3 }', {"sgx_isvsvn": 4}, True),
        ("match { input.sgx.sgx_isvsvn == 3 }", {"sgx_isvsvn": 4}, True),
        ("match { input.sgx.sgx_isvsvn == 3 }", {"sgx_mrenclave": "11" * 32}, False),
        ("match { count(input.sgx) > 3 }", {"sgx_report_data": "11" * 64}, True),
        ('match { input.sgx.dbgstat == "disabled" }', {"sgx_is_debuggable": True}, True),
        # In the nested dialect a claim that both kinds have is another one of each kind.
        ('match { input.sgx.attester_tcb_status == "UpToDate" }', {"attester_type": "TDX"}, True),
    ],
)
def test_what_makes_it_another_question(fresh: RegoEngine, text: str, change: dict[str, object], again: bool) -> None:  # noqa: FBT001
    assert asked(fresh, rego(text), SGX)
    assert asked(fresh, rego(text), SGX | change) is again


def test_the_outcome_is_that_of_the_claims(fresh: RegoEngine) -> None:
    for svn, matches in ((3, True), (4, False), (3, True), (4, False)):
        assert fresh.evaluate(rego(READS_ONE), SGX | {"sgx_isvsvn": svn}, at=AT).matched is matches
    assert not fresh.evaluate(rego(READS_ONE), TDX, at=AT).matched


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([SAMPLE_SGX, SAMPLE_TDX, SAMPLE_V2, READS_ONE, "match { not input.tdx }\nexport := input"]),
    st.sampled_from([SGX, TDX]),
    st.dictionaries(st.sampled_from(["sgx_isvsvn", "sgx_isvprodid", "tdx_seamsvn"]), st.integers(0, 4), max_size=2),
)
def test_what_is_remembered_is_what_would_be_found(
    engine: RegoEngine, forgetful: RegoEngine, text: str, claims: dict[str, object], change: dict[str, object]
) -> None:
    asked_once = engine.evaluate(rego(text), claims | change, at=AT)
    assert engine.evaluate(rego(text), claims | change, at=AT) == asked_once
    assert forgetful.evaluate(rego(text), claims | change, at=AT) == asked_once


def test_many_threads_get_their_own_answers() -> None:
    policies = [rego(f"a {{ input.sgx_isvsvn == {svn} }}") for svn in range(4)]
    with RegoEngine(workers=2, limits=PATIENT, max_cached=8) as engine, ThreadPoolExecutor(8) as threads:

        def judge(index: int) -> bool:
            claims = SGX | {"sgx_isvsvn": index // 4 % 4}
            return engine.evaluate(policies[index % 4], claims, at=AT).matched is (index // 4 % 4 == index % 4)

        assert all(threads.map(judge, range(160)))


def test_the_kind_makes_it_another_question(fresh: RegoEngine) -> None:
    text = 'export := {"a": 1}\nmatch := false'
    assert asked(fresh, rego(text), SGX)
    assert asked(fresh, rego(text, PolicyKind.TOKEN_CUSTOMIZATION), SGX)


def test_who_reads_the_clock_is_asked_each_time(fresh: RegoEngine) -> None:
    text = "a { time.parse_rfc3339_ns(input.attester_tcb_date) > time.add_date(time.now_ns(), 0, 0, -120) }"
    assert asked(fresh, rego(text), SGX)
    assert asked(fresh, rego(text), SGX)
    assert fresh.evaluate(rego(text), SGX, at=AT).matched
    assert not fresh.evaluate(rego(text), SGX, at=AT + timedelta(days=30)).matched


def test_what_is_recalled_is_what_was_said_and_asks_nobody(fresh: RegoEngine) -> None:
    policy = rego(READS_ONE)
    assert fresh.recall(policy, SGX) is None
    said = fresh.evaluate(policy, SGX, at=AT)
    before = served(fresh)
    assert fresh.recall(policy, SGX) == said
    assert fresh.recall(policy, SGX | {"sgx_isvsvn": 4}) is None
    assert fresh.recall(policy, SGX | {"sgx_isvsvn": {3}}) is None, "no JSON"
    clock = rego("a { time.now_ns() > 0 }")
    fresh.evaluate(clock, SGX, at=AT)
    assert fresh.recall(clock, SGX) is None
    assert served(fresh) == before + 1


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        (READS_ONE, True),
        ("a { time.now_ns() > 0 }", False),
        ('a { input.sgx_report_data != "" }', False),
        ('a { input.sgx_collateral.quotehash != "" }', False),
        ('a { input["sgx_report_data"] != "" }', False),
        ("a { count(input) > 0 }", False),
    ],
)
def test_what_it_said_lasts_if_it_looked_at_what_all_of_a_kind_have(fresh: RegoEngine, text: str, lasts: bool) -> None:  # noqa: FBT001
    policy = rego(text)
    assert not fresh.lasts(policy), "it was not read yet"
    fresh.evaluate(policy, SGX, at=AT)
    assert fresh.lasts(policy) is lasts


def test_what_went_wrong_is_not_remembered() -> None:
    with RegoEngine(workers=1, limits=Limits(seconds=0.000_001)) as engine:
        assert not engine.evaluate(rego(READS_ONE), SGX, at=AT).matched
        assert len(engine._outcomes) == 0


def test_no_more_is_remembered_than_was_asked_for() -> None:
    with RegoEngine(workers=1, limits=PATIENT, max_cached=4) as engine:
        for svn in range(8):
            engine.evaluate(rego(READS_ONE), SGX | {"sgx_isvsvn": svn}, at=AT)
        assert len(engine._outcomes) == 4
        assert not asked(engine, rego(READS_ONE), SGX | {"sgx_isvsvn": 7})
        assert asked(engine, rego(READS_ONE), SGX | {"sgx_isvsvn": 0})


def test_an_export_is_not_shared_between_outcomes(fresh: RegoEngine) -> None:
    policy = rego('export := {"a": 1}\nmatch := true')
    first = dict(fresh.evaluate(policy, SGX, at=AT).exports)
    first["a"] = 2
    assert dict(fresh.evaluate(policy, SGX, at=AT).exports) == {"a": 1}


@pytest.mark.parametrize("claims", [{"attester_type": {1}}, {"attester_type": float("nan")}, {"sgx_isvsvn": {3}}])
def test_claims_that_are_no_json_match_nothing(engine: RegoEngine, claims: dict[str, object]) -> None:
    for text in (READS_ONE, "a { count(input) > 0 }", "a { time.now_ns() > 0 }", "match { count(input) > 0 }"):
        assert not engine.evaluate(rego(text), SGX | claims, at=AT).matched


def test_a_policy_of_another_language_is_not_judged(engine: RegoEngine) -> None:
    policy = typed("dangerously_allow_any_enclave = true")
    with pytest.raises(MalformedPolicy, match="not in Rego"):
        engine.check(policy)
    assert not engine.evaluate(policy, SGX, at=AT).matched


def test_a_busy_engine_does_not_blame_the_policy() -> None:
    with RegoEngine(workers=1, limits=Limits(seconds=0.05)) as engine:
        worker = engine._pool._free.get()
        try:
            with pytest.raises(Unavailable):
                engine.check(rego(READS_ONE))
        finally:
            engine._pool._give_back(worker, good=True)


def test_without_the_interpreter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError) as caught:
        RegoEngine()
    assert caught.value.hint == "pip install 'ambergate[rego]'"
