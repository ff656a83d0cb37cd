"""What the doubles of Gramine's tools share: see README.md. Runs in the image, by its own Python."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

PKGLIBDIR = "/usr/lib/x86_64-linux-gnu/gramine"


def read(path: str) -> dict[str, Any]:
    return tomllib.loads(Path(path).read_text())


def write(document: dict[str, Any]) -> str:
    """Enough of TOML for what manifests hold: every table inline."""
    return "".join(f"{json.dumps(name)} = {_value(value)}\n" for name, value in document.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def measured(listed: list[Any]) -> list[dict[str, str]]:
    """Trusted files, each with its hash, directories taken apart."""
    found = []
    for entry in listed:
        uri, known = (entry, None) if isinstance(entry, str) else (entry["uri"], entry.get("sha256"))
        path = uri.removeprefix("file:")
        if path.endswith("/"):
            for folder, _, names in sorted(os.walk(path)):
                inside = [f"{folder.rstrip('/')}/{name}" for name in sorted(names)]
                found += [{"uri": f"file:{each}", "sha256": digest(each)} for each in inside]
        else:
            found.append({"uri": uri, "sha256": known or digest(path)})
    return found
