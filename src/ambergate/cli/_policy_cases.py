"""Cases of a policy: claims, what the policy must say of them, and why.

[claims]                          # what all cases share
attester_type = "SGX"
...

[[case]]
name = "the release of March"
expect = "match"

[[case]]
name = "an older version"
expect = "refuse"
claims = { sgx_isvsvn = 2 }       # instead of what is shared
without = ["sgx_isvprodid"]       # what is shared, and not there in this case
at = "2026-03-01T00:00:00Z"       # now where it is not given
rules = ["isv_svn"]               # refused by these, and by no others; lines are not looked at
exports = {}                      # exactly what the token is to say besides
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ambergate.core.appraise.evidence import CLAIMS
from ambergate.core.appraise.policy import refuse_unknown
from ambergate.core.errors import MalformedPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.core.appraise.named import PolicyOutcome

MAX_CASES: Final = 10_000
_MEMBERS: Final = ("name", "expect", "claims", "without", "at", "rules", "exports")


class Case(NamedTuple):
    """One case."""

    name: str
    matches: bool
    claims: dict[str, object]
    at: datetime | None
    rules: frozenset[str] | None
    exports: dict[str, object] | None


def read_cases(table: Mapping[str, Any]) -> list[Case]:
    """The cases of a file.

    Raises:
        MalformedPolicy: an unknown member or claim, another type, or no case.
    """
    refuse_unknown(table, ("claims", "case"))
    shared = _claims(table.get("claims", {}))
    cases = table.get("case")
    if not isinstance(cases, list) or not 1 <= len(cases) <= MAX_CASES:
        raise MalformedPolicy("there are no cases", wanted=f"[[case]], 1 to {MAX_CASES} of them")
    return [_case(each, shared, number) for number, each in enumerate(cases, 1)]


def judge(case: Case, outcome: PolicyOutcome) -> list[str]:
    """What is not as the case expects."""
    wrong = []
    if outcome.matched != case.matches:
        wrong.append(f"expected {_word(case.matches)}, got {_word(outcome.matched)}")
    rules = {each["rule"].partition(" (")[0] for each in outcome.mismatches}
    if case.rules is not None and rules != case.rules:
        wrong.append(f"expected to be refused by {_list(case.rules)}, was by {_list(rules)}")
    if case.exports is not None and dict(outcome.exports) != case.exports:
        wrong.append(f"expected the exports {case.exports}, got {dict(outcome.exports)}"[:400])
    return wrong


def _case(table: object, shared: Mapping[str, object], number: int) -> Case:
    if not isinstance(table, dict):
        raise MalformedPolicy("a case is no table", seen=f"case {number}")
    refuse_unknown(table, _MEMBERS)
    name, expect = table.get("name", f"case {number}"), table.get("expect")
    if not isinstance(name, str) or expect not in ("match", "refuse"):
        raise MalformedPolicy("a case expects nothing", seen=f"{name}: {expect!r}"[:80], wanted='"match" or "refuse"')
    without = _names(table.get("without", []), "without")
    _refuse_claims(without)
    claims = {**shared, **_claims(table.get("claims", {}))}
    exports = table.get("exports")
    if exports is not None and not isinstance(exports, dict):
        raise MalformedPolicy("exports are a table", seen=name)
    return Case(
        name=name,
        matches=expect == "match",
        claims={claim: value for claim, value in claims.items() if claim not in without},
        at=_instant(table["at"]) if "at" in table else None,
        rules=frozenset(_names(table["rules"], "rules")) if "rules" in table else None,
        exports=exports,
    )


def _claims(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MalformedPolicy("claims are a table", seen=repr(value)[:64])
    _refuse_claims(value)
    return value


def _refuse_claims(names: Mapping[str, object] | list[str]) -> None:
    """A case about a claim that there is not would show nothing."""
    refuse_unknown(dict.fromkeys(names), CLAIMS)


def _names(value: object, member: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MalformedPolicy(f"{member} is a list of names", seen=repr(value)[:64])
    return value


def _instant(value: object) -> datetime:
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        when = None
    if not isinstance(when, datetime):
        raise MalformedPolicy("at is no instant", seen=str(value)[:64], wanted="2026-03-01T00:00:00Z")
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _word(matched: bool) -> str:  # noqa: FBT001  the answer itself
    return "a match" if matched else "a refusal"


def _list(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
