"""From the values of a policy's rules to its outcome. Only what is true in so many words is taken for true."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.appraise.named import PolicyKind
from ambergate.rego.words import EXPORT, FIELDS, MATCH, ON_MATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ambergate.core.appraise.rules import Mismatch
    from ambergate.rego.program import Program

MAX_EXPORT: Final = 8 * 1024  # characters of JSON that one policy may add to a token; a token has 64 KiB at most
MAX_EXPORT_DEPTH: Final = 8
MAX_EXPORT_NAME: Final = 128  # characters
_ABSENT: Final = object()


class Verdict(NamedTuple):
    """An outcome without the policy that it is of."""

    matched: bool
    mismatches: tuple[Mismatch, ...] = ()
    exports: Mapping[str, object] = {}
    failed: frozenset[str] = frozenset()  # the rules that are not true

    def with_details(self, details: Iterable[Mismatch]) -> Verdict:
        """The same, told by the expressions that do not hold, where they are known."""
        told = list(details)
        explained = {each["rule"].partition(" (")[0] for each in told}
        rest = [each for each in self.mismatches if each["rule"] not in explained]
        return self._replace(mismatches=(*told, *rest))


def refused(rule: str, seen: str, wanted: str) -> Verdict:
    """No match, for one reason."""
    return Verdict(matched=False, mismatches=({"rule": rule, "seen": seen, "wanted": wanted},))


def of(program: Program, kind: PolicyKind, values: Mapping[str, object]) -> Verdict:
    """The verdict that these values of the rules make."""
    mismatches = _undecided(program, kind, values)
    failed = frozenset(each["rule"] for each in mismatches)
    matched = not mismatches
    try:
        exports = _exports(values, matched=matched)
    except ValueError as exc:
        return refused("export", str(exc), "what a token can hold")
    if kind is PolicyKind.TOKEN_CUSTOMIZATION and matched and not exports:
        # Which rule it hangs on: the one that the fields come from, or an export that is undefined.
        rule = next((each.name for each in program.definitions if each.name in (FIELDS, EXPORT, *ON_MATCH)), FIELDS)
        mismatch = {"rule": rule, "seen": "nothing", "wanted": "fields for the token"}
        return Verdict(matched=False, mismatches=(mismatch,), failed=frozenset({rule}))
    return Verdict(matched=matched, mismatches=tuple(mismatches), exports=exports, failed=failed)


def _undecided(program: Program, kind: PolicyKind, values: Mapping[str, object]) -> list[Mismatch]:
    """One mismatch for each deciding rule that is not true. Values that are no truth are helpers', and stay out."""
    found: list[Mismatch] = []
    decided = False
    for name in program.deciding:
        value = values.get(name, _ABSENT)
        decided = decided or value is True
        if value is True or (name != MATCH and value is not _ABSENT and not isinstance(value, bool)):
            continue
        seen = "undefined" if value is _ABSENT else json.dumps(value)[:200]
        found.append({"rule": name, "seen": seen, "wanted": "true"})
    if not found and not decided and kind is PolicyKind.APPRAISAL:
        found.append({"rule": "policy", "seen": "no rule is true or false", "wanted": "a rule that is true"})
    return found


def _exports(values: Mapping[str, object], *, matched: bool) -> dict[str, object]:
    """What goes into the token.

    Raises:
        ValueError: it is no object, two rules give one member two values, or a token could not hold it.
    """
    merged: dict[str, object] = {}
    fields = values.get(FIELDS, [])
    if not isinstance(fields, list):
        msg = f"{FIELDS} is no set"
        raise ValueError(msg)  # noqa: TRY004  what a policy gives is a value, not a type of ours
    parts = [*fields, *(values[name] for name in (EXPORT, *(ON_MATCH if matched else ())) if name in values)]
    for part in parts if matched or EXPORT in values else []:
        if not isinstance(part, dict):
            msg = "fields are objects"
            raise ValueError(msg)  # noqa: TRY004  the same
        for name, value in part.items():
            if name in merged and merged[name] != value:
                msg = f"{name[:64]!r} is given two values"
                raise ValueError(msg)
            merged[name] = value
    _bound(merged)
    return merged


def _bound(exports: dict[str, object]) -> None:
    _bound_part(exports, 1)
    size = len(json.dumps(exports))
    if size > MAX_EXPORT:
        msg = f"{size} characters of JSON, at most {MAX_EXPORT}"
        raise ValueError(msg)


def _bound_part(part: object, depth: int) -> None:
    if depth > MAX_EXPORT_DEPTH:
        msg = f"deeper than {MAX_EXPORT_DEPTH} levels"
        raise ValueError(msg)
    if isinstance(part, float) and not math.isfinite(part):
        msg = "a number that JSON has not"
        raise ValueError(msg)
    if isinstance(part, dict):
        if any(len(name) > MAX_EXPORT_NAME for name in part):
            msg = f"a name of more than {MAX_EXPORT_NAME} characters"
            raise ValueError(msg)
        for each in part.values():
            _bound_part(each, depth + 1)
    elif isinstance(part, list):
        for each in part:
            _bound_part(each, depth + 1)
