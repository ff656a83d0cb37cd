"""A software platform, and what is mounted beside a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.simulator.stream import stream

from ambergate.devices import fuse
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS: Final = 60  # until a program that should have ended is called hung
FAKE: Final = Path(__file__).with_name("configfs.py")


@pytest.fixture(scope="session")
def with_fuse() -> None:
    """Skips, with the reason, where there is no FUSE."""
    reason = fuse.why_not()
    if reason is not None:
        pytest.skip(f"FUSE: {reason}")


@pytest.fixture(scope="session")
def platform() -> SimulatedPlatform:
    return SimulatedPlatform.create(at=AT, random=stream("attester"))


@pytest.fixture(scope="session")
def platform_folder(platform: SimulatedPlatform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("platform")
    platform.save(folder)
    return folder


Mount = contextlib.AbstractContextManager[Path]


@pytest.fixture
def configfs(with_fuse: None, platform_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a fake configfs-tsm with the faults that are named, for the rest of the test."""
    del with_fuse
    with contextlib.ExitStack() as stack:

        def mount(**faults: object) -> Path:
            place = tmp_path / "report"
            place.mkdir()
            command = [sys.executable, str(FAKE), str(place), str(platform_folder), json.dumps(faults)]
            stack.enter_context(mounted(command, place, "ready"))
            return place

        yield mount


@contextlib.contextmanager
def mounted(command: list[str], place: Path, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A program that serves a mount, from its first line until a signal, with which it must end well."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            first = process.stdout.readline()
            if ready not in first:
                pytest.fail(f"not mounted: {first}{process.stderr.read()}")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)
            assert not os.path.ismount(place)
