"""Both dialects of this protocol, as Intel's documentation writes policies in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.appraise.told import AT, SGX, TDX, rego

from ambergate.core.appraise.named import PolicyKind

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine

SAMPLE_SGX = f"""
default matches_sgx_policy = false

matches_sgx_policy = true {{
  input.sgx_is_debuggable == false
  input.sgx_isvsvn >= 1
  input.sgx_isvprodid == 7
  input.sgx_mrsigner == "{"0a" * 32}"
}}
"""
SAMPLE_TDX = f"""
default matches_tdx_policy = false
matches_tdx_policy = true {{
  input.tdx_is_debuggable == false
  input.tdx_mrsignerseam == "{"00" * 48}"
  input.tdx_mrseam == "{"5e" * 48}"
  input.tdx_seamsvn >= 3
}}
"""
SAMPLE_V2 = f"""
import rego.v1

match if {{
  input.sgx.sgx_mrenclave in {{"{"0e" * 32}", "{"0f" * 32}"}}
  input.sgx.attester_tcb_status in ["UpToDate", "SWHardeningNeeded"]
  input.sgx.dbgstat == "disabled"
}}
"""


def judge(engine: RegoEngine, text: str, claims: dict[str, object] = SGX) -> bool:
    engine.check(rego(text))
    outcome = engine.evaluate(rego(text), claims, at=AT)
    assert outcome.matched or outcome.mismatches
    return outcome.matched


@pytest.mark.parametrize(("text", "claims"), [(SAMPLE_SGX, SGX), (SAMPLE_TDX, TDX), (SAMPLE_V2, SGX)])
def test_the_samples_match(engine: RegoEngine, text: str, claims: dict[str, object]) -> None:
    assert judge(engine, text, claims)
    assert not judge(engine, text, TDX if claims is SGX else SGX)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        # V1: every rule that is true or false must be true, whatever its name.
        ("one { input.sgx_isvsvn == 3 }", True),
        ("one = true { input.sgx_isvsvn == 3 }\ntwo = true { input.sgx_isvprodid == 7 }", True),
        ("one = true { input.sgx_isvsvn == 3 }\ndefault two = false\ntwo { input.sgx_isvprodid == 8 }", False),
        ("one := input.sgx_isvsvn == 3", True),
        ("one := input.sgx_isvsvn == 4", False),
        # A rule that is undefined is not true, though it is not there.
        ("one { input.sgx_isvsvn == 3 }\ntwo { input.sgx_isvprodid == 8 }", False),
        # Helpers whose values are no truth, and functions, decide nothing.
        ("least := 3\none { input.sgx_isvsvn >= least }", True),
        ("ok(x) { x == 3 }\none { ok(input.sgx_isvsvn) }", True),
        ("least := 3\nonly := 4", False),
        # Definitions of one name are alternatives; so are bodies in a row, and what stands behind else.
        ("one { input.sgx_isvsvn == 9 }\none { input.sgx_isvsvn == 3 }", True),
        ("one { input.sgx_isvsvn == 9 } { input.sgx_isvsvn == 3 }", True),
        ("one { input.sgx_isvsvn == 9 }\n{ input.sgx_isvsvn == 3 }", True),
        ("one = false { input.sgx_isvsvn == 9 } else = true { input.sgx_isvsvn == 3 }", True),
        ("one = false { input.sgx_isvsvn == 3 } else = true { input.sgx_isvprodid == 7 }", False),
        # A package clause, comments and the keywords of newer OPA change nothing.
        ("package policy\n# why\none { input.sgx_isvsvn == 3 } # because", True),
        ("import future.keywords.if\none if input.sgx_isvsvn == 3", True),
        ("import future.keywords\none if { some x in [3, 4]; x == input.sgx_isvsvn }", True),
        ("one { every x in [1, 2] { x < input.sgx_isvsvn } }", True),
        ('one { not input.sgx_mrsigner == "00" }', True),
        # V2: match decides alone; without it, every rule.
        ("match { input.sgx.sgx_isvsvn == 3 }\nother { input.sgx.sgx_isvsvn == 9 }", True),
        ("import rego.v1\none if input.sgx.sgx_isvsvn == 3\ntwo if input.sgx.sgx_isvsvn == 9", False),
        ("default match := false\nmatch if { helper }\nhelper if { input.sgx.sgx_isvsvn == 3 }", True),
        ("match := 1", False),
        ('match := "true"', False),
        ("match if { input.tdx.tdx_seamsvn >= 1 }", False),
        ("match if { not input.tdx }", True),
        ("match if input.sgx[`sgx_isvsvn`] == 3", True),
        ('match if input["sgx"]["sgx_isvsvn"] == 3', True),
    ],
)
def test_what_matches(engine: RegoEngine, text: str, matches: bool) -> None:  # noqa: FBT001
    assert judge(engine, text) is matches


FIELDS = 'get_token_fields[fields] { fields := { "version": input.sgx_isvsvn } }'


def exported(engine: RegoEngine, text: str, kind: PolicyKind, claims: dict[str, object] = SGX) -> dict[str, object]:
    engine.check(rego(text, kind))
    return dict(engine.evaluate(rego(text, kind), claims, at=AT).exports)


def test_a_customization_gives_fields(engine: RegoEngine) -> None:
    kind = PolicyKind.TOKEN_CUSTOMIZATION
    assert exported(engine, FIELDS, kind) == {"version": 3}
    assert engine.evaluate(rego(FIELDS, kind), SGX, at=AT).matched
    more = (
        FIELDS + '\nget_token_fields[more] { more := { "product": input.sgx_isvprodid, "nested": {"a": [1, null]} } }'
    )
    assert exported(engine, more, kind) == {"version": 3, "product": 7, "nested": {"a": [1, None]}}


def test_a_customization_without_fields_says_what_was_missing(engine: RegoEngine) -> None:
    kind = PolicyKind.TOKEN_CUSTOMIZATION
    outcome = engine.evaluate(rego(FIELDS, kind), TDX, at=AT)
    assert (outcome.matched, dict(outcome.exports)) == (False, {})
    assert outcome.mismatches[0]["rule"].startswith("get_token_fields")
    assert outcome.mismatches[0]["seen"] == "sgx_isvsvn absent"


@pytest.mark.parametrize("name", ["exportonmatch", "ExportOnMatch"])
def test_exports_of_v2(engine: RegoEngine, name: str) -> None:
    kind = PolicyKind.APPRAISAL
    always = 'export := {"always": input.sgx.sgx_isvsvn}'
    text = f'{always}\n{name} := {{"matched": true}}\nmatch if input.sgx.sgx_isvsvn == 3'
    assert exported(engine, text, kind) == {"always": 3, "matched": True}
    assert exported(engine, text, kind, SGX | {"sgx_isvsvn": 4}) == {"always": 4}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('export := "x"\nmatch := true', "fields are objects"),
        ('export := {"a": 1}\nexportonmatch := {"a": 2}\nmatch := true', "'a' is given two values"),
        ('export := {"a": 1e90}\nmatch := true', None),
        ("export := {" + '"a": {' * 8 + "}" * 9 + "\nmatch := true", "deeper than 8 levels"),
        ('export := {"' + "a" * 129 + '": 1}\nmatch := true', "a name of more than 128 characters"),
        ('export := {"a": [x | some x in input.sgx.sgx_collateral]}\nmatch := true', None),
        ('x := "' + "a" * 9000 + '"\nexport := {"a": x}\nmatch := true', "9009 characters of JSON, at most 8192"),
    ],
)
def test_exports_are_what_a_token_can_hold(engine: RegoEngine, text: str, seen: str | None) -> None:
    outcome = engine.evaluate(rego(text), SGX, at=AT)
    assert outcome.matched is (seen is None)
    if seen is not None:
        assert (outcome.mismatches[0]["rule"], outcome.mismatches[0]["seen"]) == ("export", seen)
        assert not outcome.exports


def test_comments_are_noted_in_the_dialect_that_has_none_elsewhere(engine: RegoEngine) -> None:
    assert "2" in engine.notes(rego("match := true\n# why"))[0]
    assert engine.notes(rego("one := true\n# why")) == ()
