"""What is taken away and given back: a file system of a few MiB, a PostgreSQL; and the certificate of the services."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.attestation.conftest import tls
from tests.postgres import postgres_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["tls"]


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped where none can be mounted."""
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount")
    command = [mount, "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, "6m") as disk:
        yield disk


@pytest.fixture
def server_disk() -> Iterator[Path]:
    """A file system that takes a fresh PostgreSQL, and little more; beside pytest's folders, as `server` is."""
    folder = Path(tempfile.mkdtemp(prefix="amber-pg-disk-"))
    try:
        with mounted(folder, "120m") as disk:
            yield disk
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL of this test's own; it stands beside pytest's folders, as that of `tests/conftest.py` does."""
    pgserver = postgres_wheel()
    folder = Path(tempfile.mkdtemp(prefix="amber-pg-outage-"))
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        yield server
