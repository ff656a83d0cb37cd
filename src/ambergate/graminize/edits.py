"""Changing a TOML text so that it says something else, and otherwise stays as its user wrote it.

The editor (tomlkit) keeps comments, order and spacing, but is known to put some keys in the wrong table. So nothing
it writes is believed: the text is parsed again by tomllib, and is only taken if it says exactly what was intended.
"""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tomli_w
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, InlineTable

from ambergate.graminize.lines import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ambergate.graminize.lines import KeyPath
    from ambergate.graminize.source import Document

_INDENT: Final = "  "
_ONE_LINE: Final = 100  # characters of a list that is written on one
_NONE: Final[Mapping[KeyPath, KeyPath]] = {}
_ESCAPED: Final = {0x7F: "\\u007f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A changed text.

    Attributes:
        text: the text.
        kept: whether comments, order and spacing are those of the text before.
    """

    text: str
    kept: bool


def edited(text: str, before: Document, after: Document) -> Edited:
    """The text that says `after`, made from one that says `before`."""
    if before == after:
        return Edited(text=text, kept=True)
    changed = attempted(text, before, after, says=lambda candidate: tomllib.loads(candidate) == after)
    if changed is not None:
        return Edited(text=changed, kept=True)
    return Edited(text=tomli_w.dumps(after), kept=False)


def attempted(
    text: str,
    before: Document,
    after: Document,
    *,
    says: Callable[[str], bool],
    moves: Mapping[KeyPath, KeyPath] = _NONE,
) -> str | None:
    """The same, by the editor alone; None where it cannot, or where what it wrote does not say what it should.

    Args:
        text: a text that the editor can read; what it says may differ from `before` where both are to be kept.
        before: what is to be changed.
        after: what it is to be changed to.
        says: whether a text says what it should. It may raise what a parser raises.
        moves: where a value in `after` is from in `before`: its text goes with it.
    """
    for every_key in (False, True):
        try:
            candidate = _changed(text, before, after, moves, every_key=every_key)
            if says(candidate):
                return candidate
        except (TOMLKitError, tomllib.TOMLDecodeError, KeyError, IndexError, TypeError, ValueError, RecursionError):
            continue
    return None


def _changed(text: str, before: Document, after: Document, moves: Mapping[KeyPath, KeyPath], *, every_key: bool) -> str:
    """The text as the editor changes it.

    New tables, or every new key, are written by their full names before all headers, as most manifests have theirs:
    there the editor is known to err. The rest is left to it.
    """
    editing = _Editing(tomlkit.parse(text), {})
    editing.texts = _texts(editing.editor, before, moves)
    filled = copy.deepcopy(before)
    lines = editing.named(filled, after, headers_of(text), every_key=every_key)
    editing.editor = tomlkit.parse(_inserted(text, lines))
    editing.table((), filled, after)
    return tomlkit.dumps(editing.editor)


def _inserted(text: str, lines: list[str]) -> str:
    """New lines before the first header, or at the end."""
    first = next((line for _, line in headers_of(text)), None)
    old = text.splitlines(keepends=True)
    at = len(old) if first is None else first - 1
    while first is not None and at > 0 and old[at - 1].lstrip().startswith("#"):
        at -= 1  # a header's own comment stays with it
    if at and not old[at - 1].endswith("\n"):
        old[at - 1] += "\n"
    gap = ["\n"] if first is not None and lines else []
    return "".join([*old[:at], *lines, *gap, *old[at:]])


def toml_value(value: object) -> str:
    """A value as one line of TOML: an inline table with its members in their order."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {toml_value(each)}' for name, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for one character that JSON leaves as it is; surrogates cannot be in either.
        return json.dumps(value, ensure_ascii=False).translate(_ESCAPED)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return tomlkit.item(value).as_string()


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else toml_value(name)


def _texts(editor: Any, before: Document, moves: Mapping[KeyPath, KeyPath]) -> dict[KeyPath, tuple[str, str]]:  # noqa: ANN401  tomlkit's
    """For each value that moves: what it says, and the text that says so."""
    found = {}
    for new, old in moves.items():
        said, text = _at(before, old), _at(editor, old)
        if isinstance(said, str) and isinstance(text, str) and said and said != text:
            found[new] = (said, str(text))
    return found


def _at(container: Any, path: KeyPath) -> Any:  # noqa: ANN401  whatever TOML can say
    for part in path:
        container = container[part]
    return container


class _Editing:
    """Changes in one text, each begun at the root.

    What the editor gives for a table that is written in several places is of no use once one of these is gone.
    """

    def __init__(self, editor: Any, texts: Mapping[KeyPath, tuple[str, str]]) -> None:  # noqa: ANN401  tomlkit's
        self.editor = editor
        self.texts = texts

    def named(
        self, before: Document, after: Document, headers: list[tuple[KeyPath, int]], *, every_key: bool
    ) -> list[str]:
        """Lines for what is new, by full names, where no header and no inline table is in the way.

        They are put into `before`, which then says what is left to do.
        """
        tops = {path[0] for path, _ in headers}
        return [
            line
            for top in after
            if top not in tops
            for line in self._named((top,), before, after[top], alone=every_key)
        ]

    def _named(self, path: KeyPath, parent: Document, value: object, *, alone: bool) -> Iterator[str]:
        """Args: `alone` says whether a key that is no table is written so, too."""
        name = str(path[-1])
        there = parent.get(name)
        if name not in parent and not isinstance(value, dict) and alone:
            parent[name] = copy.deepcopy(value)
            yield f"{'.'.join(_key(str(part)) for part in path)} = {self._lines(path, value)}\n"
        elif isinstance(value, dict) and (name not in parent or isinstance(there, dict)) and not self._inline(path):
            new = name not in parent
            inner = parent.setdefault(name, {})
            for each, member in value.items():
                yield from self._named((*path, each), inner, member, alone=alone or new)

    def _inline(self, path: KeyPath) -> bool:
        try:
            return isinstance(_at(self.editor, path), InlineTable)
        except KeyError:
            return False

    def _lines(self, path: KeyPath, value: object) -> str:
        text = toml_value(self._as_written(path, value))
        if not isinstance(value, list) or len(text) <= _ONE_LINE:
            return text
        elements = (toml_value(self._as_written((*path, at), each)) for at, each in enumerate(value))
        return "[\n" + "".join(f"{_INDENT}{each},\n" for each in elements) + "]"

    def table(self, path: KeyPath, before: Document, after: Document) -> None:
        """Change a table."""
        for name in before:
            if name not in after:
                del _at(self.editor, path)[name]
        for name, value in after.items():
            old, key = before.get(name), (*path, name)
            if name not in before:
                _at(self.editor, path)[name] = self._new(key, value)
            elif isinstance(old, dict) and isinstance(value, dict):
                self.table(key, old, value)
            elif isinstance(old, list) and isinstance(value, list):
                if old != value:
                    self._list(key, old, value)
            elif old != value or type(old) is not type(value):
                _at(self.editor, path)[name] = self._item(key, value)

    def _new(self, path: KeyPath, value: object) -> Any:  # noqa: ANN401  tomlkit's items have no type in common
        if isinstance(value, dict):
            return tomlkit.item({name: self._new((*path, name), each) for name, each in value.items()})
        if not isinstance(value, list) or len(toml_value(value)) <= _ONE_LINE:
            return self._item(path, value)
        array = tomlkit.array()
        for index, element in enumerate(value):
            array.add_line(self._item((*path, index), element), indent=_INDENT)
        array.add_line(indent="")
        return array

    def _list(self, path: KeyPath, before: list[object], after: list[object]) -> None:
        """What both begin with stays as it is written; what follows is replaced."""
        array = _at(self.editor, path)
        common = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), None)
        common = min(len(before), len(after)) if common is None else common
        gone = set(range(common, len(before)))
        if any(element in after[common:] for element in before[common:]):
            # Elements in the middle went: those that stay keep their comments.
            gone = {at for at, element in enumerate(before) if element not in after}
        left = [element for at, element in enumerate(before) if at not in gone]
        if after[: len(left)] != left:
            _at(self.editor, path[:-1])[path[-1]] = self._new(path, after)  # another order: there is nothing to keep
            return
        for at in sorted(gone, reverse=True):
            del array[at]
        for index in range(len(left), len(after)):
            self._append(array, (*path, index), after[index])

    def _append(self, array: Any, path: KeyPath, element: object) -> None:  # noqa: ANN401  as above
        if not isinstance(array, AoT):
            array.add_line(self._item(path, element), indent=_INDENT)
            return
        if not isinstance(element, dict):
            msg = "an array of tables takes tables"
            raise TypeError(msg)
        table = tomlkit.table()
        for name, value in element.items():
            table.append(name, self._item((*path, name), value))
        array.append(table)

    def _item(self, path: KeyPath, value: object) -> Any:  # noqa: ANN401  as above
        return tomlkit.parse(f"x = {toml_value(self._as_written(path, value))}\n")["x"]

    def _as_written(self, path: KeyPath, value: object) -> object:
        """A value with what moved there by the text that stood for it."""
        if isinstance(value, list):
            return [self._as_written((*path, index), each) for index, each in enumerate(value)]
        said, text = self.texts.get(path, ("", ""))
        return value.replace(said, text, 1) if said and isinstance(value, str) else value
