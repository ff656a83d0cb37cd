"""`amber token get` on evidence that it finds by itself, where the machine has it, against a real service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.attester.conftest import FAKE, SECONDS, mounted

from ambergate.cli._stage import Stage, prepare, services

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.fuse, pytest.mark.usefixtures("with_fuse")]

AMBER: Final = (sys.executable, "-m", "ambergate.cli")
# In a mount namespace of its own: a /dev with a few devices and the directory at /dev/attestation.
IN_GRAMINE: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs stage "$1"
for name in null zero random urandom; do : > "$1/$name"; mount --bind "/dev/$name" "$1/$name"; done
mkdir "$1/attestation"
mount --bind "$2" "$1/attestation"
mount --rbind "$1" /dev
shift 2
exec "$@"
"""
# The same with a /sys/kernel that has nothing but configfs-tsm.
IN_TD: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs stage /sys/kernel
mkdir -p /sys/kernel/config/tsm/report
mount --bind "$2" /sys/kernel/config/tsm/report
shift 2
exec "$@"
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = prepare(tmp_path_factory.mktemp("stage"))
    config = stage.folder / "attestation.toml"
    config.write_text(config.read_text() + "\n[tokens]\ninsecure_allow_anonymous = true\n")
    with services(stage, lambda _service, _line: None):
        yield stage


@pytest.fixture(scope="module")
def with_namespace() -> None:
    """Skips, with the reason, where nothing can be mounted for one program alone."""
    done = subprocess.run(
        ["/bin/sh", "-c", "unshare --mount mount --make-rprivate /"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no mount namespace: {done.stderr.strip()}")


def get(stage: Stage, script: str, root: Path, staging: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """`amber token get`, its standard output, where the script shows `root`."""
    staging.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AMBER_")}
    known = stage.environment("", "")
    environ |= {name: known[name] for name in ("AMBER_URL", "AMBER_CACERTS", "AMBER_KBS_URL")}
    command = ["unshare", "--mount", "/bin/sh", "-c", script, "sh", str(staging), str(root), *AMBER, "token", "get"]
    return subprocess.run([*command, *flags], env=environ, capture_output=True, text=True, check=False, timeout=SECONDS)


def checked(stage: Stage, token: str, *required: str) -> subprocess.CompletedProcess[str]:
    place = stage.folder
    flags = [flag for one in required for flag in ("--require", one)]
    return subprocess.run(
        [
            *(*AMBER, "token", "check", "-", "--jwks", f"{stage.attestation_url}/certs", "--cacerts"),
            *(str(place / "ca.pem"), "--issuer", stage.issuer, "--accept-simulated", "--json", *flags),
        ],
        input=token,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.mark.usefixtures("with_namespace")
def test_the_simulated_dev_attestation_is_found_as_gramines(stage: Stage, tmp_path: Path) -> None:
    root = tmp_path / "attestation"
    root.mkdir()
    mount = [*AMBER, "simulator", "attestation", "mount", str(root), "--platform", str(stage.folder / "simulator")]
    with mounted(mount, root, "directory"):
        done = get(stage, IN_GRAMINE, root, tmp_path / "staging", "--userdata", "held")
    assert done.returncode == 0, done.stderr
    assert checked(stage, done.stdout, "attester_type=SGX").returncode == 0
    assert checked(stage, done.stdout, "attester_type=TDX").returncode == 3


@pytest.mark.usefixtures("with_namespace")
@pytest.mark.parametrize("version", [4, 5])
def test_a_td_gets_a_token_by_configfs_tsm(stage: Stage, tmp_path: Path, version: int) -> None:
    """REPORTDATA is bound by the rule of TDX: the service compares it whole."""
    root = tmp_path / "report"
    root.mkdir()
    fake = [sys.executable, str(FAKE), str(root), str(stage.folder / "simulator"), json.dumps({"version": version})]
    with mounted(fake, root, "ready"):
        done = get(stage, IN_TD, root, tmp_path / "staging", "--userdata", "held")
    assert done.returncode == 0, done.stderr
    assert checked(stage, done.stdout, "attester_type=TDX").returncode == 0
    assert checked(stage, done.stdout, "attester_type=SGX").returncode == 3


def test_where_there_is_nothing_nothing_is_simulated(stage: Stage, tmp_path: Path) -> None:
    """Even where a software platform is at hand."""
    if Path("/dev/attestation").exists() or Path("/sys/kernel/config/tsm/report").exists():
        pytest.skip("this machine has evidence of its own")
    done = subprocess.run(
        [*AMBER, "token", "get"],
        cwd=tmp_path,
        env=stage.environment("", ""),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 5
    assert "/dev/attestation (Gramine), no /sys/kernel/config/tsm/report (TDX)" in done.stderr
    assert done.stdout == ""
