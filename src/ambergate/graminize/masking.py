"""A template as a text that a TOML editor can read: what Jinja reads stands behind marks, and comes back as it was.

Statements alone on a line become comments; expressions in quotes become part of the text there; values that Jinja
writes become texts. Not every template can be masked; whoever uses this looks at the result, by rendering it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Private use: no manifest holds these characters.
_OPEN: Final = "\ue000"
_CLOSE: Final = "\ue001"
_CONSTRUCT: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_MARK: Final = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
# A line whose value Jinja writes, at least in part, outside of quotes.
_VALUE: Final = re.compile(rf"""^(\s*[\w.\-"']+\s*=\s*)([^"'\[{{#\n]*{_OPEN}[^#\n]*?)(\s*(?:#.*)?)$""")
_KEPT: Final = re.compile(rf'"{_OPEN}v(\d+){_CLOSE}"|#{_OPEN}l(\d+){_CLOSE}|{_OPEN}(\d+){_CLOSE}')


@dataclass(frozen=True, slots=True)
class Masked:
    """A masked template.

    Attributes:
        text: TOML, if all went well.
        kept: what is behind the marks, by their numbers.
    """

    text: str
    kept: tuple[str, ...]

    def unmasked(self, text: str) -> str:
        """The template that a changed text is; raises `ValueError` where a mark is there twice, or none of ours.

        What was taken out has taken its marks along.
        """
        found = [int(next(number for number in match.groups() if number)) for match in _KEPT.finditer(text)]
        if len(found) != len(set(found)) or not all(number < len(self.kept) for number in found):
            msg = "the marks are not those that were set"
            raise ValueError(msg)
        changed = text
        for _ in range(2):  # what stands for a line or a value holds marks of its own
            changed = _KEPT.sub(self._back, changed)
        return changed

    def _back(self, match: re.Match[str]) -> str:
        return self.kept[int(next(number for number in match.groups() if number))]


def masked(template: str) -> Masked | None:
    """The template behind marks; None where the marks' characters are in it."""
    if _OPEN in template or _CLOSE in template:
        return None
    kept: list[str] = []

    def keep(text: str) -> int:
        kept.append(text)
        return len(kept) - 1

    text = _CONSTRUCT.sub(lambda match: f"{_OPEN}{keep(match.group())}{_CLOSE}", template)
    lines = []
    for line in text.split("\n"):
        value = _VALUE.match(line)
        if _MARK.search(line) and not _MARK.sub("", line).strip():
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}#{_OPEN}l{keep(line[len(indent) :])}{_CLOSE}")
        elif value:
            lines.append(f'{value[1]}"{_OPEN}v{keep(value[2])}{_CLOSE}"{value[3]}')
        else:
            lines.append(line)
    return Masked("\n".join(lines), tuple(kept))
