"""Why a rule is not true: the expressions of its bodies, each asked for alone.

Of a rule that came out false or undefined, every definition is taken apart into its expressions. Each becomes a rule of
its own (a probe), together with those before it that bind variables. The interpreter answers which of them hold; of the
others the claims that they read are told, and the expression itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.rego.builtins import ALLOWED, PREFIX
from ambergate.rego.program import closing_of
from ambergate.rego.reads import references
from ambergate.rego.words import KEYWORDS, call_name, ends_term

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ambergate.core.appraise.rules import Mismatch
    from ambergate.rego.lexer import Token
    from ambergate.rego.module import Module
    from ambergate.rego.program import Definition, Program

MAX_PROBES: Final = 64  # of one evaluation; what is beyond them is told of by its rule's name only
MAX_TOLD: Final = 200  # characters of a value, or of an expression
_NAMESPACES: Final = frozenset(name.partition(".")[0] for name in ALLOWED)


class Conjunct(NamedTuple):
    """One expression of one body."""

    rule: str
    line: int
    first: int
    last: int
    body: int  # counts the bodies of all rules


class Probe(NamedTuple):
    """A conjunct and the conjuncts before it that it rests on."""

    conjunct: Conjunct
    below: tuple[int, ...]  # indices of probes


def probes_of(program: Program, rules: frozenset[str]) -> tuple[Probe, ...]:
    """The probes of these rules, and of the rules that they name."""
    wanted = _with_helpers(program, rules)
    found: list[Probe] = []
    body = 0
    for definition in program.definitions:
        if definition.name not in wanted or definition.kind not in ("complete", "set", "fields"):
            continue
        for first, last in _bodies(program.tokens, definition):
            body += 1
            bound: list[int] = []
            for start, end in _split(program.tokens, first, last):
                conjunct = Conjunct(definition.name, program.tokens[start].line, start, end, body)
                local = _has_local(program, start, end)
                found.append(Probe(conjunct, tuple(bound) if local else ()))
                if local:
                    bound.append(len(found) - 1)
    return tuple(found[:MAX_PROBES])


def probe_module(module: Module, probes: tuple[Probe, ...], nanoseconds: int) -> str:
    """The module with a rule for each probe."""
    lines = []
    for index, probe in enumerate(probes):
        parts = [probes[each].conjunct for each in probe.below] + [probe.conjunct]
        body = "; ".join(module.piece(each.first, each.last, nanoseconds).strip() for each in parts)
        lines.append(f"{PREFIX}{index} if {{ {body} }}\n")
    return module.at(nanoseconds) + "".join(lines)


def failing(
    program: Program, probes: tuple[Probe, ...], values: Mapping[str, object], claims: Mapping[str, object]
) -> list[Mismatch]:
    """What does not hold, by the interpreter's answer to the probes."""
    refused = {index for index in range(len(probes)) if values.get(f"{PREFIX}{index}") is not True}
    return [
        _told(program, probe.conjunct, claims)
        for index, probe in enumerate(probes)
        if index in refused and refused.isdisjoint(probe.below)
    ]


def _told(program: Program, conjunct: Conjunct, claims: Mapping[str, object]) -> Mismatch:
    start, end = program.tokens[conjunct.first], program.tokens[conjunct.last - 1]
    wanted = " ".join(program.text[start.start : end.end].split())
    seen = []
    for each in references(program.tokens[conjunct.first : conjunct.last]):
        path = each.path[1:] if program.v2 else each.path
        if path:
            told = json.dumps(claims[path[0]], ensure_ascii=False) if path[0] in claims else "absent"
            seen.append(f"{path[0]} {told[:MAX_TOLD]}")
    return {
        "rule": f"{conjunct.rule} (line {conjunct.line})",
        "seen": ", ".join(dict.fromkeys(seen)) or "not true",
        "wanted": wanted[:MAX_TOLD],
    }


def _with_helpers(program: Program, rules: frozenset[str]) -> frozenset[str]:
    names = program.names
    reached, waiting = set(rules), list(rules)
    while waiting:
        name = waiting.pop()
        for definition in program.definitions:
            if definition.name != name:
                continue
            used = {program.tokens[i].text for i in range(definition.first, definition.last)} & names
            waiting.extend(used - reached)
            reached |= used
    return frozenset(reached)


def _bodies(tokens: tuple[Token, ...], definition: Definition) -> Iterator[tuple[int, int]]:
    """The tokens of each body: inside its braces, behind `if`, or, where there is none, the value."""
    index, value, found = definition.first + 1, None, False
    while index < definition.last:
        token, before = tokens[index], tokens[index - 1]
        if token.text == "{" and (before.text in ("if", "else") or ends_term(before)):
            closing = closing_of(tokens, index)
            yield index + 1, closing
            found = True
            index = closing
        elif token.text == "if" and index + 1 < definition.last and tokens[index + 1].text != "{":
            yield index + 1, definition.last
            return
        elif token.text in ("=", ":=") and value is None:
            value = index + 1
        elif token.text in ("{", "[", "("):
            index = closing_of(tokens, index)
        index += 1
    if value is not None and not found and value < definition.last:
        yield value, definition.last


def _split(tokens: tuple[Token, ...], first: int, last: int) -> Iterator[tuple[int, int]]:
    """The expressions of a body: apart by semicolons, or by lines where no expression goes on."""
    start, index = first, first
    while index < last:
        token = tokens[index]
        new_line = index > start and token.line > tokens[index - 1].end_line
        if token.text == ";" or (new_line and ends_term(tokens[index - 1]) and token.kind != "op"):
            if index > start:
                yield start, index
            start = index + 1 if token.text == ";" else index
        if token.kind == "mark" and token.text in "{[(":
            index = closing_of(tokens, index)
        index += 1
    if start < last:
        yield start, last


def _has_local(program: Program, first: int, last: int) -> bool:
    """Whether the expression names a variable."""
    names = program.names
    for index in range(first, last):
        token = program.tokens[index]
        name = call_name(program.tokens, index)
        if name is not None and token.text not in KEYWORDS | names and name.partition(".")[0] not in _NAMESPACES:
            return True
        if token.text == "some":
            return True
    return False
