"""Expressions and rules whose outcome under OPA is known from its documentation: here it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.appraise.told import AT, SGX, rego

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine

CLAIMS: dict[str, object] = {
    **{name: value for name, value in SGX.items() if name != "sgx_collateral"},
    "attester_advisory_ids": ["a", "b"],
}
TRUE = (
    "x := input.attester_tcb_status; true",
    "input.sgx_isvsvn != 4",
    "not input.tdx_seamsvn == 4",
    "not input.tdx_seamsvn != 4",
    '{x | x := input.attester_advisory_ids[_]} == {"b","a"}',
    "count({x | x := input.sgx_collateral[_]}) == 0",
    "every x in [] { x == 1 }",
    'every k, v in {"a": 1} { v == 1; k == "a" }',
    'not "a" in input.sgx_collateral',
    'input.attester_advisory_ids[i] == "b"; i == 1',
    "[1, x] = [1, 2]; x == 2",
    '{"a": x} = {"a": 1}; x == 1',
    "[x, y] := [1, 2]; x < y",
    "0",
    '""',
    "null",
    "[]",
    "{}",
    "true",
    "not false",
    "not input.sgx_is_debuggable",
    "7 % 4 == 3",
    "7 / 2 == 3.5",
    "not 1 / 0 == 1",
    "{1, 2} - {2} == {1}",
    "{1, 2} & {2} == {2}",
    "1 + 2 * 3 == 7",
    "2 * (1 + 2) == 6",
    "10 - 2 - 3 == 5",
    "8 / 4 / 2 == 1",
    "1 + 2 == 3",
    "2 - 1 * 2 == 0",
    "-1 < 0",
    "3 - -1 == 4",
    'x := {"a": 1}; x.a == 1',
    'x := {"a": 1}; x["a"] == 1',
    'x := {"a"}; x["a"] == "a"',
    "x := [1, 2]; x[0] == 1",
    'x := {"UpToDate": true, "x": false}; x[input.attester_tcb_status]',
    '"a" < "b"',
    '"B" < "a"',
    '"10" < "9"',
    "[1, 2] < [1, 3]",
    "{1, 2} == {2, 1}",
    'contains("abc", "")',
    'startswith("abc", "")',
    'object.subset({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}})',
    "object.subset([1, 2, 3], [2, 3])",
    'object.get(input, "tdx_seamsvn", 5) == 5',
    'object.get({"a": {"b": 1}}, ["a", "b"], 0) == 1',
    'x := [y | y := input.attester_advisory_ids[_]; y != "a"]; x == ["b"]',
    '{k: v | some k, v in {"a": 1}} == {"a": 1}',
    "count([1 | input.sgx_isvsvn == 4]) == 0",
    "2 in {1: 2}",
    "1, 2 in {1: 2}",
    'split("", ",") == [""]',
    'substring("abc", 5, 1) == ""',
    'indexof("abc", "z") == -1',
    'trim("aab", "a") == "b"',
    'replace("aaa", "a", "b") == "bbb"',
    "sum([]) == 0",
    "round(2.5) == 3",
    "round(-1.5) == -2",
    "abs(-0.5) == 0.5",
    "ceil(-1.5) == -1",
    "floor(-1.5) == -2",
    "array.slice([1,2,3], 2, 1) == []",
    "array.slice([1,2,3], -1, 9) == [1,2,3]",
    'type_name(null) == "null"',
    'type_name(set()) == "set"',
    "union(set()) == set()",
    "intersection(set()) == set()",
    'type_name({}) == "object"',
    "not is_string(3)",
    "9007199254740993 > 9007199254740992",
    "0.1 + 0.2 == 0.3",
    "1e2 == 100",
    "1.0 == 1",
    "9223372036854775807 + 1 == 9223372036854775808",
    "x := 1; y := x; y == 1",
    "some x; x = 3; x == input.sgx_isvsvn",
    'count("äb") == 2',
    '"ä" == "ä"',
    '`a\\b` == "a\\\\b"',
    'x := {"a": [1, {"b": 2}]}; x.a[1].b == 2',
    'x := {"a": [1, {"b": 2}]}; x.a[_].b == 2',
    "x := [[1, 2], [3]]; x[_][_] == 3",
    "time.add_date(0, 0, 1, 0) == 2678400000000000",
    "time.add_date(0, -1, 0, 0) < 0",
    "true != false",
    "[] != {}",
    'endswith("abc", "bc")',
)
# False or undefined, which is the same for a body.
NOT_TRUE = (
    "input.tdx_seamsvn != 4",
    "every x in input.sgx_collateral { x == 1 }",
    "every x in {1} { x == 2 }",
    "some x in input.sgx_collateral",
    '"a" in input.sgx_collateral',
    'not "a" in input.attester_advisory_ids',
    '"c" in input.attester_advisory_ids',
    'input.attester_advisory_ids[i] == "b"; i == 0',
    "[1, x] = [2, 2]",
    "false",
    "not 0",
    "not null",
    'not ""',
    "input.sgx_is_debuggable",
    "1 / 0 == 1",
    'x := {"a": 1}; x.b',
    "x := {1, 2}; x[3]",
    'x := {"UpToDate": false}; x[input.attester_tcb_status]',
    "[1, 2] == [2, 1]",
    "[1] == {1}",
    "{} == set()",
    "count(input.sgx_collateral) == 0",
    "x := [1,2]; x[-1]",
    'object.subset({"a": 1}, {"a": 2})',
    'object.subset({"a": 1}, {"b": 1})',
    "object.subset([1, 2, 3], [1, 3])",
    "object.subset({1, 2}, {1, 3})",
    "1 in {1: 2}",
    'substring("abc", -1, 1) == "a"',
    "is_string(input.sgx_collateral)",
    'is_number("3")',
    "is_set({})",
    "is_object([])",
    "is_array(set())",
    "is_null(false)",
    "is_boolean(null)",
    "100000000000000000001 == 100000000000000000000",
    "x = input.sgx_isvsvn; x == 4",
    "{1} != {1}",
    'startswith("abc", "b")',
)
MATCHING = (
    'a { f("x") == 1 }\nf("x") = 1 { true }\nf("y") = 2 { true }',
    "a { not f(3) }\nf(x) { x == 4 }",
    "a { ok[3] }\nok contains x if { x := 3 }\nok contains x if { x := 4 }",
    "a { not ok[5] }\nok contains x if { x := 3 }",
    "a { count(ok) == 2 }\nok contains 1\nok contains 2",
    "a = x { x := 1 } else = false { true }\nb := true",
    "a { b == 2 }\nb = 1 { false } else = 2 { true }",
    "match if { x := {y | some y in [1,2,3]; y > 1}; count(x) == 2 }",
    "a if { input.sgx_isvsvn == 3; true }",
    "a := x if { x := input.sgx_isvsvn == 3 }",
    "a := {1,2}[1]\nmatch := true",
    "f(x, y) := x + y\na { f(1, 2) == 3 }",
    "a { [x | x := 1] == [1] }",
    "a := true if { not false }",
    "match if false else := true",
    "match if { false } else if { true }",
    "min_svn := 3\na { input.sgx_isvsvn >= min_svn }",
)
NOT_MATCHING = (
    "a { f(3) }\nf(x) = false { x == 3 }",
    "a { b }\ndefault b = false\nb { input.sgx_isvsvn == 4 }",
    "f(x) := x\na { f(false) }",
    'a { b["x"] }\nb := {"x": false}',
)


def judged(engine: RegoEngine, text: str) -> bool | str:
    """Whether it matches; what the interpreter has no answer to is told by its words."""
    outcome = engine.evaluate(rego(text), CLAIMS, at=AT)
    told = outcome.mismatches[0] if outcome.mismatches else {"rule": ""}
    return told["seen"] if told["rule"] == "policy" else outcome.matched


def test_expressions_that_are_true(engine: RegoEngine) -> None:
    assert {each: found for each in TRUE if (found := judged(engine, f"a {{ {each} }}")) is not True} == {}


def test_expressions_that_are_not(engine: RegoEngine) -> None:
    assert {each: found for each in NOT_TRUE if (found := judged(engine, f"a {{ {each} }}")) is not False} == {}


def test_rules(engine: RegoEngine) -> None:
    assert {each: found for each in MATCHING if (found := judged(engine, each)) is not True} == {}
    assert {each: found for each in NOT_MATCHING if (found := judged(engine, each)) is not False} == {}


def test_there_are_enough_of_them() -> None:
    assert len(TRUE) + len(NOT_TRUE) + len(MATCHING) + len(NOT_MATCHING) > 150
