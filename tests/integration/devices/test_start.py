"""How a program starts: only with what it requires, by each delivery, with its secret where it was wanted."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.devices.conftest import SECRET, Client, Scene, compiled, keep_secret, why_no_fuse

WAYS = ("fuse", "shim", "prefetch", "directory")
GONE = "https://127.0.0.1:1/"
TEXT = b"a secret in words \xff\n"
KEY = bytes(range(100, 116))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    if request.param in {"fuse", "prefetch"} and (reason := why_no_fuse()):
        pytest.skip(f"FUSE: {reason}")
    return str(request.param)


@pytest.fixture
def client(scene: Scene, tmp_path: Path) -> Client:
    return scene.client(tmp_path)


@pytest.fixture(scope="session")
def secrets(scene: Scene, reader: Path) -> dict[str, str]:
    """Key ids of a secret in words, and of one that is a key of Gramine's."""
    programs = [reader, Path("/bin/sh").resolve()]
    return {"text": keep_secret(scene.stage, programs, TEXT), "key": keep_secret(scene.stage, programs, KEY)}


def flags(way: str, *more: str) -> tuple[str, ...]:
    return ("run", "--simulate", "--delivery", way, *more, "--")


def test_token_and_secret_arrive(client: Client, way: str) -> None:
    script = "cat /dev/amber/token; echo; cat /dev/amber/secret; exit 7"
    done = client.call(*flags(way, "--require", "token,secret"), "/bin/sh", "-c", script)
    assert (done.returncode, done.stderr) == (7, b"")
    token, _, secret = done.stdout.partition(b"\n")
    assert re.fullmatch(rb"[\w-]+\.[\w-]+\.[\w-]+", token)
    assert secret == SECRET


@pytest.mark.parametrize(
    ("required", "changes", "code", "words"),
    [
        ("token", {"AMBER_URL": GONE}, 5, b"is the service running?"),
        ("token", {"AMBER_APIKEY": "bm90LWEtcmVhbC1rZXk="}, 3, b"next: "),
        ("token", {"AMBER_URL": ""}, 1, b"endpoint_url is not set"),
        ("token,secret", {"AMBER_KBS_URL": GONE}, 5, b"is the service running?"),
        ("secret", {"AMBER_KBS_KEYID": ""}, 1, b"kbs_keyid is not set"),
        ("secret", {"AMBER_KBS_KEYID": "00000000-0000-4000-8000-000000000000"}, 1, b"next: "),
    ],
)
def test_without_what_it_requires_the_program_does_not_start(
    client: Client, way: str, required: str, changes: dict[str, Any], code: int, words: bytes
) -> None:
    done = client.call(*flags(way, "--require", required), "/bin/sh", "-c", "touch started", **changes)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == b""
    assert not (client.folder / "started").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--require", "tokens"),
        ("--prefetch", "--delivery", "fuse"),
        ("--delivery", "pigeon"),
    ],
)
def test_flags_that_make_no_sense_are_refused(client: Client, arguments: tuple[str, ...]) -> None:
    assert client.call("run", "--simulate", *arguments, "--", "true").returncode == 2


def test_a_secret_in_a_variable_is_the_programs_alone(client: Client, way: str, secrets: dict[str, str]) -> None:
    script = (
        f"import os,sys; sys.stdout.buffer.write(os.environb[b'S']); os.execv({sys.executable!r}, ['p', '-c', '0'])"
    )
    environ: dict[str, Any] = {"AMBER_KBS_KEYID": secrets["text"]}
    done = client.call(
        *flags(way, "--secret-to", "env:S"),
        "/bin/sh",
        "-c",
        f'exec "{sys.executable}" -c "$1"',
        "sh",
        script,
        **environ,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", TEXT)


def test_a_secret_in_an_argument_takes_its_place_only(client: Client, way: str, secrets: dict[str, str]) -> None:
    environ: dict[str, Any] = {"AMBER_KBS_KEYID": secrets["text"]}
    arguments = ("/bin/sh", "-c", 'printf "%s|" "$@"', "sh", "--key=@@", "@@@@", "@")
    done = client.call(*flags(way, "--secret-to", "dangerously-arg:@@"), *arguments, **environ)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"--key=" + TEXT + b"|" + TEXT * 2 + b"|@|"


def test_a_secret_in_a_file_is_its_owners(client: Client, way: str) -> None:
    (client.folder / "s").write_bytes(b"old")
    (client.folder / "s").chmod(0o644)
    done = client.call(*flags(way, "--secret-to", "file:s"), "/bin/sh", "-c", "cat s")
    assert (done.stdout, done.stderr) == (SECRET, b"")
    assert stat.S_IMODE((client.folder / "s").stat().st_mode) == 0o600
    assert sorted(path.name for path in client.folder.iterdir()) == ["s"]


def test_a_key_of_gramines_is_sixteen_bytes_in_its_file(client: Client, way: str, secrets: dict[str, str]) -> None:
    (client.folder / "keys").mkdir()
    (client.folder / "keys" / "default").touch()
    places = ("--gramine-keys", "keys", "--secret-to", "gramine-key:default", "--secret-to", "env:KEY")
    environ: dict[str, Any] = {"AMBER_KBS_KEYID": secrets["key"]}
    done = client.call(*flags(way, *places), "/bin/sh", "-c", 'printf %s "$KEY"; cat keys/default', **environ)
    assert (done.stdout, done.stderr) == (KEY * 2, b"")


@pytest.mark.parametrize(
    ("place", "key", "words"),
    [
        ("env:S", "zero", b"does not fit into a variable"),
        ("dangerously-arg:started", "zero", b"does not fit into a variable or an argument"),
        ("dangerously-arg:@@", "text", b"no argument of the program has a place"),
        ("dangerously-arg:t", "text", b"no place for a secret"),
        ("arg:started", "text", b"no place for a secret"),
        ("gramine-key:k", "text", b"16 bytes"),
        ("gramine-key:none", "key", b"key_name of an encrypted mount"),
        ("gramine-key:../k", "key", b"no place for a secret"),
        ("env:A-B", "text", b"no place for a secret"),
        ("file:none/there", "text", b"cannot be written"),
        ("elsewhere", "text", b"env:NAME, file:PATH, gramine-key:NAME or dangerously-arg:TEXT"),
    ],
)
def test_a_place_that_cannot_take_the_secret_stops_the_start(
    client: Client, way: str, secrets: dict[str, str], place: str, key: str, words: bytes
) -> None:
    environ: dict[str, Any] = {"AMBER_KBS_KEYID": secrets[key]} if key in secrets else {}
    arguments = flags(way, "--gramine-keys", ".", "--secret-to", place)
    done = client.call(*arguments, "/bin/sh", "-c", "touch started", **environ)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert sorted(path.name for path in client.folder.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_no_part(client: Client, secrets: dict[str, str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    script = """
        mount -t tmpfs -o size=4k amber small && echo old > small/s
        "$@" || { echo "code $?"; cat small/s; ls -A small; }
    """
    (client.folder / "small").mkdir()
    command = client.command(*flags("directory", "--secret-to", "file:small/s"), "/bin/sh", "-c", "echo started")
    done = subprocess.run(
        ["unshare", "-m", "/bin/sh", "-c", script, "sh", *command],
        cwd=client.folder,
        env={**client.environ, "AMBER_KBS_KEYID": secrets["text"]},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == b"code 1\nold\ns\n", done.stderr
    assert b"No space left on device" in done.stderr


@pytest.mark.fuse
@pytest.mark.usefixtures("with_fuse")
class TestPrefetch:
    def test_it_is_one_process_that_becomes_the_program(self, client: Client) -> None:
        with client.started("run", "--simulate", "--prefetch", "--", "/bin/sh", "-c", "echo $$") as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == process.pid
            assert process.wait(10) == 0

    def test_a_static_program_is_served_and_the_files_go_with_it(self, client: Client, scene: Scene) -> None:
        source = Path(__file__).parents[3] / "examples" / "c" / "amber_reader.c"
        program = compiled(source, client.folder / "static", "-static")
        environ: dict[str, Any] = {"AMBER_KBS_KEYID": keep_secret(scene.stage, [program])}
        arguments = ("run", "--simulate", "--prefetch", "--", str(program), "/dev/amber/secret", "/dev/amber/status")
        done = client.call(*arguments, **environ)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(SECRET + b"\n[INFO] provisioned\n")
        assert not Path("/dev/amber").exists()

    def test_the_files_are_for_this_user_to_read_only(self, client: Client) -> None:
        done = client.call(*flags("prefetch"), "/bin/sh", "-c", "stat -c '%a' /dev/amber /dev/amber/*; id -u")
        directory, *files, user = done.stdout.decode().split()
        assert (directory, set(files), user) == ("700", {"400"}, str(os.geteuid()))


@pytest.mark.fuse
@pytest.mark.usefixtures("with_fuse")
class TestAuto:
    def test_fuse_comes_first_and_is_told(self, client: Client) -> None:
        done = client.call("run", "--simulate", "--", "/bin/sh", "-c", "stat -f -c %T /dev/amber")
        assert done.stdout == b"fuseblk\n"
        assert done.stderr == b"amber: delivery fuse: /dev/amber is mounted for this program, each read is fresh\n"

    def test_a_service_that_is_gone_is_no_reason_for_another_way(self, client: Client) -> None:
        done = client.call("run", "--simulate", "--require", "token", "--", "true", AMBER_URL=GONE)
        assert done.returncode == 5
        assert done.stderr.count(b"delivery") == 1
