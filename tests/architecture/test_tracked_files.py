"""What the repository must say, and must not say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import ambergate

_PROJECT = Path(__file__).resolve().parents[2]
# Put together here, so that this file does not hold what it looks for.
_REGISTRIES = tuple(
    ".".join(parts).encode()
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("crates", "io"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
        ("maven", "org"),
        ("deb", "debian", "org"),
    )
)
# A path that exists on one machine only.
_LOCAL_PATH = re.compile(rb"(?:^|[\s\"'`=(:])/(?:work|home/[a-z]+|root|Users/[A-Za-z]+)/")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:EC |RSA |ENCRYPTED )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")


def _tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=_PROJECT, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.decode().split("\0") if name and (path := _PROJECT / name).is_file()]


def test_no_file_names_a_registry_or_one_machine() -> None:
    """Where packages come from is for whoever installs them, and no path holds anywhere but in the project."""
    found = []
    for path in _tracked():
        content = path.read_bytes()
        found += [f"{path.name}: {host.decode()}" for host in _REGISTRIES if host in content]
        found += [f"{path.name}: {match.group().decode()}" for match in _LOCAL_PATH.finditer(content)]
    assert found == []


def test_no_file_holds_a_private_key() -> None:
    assert [path for path in _tracked() if _PRIVATE_KEY.search(path.read_bytes())] == []


def test_the_changelog_speaks_of_this_version() -> None:
    changelog = (_PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(ambergate.__version__)}\]", changelog, re.MULTILINE)


def test_the_version_is_said_twice_and_the_same() -> None:
    """By the package, and by its metadata."""
    metadata = (_PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{ambergate.__version__}"\n' in metadata


def test_every_decision_is_in_the_index() -> None:
    index = (_PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    decisions = sorted((_PROJECT / "docs" / "adr").glob("[0-9]*.md"))
    assert decisions
    assert [path.name for path in decisions if f"docs/adr/{path.name}" not in index] == []
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
