"""A wheel brings the shim compiled, and says for which machines it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.integration.shim.conftest import compiler

PROJECT = Path(__file__).parents[3]


def built(target: Path) -> zipfile.ZipFile:
    if not (PROJECT / "hatch_build.py").exists():
        pytest.skip("not the project's own tree")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=120)
    (wheel,) = target.iterdir()
    return zipfile.ZipFile(wheel)


def test_a_wheel_brings_the_shim(tmp_path: Path) -> None:
    compiler()
    with built(tmp_path) as wheel:
        assert wheel.filename is not None
        assert "-py3-none-linux_" in wheel.filename
        assert wheel.read("ambergate/devices/shim/libamber_dev.so").startswith(b"\x7fELF")
        assert "ambergate/devices/shim/build.sh" in wheel.namelist()


def test_without_a_compiler_a_wheel_is_for_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with built(tmp_path) as wheel:
        assert wheel.filename is not None
        assert wheel.filename.endswith("-py3-none-any.whl")
        assert {"ambergate/devices/shim/build.sh", "ambergate/devices/shim/files.c"} <= set(wheel.namelist())
