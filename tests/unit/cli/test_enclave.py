"""The launcher's command line and surroundings; `tests/integration/graminize` starts it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ambergate.cli.enclave import (
    MAX_ARGUMENT,
    MAX_ARGUMENTS,
    BadCommandLineError,
    _allow,
    application_environment,
    read_command_line,
)
from ambergate.core.errors import SettingsError
from ambergate.graminize.application import OPTIONS, START

LEAST = ("--delivery", "shim", "--", "/app", "name")


def test_all_of_it() -> None:
    options = ("--delivery", "prefetch", "--require", "token,secret", "--secret-to", "env:A", "--secret-to", "file:/b")
    more = (
        "--external",
        "/x",
        "--allow-argument",
        "-v",
        "--library-path",
        "/l",
        "--preload",
        "p",
        "--",
        "app",
        "--",
        "a",
    )
    told = read_command_line((*options, *more))
    assert (told.delivery, told.require, told.secret_to) == ("prefetch", ("token", "secret"), ("env:A", "file:/b"))
    assert (str(told.external), told.allowed, told.library_path, told.preload) == ("/x", ("-v",), "/l", "p")
    assert (told.executable, told.program) == ("./app", ("--", "a"))


def test_what_converted_manifests_say_it_understands() -> None:
    for name in OPTIONS:
        value = {"--delivery": "shim", "--require": "token"}.get(name, "x")
        read_command_line(("--delivery", "shim", name, value, "--", "/app", "name"))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--",),
        ("--delivery", "shim"),
        ("--delivery", "shim", "--", "/app"),
        ("--delivery", "shim", "--", "", "name"),
        ("--delivery", "fuse", "--", "/app", "name"),
        ("--", "/app", "name"),
        ("--delivery", "--", "/app", "name"),
        ("--simulate", "yes", *LEAST),
        ("--require", "everything", *LEAST),
    ],
)
def test_what_nothing_of_ours_writes(arguments: tuple[str, ...]) -> None:
    with pytest.raises(BadCommandLineError):
        read_command_line(arguments)


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/ours:/lib:/usr/lib", "/lib:/usr/lib"),
        ("/ours", None),
        ("/lib", "/lib"),
        (None, None),
        ("/ours:/ours", "/ours"),
    ],
)
def test_the_applications_libraries(path: str | None, left: str | None) -> None:
    told = read_command_line(("--library-path", "/ours", "--preload", "own.so", *LEAST))
    environ = {"A": "1", **({"LD_LIBRARY_PATH": path} if path is not None else {})}
    seen = application_environment(told, environ)
    assert seen == {"A": "1", "LD_PRELOAD": "own.so", **({"LD_LIBRARY_PATH": left} if left is not None else {})}


@pytest.mark.parametrize(
    ("arguments", "patterns"),
    [
        (["-v"], ()),
        (["-vx"], ("-v",)),
        (["x-v"], ("-v",)),
        (["-v", "-w"], ("-v",)),
        (["-v\n"], ("-v",)),
        (["a" * (MAX_ARGUMENT + 1)], (".*",)),
        (["a"] * (MAX_ARGUMENTS + 1), (".*",)),
        (["a\0b"], (".*",)),
    ],
)
def test_arguments_that_are_not_allowed(arguments: list[str], patterns: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="not allowed"):
        _allow(arguments, patterns)


def test_arguments_that_are() -> None:
    _allow([], ())
    _allow(["-v", "--port=80"], ("-v", r"--port=\d+"))


def test_it_loads_no_command_line_of_ours_and_no_simulator() -> None:
    """Nor, before there is something to fetch, TLS or cryptography."""
    program = "import json, sys, ambergate.cli.enclave; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.check_output([sys.executable, *START[1:4], "-c", _path() + program], text=True)))
    assert not {
        name
        for name in loaded
        if name.startswith(("ambergate.simulator", "ambergate.services", "ambergate.core.verify"))
    }
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(
        {"click", "ssl", "http", "cryptography", "ctypes", "site"}
    )


def _path() -> str:
    places = [place for place in sys.path if place]
    return f"import sys; sys.path[:] = {places!r}\n"
