"""What the interpreter reads in another way than OPA, tells, or dies of: each is met before, or outlived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.appraise.told import AT, SGX, rego

from ambergate.core.appraise.named import PolicyKind
from ambergate.core.errors import MalformedPolicy
from ambergate.rego.builtins import ALLOWED, REPLACED

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine


def of_interpreter(text: str, query: str = "data.p.x") -> str:
    import regopy  # noqa: PLC0415  where it cannot be loaded, tests are skipped

    interpreter = regopy.Interpreter()
    interpreter.add_module("p.rego", f"package p\n{text}\n")
    interpreter.set_input({"n": 3})
    return str(interpreter.query(query))


def refusal(engine: RegoEngine, text: str, kind: PolicyKind = PolicyKind.APPRAISAL) -> str:
    with pytest.raises(MalformedPolicy) as caught:
        engine.check(rego(text, kind))
    assert not engine.evaluate(rego(text, kind), SGX, at=AT).matched
    return str(caught.value)


def test_old_sets_become_objects(engine: RegoEngine) -> None:
    """So they are refused, but for the one that this protocol has, which is written anew."""
    assert of_interpreter("x[y] { y := 1 }") == '{"expressions":[{"1":true}]}'
    assert refusal(engine, "ok[x] { x := 1 }") == "line 1: that is no rule"
    assert refusal(engine, 'ok[x] = "y" { x := 1 }') == "line 1: that is no rule"
    engine.check(rego("ok contains x if { x := 1 }\na { count(ok) == 1 }"))
    fields = rego('get_token_fields[x] { x := {"a": {"b": [1]}} }', PolicyKind.TOKEN_CUSTOMIZATION)
    assert dict(engine.evaluate(fields, SGX, at=AT).exports) == {"a": {"b": [1]}}


@pytest.mark.parametrize("call", ["opa.runtime()", "opa . runtime ( )", "opa.runtime().env.HOME"])
def test_the_environment_is_not_told(engine: RegoEngine, call: str) -> None:
    assert '"env"' in of_interpreter("x := opa.runtime()")
    assert refusal(engine, f"a {{ {call} != 1 }}") == "line 1: opa.runtime is not accepted"


@pytest.mark.parametrize(
    "name", ["http.send", "net.lookup_ip_addr", "rand.intn", "uuid.rfc4122", "regex.match", "walk"]
)
def test_functions_that_reach_out_are_refused_by_name(engine: RegoEngine, name: str) -> None:
    assert refusal(engine, f"a {{ {name}(1) }}") == f"line 1: {name} is not accepted"


@pytest.mark.parametrize("name", ["sprintf", "crypto.sha256", "io.jwt.decode", "nothing.like_it", "nothing", "input.x"])
def test_functions_that_are_not_listed_are_refused(engine: RegoEngine, name: str) -> None:
    """The interpreter leaves a function that it lacks undefined, and `not` would make that true."""
    assert of_interpreter("x { not crypto.x509.parse_certificates(1) }") == '{"expressions":[true]}'
    refusal(engine, f"\na {{ not {name}(1) }}")


def test_what_is_listed_the_interpreter_has() -> None:
    import regopy  # noqa: PLC0415  where it cannot be loaded, tests are skipped

    interpreter = regopy.Interpreter()
    lacking = {name for name in ALLOWED if not interpreter.is_builtin(name)}
    assert lacking == {"set"}, "which is syntax"
    assert of_interpreter('x := time.parse_rfc3339_ns("2024-03-13T00:00:00Z")') == "undefined"
    assert set(REPLACED) == {"time.parse_rfc3339_ns"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a { a }", "depends on itself"),
        ("a { b }\nb { c }\nc { a }", "depends on itself"),
        ("f(x) = y { y := f(x) }\na { f(1) == 1 }", "depends on itself"),
        ("a { not b }\nb { not a }", "depends on itself"),
    ],
)
def test_recursion_is_found_before_it_runs(engine: RegoEngine, text: str, named: str) -> None:
    assert named in refusal(engine, text)


def test_rules_that_contradict_each_other_are_no_match(engine: RegoEngine) -> None:
    assert of_interpreter("x = 1 { true }\nx = 2 { true }") == "<error>"
    assert "no answer" in refusal(engine, "a = 1 { true }\na = 2 { true }\nb = true")


def test_numbers_are_not_ordered_against_texts(engine: RegoEngine) -> None:
    assert of_interpreter('x := input.n > "9"') == '{"expressions":[true]}', "OPA: false"
    assert of_interpreter('x := "9" > input.n') == "undefined", "OPA: true"
    for text in ('input.sgx_isvsvn > "5"', '"5" < input.sgx_isvsvn', "x := 1\n x > `5`", "input.sgx_mrsigner == 5"):
        assert "compared" in refusal(engine, f"a {{ {text} }}") or "ordered" in refusal(engine, f"a {{ {text} }}")
    engine.check(rego('a { input.attester_tcb_date >= "2025-01-01T00:00:00Z" }'))


def test_escapes_that_are_read_in_another_way_are_refused(engine: RegoEngine) -> None:
    assert of_interpreter('x := "\\u0041" == "A"') == "undefined", "OPA: true"
    assert of_interpreter('x := "\\/" == "/"') == "undefined", "OPA: true"
    for escape in ("\\u0041", "\\/", "\\b", "\\x"):
        assert "escape" in refusal(engine, f'a {{ input.sgx_mrsigner != "{escape}" }}')
    assert engine.evaluate(rego('a { "\\"\\\\\\n\\t" == `"\\\n\t` }'), SGX, at=AT).matched


def test_the_clock_is_the_instant_of_the_appraisal(engine: RegoEngine) -> None:
    nanoseconds = int(AT.timestamp()) * 1_000_000_000
    assert engine.evaluate(rego(f"a {{ time.now_ns() == {nanoseconds} }}"), SGX, at=AT).matched
    assert engine.evaluate(rego(f"a {{ x := time . now_ns ( )\n x == {nanoseconds} }}"), SGX, at=AT).matched
    assert "is a function" in refusal(engine, "a { x := time.now_ns\n x > 1 }")
    assert "no argument" in refusal(engine, "a { time.now_ns(1) > 1 }")


def test_errors_of_the_parser_have_a_line(engine: RegoEngine) -> None:
    assert refusal(engine, "a { true }\n\nb { true true }").startswith("line 3: the interpreter cannot read this: ")
    assert refusal(engine, 'a { "é" == "é" }\nb { :=  }').startswith("line 2: the interpreter cannot read this: ")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a { input.sgx_mrenclav == `x` }", "no such claim"),
        ("a { not input.sgx_debuggable }", "no such claim"),
        ("a { input.amber_sgx_mrsigner == `x` }", "no such claim"),
        ("match { input.sgx_isvsvn == 3 }", "no such evidence"),
        ("match { input.sgx.isvsvn == 3 }", "no such claim"),
        ("match { input.nvgpu.x == 3 }", "no such evidence"),
    ],
)
def test_a_misspelt_claim_does_not_load(engine: RegoEngine, text: str, named: str) -> None:
    assert named in refusal(engine, text)


def test_the_right_name_is_suggested(engine: RegoEngine) -> None:
    for text, hint in (
        ("a { input.sgx_mrenclav == `x` }", "did you mean sgx_mrenclave?"),
        ("a { input.amber_sgx_mrsigner == `x` }", "did you mean sgx_mrsigner?"),
        ("match { input.sgx_isvsvn == 3 }", "in this dialect claims are read as input.sgx.sgx_isvsvn"),
    ):
        with pytest.raises(MalformedPolicy) as caught:
            engine.check(rego(text))
        assert caught.value.hint == hint
