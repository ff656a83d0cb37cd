"""The same deeds by programs of five kinds, by each delivery, with each outcome: which program sees what."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.integration.devices.conftest import Client, Scene, compiled, keep_secret, why_no_fuse

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES: Final = Path(__file__).parent / "programs"
KINDS: Final = ("c", "python", "shell", "static", "go")
WAYS: Final = ("fuse", "shim", "prefetch", "directory")
FRESH: Final = ("fuse", "shim")  # here a program writes settings, and each read is a new one
UNREACHED: Final = ("static", "go")  # by the shim
WORDS: Final = b"a secret in words"
GONE: Final = "https://127.0.0.1:1/"
NO_KEY: Final = "bm90LWEtcmVhbC1rZXk="
SECONDS: Final = 300  # that a compiler may take on a busy machine

# What else is changed -> how a program that was started ends its reads, and what `amber run` gives where it was not.
REFUSALS: Final[dict[str, tuple[dict[str, str], str, int]]] = {
    "refused": ({}, "permission denied", 3),
    "gone": ({"AMBER_URL": GONE}, "connection refused", 5),
}


@lru_cache(maxsize=1)
def why_no_go() -> str | None:
    return None if shutil.which("go") else "no Go (Debian package golang-go)"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """What is executed for each kind that this machine can build."""
    place = tmp_path_factory.mktemp("programs")
    found = {
        "c": [str(compiled(SOURCES / "twice.c", place / "c"))],
        "python": [sys.executable, str(SOURCES / "twice.py")],
        "shell": ["/bin/sh", str(SOURCES / "twice.sh")],
    }
    with contextlib.suppress(subprocess.CalledProcessError):
        found["static"] = [str(compiled(SOURCES / "twice.c", place / "static", "-static"))]
    if why_no_go() is None:
        # Nothing but the standard library, no other compiler, nothing from a network.
        environ = {**os.environ, "CGO_ENABLED": "0", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
        command = ["go", "build", "-o", str(place / "go"), str(SOURCES / "twice.go")]
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=SECONDS)
        found["go"] = [str(place / "go")]
    return found


@pytest.fixture(params=KINDS)
def program(request: pytest.FixtureRequest, programs: Mapping[str, list[str]]) -> tuple[str, list[str]]:
    kind = str(request.param)
    if kind not in programs:
        pytest.skip(why_no_go() or "" if kind == "go" else "no static libc (Debian package libc6-dev)")
    return kind, programs[kind]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    if request.param != "shim" and (reason := why_no_fuse()):  # these need a namespace at least
        pytest.skip(f"FUSE: {reason}")
    return str(request.param)


@pytest.fixture(scope="session")
def key_id(scene: Scene, programs: Mapping[str, list[str]]) -> str:
    """A secret for these programs."""
    return keep_secret(scene.stage, [Path(words[0]).resolve() for words in programs.values()], WORDS)


def told(client: Client, way: str, words: list[str], **environ: Any) -> tuple[int, list[str]]:  # noqa: ANN401
    """The exit code, and what the program printed until the status' details."""
    done = client.call("run", "--simulate", "--delivery", way, "--", *words, **environ)
    lines = done.stdout.decode().splitlines()
    return done.returncode, [line for line in lines if line.startswith(("key ", "token", "secret", "status"))]


def nothing_at_all(lines: list[str]) -> bool:
    """A program that the shim does not reach finds no file: neither an old token nor an empty one."""
    return all(" no such file" in line.lower() for line in lines)


def test_granted(scene: Scene, tmp_path: Path, program: tuple[str, list[str]], way: str, key_id: str) -> None:
    kind, words = program
    client = scene.client(tmp_path, AMBER_KBS_KEYID=key_id)
    # By FUSE and shim the key is the one that the program writes.
    start = NO_KEY if way in FRESH else scene.api_key
    code, lines = told(client, way, [*words, scene.api_key], AMBER_APIKEY=start)
    assert code == 0
    if way == "shim" and kind in UNREACHED:
        assert len(lines) == 5
        assert nothing_at_all(lines)
        return
    key, first, second, secret, status = lines
    assert first.startswith("token: ey")
    assert second.startswith("token: ey")
    assert secret == f"secret: {WORDS.decode()}"
    assert status == "status: [INFO] provisioned"
    if way in FRESH:
        assert key == "key written"
        assert first != second
    else:
        assert key.lower().endswith("read-only file system")
        assert first == second


@pytest.mark.parametrize("outcome", sorted(REFUSALS))
def test_not_granted(scene: Scene, tmp_path: Path, program: tuple[str, list[str]], way: str, outcome: str) -> None:
    kind, words = program
    changes, errno_text, code_without_start = REFUSALS[outcome]
    code, lines = told(scene.client(tmp_path, AMBER_APIKEY=NO_KEY, **changes), way, words)
    if way not in FRESH:
        assert (code, lines) == (code_without_start, [])
        return
    assert code == 0
    if way == "shim" and kind in UNREACHED:
        assert len(lines) == 4
        assert nothing_at_all(lines)
        return
    *reads, status = lines
    assert [line.split(" failed: ")[0] for line in reads] == ["token", "token", "secret"]
    assert all(line.lower().endswith(errno_text) for line in reads), lines
    assert status.startswith(("status: [ERROR] provision failed: ", "status: [ERROR] provision rejected: "))
