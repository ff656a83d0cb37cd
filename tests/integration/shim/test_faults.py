"""The shim's table of faults in docs/dev-amber.md, row by row."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.shim.test_life import _AGENT, _ANNOUNCED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.shim.conftest import Place

PAGE: Final = Path(__file__).parents[3] / "docs" / "dev-amber.md"
OPENED: Final = """
import os, sys
def told(deed):
    try:
        deed()
    except OSError as error:
        return error.errno
    return 0
"""


def page_rows() -> dict[str, int]:
    """The page's table: fault -> errno."""
    table = PAGE.read_text().split("| fault by the shim | errno |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return {fault: getattr(errno, name) for fault, name in rows}


def python(place: Place, script: str, *before: str) -> int:
    """The errno that a Python program prints, started by a shell after some lines of its own."""
    done = place.shell(
        "\n".join((*before, 'exec "$PYTHON" -c "$SCRIPT"')), PYTHON=sys.executable, SCRIPT=OPENED + script
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def agent_killed(place: Place, _folder: Path) -> int:
    return python(place, "print(told(lambda: open('/dev/amber/token')))", f"{_AGENT}; kill -KILL $A")


def agent_killed_while_it_fetches(place: Place, folder: Path) -> int:
    lines = (_ANNOUNCED, _AGENT, "printf wait > /dev/amber/userdata", "{ read x <&5; kill -KILL $A; } &")
    script = "\n".join((*lines, 'exec "$PYTHON" -c "$SCRIPT"'))
    opens = OPENED + "print(told(lambda: open('/dev/amber/token')))"
    done = place.shell(script, ANNOUNCE=str(folder / "fifo"), PYTHON=sys.executable, SCRIPT=opens)
    return int(done.stdout)


def memory_full(place: Place, folder: Path) -> int:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    deeds = 'printf 60000 > /dev/amber/userdata; "$P" read /dev/amber/token; ls -A "$AMBER_DIR" | grep -c "^.amber"'
    small = ("unshare", "-m", "/bin/sh", "-c", 'mount -t tmpfs -o size=8k small "$XDG_RUNTIME_DIR" && exec "$@"', "sh")
    environ = {**place.environ, "XDG_RUNTIME_DIR": str(folder), "P": str(place.program)}
    command = [*small, *place.command("/bin/sh", "-c", deeds)]
    done = subprocess.run(command, env=environ, capture_output=True, check=False, text=True, timeout=60)
    told, left = done.stdout.splitlines()
    assert left == "0"  # no part of it
    return int(told.removeprefix("errno "))


def no_descriptors(place: Place, _folder: Path) -> int:
    full = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
    return python(place, full + "print(told(lambda: os.open('/dev/amber/token', os.O_RDONLY)))")


def another_user(place: Place, _folder: Path) -> int:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    other = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    return python(place, other + "print(told(lambda: os.open('/dev/amber/token', os.O_RDONLY)))")


def writer_left_behind(place: Place, _folder: Path) -> int:
    killed = "file = os.open('/dev/amber/userdata', os.O_WRONLY)\nos.kill(int(os.environ['A']), 9)\n"
    # Its end is there when an open finds nobody.
    gone = "while not told(lambda: os.close(os.open('/dev/amber/status', os.O_RDONLY))): pass\n"
    return python(place, killed + gone + "print(told(lambda: os.write(file, b'x')))", f"{_AGENT}; export A")


FAULTS: Final[dict[str, Callable[[Place, Path], int]]] = {
    "agent killed": agent_killed,
    "agent killed while a token is on its way": agent_killed_while_it_fetches,
    "the directory in memory is full": memory_full,
    "the program has no descriptor left": no_descriptors,
    "the program became a user who may not enter the directory": another_user,
    "the program writes to a setting that it opened before the agent was killed": writer_left_behind,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault(plain: Place, tmp_path: Path, fault: str) -> None:
    assert FAULTS[fault](plain, tmp_path) == page_rows()[fault]


def test_the_page_has_these_faults_and_no_others() -> None:
    assert set(page_rows()) == set(FAULTS)


def test_a_directory_behind_a_symbolic_link_is_known_by_its_own_name(plain: Place, tmp_path: Path) -> None:
    """A program that goes there finds itself under the real name, and reads by relative paths."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    script = 'cd /dev/amber && cat token && cd "$AMBER_DIR" && cat ./token'
    done = plain.shell(script, XDG_RUNTIME_DIR=str(tmp_path / "link"))
    assert done.stdout == b"token 1token 2", done.stderr
