"""What a policy reads and calls: its claims, the clock, built-in functions. Unknown ones are refused by name.

A claim that nobody has is undefined, and `not` makes that true; a misspelt one therefore does not load.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.appraise.evidence import CLAIMS
from ambergate.rego.builtins import ALLOWED, CLOCK, REFUSED
from ambergate.rego.lexer import malformed
from ambergate.rego.words import KEYWORDS, call_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.rego.lexer import Token

# The evidence that this service appraises, as V2 nests it; and what of it stands beside the claims there.
TEES: Final = ("sgx", "tdx")
NESTED_ONLY: Final = {"dbgstat": str}
_ORDERING: Final = ("<", "<=", ">", ">=")
_ENDS: Final = (";", "}", "{", "if", "else")  # behind a value that stands alone
_UNORDERED: Final = frozenset({bool, list, dict, type(None)})
_COMPARING: Final = frozenset({*_ORDERING, "==", "!=", "="})


class Reference(NamedTuple):
    """`input`, and the members behind it that are named in so many words."""

    path: tuple[str, ...]
    first: int  # index of the token `input`
    last: int  # index behind the last token
    line: int


def references(tokens: tuple[Token, ...]) -> Iterator[Reference]:
    """Every mention of `input`, in order."""
    for index, token in enumerate(tokens):
        if token.kind == "word" and token.text == "input" and (index == 0 or tokens[index - 1].text != "."):
            path, last = _path(tokens, index + 1)
            yield Reference(path, index, last, token.line)


def _path(tokens: tuple[Token, ...], index: int) -> tuple[tuple[str, ...], int]:
    path: list[str] = []
    while index + 1 < len(tokens):
        if tokens[index].text == "." and tokens[index + 1].kind == "word":
            path.append(tokens[index + 1].text)
            index += 2
        elif (
            index + 2 < len(tokens)
            and (tokens[index].text, tokens[index + 2].text) == ("[", "]")
            and tokens[index + 1].kind in ("string", "raw")
            and "\\" not in tokens[index + 1].text
        ):
            path.append(tokens[index + 1].text[1:-1])
            index += 3
        else:
            break
    return tuple(path), index


def nested(tokens: tuple[Token, ...]) -> bool:
    """Whether it reads the claims as V2 nests them."""
    return any(each.path[:1] in (("sgx",), ("tdx",)) for each in references(tokens))


def claims_read(tokens: tuple[Token, ...], *, v2: bool) -> frozenset[str] | None:
    """The claims by which the verdict may change; None: any of them.

    Raises:
        MalformedPolicy: it reads a claim that there is not.
    """
    found: set[str] = set()
    everything = False
    for each in references(tokens):
        claim = _claim(each, v2=v2)
        if claim is None:
            everything = True
        else:
            found.add(claim)
    return None if everything else frozenset(found)


def _claim(reference: Reference, *, v2: bool) -> str | None:
    path = reference.path
    if v2 and path and path[0] not in TEES:
        hint = f"in this dialect claims are read as input.sgx.{path[0]}" if path[0] in CLAIMS else None
        raise malformed(
            "there is no such evidence", reference.line, seen=f"input.{path[0]}"[:80], wanted=TEES, hint=hint
        )
    path = path[1:] if v2 else path
    if not path:
        return None
    known = {**CLAIMS, **NESTED_ONLY} if v2 else CLAIMS
    if path[0] not in known:
        today = path[0].removeprefix("amber_")
        near = [today] if today in known else difflib.get_close_matches(path[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise malformed("there is no such claim", reference.line, seen=path[0][:80], hint=hint)
    return path[0] if path[0] in CLAIMS else f"{reference.path[0]}_is_debuggable"


def check_calls(tokens: tuple[Token, ...], names: frozenset[str]) -> bool:
    """Whether the policy reads the clock.

    Raises:
        MalformedPolicy: it calls what is neither its own nor allowed, or uses what would reach beyond its claims.
    """
    clock = False
    for index, token in enumerate(tokens):
        name = call_name(tokens, index)
        if name is None:
            continue
        if token.text in ("with", "data"):
            raise malformed(
                f"{token.text} is not accepted", token.line, hint="a policy reads its input and its own rules"
            )
        behind = index + 1 + 2 * name.count(".")
        called = behind < len(tokens) and tokens[behind].text == "("
        refused = next((each for each in REFUSED if name == each or name.startswith(f"{each}.")), None)
        if refused is not None and (called or "." in refused):
            raise malformed(f"{refused} is not accepted", token.line, hint=REFUSED[refused])
        if name in (CLOCK, *_UNCALLED) and not called:
            raise malformed(f"{name} is a function", token.line, wanted=f"{name}(...)")
        if called and name not in KEYWORDS and name not in names and name not in ALLOWED:
            raise malformed("there is no such function", token.line, seen=name[:80], wanted="one of docs/policies.md")
        if name == CLOCK:
            if tokens[behind + 1].text != ")":
                raise malformed(f"{CLOCK} takes no argument", token.line)
            clock = True
    return clock


_UNCALLED: Final = frozenset(name for name in ALLOWED if "." in name)


def check_comparisons(tokens: tuple[Token, ...], *, v2: bool) -> None:
    """No claim is compared with a value of another type: the interpreter orders a number above every text.

    Raises:
        MalformedPolicy: naming what is compared.
    """
    by_first = {each.first: each for each in references(tokens)}
    by_last = {each.last: each for each in by_first.values()}
    named = _named_types(tokens, by_first, v2=v2)
    for index, token in enumerate(tokens[1:-1], 1):
        if token.kind != "op" or token.text not in _COMPARING:
            continue
        left = _operand(tokens, index - 1, by_last.get(index), named, v2=v2)
        right = _operand(tokens, index + 1, by_first.get(index + 1), named, v2=v2)
        seen = f"{tokens[index - 1].text} {token.text} {tokens[index + 1].text}"[:80]
        if left is not None and right is not None and left is not right:
            wanted = f"{_NAMED[left]} on both sides, or {_NAMED[right]}"
            raise malformed("what is compared is never of one type", token.line, seen=seen, wanted=wanted)
        if token.text in _ORDERING and not _UNORDERED.isdisjoint((left, right)):
            raise malformed("only numbers and texts are ordered", token.line, seen=seen)
        if token.text in _ORDERING and str in (left, right) and None in (left, right):
            hint = "compare the claim itself: the interpreter orders a number above every text"
            raise malformed("only a claim is ordered against a text", token.line, seen=seen, hint=hint)


_NAMED: Final = {
    type(None): "null",
    str: "a text",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_CONSTANTS: Final[dict[str, type]] = {"true": bool, "false": bool, "null": type(None)}
_LITERALS: Final[dict[str, type]] = {"string": str, "raw": str, "number": int}


def _named_types(tokens: tuple[Token, ...], by_first: dict[int, Reference], *, v2: bool) -> dict[str, type | None]:
    """Name -> the type of all that is assigned to it as a whole, where that is one and known."""
    found: dict[str, type | None] = {}
    for index, token in enumerate(tokens[1:-1], 1):
        before = tokens[index - 1]
        if token.text not in (":=", "=") or before.kind != "word" or before.text in KEYWORDS:
            continue
        reference = by_first.get(index + 1)
        last = index + 2 if reference is None else reference.last
        whole = last == len(tokens) or tokens[last].text in _ENDS or tokens[last].line > tokens[last - 1].end_line
        kind = _operand(tokens, index + 1, reference, {}, v2=v2) if whole else None
        found[before.text] = kind if found.get(before.text, kind) is kind else None
    return found


def _operand(
    tokens: tuple[Token, ...], index: int, reference: Reference | None, named: dict[str, type | None], *, v2: bool
) -> type | None:
    if reference is not None:
        return _type_of(reference, v2=v2)
    alone = index == 0 or tokens[index - 1].text != "."
    follows = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if tokens[index].text in named and alone and follows not in (".", "[", "("):
        return named[tokens[index].text]
    return _literal(tokens[index])


def _type_of(reference: Reference, *, v2: bool) -> type | None:
    """The type of a claim that is read whole."""
    path = reference.path[1:] if v2 else reference.path
    return {**CLAIMS, **NESTED_ONLY}.get(path[0]) if len(path) == 1 else None


def _literal(token: Token) -> type | None:
    return _CONSTANTS.get(token.text) if token.kind == "word" else _LITERALS.get(token.kind)
