"""Every shell script of the project is read by shellcheck."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.unit.deploy.conftest import PROJECT

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Tool


def test_shellcheck_finds_nothing(tool: Tool) -> None:
    listed = subprocess.run(["git", "grep", "-lzE", r"^#!.*\b(ba)?sh$"], cwd=PROJECT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    found = [name for name in listed.stdout.decode().split("\0") if name and not name.endswith(".py")]
    scripts = [name for name in found if (PROJECT / name).read_bytes().startswith(b"#!")]
    assert "scripts/setup" in scripts
    done = tool("shellcheck", "--external-sources", *scripts)
    assert done.returncode == 0, done.stdout
