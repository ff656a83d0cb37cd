"""A policy's rules, what they read and what they call: everything that is known of it before it runs.

    program = read_program(text, PolicyKind.APPRAISAL)

Two dialects (wire protocol, 5.3, 5.4). V1: the claims are flat (`input.sgx_mrenclave`), and every rule must be true.
V2: the claims are nested (`input.sgx.sgx_mrenclave`), and `match` decides where there is such a rule, else every rule.
A policy that imports `rego.v1`, has a rule of V2's names or reads `input.sgx` or `input.tdx` is of V2.

A rule that is undefined is not true: nothing that a policy declares can drop out of the verdict unnoticed. For this
every rule must start a line of its own, and what a rule could hide behind is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.appraise.named import PolicyKind
from ambergate.core.errors import MalformedPolicy
from ambergate.rego import reads
from ambergate.rego.builtins import ALLOWED, PREFIX, REFUSED
from ambergate.rego.lexer import Token, lex, malformed
from ambergate.rego.words import EXPORTS, FIELDS, KEYWORDS, MATCH, call_name, ends_term

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RULES: Final = 256  # definitions; ours
_ASSIGNS: Final = ("=", ":=")
_STARTS: Final = frozenset({"default", "import", "package"})
# Names that would hide a function from the policy.
_TAKEN: Final = frozenset(name.partition(".")[0] for name in (*ALLOWED, *REFUSED))


class Definition(NamedTuple):
    """One definition of a rule. `first` and `last` are indices of tokens, `last` excluded."""

    name: str
    kind: str  # "default", "complete", "function", "set" (`name contains x`) or "fields" (`get_token_fields[x]`)
    line: int
    first: int
    last: int


class Program(NamedTuple):
    """A policy that was read and found to be one."""

    text: str
    tokens: tuple[Token, ...]
    definitions: tuple[Definition, ...]
    package: tuple[int, int] | None  # the indices of the tokens of the package clause
    v2: bool
    claims: frozenset[str] | None  # the claims that it reads; None: any
    reads_clock: bool
    deciding: tuple[str, ...]  # the rules that must be true
    notes: tuple[str, ...]  # what a person should know, and no reason to refuse

    @property
    def names(self) -> frozenset[str]:
        """The names of all rules and functions."""
        return frozenset(each.name for each in self.definitions)


def read_program(text: str, kind: PolicyKind) -> Program:
    """The policy, if it is one that can be judged by.

    Raises:
        MalformedPolicy: in which line, and why. What only the interpreter can find is not looked for.
    """
    tokens, comments = lex(text)
    definitions, package, imported = _definitions(tokens)
    names = frozenset(each.name for each in definitions)
    v2 = imported or not names.isdisjoint({MATCH, *EXPORTS}) or reads.nested(tokens)
    claims = reads.claims_read(tokens, v2=v2)
    reads_clock = reads.check_calls(tokens, names)
    reads.check_comparisons(tokens, v2=v2)
    _refuse_circles(tokens, definitions)
    note = f"lines with comments, which Intel's service refuses in this dialect: {', '.join(map(str, comments))}"
    return Program(
        text=text,
        tokens=tokens,
        definitions=definitions,
        package=package,
        v2=v2,
        claims=claims,
        reads_clock=reads_clock,
        deciding=_deciding(definitions, kind),
        notes=(note,) if v2 and comments else (),
    )


def _definitions(tokens: tuple[Token, ...]) -> tuple[tuple[Definition, ...], tuple[int, int] | None, bool]:
    found: list[Definition] = []
    package: tuple[int, int] | None = None
    imported = False
    for first, last in _statements(tokens):
        word = tokens[first].text
        if word == "package":
            if first != 0:
                raise malformed("a package clause comes first", tokens[first].line)
            package = (first, last)
        elif word == "import":
            imported = _import(tokens[first:last]) or imported
        else:
            found.append(_definition(tokens, first, last))
    if len(found) > MAX_RULES:
        raise malformed("the policy has too many rules", found[MAX_RULES].line, wanted=f"at most {MAX_RULES}")
    return tuple(found), package, imported


def _statements(tokens: tuple[Token, ...]) -> Iterator[tuple[int, int]]:
    """First and last index of what starts a line outside of all brackets."""
    depth, first = 0, 0
    for index, token in enumerate(tokens):
        if depth == 0:
            starts_line = index == 0 or token.line > tokens[index - 1].end_line
            if token.text == ";":
                raise malformed("each rule starts a line of its own", token.line, seen=";")
            if starts_line and token.text not in ("else", "{"):
                if token.kind != "word" or (token.text in KEYWORDS - _STARTS):
                    hint = "an expression that goes on in the next line stands in brackets"
                    raise malformed("a rule starts here, and this is no name", token.line, seen=token.text, hint=hint)
                if index:
                    yield first, index
                first = index
            elif not starts_line and token.kind == "word" and _begins_rule(tokens[index - 1], token):
                raise malformed("each rule starts a line of its own", token.line, seen=token.text)
        depth += (token.kind == "mark") * ((token.text in "{[(") - (token.text in "}])"))
    if tokens:
        if tokens[0].text in ("else", "{"):
            raise malformed("a rule starts here, and this is no name", tokens[0].line, seen=tokens[0].text)
        yield first, len(tokens)


def _begins_rule(before: Token, token: Token) -> bool:
    return token.text in _STARTS or (ends_term(before) and token.text not in KEYWORDS)


def _import(tokens: tuple[Token, ...]) -> bool:
    """Whether it is `rego.v1`; anything but that and the keywords is refused."""
    path = "".join(token.text for token in tokens[1:])
    if path not in ("rego.v1", "future.keywords") and not path.startswith("future.keywords."):
        raise malformed("nothing else can be imported", tokens[0].line, seen=path[:64], wanted="rego.v1")
    return path == "rego.v1"


def _definition(tokens: tuple[Token, ...], first: int, last: int) -> Definition:
    default = tokens[first].text == "default"
    head = first + default
    if head >= last or tokens[head].kind != "word" or tokens[head].text in KEYWORDS:
        raise malformed("a rule starts here, and this is no name", tokens[first].line, seen=tokens[first].text)
    name, line = tokens[head].text, tokens[head].line
    if name.startswith(PREFIX):
        raise malformed(f"names that start with {PREFIX} are ours", line, seen=name)
    if name in _TAKEN:
        raise malformed("a rule cannot have the name of a built-in function", line, seen=name)
    behind = tokens[head + 1].text if head + 1 < last else ""
    if default:
        if behind not in _ASSIGNS:
            raise malformed("a default is written `default name := value`", line, seen=behind)
        return Definition(name, "default", line, first, last)
    kind = {
        "(": "function",
        "contains": "set",
        "{": "complete",
        "if": "complete",
        "=": "complete",
        ":=": "complete",
    }.get(behind)
    if behind == "[" and name == FIELDS:
        kind = _fields(tokens, head, last)
    if kind is None:
        hint = f"a set of values is written `{name} contains x if {{ ... }}`" if behind == "[" else None
        raise malformed(
            "that is no rule", line, seen=f"{name} {behind}".strip(), wanted="name = value { ... }", hint=hint
        )
    return Definition(name, kind, line, first, last)


def _fields(tokens: tuple[Token, ...], head: int, last: int) -> str:
    """`get_token_fields[x] { ... }`: the one set of the old form, which we write anew for the interpreter."""
    closing = closing_of(tokens, head + 1)
    if closing + 1 >= last or tokens[closing + 1].text not in ("{", "if"):
        raise malformed(f"{FIELDS}[x] is followed by its body", tokens[head].line, wanted="{ ... }")
    return "fields"


def closing_of(tokens: tuple[Token, ...], opening: int) -> int:
    """The index of the bracket that closes the one at `opening`."""
    depth = 0
    for index in range(opening, len(tokens)):
        token = tokens[index]
        if token.kind == "mark":
            depth += (token.text in "{[(") - (token.text in "}])")
            if depth == 0:
                return index
    raise malformed("a bracket is not closed", tokens[opening].line)


def _deciding(definitions: tuple[Definition, ...], kind: PolicyKind) -> tuple[str, ...]:
    fields = [each for each in definitions if each.name == FIELDS]
    exports = [each for each in definitions if each.name in EXPORTS]
    for each in fields:
        if each.kind not in ("fields", "set"):
            raise malformed(f"{FIELDS} is a set of objects", each.line, wanted=f"{FIELDS}[x] {{ x := {{ ... }} }}")
    for each in exports:
        if each.kind in ("function", "set"):
            raise malformed(f"{each.name} is one object", each.line, wanted=f"{each.name} := {{ ... }}")
    complete = {each.name: None for each in definitions if each.kind in ("complete", "default")}
    deciding = tuple(name for name in complete if name not in EXPORTS)
    if kind is PolicyKind.TOKEN_CUSTOMIZATION:
        if not fields and not exports:
            raise MalformedPolicy("the policy gives no fields", wanted=f"{FIELDS}[x] {{ ... }} or export := {{ ... }}")
        return (MATCH,) if MATCH in complete else ()
    if fields:
        hint = f"make it a policy of the kind {PolicyKind.TOKEN_CUSTOMIZATION.value!r}, or use export := {{ ... }}"
        raise malformed("a policy of appraisal gives no token fields", fields[0].line, seen=FIELDS, hint=hint)
    if MATCH in complete:
        return (MATCH,)
    if not deciding:
        raise MalformedPolicy("the policy decides nothing", wanted="a rule that is true or false")
    return deciding


def _refuse_circles(tokens: tuple[Token, ...], definitions: tuple[Definition, ...]) -> None:
    """No rule depends on itself: the interpreter would run into it until its stack ends."""
    names = frozenset(each.name for each in definitions)
    uses: dict[str, set[str]] = {name: set() for name in names}
    for each in definitions:
        head = each.first + (each.kind == "default")
        for index in range(head + 1, each.last):
            if tokens[index].text in names and call_name(tokens, index) is not None:
                uses[each.name].add(tokens[index].text)
    settled: set[str] = set()
    for each in definitions:
        _descend(each.name, each.line, uses, settled)


def _descend(start: str, line: int, uses: dict[str, set[str]], settled: set[str]) -> None:
    """Depth first, without recursion of our own."""
    path = [(start, iter(sorted(uses[start])))] if start not in settled else []
    while path:
        name, below = path[-1]
        following = next(below, None)
        if following is None:
            settled.add(name)
            path.pop()
        elif following in (each for each, _ in path):
            circle = " -> ".join([*(each for each, _ in path), following])
            raise malformed("a rule depends on itself", line, seen=circle[:200])
        elif following not in settled:
            path.append((following, iter(sorted(uses[following]))))
