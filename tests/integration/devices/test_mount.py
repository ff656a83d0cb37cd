"""`amber mount`: the files in a directory, until a signal; and the mount of a user without root."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import heard

from ambergate.devices import fuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.devices.conftest import Client

pytestmark = [pytest.mark.fuse, pytest.mark.usefixtures("with_fuse")]

NOBODY = 65534


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_is_mounted_until_a_signal(client: Client, sent: signal.Signals) -> None:
    place = client.folder / "amber"
    place.mkdir()
    command = ("mount", "--simulate", "--url", "https://host.example/", str(place))
    with heard(sent), client.started(*command) as process:
        assert process.stderr is not None
        assert process.stderr.readline().decode() == f"amber: mounted on {place}\n"
        assert os.path.ismount(place)
        assert min(os.listdir(place)) == "cacerts"  # noqa: PTH208
        assert (place / "status").read_text().startswith("[INFO] initialized\n")
        (place / "kbs_keyid").write_text("k1")
        assert (place / "kbs_keyid").read_text() == "k1"
        process.send_signal(sent)
        assert process.wait(10) == 0
    assert not os.path.ismount(place)
    assert os.listdir(place) == []  # noqa: PTH208


def test_the_kernel_tells_the_ends_of_opens_as_they_come(client: Client) -> None:
    """It would tell twelve at once: behind many readers the others pile up, each with its token in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root can look at the kernel's connections")
    place, control = client.folder / "amber", client.folder / "control"
    place.mkdir()
    control.mkdir()
    with client.started("mount", "--simulate", str(place)) as process:
        assert process.stderr is not None
        process.stderr.readline()
        told = control / str(os.minor(place.stat().st_dev)) / "max_background"
        script = f"mount -t fusectl none {control} && cat {told}"
        done = subprocess.run(["unshare", "-m", "/bin/sh", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert int(done.stdout) == fuse.MAX_ENDS


def test_a_directory_that_is_not_there_is_told(client: Client) -> None:
    done = client.call("mount", "--simulate", "nowhere")
    assert done.returncode == 1
    assert b"the directory is not there" in done.stderr


# Runs a program with the files as another user would: a user namespace instead of root. Everything is imported before
# the change of user, which may not read this interpreter's own files; the process then counts as that user's own
# again (PR_SET_DUMPABLE), as one that the user had started would.
AS_USER = """
import os, sys
os.environ["FUSE_LIBRARY_PATH"] = "libfuse3.so.3"
import ctypes, hashlib, mfusepy, concurrent.futures.thread, encodings.idna, encodings.ascii
from datetime import UTC, datetime
from pathlib import Path
from ambergate.client.settings import Settings
from ambergate.devices import delivery
from ambergate.devices.model import Tree

class Fetches:
    def token(self, settings, attempt): return "a.b.c"
    def secret(self, settings, attempt): return b"the secret"

uid, device, way, *program = sys.argv[1:]
if uid != "0":
    os.setgroups([]), os.setgid(int(uid)), os.setuid(int(uid))
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
settings = Settings().changed("endpoint_url", b"https://host/")
tree = Tree(Fetches(), settings, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
job = delivery.Job(program=program, environ=os.environ, tree=tree, born=0, user_namespace=True,
                   device=Path(device), say=lambda line: print(line, file=sys.stderr))
sys.exit(delivery.run(job, way))
"""
SCRIPT = "id -u; cat /dev/amber/token; echo; stat -c %u /dev/amber/token; grep CapEff /proc/self/status; exit 9"


def as_user(uid: int, device: Path | str, way: str, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", textwrap.dedent(AS_USER), str(uid), str(device), way, "/bin/sh", "-c", script]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60, cwd="/")


@pytest.fixture
def device_for_all() -> Iterator[Path]:
    """A device node like /dev/fuse that everybody may open, as on ordinary systems."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a device node and become another user")
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: nobody else may enter that
        node = Path(folder) / "fuse"
        try:
            os.mknod(node, stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)  # noqa: PTH116
            os.close(os.open(node, os.O_RDWR))
        except OSError as error:
            pytest.skip(f"no device node of our own: {error.strerror}")
        node.chmod(0o666)
        node.parent.chmod(0o755)
        yield node


def test_without_root_the_program_keeps_its_user_and_gains_nothing(device_for_all: Path) -> None:
    done = as_user(NOBODY, device_for_all, "fuse")
    assert done.returncode == 9, done.stderr
    uid, token, owner, capabilities = done.stdout.splitlines()
    assert (uid, token, owner) == (str(NOBODY), "a.b.c", str(NOBODY))
    assert capabilities.split() == ["CapEff:", "0" * 16]


def test_in_a_user_namespace_root_is_served_too() -> None:
    if os.geteuid() != 0:
        pytest.skip("without root the other test shows the user namespace")
    done = as_user(0, "/dev/fuse", "fuse")
    assert done.returncode == 9, done.stderr
    assert done.stdout.splitlines()[:2] == ["0", "a.b.c"]


@pytest.mark.parametrize("device", ["/dev/no-fuse", "/etc/shadow"])
def test_without_fuse_the_directory_takes_its_place_and_says_so(device: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    done = as_user(NOBODY, device, "auto", "cat /dev/amber/token; echo; ls /dev/amber; echo $AMBER_DIR")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "a.b.c"
    assert {"token", "status", "endpoint_url"} <= set(lines)
    assert "secret" not in lines
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"no FUSE here: {device}")


def test_fuse_that_was_asked_for_and_is_not_there_is_an_error() -> None:
    done = as_user(0, "/dev/no-fuse", "fuse")
    assert done.returncode == 1
    assert "there is no FUSE here" in done.stderr
