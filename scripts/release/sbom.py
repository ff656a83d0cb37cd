"""Bills of materials: what comes along with each extra, in CycloneDX, the same for the same commit and lock."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from scripts.release.build import tool
from scripts.release.dependencies import closure, extras_of
from scripts.release.fault import Fault, run

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from scripts.release.dependencies import Licences

_SPECIFICATION: Final = "1.6"
_VALIDATOR: Final = JsonStrictValidator(SchemaVersion.V1_6)
_ROOT: Final = "root-component"  # cyclonedx-py's name for the project itself

Bom = dict[str, Any]


def environment(project: Path) -> Bom:
    """All that is installed here, with its dependencies, by cyclonedx-py; without date and serial number."""
    command = [
        *(tool("cyclonedx-py"), "environment", "--output-reproducible", "--no-validate", "--sv", _SPECIFICATION),
        *("--mc-type", "application", "--pyproject", str(project / "pyproject.toml"), sys.executable),
    ]
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    found: Bom = json.loads(run(command, cwd=project, environ=environ, wanted="a bill of materials"))
    return found


def pruned(whole: Bom, names: Collection[str], licences: Licences) -> Bom:
    """The part of a bill that speaks of these distributions, each under the licence that was read.

    Raises:
        Fault: the bill does not speak of one of them.
    """
    components: dict[str, Any] = {canonicalize_name(one["name"]): one for one in whole["components"]}
    if missing := sorted(set(names) - set(components)):
        raise Fault(
            "the bill of materials is not whole", seen=f"no {', '.join(missing)}", wanted="all that comes along"
        )
    kept = [components[name] | {"licenses": [_licence(licences.packages[name])]} for name in sorted(names)]
    references = {_ROOT, *(one["bom-ref"] for one in kept)}
    edges = [
        edge | {"dependsOn": [other for other in edge.get("dependsOn", []) if other in references]}
        for edge in whole["dependencies"]
        if edge["ref"] in references
    ]
    return whole | {"components": kept, "dependencies": edges}


def write(bom: Bom, path: Path) -> None:
    """Write a bill that its schema takes.

    Raises:
        Fault: it is none.
    """
    text = json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if (error := _VALIDATOR.validate_str(text)) is not None:
        raise Fault(f"{path.name} is not CycloneDX {_SPECIFICATION}", seen=error, wanted="what the schema takes")
    path.write_text(text, encoding="utf-8")


def write_all(whole: Bom, out: Path, *, stem: str, licences: Licences) -> dict[str, int]:
    """One bill for the bare package and one for each extra: `STEM.EXTRA.cdx.json`.

    Returns:
        How many distributions come along, by extra; the bare package is `bare`.
    """
    counts = {}
    for extra in ("", *extras_of()):
        names = closure(extra)
        write(pruned(whole, names.keys(), licences), out / f"{stem}.{extra or 'bare'}.cdx.json")
        counts[extra or "bare"] = len(names)
    return counts


def _licence(expression: str) -> dict[str, Any]:
    """As SPDX writes it; `concluded` is CycloneDX's word for what a person read."""
    if " " in expression:
        return {"expression": expression, "acknowledgement": "concluded"}
    return {"license": {"id": expression, "acknowledgement": "concluded"}}
