"""Write docs/configuration.md from the types of the two configurations, or check that it is what they say (--check)."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ambergate.services.attestation import tables as attestation
from ambergate.services.keybroker import tables as keybroker
from ambergate.services.web.settings.shape import ROWS, members
from ambergate.services.web.settings.sources import prefix_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec
    from msgspec.inspect import Type

    from ambergate.services.web.settings.shape import Setting

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
HEAD = Path(__file__).resolve().with_name("configuration.head.md")
SERVICES: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "attestation": ("Attestation service", attestation.Tables),
    "keybroker": ("Key broker", keybroker.Tables),
}
KINDS = {
    "StrType": "text",
    "LiteralType": "text",
    "IntType": "number",
    "FloatType": "number",
    "BoolType": "true or false",
}


def page() -> str:
    """The page's text."""
    lines = [HEAD.read_text(encoding="utf-8")]
    for service, (title, tables) in SERVICES.items():
        lines.append(f"## {title}\n\nVariables of the environment begin with `{prefix_of(service)}`.\n")
        for heading, words, rows in _sections(tables):
            lines.append(f"{heading}{words}\n")
            lines.append("| setting | type | default | what it is |\n|---|---|---|---|")
            lines.extend(_row(setting) for setting in rows)
            lines.append("")
    return "\n".join(lines)


def _sections(tables: type[msgspec.Struct]) -> Iterator[tuple[str, str, list[Setting]]]:
    """The settings outside of tables, then each table."""
    here = members(tables)
    plain = [setting for setting in here.values() if setting.table is None and setting.rows is None]
    if plain:
        yield "Before the first table:", "", plain
    for name, member in here.items():
        inner, path = (member.table, (name,)) if member.rows is None else (member.rows, (name, ROWS))
        if inner is not None:
            words = inspect.getdoc(inner) or ""
            yield "### ", words.splitlines()[0], list(members(inner, path).values())


def _row(setting: Setting) -> str:
    kinds = "secret" if setting.secret else " or ".join(_words(kind) for kind in setting.kinds)
    default = "must be given" if setting.required else _told(setting.default)
    return f"| `{setting.path[-1]}` | {kinds} | {default} | {setting.description} |"


def _told(default: object) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"


def _words(kind: Type) -> str:
    name = type(kind).__name__
    return f"list of {_words(kind.item_type)}" if name == "ListType" else KINDS[name]  # type: ignore[attr-defined]


def main() -> int:
    """Write the page, or compare."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/configuration.md is not what the types say: run scripts/configuration.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
