"""Policies that were written to do harm, or by mistake, and what becomes of each.

The outcome is what `check` says: `loads`, or the words of its refusal. Whatever it is, `evaluate` gives no match, or it
gives one where the last member says so.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ambergate.core.appraise.named import PolicyKind

TOKEN: Final = PolicyKind.TOKEN_CUSTOMIZATION
_TEN: Final = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
_SOME: Final = "; ".join(f"some x{n} in ten" for n in range(9))
_SPREAD: Final = "\n".join(f"f{n}(x) = y {{ y := f{n + 1}(x) + f{n + 1}(x) }}" for n in range(40))
CPU_BOMB: Final = f"{_SPREAD}\nf40(x) = 1 {{ true }}\na {{ f0(1) > 0 }}"
_GROWN: Final = "\n".join(f"x{n + 1} := array.concat(x{n}, x{n})" for n in range(30))
MEMORY_BOMB: Final = f"a {{ x0 := {_TEN}\n{_GROWN}\ncount(x30) > 1 }}"
_SQUARED: Final = "\n".join(f"x{n + 1} := x{n} * x{n}" for n in range(40))
_TEXTS: Final = "\n".join(f'x{n + 1} := replace(x{n}, "a", x{n})' for n in range(9))


class Case(NamedTuple):
    """One policy, and what becomes of it."""

    text: str
    check: str
    kind: PolicyKind = PolicyKind.APPRAISAL
    matches: bool = False


BOMBS: Final = {
    "cpu: nested loops": Case(f"a {{ ten := {_TEN}; count([1 | {_SOME}]) > 1 }}", "gives no answer"),
    "cpu: loops of the old form": Case(f"a {{ t := {_TEN}; count([1 | {'t[_]; ' * 9}true]) > 1 }}", "gives no answer"),
    "cpu: functions that call two": Case(CPU_BOMB, "gives no answer"),
    "cpu: numbers squared": Case(f"a {{ x0 := 99999999999999999999\n{_SQUARED}\nx40 > 1 }}", "gives no answer"),
    "cpu: sets of sets": Case(
        f"a {{ t := {_TEN}; count({{[i, j, k, l, m] | {'; '.join(f'some {v} in t' for v in 'ijklm')}}}) > 1 }}",
        "gives no answer",
    ),
    "cpu: only for some evidence": Case(
        f"a {{ input.sgx_isvsvn == 3\n ten := {_TEN}; count([1 | {_SOME}]) > 1 }}", "loads"
    ),
    "memory: arrays": Case(MEMORY_BOMB, "gives no answer"),
    "memory: texts": Case(f'a {{ x0 := "aaaaaaaaaaaa"\n{_TEXTS}\ncount(x9) > 1 }}', "gives no answer"),
    "memory: in a field": Case(
        f"get_token_fields[f] {{ x0 := {_TEN}\n{_GROWN}\nf := {{`a`: x30}} }}", "gives no answer", TOKEN
    ),
    "memory: in an export": Case(
        "export := {`a`: [x | "
        + "; ".join(f"some x{n} in {_TEN}" for n in range(6))
        + "; x := `aaaaaaaaaa`]}\nmatch := true",
        "gives no answer",
    ),
}

MISTAKES: Final = {
    "nothing": Case("", "decides nothing"),
    "blank": Case(" \n\t\n", "decides nothing"),
    "comments alone": Case("# a\n# b", "decides nothing"),
    "an import alone": Case("import rego.v1", "decides nothing"),
    "functions alone": Case("f(x) { x }", "decides nothing"),
    "fields in an appraisal": Case("get_token_fields[x] { x := {} }\na := true", "gives no token fields"),
    "no fields in a customization": Case("a := true", "gives no fields", TOKEN),
    "fields as an object": Case('get_token_fields = x { x := {"a": 1} }', "is a set of objects", TOKEN),
    "fields that are no objects": Case("get_token_fields[x] { x := 1 }", "loads", TOKEN),
    "fields that contradict": Case(
        'get_token_fields[x] { x := {"a": 1} }\nget_token_fields[x] { x := {"a": 2} }', "loads", TOKEN
    ),
    "fields without body": Case("get_token_fields[x]", "followed by its body", TOKEN),
    "fields with a value": Case("get_token_fields[x] = 1 { x := {} }", "followed by its body", TOKEN),
    "an export as a function": Case("export(x) = 1 { true }\nmatch := true", "is one object"),
    "an export as a set": Case("export contains 1\nmatch := true", "is one object"),
    "a set of the old form": Case("ok[x] { x := 1 }", "that is no rule"),
    "an object of the old form": Case("ok[x] = 1 { x := 1 }", "that is no rule"),
    "a rule with a path": Case("a.b := true", "that is no rule"),
    "a rule that is only a name": Case("a", "that is no rule"),
    "two rules in a line": Case("a := true; b := false", "a line of its own"),
    "two rules in a line, without semicolon": Case("a { true } b { false }", "a line of its own"),
    "a rule behind a default": Case("default a = true b { false }", "a line of its own"),
    "a default behind a rule": Case("a := true default b = false", "a line of its own"),
    "an import behind a rule": Case("a := true import rego.v1", "a line of its own"),
    "an expression that goes on": Case("a := 1 +\n2", "a rule starts here"),
    "a body that starts": Case("{ true }", "a rule starts here"),
    "else first": Case("else { true }", "a rule starts here"),
    "a keyword for a name": Case("not := true", "a rule starts here"),
    "input for a name": Case("input := {}\na := true", "a rule starts here"),
    "a function's name": Case("count(x) = 0 { true }\na := true", "name of a built-in"),
    "a namespace's name": Case("time := 0\na := true", "name of a built-in"),
    "one of our names": Case("amber_x_0 := true", "are ours"),
    "a default without value": Case("default a", "a default is written"),
    "a default of a default": Case("default default = 1", "a line of its own"),
    "a package in the middle": Case("a := true\npackage x", "comes first"),
    "an import of data": Case("import data.x\na := true", "nothing else can be imported"),
    "an import of input": Case("import input.sgx_isvsvn as n\na { n == 3 }", "nothing else can be imported"),
    "an import of another future": Case("import future.keywordsx\na := true", "nothing else can be imported"),
    "data": Case("a { data.amber.b }", "data is not accepted"),
    "all data": Case("a { count(data) > 0 }", "data is not accepted"),
    "with": Case("a { input.sgx_isvsvn == 9 with input.sgx_isvsvn as 9 }", "with is not accepted"),
    "opa.runtime": Case("a { opa.runtime().env.HOME }", "opa.runtime is not accepted"),
    "opa.runtime as a value": Case("a { x := opa.runtime }", "opa.runtime is not accepted"),
    "http.send": Case('a { http.send({"method": "get", "url": "http://[::1]"}) }', "http.send is not accepted"),
    "not http.send": Case('a { not http.send({"method": "get", "url": "http://[::1]"}) }', "is not accepted"),
    "a name's address": Case('a { net.lookup_ip_addr("localhost") }', "is not accepted"),
    "chance": Case('a { rand.intn("x", 2) == 0 }', "is not accepted"),
    "an expression that backtracks": Case('a { regex.match("(a+)+$", "aaaaaaaaaaaaaaaa!") }', "is not accepted"),
    "a format of a billion": Case('a { sprintf("%999999999d", [1]) }', "no such function"),
    "a range of a billion": Case("a { count(numbers.range(1, 999999999)) > 1 }", "no such function"),
    "a token": Case('a { io.jwt.decode("x") }', "no such function"),
    "a module in a policy": Case('a { rego.parse_module("a", "b") }', "no such function"),
    "a function that nobody has": Case("a { not forbidden(1) }", "no such function"),
    "a call of a claim": Case("a { input.sgx_isvsvn(1) }", "no such function"),
    "itself": Case("a { a }", "depends on itself"),
    "each other": Case("a { b }\nb { a }", "depends on itself"),
    "a function of itself": Case("f(x) = f(x) { true }\na { f(1) }", "depends on itself"),
    "a long circle": Case("\n".join(f"r{n} {{ r{(n + 1) % 200} }}" for n in range(200)), "depends on itself"),
    "contradiction": Case("a = 1 { true }\na = 2 { true }\nb := true", "gives no answer"),
    "contradiction for some": Case(
        "a = 1 { input.sgx_isvsvn == 3 }\na = 2 { input.sgx_isvprodid == 7 }\nb := true", "loads"
    ),
    "undefined": Case("a { input.attester_advisory_ids[0] }", "loads"),
    "false": Case("a := false", "loads"),
    "no truth": Case('a := "true"', "loads"),
    "null": Case("a := null", "loads"),
    "deep brackets": Case("a { x := " + "[" * 3000, "nest too deep"),
    "deep braces": Case("a " + "{" * 3000, "nest too deep"),
    "a bracket too many": Case("a { true }}", "closes that was not opened"),
    "brackets crossed": Case("a { [true } ]", "closes that was not opened"),
    "a bracket too few": Case("a { true", "is not closed"),
    "a text without end": Case('a { "x }', "a string does not end"),
    "a raw text without end": Case("a { `x }", "a raw string does not end"),
    "a text over lines": Case('a { "x\ny" == 1 }', "a string does not end"),
    "an escape": Case('a { input.sgx_mrsigner != "\\u0041" }', "escape"),
    "a template": Case('a { $"{input.sgx_isvsvn}" != "3" }', "has no meaning"),
    "another alphabet": Case("а := true", "has no meaning"),  # noqa: RUF001  this a is Cyrillic
    "a space of another width": Case("a :=\u00a0true", "has no meaning"),
    "NUL": Case("a := true\x00", "has no meaning"),
    "NUL in a text": Case('a { "\x00" == 1 }', "a string does not end"),
    "a huge number": Case("a { input.sgx_isvsvn < " + "9" * 41 + " }", "a number is too long"),
    "a huge exponent": Case("a { input.sgx_isvsvn < 1e999 }", "no number"),
    "an octal number": Case("a { input.sgx_isvsvn == 03 }", "no number"),
    "a hex number": Case("a { input.sgx_isvsvn == 0x3 }", "no number"),
    "a number with a point": Case("a { input.sgx_isvsvn == 3. }", "no number"),
    "many tokens": Case("a { " + "1 == 1;" * 1500 + " }", "too many parts"),
    "many rules": Case("\n".join(f"r{n} := 1" for n in range(300)), "too many rules"),
    "a number against a text": Case('a { input.sgx_isvsvn > "1" }', "never of one type"),
    "a text against a number": Case("a { 5 != input.sgx_mrsigner }", "never of one type"),
    "truth against a text": Case('a { input.sgx_is_debuggable != "true" }', "never of one type"),
    "something against a text": Case('a { x := input.sgx_isvsvn + 1; x > "1" }', "ordered against a text"),
    "a number against a name of a text": Case('least := "1"\na { input.sgx_isvsvn >= least }', "never of one type"),
    "a name of a number against a text": Case('a { x := input.sgx_isvsvn; x > "1" }', "never of one type"),
    "truth in order": Case("a { input.sgx_is_debuggable < true }", "only numbers and texts are ordered"),
    "null in order": Case("a { x := null; x < 1 }", "never of one type"),
    "order of lists": Case("a { input.attester_advisory_ids > `a` }", "never of one type"),
    "the order of a set": Case("a { sort({2, 1}) == [1, 2] }", "is not accepted"),
    "a text as a number": Case('a { to_number("0x10") == 16 }', "is not accepted"),
    "a misspelt claim": Case("a { not input.sgx_is_debugable }", "no such claim"),
    "a claim in quotes": Case('a { not input["sgx_is_debugable"] }', "no such claim"),
    "another service's evidence": Case("match { input.nvgpu.x }", "no such evidence"),
    "no Rego": Case('{"a": true}', "a rule starts here"),
    "TOML": Case("[policy]\na = true", "a rule starts here"),
    "what only the interpreter finds": Case("a { true true }", "cannot read this"),
    "a variable from nowhere": Case("a { x == 1 }", ""),
}
