"""The images of deploy/container, built once for all workers of a run, in a storage that nobody else sees."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.pages import blocks_of
from tests.integration.devices.conftest import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[3]
CONTAINER = PROJECT / "deploy" / "container"
EPOCH = "1700000000"  # as README.md has it
SECONDS = 300.0
USER = 10001
# crun wants one kind of control groups, and machines for tests have two; limits may not be raised there.
PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
# What a container of ours is held to everywhere.
HELD = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp:noexec,size=16m"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--memory", "512m"),
)


@dataclass(frozen=True)
class Images:
    """An engine's storage with the images in it, and the context that they were built from."""

    folder: Path
    environ: dict[str, str]

    @property
    def context(self) -> Path:
        return self.folder / "context"

    def run(self, *command: str, give: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            input=give,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr[-4000:]}"
        return done

    def config(self, target: str) -> dict[str, Any]:
        told = json.loads(self.run("buildah", "inspect", "--type", "image", name_of(target)).stdout)
        found = told["OCIv1"]["config"]
        assert isinstance(found, dict)
        return found

    @contextlib.contextmanager
    def mounted(self, target: str) -> Iterator[Path]:
        """The image's files."""
        container = self.run("buildah", "from", "--pull=never", name_of(target)).stdout.strip()
        try:
            yield Path(self.run("buildah", "mount", container).stdout.strip())
        finally:
            self.run("buildah", "rm", container)


def name_of(target: str) -> str:
    return f"localhost/ambergate-{target}"


def why_not() -> str | None:
    """Why no image can be built here; None when it can."""
    missing = [name for name in ("buildah", "mmdebstrap", "podman", "runc") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (scripts/system-packages)"
    if os.geteuid() != 0:
        return "buildah by chroot takes root here"
    return None


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    place = tmp_path_factory.getbasetemp()
    shared = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    folder = shared / "images"
    folder.mkdir(exist_ok=True)
    found = Images(folder, _environment(folder))
    users = folder / "users"
    # Building, or waiting for who builds, takes longer than a test may; each program of it has its own time.
    faulthandler.cancel_dump_traceback_later()
    with _alone(folder):
        if not users.exists():
            _build(found)
        users.write_text(users.read_text() + "." if users.exists() else ".")
    yield found
    with _alone(folder):
        users.write_text(users.read_text()[1:])
        if not users.read_text():
            users.unlink()
            _removed(found)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other worker of this run is in here."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _removed(images: Images) -> None:
    """Hundreds of megabytes, which pytest would keep for three runs."""
    images.run("buildah", "rm", "--all", check=False)
    for name in ("graph/overlay", "run/overlay", "graph", "run"):
        images.run("umount", "--lazy", str(images.folder / name), check=False)
    for name in ("graph", "run", "context"):
        shutil.rmtree(images.folder / name, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    conf = folder / "storage.conf"
    driver = "overlay" if _overlays(folder) else "vfs"
    conf.write_text(f'[storage]\ndriver = "{driver}"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n')
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**clean_environment(), "CONTAINERS_STORAGE_CONF": str(conf), "PATH": path}


def _overlays(folder: Path) -> bool:
    """Whether one file system can be laid over another here: in a container's own file system it cannot."""
    for name in ("lower", "upper", "work", "merged"):
        (folder / "overlay" / name).mkdir(parents=True, exist_ok=True)
    tried = ["mount", "-t", "overlay", "overlay", "-o", "lowerdir=lower,upperdir=upper,workdir=work", "merged"]
    alone = ["unshare", "--mount", *tried]
    return subprocess.run(alone, cwd=folder / "overlay", capture_output=True, check=False).returncode == 0


def _build(images: Images) -> None:
    """As deploy/container/README.md says."""
    _context(images.context)
    (block,) = blocks_of((CONTAINER / "README.md").read_text(encoding="utf-8"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=images.context,
        env={
            **images.environ,
            "GRAMINE_BASE": "localhost/base",
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_LAYERS": "true",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS * 2,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def _context(context: Path) -> None:
    """The project as a clone has it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("src/", "requirements/", "deploy/container/")) or "/" not in name:
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target)
