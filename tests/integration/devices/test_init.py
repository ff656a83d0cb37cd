"""`amber run` between a program and its terminal, its shell and its orphans: a job like any other, and a good init."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import heard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.devices.conftest import Client

pytestmark = [pytest.mark.fuse, pytest.mark.usefixtures("with_fuse")]

SECONDS = 30
WAYS = ("fuse", "shim")


class Terminal:
    """A shell with job control on a terminal of its own, and somebody who types."""

    def __init__(self, client: Client, descriptor: int) -> None:
        self.client = client
        self.descriptor = descriptor
        self.seen = b""

    def types(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def runs(self, *arguments: str) -> None:
        self.types(" ".join(f"'{word}'" for word in self.client.command(*arguments)) + "\r")

    def shows(self, words: bytes) -> None:
        """Read on until these words; they are not seen again."""
        deadline = time.monotonic() + SECONDS
        while words not in self.seen:
            readable, _, _ = select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"{words!r} not in {self.seen!r}"
            self.seen += os.read(self.descriptor, 4096)
        self.seen = self.seen.partition(words)[2]


@pytest.fixture
def terminal(client: Client) -> Iterator[Terminal]:
    if not shutil.which("bash") or not shutil.which("setsid"):
        pytest.skip("no bash, or no setsid (Debian package util-linux)")
    ours, theirs = pty.openpty()
    environ = {**client.environ, "PS1": "$ ", "TERM": "dumb"}
    command = ["setsid", "--ctty", "--wait", "bash", "--norc", "--noediting", "-i"]
    with (
        heard(signal.SIGINT),
        subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=client.folder) as shell,
    ):
        os.close(theirs)
        try:
            opened = Terminal(client, ours)
            opened.shows(b"$ ")
            yield opened
        finally:
            os.close(ours)  # hangs up: the shell and its jobs end
            with contextlib.suppress(subprocess.TimeoutExpired):
                shell.wait(10)
            shell.kill()


@pytest.mark.parametrize("way", WAYS)
def test_a_shell_stops_and_continues_it_as_one_job(terminal: Terminal, way: str) -> None:
    answers = "echo $((1111 * 1111)); while read n; do echo $((n * 1111)); done"  # what the terminal itself cannot echo
    terminal.runs("run", "--simulate", "--delivery", way, "--", "/bin/sh", "-c", answers)
    terminal.shows(b"1234321")
    terminal.types("5\r")
    terminal.shows(b"5555")
    terminal.types("\x1a")
    terminal.shows(b"Stopped")
    terminal.shows(b"$ ")
    terminal.types("fg\r")
    terminal.shows(b"while read")
    terminal.types("7\r")
    terminal.shows(b"7777")
    terminal.types("\x03")
    terminal.shows(b"$ ")
    terminal.types("echo code $?\r")
    terminal.shows(b"code 130")


def test_a_stop_that_nobodys_shell_sees_stops_only_the_program(client: Client) -> None:
    """A debugger or a freezer stops and continues one process; the files must go on being served."""
    script = "echo $$; read go; cat /dev/amber/renew; exit 6"
    with client.started("run", "--simulate", "--", "/bin/sh", "-c", script) as run:
        assert run.stdout is not None
        assert run.stdin is not None
        pid = int(run.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + SECONDS
        while state(pid) != "T":
            assert time.monotonic() < deadline
        assert state(run.pid) != "T"
        os.kill(pid, signal.SIGCONT)
        run.stdin.write(b"go\n")
        run.stdin.flush()
        assert run.wait(SECONDS) == 6


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - not a file's path
        return file.read().rpartition(")")[2].split()[0]


def test_as_first_process_it_reaps_what_is_left_to_it(client: Client) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a process id namespace here")
    script = """
        for i in 1 2 3 4 5; do (sh -c 'echo $$ >> pids' &); done
        until [ -f pids ] && [ "$(wc -l < pids)" = 5 ]; do :; done
        n=0
        for pid in $(cat pids); do
            while [ -e /proc/$pid ]; do n=$((n + 1)); [ $n -lt 100000 ] || { cat /proc/$pid/status; exit 9; }; done
        done
        exit 4
    """
    command = client.command("run", "--simulate", "--delivery", "fuse", "--", "/bin/sh", "-c", script)
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *command],
        cwd=client.folder,
        env=dict(client.environ),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4, done.stdout + done.stderr


def test_an_emptied_setting_is_empty_for_whoever_opens_it_next(client: Client) -> None:
    script = """
        cd /dev/amber
        for i in 1 2 3 4 5 6 7 8 9 10; do echo value > userdata; : > userdata; cat userdata; done
    """
    assert client.shell(script).stdout == b""


def test_ftruncate_begins_a_value_again(client: Client) -> None:
    script = """
import os
f = os.open("/dev/amber/userdata", os.O_RDWR)
os.write(f, b"a long value")
os.ftruncate(f, 0)
os.lseek(f, 0, 0)
os.write(f, b"short")
os.close(f)
print(open("/dev/amber/userdata").read())
"""
    done = client.run("python3", "-c", script)
    assert (done.stdout, done.stderr) == (b"short\n", b"")


LATE = """
import os, signal
from ambergate.devices import launch
with launch.watched_signals():
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has looked
    os.kill(os.getpid(), signal.SIGINT)
    code = launch.outcome(pid)
raise SystemExit(code)
"""


def test_an_interrupt_that_comes_with_the_programs_end_leaves_its_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (7, "")
