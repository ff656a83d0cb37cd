"""The module that the interpreter gets: the policy, with what the interpreter would misread written anew.

Comments are left out. `time.now_ns()` is the instant of the appraisal. `get_token_fields[x] { ... }`, which would
become an object, becomes `get_token_fields contains x if { ... }`. Functions that the interpreter lacks are added.
Line n of the policy is line n + 1 of the module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ambergate.rego.builtins import CLOCK, POLYFILL, PREFIX, REPLACED
from ambergate.rego.program import Program, closing_of
from ambergate.rego.words import call_name

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE: Final = "amber"
HEADER: Final = f"package {PACKAGE}\n"
_COMMENT: Final = re.compile(r"#[^\n]*")
_CLOCK: Final = "\0"  # stands for the instant; no policy has this character


class Module:
    """A program, ready to be run at any instant."""

    def __init__(self, program: Program) -> None:
        anew = _anew(program)
        pieces = _pieces(program, anew, 0, len(program.tokens))
        self._text = HEADER + pieces + (POLYFILL if PREFIX in pieces else "")
        self._anew = anew
        self._program = program

    def at(self, nanoseconds: int) -> str:
        """The module's text, for an instant in nanoseconds since 1970."""
        return self._text.replace(_CLOCK, f" {nanoseconds} ")

    def piece(self, first: int, last: int, nanoseconds: int) -> str:
        """The tokens from `first` to before `last` as they stand in the module, on one line."""
        text = _pieces(self._program, self._anew, first, last).replace(_CLOCK, f" {nanoseconds} ")
        return " ".join(text.split("\n"))


def policy_line(module: str, offset: int) -> int:
    """The line of the policy at a character of the module."""
    return max(module.count("\n", 0, offset), 1)


def _anew(program: Program) -> Mapping[int, str]:
    """Index of a token -> what stands there instead."""
    tokens = program.tokens
    anew: dict[int, str] = {}
    if program.package is not None:
        anew.update(dict.fromkeys(range(*program.package), ""))
    for each in program.definitions:
        if each.kind == "fields":
            closing = closing_of(tokens, each.first + 1)
            anew[each.first + 1] = " contains "
            anew[closing] = " " if tokens[closing + 1].text == "if" else " if "
    for index in range(len(tokens)):
        name = call_name(tokens, index)
        if name == CLOCK:
            anew.update({index: _CLOCK, **dict.fromkeys(range(index + 1, index + 5), "")})
        elif name in REPLACED:
            anew.update({index: REPLACED[name], **dict.fromkeys(range(index + 1, index + 3), "")})
    return anew


def _pieces(program: Program, anew: Mapping[int, str], first: int, last: int) -> str:
    tokens, text = program.tokens, program.text
    parts: list[str] = []
    position = tokens[first].start if first < last else 0
    for index in range(first, last):
        token = tokens[index]
        parts.append(_COMMENT.sub("", text[position : token.start]))
        parts.append(anew.get(index, token.text))
        position = token.end
    return "".join(parts) + "\n"
