"""`amber run` around one program: its files, its signals, its end; no service is needed for these."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.integration.devices.conftest import Client, heard, line, tell

from ambergate.devices.nodes import FILES

pytestmark = [pytest.mark.fuse, pytest.mark.usefixtures("with_fuse")]


def test_the_twelve_files_are_there_with_their_modes_and_owner(client: Client) -> None:
    script = "cd /dev/amber; stat -c '%n %a %u %s' *; stat -c '%a %F' ."
    lines = client.shell(script).stdout.decode().splitlines()
    assert lines == [*sorted(f"{name} {mode:o} {os.getuid()} 0" for name, mode in FILES.items()), "555 directory"]


def test_the_rest_of_dev_is_there(client: Client) -> None:
    done = client.shell(
        "ls /dev; echo data > /dev/null; readlink /dev/stdin; head -c 4 /dev/urandom | wc -c; test -d /dev/pts"
    )
    assert done.returncode == 0
    listed = done.stdout.decode().split()
    assert set(os.listdir("/dev")) <= set(listed)  # noqa: PTH208
    assert listed[-2:] == [os.readlink("/dev/stdin"), "4"]  # noqa: PTH115


def test_the_host_sees_nothing_of_it(client: Client) -> None:
    with client.started(
        "run", "--simulate", "--", "/bin/sh", "-c", "ls /dev/amber | wc -l; read go; exit 4"
    ) as process:
        assert line(process) == "12"
        assert not Path("/dev/amber").exists()
        sources = {each.split()[0] for each in Path("/proc/self/mounts").read_text().splitlines()}
        assert sources.isdisjoint({"amber", "amber-dev"})  # other tests may have a platform's files mounted
        tell(process)
        assert process.wait(10) == 4


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_exit_code_is_the_programs(client: Client, script: str, code: int) -> None:
    assert client.shell(script).returncode == code


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("./none", 127)])
def test_a_program_that_cannot_start_is_told_as_a_shell_would(client: Client, program: str, code: int) -> None:
    done = client.run(program)
    assert done.returncode == code
    assert b"the program cannot be started" in done.stderr


def test_a_file_that_is_no_program_is_told_too(client: Client) -> None:
    (client.folder / "broken").write_text("no program")
    (client.folder / "broken").chmod(0o755)
    assert client.run("./broken").returncode == 126


def test_arguments_input_and_working_directory_are_the_programs(client: Client) -> None:
    done = client.shell('pwd; printf "%s|" "$@"; cat', "-x", "--", "a b", "--help", give=b"input")
    assert done.stdout.decode() == f"{client.folder}\n-x|--|a b|--help|input"


def test_the_program_gets_no_api_key_and_no_ignored_signals(client: Client) -> None:
    (client.folder / "key").write_text("k" * 20)
    script = "env; grep -E 'Sig(Ign|Blk)' /proc/self/status; ls -l /proc/self/fd"
    done = client.shell(script, AMBER_APIKEY="secret-secret-secret", AMBER_APIKEY_FILE=str(client.folder / "key"))
    text = done.stdout.decode()
    assert "AMBER_APIKEY" not in text
    assert "secret-secret" not in text
    assert "AMBER_DIR=/dev/amber\n" in text
    # What whoever started us ignores, the program may go on ignoring; amber adds nothing.
    ours = subprocess.run(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"], capture_output=True, check=True).stdout
    assert ours.decode() in text
    assert "fuse" not in text
    assert "socket" not in text


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM", "USR1", "USR2", "QUIT"])
def test_signals_reach_the_program(client: Client, name: str) -> None:
    script = f"trap 'echo caught; exit 5' {name}; echo ready; while read go; do :; done"  # no longer than the test
    number = signal.Signals[f"SIG{name}"]
    with heard(number), client.started("run", "--simulate", "--", "/bin/sh", "-c", script) as process:
        assert line(process) == "ready"
        process.send_signal(number)
        tell(process)
        assert line(process) == "caught"
        assert process.wait(10) == 5


def test_settings_are_written_and_read_back(client: Client) -> None:
    script = """
        cd /dev/amber
        echo https://host.example:8443/appraisal/v1 > endpoint_url; cat endpoint_url; echo
        echo 127.0.0.1,::1 > endpoint_ip; cat endpoint_ip; echo
        echo bm90LWEtcmVhbC1rZXk= > endpoint_apikey; cat endpoint_apikey; echo
        printf 'a\\nb' > userdata; cat userdata; echo
        : > userdata; cat userdata; echo
        head -1 status
    """
    done = client.shell(script)
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert lines[:3] == ["https://host.example:8443/appraisal/v1/", "127.0.0.1,::1", "****ZXk="]
    assert lines[3:] == ["a", "b", "", "[INFO] userdata saved"]


def test_a_bad_value_fails_at_close(client: Client) -> None:
    script = "import sys\nf = open('/dev/amber/endpoint_ip', 'w')\nf.write('nowhere')\nf.flush()\nf.close()\n"
    done = client.run(sys.executable, "-c", script)
    assert done.returncode == 1
    assert b"Invalid argument" in done.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo x > /dev/amber/token", "Permission denied"),
        ("echo x > /dev/amber/cacerts", "Permission denied"),
        ("rm -f /dev/amber/token", "Operation not permitted"),
        ("touch /dev/amber/new", "Operation not permitted"),
        ("mv /dev/amber/token /dev/amber/other", "Operation not permitted"),
        ("cat /dev/amber/none", "No such file"),
        ("head -c 65537 /dev/zero > /dev/amber/userdata", "Argument list too long"),
        ("cat /dev/amber/token", "Invalid argument"),
        ("cat /dev/amber/secret", "Invalid argument"),
    ],
)
def test_what_cannot_be_done_says_so(client: Client, script: str, words: str) -> None:
    done = client.shell(script)
    assert done.returncode != 0
    assert words in done.stderr.decode()


def test_a_missing_setting_is_named_by_status(client: Client) -> None:
    done = client.shell("cat /dev/amber/token || cat /dev/amber/status")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "[ERROR] Token retrieval failed with error: endpoint_url is not set"
    assert "code: settings-endpoint_url" in lines


@pytest.fixture
def mute() -> socket.socket:
    """A service that takes connections and never says a word."""
    return socket.create_server(("127.0.0.1", 0))


def test_a_blocked_read_holds_up_nothing(client: Client, mute: socket.socket) -> None:
    url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
    script = """
        cat /dev/amber/token & echo started; read go
        head -1 /dev/amber/status; cat /dev/amber/endpoint_url; echo
        wait $!; echo $?
    """
    with mute, client.started("run", "--simulate", "--url", url, "--", "/bin/sh", "-c", script) as process:
        assert line(process) == "started"
        connection, _ = mute.accept()  # the read is under way
        began = time.monotonic()
        tell(process)
        assert line(process) == "[INFO] initialized"
        assert line(process) == f"{url}appraisal/v1/"
        assert time.monotonic() - began < 5
        connection.close()
        assert line(process) == "1"
        assert process.wait(10) == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_blocked_reader_can_be_ended(client: Client, mute: socket.socket, sent: signal.Signals) -> None:
    """A read on its way to a service would otherwise wait for its deadline, with the program unkillable."""
    url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
    with (
        mute,
        heard(sent),
        client.started(
            "run", "--simulate", "--url", url, "--timeout", "60", "--", "cat", "/dev/amber/token"
        ) as process,
    ):
        connection, _ = mute.accept()
        began = time.monotonic()
        process.send_signal(sent)
        assert process.wait(15) == 128 + sent
        assert time.monotonic() - began < 10
        connection.close()


def test_the_deadline_is_an_errno(client: Client, mute: socket.socket) -> None:
    url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
    with mute:
        done = client.shell("cat /dev/amber/token; head -1 /dev/amber/status", flags=("--url", url, "--timeout", "0.3"))
    assert b"Connection timed out" in done.stderr
    assert done.stdout.decode().startswith("[ERROR] Token retrieval failed with error: 127.0.0.1:")


def test_a_program_left_behind_does_not_keep_amber_waiting(client: Client) -> None:
    script = "(read go; cat /dev/amber/status) > after 2>&1 < fifo & echo $!"
    os.mkfifo(client.folder / "fifo")
    began = time.monotonic()
    done = client.shell(script)
    assert done.returncode == 0
    assert time.monotonic() - began < 30
    with (client.folder / "fifo").open("w") as fifo:
        fifo.write("go\n")
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert "[INFO]" not in (client.folder / "after").read_text()


def test_it_ends_without_taking_the_interpreter_down_around_its_threads(client: Client) -> None:
    (client.folder / "sitecustomize.py").write_text(
        "import atexit, sys\natexit.register(lambda: print('taken down', file=sys.stderr))\n"
    )
    done = client.shell("exit 3", PYTHONPATH=str(client.folder))
    assert (done.returncode, done.stderr) == (3, b"")
    assert b"taken down" in client.call("--help", PYTHONPATH=str(client.folder)).stderr  # else this shows nothing


def test_without_a_tee_and_without_simulate_nothing_starts(client: Client) -> None:
    environ = {name: value for name, value in client.environ.items() if name != "AMBER_SIMULATOR"}
    done = subprocess.run(
        client.command("run", "--", "echo", "started"), env=environ, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 5
    assert b"started" not in done.stdout
    assert b"--simulate" in done.stderr


def test_a_simulator_that_is_not_there_is_told_with_the_remedy(client: Client) -> None:
    done = client.call("run", "--simulator", "nowhere", "--", "true")
    assert done.returncode == 1
    assert b"amber simulator init" in done.stderr
