"""A `/dev/amber` that is there already, as a manifest or a container mounts it: used when it can only be ours."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.devices.conftest import AMBER

if TYPE_CHECKING:
    from tests.integration.devices.conftest import Client, Scene

pytestmark = pytest.mark.usefixtures("with_fuse")  # a namespace, as FUSE has one

# A mount namespace with a tmpfs at /dev/amber of this mode and owner; there the rest of the arguments is executed.
AT_DEV_AMBER: Final = """
import os, sys
from ambergate.devices import directory, namespace
staging = directory.staging()
namespace.enter(user_namespace=os.geteuid() != 0)
namespace.mount_amber(namespace.tmpfs_mounter(), staging)
staging.rmdir()
os.chmod("/dev/amber", int(sys.argv[1], 8))
if sys.argv[2] != "-":
    os.chown("/dev/amber", int(sys.argv[2]), -1)
os.execv(sys.argv[3], sys.argv[3:])
"""
PLACE: Final = "from ambergate.devices.becoming import given_place; print(given_place())"


def there(mode: str, owner: str, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AT_DEV_AMBER, mode, owner, *command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("mode", ["700", "755", "1777"])
def test_it_is_used_and_nobody_else_can_write_there_then(mode: str) -> None:
    script = f"{PLACE}; import os; print(oct(os.stat('/dev/amber').st_mode & 0o7022))"
    done = there(mode, "-", sys.executable, "-c", script)
    assert done.stdout == "/dev/amber\n0o0\n", done.stderr


def test_one_of_another_user_is_not() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to another user")
    assert there("777", "65534", sys.executable, "-c", PLACE).stdout == "None\n"


def test_one_with_something_in_it_is_not() -> None:
    script = f"open('/dev/amber/token', 'w').close(); {PLACE}"
    assert there("700", "-", sys.executable, "-c", script).stdout == "None\n"


def test_with_the_shim_the_first_process_becomes_the_program(client: Client) -> None:
    """As inside Gramine: nobody stays before it, and the files are in the directory that was given."""
    program = ("/bin/sh", "-c", "echo $PPID; head -1 /dev/amber/status; ls -A /dev/amber | head -2")
    run = client.command("run", "--simulate", "--delivery", "shim", "--", *program)
    done = there("1777", "-", *run, AMBER_SIMULATOR=client.environ["AMBER_SIMULATOR"])
    parent, status, *names = done.stdout.splitlines()
    assert (done.returncode, int(parent)) == (0, os.getpid()), done.stderr
    assert status.startswith("[INFO] uninitialized")
    assert names == [".agent", "cacerts"]


def test_by_prefetch_the_files_stay_in_it(scene: Scene) -> None:
    program = ("/bin/sh", "-c", "echo $PPID; stat -c %a /dev/amber/token; wc -c < /dev/amber/token")
    run = (*AMBER, "run", "--simulate", "--prefetch", "--", *program)
    parent, mode, size = there("1777", "-", *run, **scene.environ).stdout.split()
    assert (int(parent), mode) == (os.getpid(), "400")
    assert int(size) > 1000
