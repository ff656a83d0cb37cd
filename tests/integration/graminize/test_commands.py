"""`amber manifest` as it is called: exit codes, JSON, and nothing half-written whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.devices.conftest import AMBER, SECONDS, clean_environment, why_no_fuse
from tests.unit.graminize.told import RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEM: Final = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
# In a mount namespace with a file system of so many bytes at a directory; there the rest of the arguments is run.
FULL: Final = """
import os, subprocess, sys
from ambergate.devices import namespace
namespace.enter(user_namespace=os.geteuid() != 0)
namespace._mount("full", sys.argv[1], "tmpfs", 0, "size=" + sys.argv[2])
open(sys.argv[1] + "/out.manifest", "w").write("old")
done = subprocess.run(sys.argv[3:], capture_output=True, text=True)
print(done.returncode, sorted(os.listdir(sys.argv[1])), open(sys.argv[1] + "/out.manifest").read() == "old")
print(done.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "server").touch()
    (tmp_path / "runtime").mkdir()
    (tmp_path / "libsysdb.so").touch()
    (tmp_path / "roots.pem").write_text(PEM)
    (tmp_path / "app.manifest").write_text(RIGHT)
    return tmp_path


def amber(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AMBER, "manifest", *arguments],
        cwd=folder,
        env={**clean_environment(), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def everything(folder: Path) -> Iterator[tuple[str, bytes | None, int]]:
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)), path.read_bytes() if path.is_file() else None, path.lstat().st_mode


def test_checking(folder: Path) -> None:
    done = amber(folder, "check", "app.manifest")
    assert (done.returncode, done.stderr) == (0, "")
    assert "app.manifest:20: sgx.amber_ip" in done.stdout
    assert done.stdout.endswith("0 errors, 0 warnings, 1 for convert to mend\n")
    (folder / "app.manifest").write_text(RIGHT.replace('"dcap"', '"none"'))
    told = amber(folder, "check", "app.manifest", "--json")
    assert told.returncode == 1
    problem = next(each for each in json.loads(told.stdout)["problems"] if each["severity"] == "error")
    assert (problem["rule"], problem["key"], problem["line"]) == ("dcap-missing", "sgx.remote_attestation", 15)
    assert amber(folder, "check", "app.manifest", "-D", "no equals sign").returncode == 2
    assert amber(folder, "check", "none").returncode == 1
    assert "a variable" not in amber(folder, "check", "app.manifest", X="a variable").stdout


@pytest.mark.usefixtures("shim")
def test_converting_twice_is_converting_once(folder: Path) -> None:
    """Also the agent's directory, and the external file: to the byte, and whatever the clock says."""
    flags = ("-o", "out.manifest", "--external-config", "outside.toml", "--json")
    first = amber(folder, "convert", "app.manifest", *flags)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert (told["form"], told["delivery"], told["external"]) == ("kept", "shim", ["amber_ip", "kbs_ip"])
    assert told["agent"]["files"] == sum(path.is_file() for path in (folder / "amber-agent").rglob("*"))
    assert (folder / "amber-agent" / "cacerts.pem").read_text() == PEM
    before = list(everything(folder))
    second = amber(folder, "convert", "out.manifest", *flags)
    assert (second.returncode, second.stderr) == (0, "")
    assert list(everything(folder)) == before
    assert amber(folder, "check", "out.manifest").returncode == 0


@pytest.mark.usefixtures("shim")
def test_what_is_refused_is_told_whole_and_leaves_nothing(folder: Path) -> None:
    before = list(everything(folder))
    text = RIGHT + "sgx.max_thread = 1\nloader.insecure__use_host_env = true\n"
    (folder / "bad.manifest").write_text(text)
    done = amber(folder, "convert", "bad.manifest", "-o", "out.manifest")
    assert done.returncode == 1
    assert all(words in done.stderr for words in ("[schema]", "[host-environment]", "2 errors", "next:"))
    (folder / "bad.manifest").unlink()
    for flags in (["--agent-dir", "app"], ["--cacerts", "app/server"], ["--external-config", "roots.pem"]):
        refused = amber(folder, "convert", "app.manifest", "-o", "out.manifest", *flags)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.count("error: ") == 1
    assert amber(folder, "convert", "app.manifest", "-o", "none/out.manifest").returncode == 1
    assert list(everything(folder)) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "not TOML"),
        ("{{ 'x' * 999999999 }}", "memory"),
        ("{% for x in range(9) %}", "does not render"),
        ("{{ x }}", "-D NAME=VALUE"),
        ("[" * 3000, "not TOML"),
    ],
)
def test_bad_texts_are_one_error(folder: Path, text: str, said: str) -> None:
    (folder / "app.manifest").write_text(text)
    before = list(everything(folder))
    for command in (["check", "app.manifest"], ["convert", "app.manifest", "-o", "out.manifest"]):
        done = amber(folder, *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("error: ") == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert list(everything(folder)) == before


@pytest.mark.parametrize("size", ["1m", "20m"])
def test_a_full_disk(folder: Path, size: str) -> None:
    """With room for the manifest and not for the agent; and with room for some of the agent."""
    reason = why_no_fuse()
    if reason is not None:
        pytest.skip(f"a namespace of one's own: {reason}")
    out = folder / "out"
    out.mkdir()
    convert = [*AMBER, "manifest", "convert", str(folder / "app.manifest"), "-o", str(out / "out.manifest")]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(out), size, *convert],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert done.stdout.startswith("1 ['out.manifest'] True\n"), done.stdout + done.stderr
    assert "No space left on device" in done.stdout


@pytest.mark.parametrize("flags", [("--secret-to", "env:KEY"), ("--require", "token"), ("--external-config", "x")])
def test_native_heeds_no_option_of_the_launcher(folder: Path, flags: tuple[str, str]) -> None:
    done = amber(folder, "convert", "app.manifest", "-o", "out.manifest", "--delivery", "native", *flags)
    assert (done.returncode, (folder / "out.manifest").exists()) == (2, False)
    assert f"{flags[0]}: for the launcher" in done.stderr
    done = amber(folder, "convert", "app.manifest", "-o", "out.manifest", "--secret-to", "gramine-key:../data")
    assert done.returncode == 2
    assert "no place for a secret" in done.stderr


def test_a_manifest_for_a_gramine_with_the_client_built_in(folder: Path) -> None:
    done = amber(folder, "convert", "app.manifest", "-o", "out.manifest", "--delivery", "native")
    assert done.returncode == 0, done.stderr
    assert (folder / "out.manifest").read_text() == RIGHT
    assert not (folder / "amber-agent").exists()
    assert os.stat(folder / "out.manifest").st_mode & 0o777 == 0o644  # noqa: PTH116
