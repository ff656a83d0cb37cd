"""Agent and program: who waits for whom, who ends when, and what is left when one of them is gone."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.shim.conftest import Place, compiled, names_below

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = f"errno {errno.EIO}"
# Finds the agent: our parent's other child.
_AGENT = "S=$(cut -d' ' -f4 /proc/$$/stat); for c in $(cat /proc/$S/task/$S/children); do [ $c = $$ ] || A=$c; done"
# What a fetch under way says, line by line, with `read x <&5`.
_ANNOUNCED = "mkfifo $ANNOUNCE; exec 5<> $ANNOUNCE"


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Our program, into which no library is loaded."""
    try:
        return compiled(tmp_path / "static", "-static")
    except subprocess.CalledProcessError:
        pytest.skip("no static libc (Debian package libc6-dev)")


def test_a_program_that_is_not_reached_reads_nothing(plain: Place, static: Path) -> None:
    """Neither before nor after a program beside it has read."""
    lines = plain.script(
        f"{static} read /dev/amber/token $AMBER_DIR/token; $P read $AMBER_DIR/token",
        f"{static} read $AMBER_DIR/token; env -i $P read $AMBER_DIR/token; {static} flags $AMBER_DIR/userdata 1",
    )
    missed = f"errno {errno.ENXIO}"
    assert lines == [f"errno {errno.ENOENT}", missed, "token 1", missed, missed, missed]


def test_no_content_is_left_behind_its_name(plain: Place) -> None:
    done = plain.shell("exec 3< /dev/amber/token; find $AMBER_DIR -type f | wc -l; echo $AMBER_DIR; cat <&3")
    count, place, token = done.stdout.decode().splitlines()
    assert (count, token) == ("0", "token 1")
    assert not Path(place).exists()


def test_a_waiting_read_holds_up_nothing(plain: Place, tmp_path: Path) -> None:
    done = plain.shell(
        f"cd {tmp_path}; {_ANNOUNCED}; printf wait > /dev/amber/userdata\n"
        "for i in 1 2 3; do cat /dev/amber/token > $i & done\n"
        "read x <&5; read x <&5; read x <&5; printf go > /dev/amber/userdata; head -1 /dev/amber/status\n"
        "cat /dev/amber/userdata; echo; cat /dev/amber/token > 4; wait; for i in 1 2 3 4; do cat $i; echo; done | sort",
        ANNOUNCE=str(tmp_path / "fifo"),
    )
    lines = done.stdout.decode().splitlines()
    assert lines == ["[INFO] userdata saved", "go", *(f"token {number}" for number in range(1, 5))]


def test_an_agent_that_was_killed_is_an_errno(plain: Place) -> None:
    lines = plain.script(
        f"exec 3> /dev/amber/userdata; {_AGENT}; kill -KILL $A",
        "$P read /dev/amber/token /dev/amber/status; $P write /dev/amber/userdata x",
        "trap '' PIPE; echo x >&3 || echo no",
    )
    assert lines == [GONE, GONE, GONE, "no"]


def test_an_agent_killed_while_it_fetches_is_an_errno(plain: Place, tmp_path: Path) -> None:
    done = plain.shell(
        f"{_ANNOUNCED}; {_AGENT}; printf wait > /dev/amber/userdata; $P read /dev/amber/token &\n"
        "read x <&5; kill -KILL $A; wait",
        ANNOUNCE=str(tmp_path / "fifo"),
        P=str(plain.program),
    )
    assert done.stdout.decode().splitlines() == [GONE]


def test_the_agent_ends_with_its_starter(plain: Place) -> None:
    done = plain.shell(f"{_AGENT}; echo $A; trap 'exit 7' TERM; kill -TERM $A; cat /dev/amber/token; exit 3")
    agent, token = done.stdout.decode().splitlines()
    assert (token, done.returncode) == ("token 1", 3)
    assert not Path(f"/proc/{agent}").exists()


def test_the_exit_code_and_the_signals_are_the_programs(plain: Place) -> None:
    assert plain.shell("kill -TERM $$").returncode == 128 + signal.SIGTERM
    assert plain.run("no-such-program").returncode == 127
    command = plain.command("/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do read go; done")
    with subprocess.Popen(command, env=plain.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.wait(10) == 5


def test_the_program_has_no_key_of_ours_and_no_descriptor(plain: Place) -> None:
    done = plain.shell("env; ls -l /proc/self/fd", AMBER_APIKEY="secret-secret-secret")
    assert b"secret-secret" not in done.stdout
    assert b"socket" not in done.stdout


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory as a manifest mounts it: empty, and nobody's but ours."""
    from ambergate.devices.directory import private_directory  # noqa: PLC0415

    with private_directory() as directory:
        yield directory


def test_the_starter_may_become_the_program(plain: Place, memory: Path) -> None:
    """As inside Gramine: the first process is the program, and the agent ends with the last that could ask it."""
    script = "echo $$; cat $AMBER_DIR/token; echo; echo hi > /dev/amber/userdata; cat /dev/amber/userdata; exit 9"
    command = plain.command("/bin/sh", "-c", script, kind="become")
    with subprocess.Popen(command, env={**plain.environ, "PLACE": str(memory)}, stdout=subprocess.PIPE) as process:
        told, _ = process.communicate(timeout=30)
        assert process.returncode == 9
    assert told.decode().splitlines() == [str(process.pid), "token 1", "hi"]
    assert names_below(str(memory)) >= {".agent", "token"}
    assert ended(memory)


def ended(memory: Path) -> bool:
    """Whether nobody listens behind the socket any more, within a deadline."""
    import socket  # noqa: PLC0415

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(memory / ".agent"))
            except ConnectionRefusedError:
                return True
            select.select([probe], [], [], 0.05)
    return False


def test_there_is_no_leftover_of_programs_that_were_killed(plain: Place) -> None:
    done = plain.shell("echo $AMBER_DIR; cat /dev/amber/token; kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL
    assert not os.path.lexists(done.stdout.decode().splitlines()[0])
