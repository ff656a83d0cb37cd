"""Resolve the dependencies, and keep the lock free of addresses. Standard library only.

    scripts/lock.py             run `uv lock`, strip its addresses, write requirements/*.txt
    scripts/lock.py --check     say whether pyproject.toml, uv.lock and requirements/*.txt agree

`uv.lock` says which files make up the environment, by SHA-256; where they come from is for whoever installs them:
a registry, a mirror, the directory wheels/. Why: docs/adr/0008-lock-without-addresses.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = PROJECT / "uv.lock"
REQUIREMENTS: Final = PROJECT / "requirements"


class Export(NamedTuple):
    """One file of requirements: what it is, and uv's words for it."""

    what: str
    options: tuple[str, ...]


def _extras(*names: str) -> tuple[str, ...]:
    return ("--no-default-groups", *(f"--extra={name}" for name in names))


# What each service's image holds: what its configuration can ask for, and nothing else. What a release is installed
# with: `bare.txt`, `all.txt`.
EXPORTS: Final = {
    "dev.txt": Export("the development environment", ("--all-groups", "--no-group=deploy")),
    "build.txt": Export("what builds a wheel of this project", ("--only-group=build",)),
    "deploy.txt": Export("what scripts/deploy-tools installs", ("--only-group=deploy",)),
    "bare.txt": Export("what the package itself brings along", _extras()),
    "all.txt": Export("what the package with all extras brings along", _extras("all")),
    "attestation.txt": Export(
        "the attestation service", _extras("service", "rego", "yaml", "postgres", "pkcs11", "otel")
    ),
    "agent.txt": Export("what finds out the agent's files", _extras("graminize")),
    "keybroker.txt": Export(
        "the key broker", _extras("service", "yaml", "postgres", "pkcs11", "kmip", "shares", "otel")
    ),
}

_FILE_ADDRESS: Final = re.compile(r'url = "[a-z]+://[^"]*/([^"/]+)"')
_REGISTRY_ADDRESS: Final = re.compile(r'registry = "[a-z]+://[^"]*"')
_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH: Final = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def without_addresses(lock: str) -> str:
    """The lock with every file under its plain name and every registry as the directory `wheels`."""
    return _REGISTRY_ADDRESS.sub('registry = "wheels"', _FILE_ADDRESS.sub(r'path = "\1"', lock))


def read_requirements(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> version and hashes, of an exported requirements file."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        match = _REQUIREMENT.match(line)
        if match:
            found[match[1]] = (match[2], frozenset(_HASH.findall(line)))
    return found


def read_lock(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> version and hashes, of every package in the lock but the project itself."""
    packages: list[dict[str, Any]] = tomllib.loads(text)["package"]
    return {
        package["name"]: (package["version"], frozenset(file["hash"] for file in _files(package)))
        for package in packages
        if "registry" in package["source"]
    }


def disagreements(project: str, lock: str, requirements: Mapping[str, str]) -> list[str]:
    """Everything in which the files differ, one sentence each; they are given as text, requirements by their names."""
    found = []
    if lock != without_addresses(lock):
        found.append("uv.lock holds addresses")
    declared, locked = _declared(tomllib.loads(project)), _locked_declarations(tomllib.loads(lock))
    found += [f"pyproject.toml asks for {name}, and uv.lock does not know it" for name in sorted(declared - locked)]
    found += [f"uv.lock is for {name}, which pyproject.toml does not ask for" for name in sorted(locked - declared)]
    packages = read_lock(lock)
    for file in EXPORTS:
        pinned = read_requirements(requirements.get(file, ""))
        if not pinned:
            found.append(f"requirements/{file} pins nothing")
        for name, (version, hashes) in pinned.items():
            if packages.get(name) != (version, hashes):
                found.append(f"requirements/{file} pins {name} {version}, and uv.lock has it otherwise")
    return found


def export(file: str) -> str:
    """What one file of requirements is to hold, by uv, from the lock as it is."""
    what, options = EXPORTS[file]
    command = ["uv", "export", "--frozen", "--quiet", "--no-emit-project", *options, "--no-header", "--no-annotate"]
    text = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return f"# Made by `make lock` from uv.lock: {what}, every file by its SHA-256.\n{text}"


def _files(package: dict[str, Any]) -> list[dict[str, str]]:
    sdist = [package["sdist"]] if "sdist" in package else []
    return [*package.get("wheels", []), *sdist]


def _declared(project: dict[str, Any]) -> frozenset[str]:
    """What pyproject.toml asks for: `group-or-extra: name specifiers`, spelled as in the lock."""
    metadata = project["project"]
    lists = {"": metadata["dependencies"], **metadata["optional-dependencies"]}
    found = {_spelled(f"extra {extra}" if extra else "", one) for extra, ones in lists.items() for one in ones}
    groups = project["dependency-groups"]
    return frozenset(found | {_spelled(f"group {group}", one) for group, ones in groups.items() for one in ones})


def _locked_declarations(lock: dict[str, Any]) -> frozenset[str]:
    metadata = next(package for package in lock["package"] if "editable" in package["source"])["metadata"]
    found = set()
    for one in metadata["requires-dist"]:
        extra = re.search(r"extra == '([^']+)'", one.get("marker", ""))
        found.add(_joined(f"extra {extra[1]}" if extra else "", one["name"], one.get("specifier", "")))
    for group, ones in metadata["requires-dev"].items():
        found |= {_joined(f"group {group}", one["name"], one.get("specifier", "")) for one in ones}
    return frozenset(found)


def _spelled(where: str, requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None, requirement
    specifier = re.sub(r"\[[^]]*\]", "", requirement[match.end() :])
    return _joined(where, match[0].lower(), specifier.strip())


def _joined(where: str, name: str, specifier: str) -> str:
    return f"{name}{specifier}" + (f" ({where})" if where else "")


def _check() -> int:
    requirements = {file: _text(REQUIREMENTS / file) for file in EXPORTS}
    found = disagreements((PROJECT / "pyproject.toml").read_text(), LOCK.read_text(), requirements)
    if _has_uv():
        found += [
            f"requirements/{file} is not what uv exports from uv.lock"
            for file, text in requirements.items()
            if read_requirements(export(file)) != read_requirements(text)
        ]
    for sentence in found:
        print(f"error: {sentence}", file=sys.stderr)
    if found:
        print("  next:   make lock (with uv on PATH), and commit uv.lock and requirements", file=sys.stderr)
    return 1 if found else 0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _has_uv() -> bool:
    try:
        return subprocess.run(["uv", "--version"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _lock() -> int:
    if not _has_uv():
        print("error: make lock needs uv on PATH; nothing else does", file=sys.stderr)
        return 1
    subprocess.run(["uv", "lock"], cwd=PROJECT, check=True)
    LOCK.write_text(without_addresses(LOCK.read_text()))
    REQUIREMENTS.mkdir(exist_ok=True)
    for file in EXPORTS:
        (REQUIREMENTS / file).write_text(export(file))
    return _check()


if __name__ == "__main__":
    sys.exit(_check() if sys.argv[1:] == ["--check"] else _lock())
