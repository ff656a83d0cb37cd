"""A manifest as it was found: its text, what it says, and in which line.

    manifest = read_manifest(Path("app.manifest.template"), Surroundings(defines={"log_level": "error"}))
    manifest.document["sgx"]["enclave_size"], manifest.line_of("sgx", "enclave_size")

Reading proves only that it is TOML. What it says is looked at by `checks`, and by Gramine.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.loading import MAX_MANIFEST, read_file
from ambergate.core.errors import SettingsError
from ambergate.graminize.lines import lines_of
from ambergate.graminize.template import Rendered, Surroundings, is_template, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ambergate.graminize.lines import KeyPath

Document = dict[str, Any]
_LINE: Final = re.compile(r"\(at line (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that was read. Made by `read_manifest` and `parse_manifest`.

    Attributes:
        name: for messages.
        directory: where relative paths in it begin.
        source: its text as it was found.
        text: as Gramine reads it: the rendered template, or `source`.
        template: whether it is a template.
        document: what it says.
        lines: line of the source for each key.
        read: variables of the environment that a template read.
    """

    name: str
    directory: Path
    source: str
    text: str
    template: bool
    document: Document
    lines: Mapping[KeyPath, int]
    read: tuple[str, ...] = ()

    def line_of(self, *path: str | int) -> int | None:
        """The line of a key, or of the nearest table around it; None where there is neither."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def value_at(document: Mapping[str, Any], path: tuple[str, ...], default: object = None) -> Any:  # noqa: ANN401
    """What a key says; the default where it is not there, or where something on the way is no table."""
    found: Any = document
    for part in path:
        if not isinstance(found, dict) or part not in found:
            return default
        found = found[part]
    return found


def read_manifest(path: Path, surroundings: Surroundings | None = None) -> Manifest:
    """The manifest in a file.

    Raises:
        SettingsError: it cannot be read, is not UTF-8 or not TOML, or does not render.
        TooLarge: it is longer than `MAX_MANIFEST`, or than a template may be.
    """
    raw = read_file(path, "the manifest", limit=MAX_MANIFEST)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _not_toml(path.name, f"byte {exc.start} is not UTF-8") from exc
    return parse_manifest(text, path.name, path.parent, surroundings)


def parse_manifest(text: str, name: str, directory: Path, surroundings: Surroundings | None = None) -> Manifest:
    """A manifest from its text. Raises as `read_manifest`."""
    template = is_template(name, text)
    rendered = render(text, surroundings or Surroundings()) if template else Rendered(text=text)
    try:
        document = tomllib.loads(rendered.text)
    except RecursionError as exc:
        raise _not_toml(name, "tables within tables, too deep") from exc
    except ValueError as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        raise _not_toml(name, _at_source_line(str(exc), rendered), template=template) from exc
    lines = lines_of(rendered.text)
    if rendered.lines:
        lines = {key: rendered.lines[line - 1] for key, line in lines.items()}
    return Manifest(
        name=name,
        directory=directory,
        source=text,
        text=rendered.text,
        template=template,
        document=document,
        lines=lines,
        read=rendered.read,
    )


def _at_source_line(message: str, rendered: Rendered) -> str:
    match = _LINE.search(message)
    line = int(match[1]) if match else 0
    if not 0 < line <= len(rendered.lines):
        return message
    return f"{message}, from line {rendered.lines[line - 1]} of the template"


def _not_toml(name: str, seen: object, *, template: bool = False) -> SettingsError:
    hint = "TOML wants keys like sgx.debug before the first [table], each once, and no comma at the end of { }"
    what = "the manifest is not TOML once it is rendered" if template else "the manifest is not TOML"
    return SettingsError(what, code="settings-manifest", seen=f"{name}: {seen}", hint=hint)
