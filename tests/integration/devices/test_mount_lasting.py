"""A mount in the background: it outlives its starter, never its server, and others see what the modes let them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.devices.conftest import Client

SECONDS = 30
NOBODY = 65534
UNMOUNT = "from ambergate.cli.umount import command; command()"
UNIT = Path(__file__).parents[3] / "examples" / "systemd" / "amber@.service"

fuse = pytest.mark.usefixtures("with_fuse")


@pytest.fixture
def place(client: Client) -> Iterator[Path]:
    # Not below tmp_path, which others may not enter.
    directory = Path(tempfile.gettempdir()) / f"amber-{os.getpid()}-{client.folder.name}"
    directory.mkdir()
    yield directory
    if os.path.ismount(directory) or is_dead(directory):
        subprocess.run(["umount", "-l", str(directory)], check=False)
    directory.rmdir()


def is_dead(place: Path) -> bool:
    try:
        os.listdir(place)  # noqa: PTH208 - the error is what counts
    except OSError:
        return True
    return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


@contextlib.contextmanager
def mounted(client: Client, place: Path, *flags: str) -> Iterator[int]:
    """The files in the background; the server's process id."""
    done = client.call("mount", "--simulate", "--daemon", *flags, str(place))
    found = re.fullmatch(rb"amber: mounted on (.*), served by process (\d+)\n", done.stderr)
    assert found is not None, done.stderr
    assert (done.returncode, found[1]) == (0, os.fsencode(place))
    try:
        yield int(found[2])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(found[2]), signal.SIGTERM)
        until(lambda: not Path(f"/proc/{found[2].decode()}").exists())


def umount(place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", UNMOUNT, str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


@fuse
@pytest.mark.fuse
class TestMounted:
    def test_it_is_served_when_the_starter_is_gone_until_umount(self, client: Client, place: Path) -> None:
        with mounted(client, place) as server:
            (place / "kbs_keyid").write_text("k1")
            assert (place / "kbs_keyid").read_text() == "k1"
            assert umount(place).returncode == 0
            assert not os.path.ismount(place)
            until(lambda: not Path(f"/proc/{server}").exists())

    @pytest.mark.parametrize("flags", [(), ("--allow-other",)])
    def test_a_server_that_is_killed_leaves_no_dead_mount(
        self, client: Client, place: Path, flags: tuple[str, ...]
    ) -> None:
        with mounted(client, place, *flags) as server:
            os.kill(server, signal.SIGKILL)
            until(lambda: not is_dead(place) and not os.path.ismount(place))

    def test_one_in_the_foreground_leaves_none_either(self, client: Client, place: Path) -> None:
        with client.started("mount", "--simulate", str(place)) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == f"amber: mounted on {place}\n".encode()
            process.kill()
            until(lambda: not is_dead(place) and not os.path.ismount(place))

    def test_a_dead_mount_whose_guard_was_killed_too_is_taken_away_by_the_next(
        self, client: Client, place: Path
    ) -> None:
        with mounted(client, place) as server:
            children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
            for pid in (*map(int, children), server):
                os.kill(pid, signal.SIGKILL)
            until(lambda: is_dead(place))
        done = client.call("mount", "--simulate", "--daemon", str(place))
        assert done.stderr.startswith(f"amber: took away a mount on {place} whose server was gone\n".encode())
        assert (place / "status").read_text().startswith("[INFO] ")
        assert umount(place).returncode == 0

    def test_a_dead_mount_is_unmounted_by_name(self, client: Client, place: Path) -> None:
        with mounted(client, place) as server:
            children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
            for pid in (*map(int, children), server):
                os.kill(pid, signal.SIGKILL)
            until(lambda: is_dead(place))
            assert umount(place).returncode == 0
            assert not is_dead(place)

    def test_others_are_let_in_as_the_modes_say(self, client: Client, place: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")
        script = f"cd {place} && cat status endpoint_apikey && echo x > userdata; cat renew"
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with mounted(client, place, "--allow-other"):
            (place / "endpoint_apikey").write_text("k" * 20)
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, **other)  # type: ignore[call-overload]  # the user's keywords
            assert done.stdout.startswith("[INFO] endpoint_apikey saved\n")
            assert done.stdout.endswith("****kkkk")
            assert "Permission denied" in done.stderr
            assert (place / "userdata").read_bytes() == b""

    def test_without_it_others_see_nothing(self, client: Client, place: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")
        with mounted(client, place):
            done = subprocess.run(["ls", str(place)], capture_output=True, text=True, check=False, user=NOBODY)
            assert "Permission denied" in done.stderr

    def test_a_service_manager_hears_when_the_files_are_there(self, client: Client, place: Path) -> None:

        address = str(client.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.settimeout(SECONDS)
            environ = {**client.environ, "NOTIFY_SOCKET": address}
            command = client.command("mount", "--simulate", str(place))
            with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
                assert manager.recv(100) == b"READY=1"
                process.terminate()
                assert process.wait(SECONDS) == 0


@fuse
@pytest.mark.fuse
def test_a_mount_that_fails_in_the_background_is_told(client: Client) -> None:
    (client.folder / "file").touch()
    done = client.call("mount", "--simulate", "--daemon", "file")
    assert done.returncode == 1
    assert b"the directory is not there" in done.stderr


def test_what_is_not_ours_is_not_unmounted(tmp_path: Path) -> None:
    for place in (tmp_path, Path("/proc")):
        done = umount(place)
        assert done.returncode == 1
        assert "no amber files are mounted there" in done.stderr
    assert os.path.ismount("/proc")


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze (Debian package systemd)")
    unit = tmp_path / "amber@there.service"
    unit.write_text(UNIT.read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, [row for row in done.stderr.splitlines() if "amber" in row]) == (0, [])
