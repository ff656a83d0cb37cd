"""The tokens of a Rego policy, with their lines: what the rest of this package reads instead of text.

Everything that the interpreter would read in another way than we do is refused here, by name and line, so that what is
scanned is what runs.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ambergate.core.appraise.named import text_bytes
from ambergate.core.errors import MalformedPolicy

MAX_TOKENS: Final = 4_000  # ours: the interpreter takes more than a second to read some policies of twice as many
MAX_DEPTH: Final = 24  # levels of brackets; the interpreter descends into them by recursion
MAX_DIGITS: Final = 40  # of one number

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<comment>\#[^\n]*)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?(?![0-9A-Za-z_.]))
  | (?P<string>"(?:[^"\\\x00-\x1f]|\\["\\nt])*")
  | (?P<raw>`[^`\x00]*`)
  | (?P<op>:=|==|!=|<=|>=|[=<>+\-*/%&|])
  | (?P<mark>[{}\[\](),;:.])
    """,
    re.VERBOSE,
)
_OPENING: Final = {"{": "}", "[": "]", "(": ")"}
_CLOSING: Final = frozenset(_OPENING.values())


class Token(NamedTuple):
    """One token: `kind` is word, number, string, raw, op or mark; lines count from 1."""

    kind: str
    text: str
    start: int  # offset in characters
    line: int
    end_line: int

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.start + len(self.text)


class Lexed(NamedTuple):
    """A policy's tokens, and in which lines it has comments."""

    tokens: tuple[Token, ...]
    comments: tuple[int, ...]


def malformed(
    message: str, line: int, *, seen: object = None, wanted: object = None, hint: str | None = None
) -> MalformedPolicy:
    """A policy that cannot be loaded, and the line that says why."""
    return MalformedPolicy(f"line {line}: {message}", seen=seen, wanted=wanted, hint=hint)


def lex(text: str) -> Lexed:
    """The policy's tokens.

    Raises:
        MalformedPolicy: too long, too many tokens, brackets that do not fit or nest too deep, or a character, number or
            escape that the interpreter would read in another way.
    """
    text_bytes(text)
    tokens: list[Token] = []
    comments: list[int] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, position, line)
        kind, piece = str(match.lastgroup), match.group()
        end_line = line + piece.count("\n")
        if kind == "comment":
            comments.append(line)
        elif kind != "space":
            tokens.append(Token(kind, piece, position, line, end_line))
        if len(tokens) > MAX_TOKENS:
            raise malformed("the policy has too many parts", line, wanted=f"at most {MAX_TOKENS}")
        if kind == "number" and len(piece) > MAX_DIGITS:
            raise malformed("a number is too long", line, seen=f"{len(piece)} digits", wanted=f"at most {MAX_DIGITS}")
        position, line = match.end(), end_line
    _brackets(tokens)
    return Lexed(tuple(tokens), tuple(comments))


def _brackets(tokens: list[Token]) -> None:
    opened: list[Token] = []
    for token in tokens:
        if token.kind != "mark":
            continue
        if token.text in _OPENING:
            opened.append(token)
            if len(opened) > MAX_DEPTH:
                raise malformed("brackets nest too deep", token.line, wanted=f"at most {MAX_DEPTH} levels")
        elif token.text in _CLOSING and (not opened or _OPENING[opened.pop().text] != token.text):
            raise malformed("a bracket closes that was not opened", token.line, seen=token.text)
    if opened:
        raise malformed("a bracket is not closed", opened[-1].line, seen=opened[-1].text)


def _unreadable(text: str, position: int, line: int) -> MalformedPolicy:
    character = text[position]
    if character == '"':
        hint = r"of escapes only \" \\ \n \t are read as OPA reads them; a raw string stands between backquotes"
        return malformed("a string does not end, or holds an escape that is not accepted", line, hint=hint)
    if character == "`":
        return malformed("a raw string does not end", line)
    if character.isdigit():
        return malformed("that is no number", line, seen=text[position : position + 24])
    return malformed("a character has no meaning here", line, seen=repr(character))
