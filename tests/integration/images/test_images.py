"""What is in the images, and what is not."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from tests.integration.images.conftest import EPOCH, HELD, PODMAN, USER, Images, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICES = {"attestation": ("attestation.toml", 8443), "keybroker": ("broker.toml", 9443)}
# What builds, installs or gives a foothold, and has no business where a service runs.
NO_PROGRAMS = {"sh", "bash", "dash", "apt", "apt-get", "dpkg", "pip", "pip3", "gcc", "cc", "as", "ld", "make", "perl"}
MOST = {"attestation": 230, "keybroker": 230, "agent": 95}  # 10^6 bytes of files, the base's 55 among them


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, _, names in os.walk(root):
        for name in (".", *names):
            path = os.path.join(folder, name)  # noqa: PTH118  surrogates and all
            yield os.path.relpath(path, root), os.lstat(path)


@pytest.mark.parametrize("target", ["attestation", "keybroker", "agent"])
def test_what_is_inside(images: Images, target: str) -> None:
    with images.mounted(target) as root:
        files = dict(walk(root))
    assert not [name for name, found in files.items() if found.st_mode & (stat.S_ISUID | stat.S_ISGID)]
    regular = {name: found for name, found in files.items() if stat.S_ISREG(found.st_mode)}
    programs = {name.rpartition("/")[2] for name, found in regular.items() if found.st_mode & 0o111}
    assert not programs & NO_PROGRAMS
    assert not [name for name in files if name.rpartition("/")[2] in {"pip", "setuptools", "ensurepip.pyc"}]
    # Nothing is the user's own but the place for state, and everybody can write to places like /tmp alone.
    theirs = [name for name, found in files.items() if found.st_uid == USER]
    assert theirs == ([] if target == "agent" else ["var/lib/ambergate"])
    folders = {name: found for name, found in files.items() if stat.S_ISDIR(found.st_mode)}
    assert not [name for name, found in regular.items() if found.st_mode & stat.S_IWOTH]
    assert not [
        name for name, found in folders.items() if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    ]
    size = sum(found.st_size for found in regular.values()) / 1e6
    assert size < MOST[target], f"{size:.0f} MB"


@pytest.mark.parametrize("target", SERVICES)
def test_how_a_service_is_started(images: Images, target: str) -> None:
    file, port = SERVICES[target]
    config = images.config(target)
    assert config["User"] == f"{USER}:{USER}"
    assert config["WorkingDir"] == "/var/lib/ambergate"
    command = ["/opt/ambergate/bin/amber", target, "serve", "--config", f"/etc/ambergate/{file}"]
    assert config["Entrypoint"] == command  # no shell: it is process 1, and SIGTERM reaches it
    assert set(config["ExposedPorts"]) == {f"{port}/tcp", "9464/tcp"}
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert config["Labels"]["org.opencontainers.image.revision"] == "0" * 40
    told = images.run(*(*PODMAN, "run", "--rm", "--network", "none", *HELD, name_of(target), "--help"), check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"Usage: amber {target} serve")


def test_every_module_has_its_bytecode(images: Images) -> None:
    """Or else each start compiles it again, where nothing can be written."""
    with images.mounted("attestation") as root:
        home = root / "opt/ambergate"
        sources = {path.relative_to(root) for path in home.joinpath("lib").rglob("*.py")}
        compiled = {path.relative_to(home / "bytecode") for path in home.joinpath("bytecode").rglob("*.pyc")}
    wanted = {path.with_suffix(".cpython-311.pyc") for path in sources if "lib2to3" not in path.parts}
    assert len(wanted) > 1000
    assert len(wanted - compiled) < 5, sorted(wanted - compiled)[:10]


def test_the_agent_is_what_is_put_into_graminized_images(images: Images) -> None:
    with images.mounted("agent") as root:
        files = {str(path.relative_to(root / "ambergate")) for path in root.joinpath("ambergate").rglob("*")}
        dates = {path.stat().st_mtime for path in root.joinpath("ambergate").rglob("*") if path.is_file()}
    assert {"bin/python3", "launch.py", "site/ambergate/cli/enclave.py"} <= files
    assert "site/ambergate/devices/shim/libamber_dev.so" in files
    assert any(name.startswith("site/cryptography/") for name in files)
    assert not any(name.startswith("site/ambergate/services") for name in files)
    assert dates == {float(EPOCH)}
