"""Whatever the text, reading it gives a program or a refusal, and what was read runs as it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.appraise.told import AT, SGX, rego
from tests.unit.rego.corpus import MISTAKES
from tests.unit.rego.test_dialects import SAMPLE_SGX, SAMPLE_V2

from ambergate.core.appraise.named import PolicyKind
from ambergate.core.errors import MalformedPolicy
from ambergate.rego.module import Module
from ambergate.rego.program import read_program

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine

WORDS = st.sampled_from(
    [
        "a", "b", "match", "export", "get_token_fields", "input", "input.sgx_isvsvn", "input.sgx.sgx_isvsvn",
        "default", "import", "rego.v1", "package", "if", "else", "not", "some", "every", "in", "contains", "true",
        "false", "{", "}", "[", "]", "(", ")", "=", ":=", "==", "!=", ">=", "3", "4", '"x"', "`x`", ".", ",", ";",
        ":", "\n", "\n", " ", "#", "count", "time.now_ns()", "time.parse_rfc3339_ns", "|", "-", "opa.runtime()",
        "data", "with", '"', "x", "y",
    ]
)  # fmt: skip
SEEDS = st.sampled_from([SAMPLE_SGX, SAMPLE_V2, *(case.text for case in MISTAKES.values() if len(case.text) < 400)])
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(WORDS, max_size=30).map(" ".join),
    st.builds(
        lambda seed, cut, length, put: seed[: cut % (len(seed) + 1)] + put + seed[cut % (len(seed) + 1) + length :],
        SEEDS,
        st.integers(0, 400),
        st.integers(0, 8),
        WORDS,
    ),
)
KINDS = st.sampled_from(PolicyKind)


@settings(deadline=None, max_examples=300)
@given(TEXTS, KINDS)
def test_any_text_is_a_program_or_malformed(text: str, kind: PolicyKind) -> None:
    try:
        program = read_program(text, kind)
    except MalformedPolicy as exc:
        refusal = exc
        assert refusal.message
        return
    module = Module(program).at(7)
    assert module.count("\n") >= text.count("\n"), "lines stay where they are"
    assert program.deciding or kind is PolicyKind.TOKEN_CUSTOMIZATION


@settings(deadline=None, max_examples=60)
@given(TEXTS, KINDS)
def test_any_text_is_checked_and_judged(engine: RegoEngine, text: str, kind: PolicyKind) -> None:
    try:
        policy = rego(text, kind)
        engine.check(policy)
    except MalformedPolicy:
        return
    outcome = engine.evaluate(policy, SGX, at=AT)
    assert outcome.matched != bool(outcome.mismatches)


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_no_rule_drops_out_of_the_verdict(engine: RegoEngine, text: str) -> None:
    """What the interpreter finds to be a rule, we have found too; else it could be undefined without our knowing."""
    try:
        program = read_program(text, PolicyKind.APPRAISAL)
    except MalformedPolicy:
        return
    answer = engine._pool.ask({"module": Module(program).at(7), "input": SGX, "query": "data.amber"})
    value = answer.get("value", {})
    assert isinstance(value, dict)
    assert {name for name in value if not name.startswith("amber_x_")} <= program.names
