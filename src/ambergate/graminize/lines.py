"""In which line of a TOML text each key stands: tomllib does not say, and a person looks for lines.

Reads only text that tomllib has accepted, and decides nothing: the worst that a mistake here does is a wrong line.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# A key's full path: names, and numbers of elements of arrays.
KeyPath = tuple[str | int, ...]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
# TOML 1.0, "String": the long forms first. Two quotes may stand before the three that close.
_STRINGS: Final = (
    re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of each key, table and array element in a valid TOML text."""
    try:
        return _Scanner(text).run()
    except (_LostError, tomllib.TOMLDecodeError, RecursionError):
        return {}


def headers_of(text: str) -> list[tuple[KeyPath, int]]:
    """Path and line of each table that has a header, in a valid TOML text; none where this is lost."""
    scanner = _Scanner(text)
    try:
        scanner.run()
    except (_LostError, tomllib.TOMLDecodeError, RecursionError):
        return []
    return scanner.headers


class _LostError(Exception):
    """This is not TOML as we know it."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0  # up to where lines are counted
        self._line = 1
        self._found: dict[KeyPath, int] = {}
        self._elements: dict[KeyPath, int] = {}  # arrays of tables -> how many there are
        self.headers: list[tuple[KeyPath, int]] = []

    def run(self) -> Mapping[KeyPath, int]:
        """All of it."""
        table: KeyPath = ()
        while self._skip(_BLANK) and self._at < len(self._text):
            line = self._here()
            if self._took("[["):
                table = self._table(self._key(), line, another=True)
                self._expect("]]")
            elif self._took("["):
                table = self._table(self._key(), line, another=False)
                self._expect("]")
            else:
                self._pair(table)
        return self._found

    def _table(self, key: tuple[str, ...], line: int, *, another: bool) -> KeyPath:
        path: KeyPath = ()
        for part in key[:-1]:
            path = self._last((*path, part))
        path = (*path, key[-1])
        if not another:
            path = self._last(path)
        else:
            self._found.setdefault(path, line)
            self._elements[path] = self._elements.get(path, -1) + 1
            path = self._last(path)
        self._note(path, line)
        self.headers.append((path, line))
        return path

    def _last(self, path: KeyPath) -> KeyPath:
        return (*path, self._elements[path]) if path in self._elements else path

    def _pair(self, table: KeyPath) -> None:
        line = self._here()
        path = (*table, *self._key())
        self._note(path, line)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _note(self, path: KeyPath, line: int) -> None:
        """The key, and the tables that it makes on its way."""
        for end in range(1, len(path) + 1):
            self._found.setdefault(path[:end], line)

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self._skip(_SPACE)
            bare = _BARE.match(self._text, self._at)
            match = bare or self._string()
            if match is None:
                raise _LostError
            self._at = match.end()
            parts.append(match.group() if bare else next(iter(tomllib.loads(f"{match.group()} = 0"))))
            self._skip(_SPACE)
            if not self._took("."):
                return tuple(parts)

    def _value(self, path: KeyPath) -> None:
        string = self._string()
        if string:
            self._at = string.end()
        elif self._took("["):
            self._list(path)
        elif self._took("{"):
            while self._skip(_BLANK) and not self._took("}"):
                self._pair(path)
                self._skip(_BLANK)
                self._took(",")
        else:
            self._skip(_SCALAR)

    def _list(self, path: KeyPath) -> None:
        index = 0
        while self._skip(_BLANK) and not self._took("]"):
            self._found[*path, index] = self._here()
            before = self._at
            self._value((*path, index))
            if self._at == before:
                raise _LostError
            index += 1
            self._skip(_BLANK)
            self._took(",")

    def _string(self) -> re.Match[str] | None:
        return next((match for each in _STRINGS if (match := each.match(self._text, self._at))), None)

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return True

    def _took(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _expect(self, word: str) -> None:
        self._skip(_SPACE)
        if not self._took(word):
            raise _LostError
