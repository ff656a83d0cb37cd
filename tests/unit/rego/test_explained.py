"""A refusal names the rule, its line, the expression that does not hold, and what it saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.appraise.told import AT, SGX, TDX, rego

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine


def told(engine: RegoEngine, text: str, claims: dict[str, object] = SGX) -> list[tuple[str, str, str]]:
    outcome = engine.evaluate(rego(text), claims, at=AT)
    assert not outcome.matched
    return [(each["rule"], each["seen"], each["wanted"]) for each in outcome.mismatches]


def test_every_expression_that_does_not_hold(engine: RegoEngine) -> None:
    text = """default ok = false
ok = true {
  input.sgx_is_debuggable == false
  input.sgx_isvsvn >= 5  # the version of the spring
  input.sgx_isvprodid == 7; input.attester_tcb_status == "SWHardeningNeeded"
}
"""
    assert told(engine, text) == [
        ("ok (line 4)", "sgx_isvsvn 3", "input.sgx_isvsvn >= 5"),
        ("ok (line 5)", 'attester_tcb_status "UpToDate"', 'input.attester_tcb_status == "SWHardeningNeeded"'),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a { x := input.sgx_isvsvn\n x > 3\n x > 4 }",
            [("a (line 2)", "not true", "x > 3")],  # what rests on it is not told as well
        ),
        (
            "match if {\n helper\n}\nhelper if input.sgx.sgx_isvprodid == 8",
            [
                ("match (line 2)", "not true", "helper"),
                ("helper (line 4)", "sgx_isvprodid 7", "input.sgx.sgx_isvprodid == 8"),
            ],
        ),
        ("a := input.sgx_isvsvn == 9", [("a (line 1)", "sgx_isvsvn 3", "input.sgx_isvsvn == 9")]),
        ("a { not input.sgx_isvsvn == 3 }", [("a (line 1)", "sgx_isvsvn 3", "not input.sgx_isvsvn == 3")]),
        (
            "a { input.sgx_isvsvn == 8 } { input.sgx_isvsvn == 9 }",
            [
                ("a (line 1)", "sgx_isvsvn 3", "input.sgx_isvsvn == 8"),
                ("a (line 1)", "sgx_isvsvn 3", "input.sgx_isvsvn == 9"),
            ],
        ),
        (
            'a { some id in input.attester_advisory_ids\n id == "x" }',
            [("a (line 1)", "attester_advisory_ids absent", "some id in input.attester_advisory_ids")],
        ),
        ("a = false { input.sgx_isvsvn == 3 }", [("a", "false", "true")]),
        ("match := 3", [("match", "3", "true")]),
        (
            "a { input.sgx_isvsvn +\n 1 == 9\n}",
            [("a (line 1)", "sgx_isvsvn 3", "input.sgx_isvsvn + 1 == 9")],
        ),
    ],
)
def test_what_is_told(engine: RegoEngine, text: str, expected: list[tuple[str, str, str]]) -> None:
    assert told(engine, text) == expected


def test_a_claim_of_the_other_kind_is_absent(engine: RegoEngine) -> None:
    assert told(engine, "a { input.sgx_isvsvn >= 1 }", TDX) == [
        ("a (line 1)", "sgx_isvsvn absent", "input.sgx_isvsvn >= 1")
    ]


def test_no_more_is_told_than_a_reply_can_hold(engine: RegoEngine) -> None:
    text = "a {\n" + "\n".join(f'input.sgx_mrsigner == "{"x" * 300}{n}"' for n in range(40)) + "\n}"
    found = told(engine, text)
    assert len(found) == 16
    assert all(len(seen) <= 300 and len(wanted) <= 200 for _, seen, wanted in found)


def test_time_in_an_explanation_is_the_instant_of_the_appraisal(engine: RegoEngine) -> None:
    text = "a { time.parse_rfc3339_ns(input.attester_tcb_date) > time.now_ns() }"
    wanted = "time.parse_rfc3339_ns(input.attester_tcb_date) > time.now_ns()"
    assert told(engine, text) == [("a (line 1)", 'attester_tcb_date "2025-11-12T00:00:00Z"', wanted)]
