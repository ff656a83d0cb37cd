"""What an image starts, and the manifest that is made of image and user's manifest."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import jinja2
import pytest
from tests.unit.graminize.gsc.images import ELF, link, member, packed, write_image

from ambergate.core.errors import SettingsError
from ambergate.graminize.gsc.composition import Rules, as_template, composed, with_files
from ambergate.graminize.gsc.files import ImageFiles, read_files
from ambergate.graminize.gsc.layout import read_layout
from ambergate.graminize.gsc.program import Program, program_of
from ambergate.graminize.schema import violations

if TYPE_CHECKING:
    from pathlib import Path

PASSWD = b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"
SCRIPT = b"#!/bin/sh -e\necho hello\n"
LAYER = packed(
    member("usr/bin/bash", ELF),
    link("bin", "usr/bin"),
    link("usr/bin/sh", "bash"),
    member("usr/bin/env", ELF),
    member("usr/bin/python3.11", ELF),
    link("usr/bin/python3", "python3.11"),
    member("app/run.sh", SCRIPT),
    member("app/tool.py", b"#!/usr/bin/env python3\n"),
    member("app/envs", b"#!/usr/bin/env -S python3 -u\n"),
    member("app/nested", b"#!/app/run.sh\n"),
    member("app/data", b"text", mode=0o644),
    member("app/text", b"text"),
    member("app/arm", ELF[:18] + b"\xb7\x00" + ELF[20:]),
    member("app/self", b"#!/app/self\n"),
    member("app/empty", b"#!\n"),
    member("etc/passwd", PASSWD),
    member("etc/group", b"staff:x:50:\n"),
    member("etc/hosts", b"127.0.0.1 localhost\n"),
    member("tmp/x", b"left over"),
    member("usr/lib/gramine/libsysdb.so", b"gramine"),
    member("usr/lib/gramine/runtime/glibc/libc.so.6", b"gramine's libc"),
)
ENV = ["PATH=/usr/bin:/bin", "MULTI=two\nlines {{ 7 * 7 }} {% raw %}", "LD_LIBRARY_PATH=/opt/lib"]


def looked_at(directory: Path, **config: object) -> tuple[Program, ImageFiles]:
    image = read_layout(write_image(directory, LAYER, config={"Env": ENV, **config}))
    files = read_files(image)
    return program_of(image.config, files), files


@pytest.mark.parametrize(
    ("entrypoint", "command", "executable", "argv"),
    [
        (["/bin/bash"], ["-c", "x"], "/usr/bin/bash", ("/bin/bash", "-c", "x")),
        (None, ["bash", "a"], "/usr/bin/bash", ("bash", "a")),
        (["/app/run.sh"], ["one"], "/usr/bin/bash", ("/bin/sh", "-e", "/app/run.sh", "one")),
        (["./run.sh"], None, "/usr/bin/bash", ("/bin/sh", "-e", "/app/./run.sh")),
        (["/app/tool.py"], None, "/usr/bin/python3.11", ("/usr/bin/python3", "/app/tool.py")),
        (["/app/envs"], None, "/usr/bin/env", ("/usr/bin/env", "-S python3 -u", "/app/envs")),
        (["/app/nested"], ["a"], "/usr/bin/bash", ("/bin/sh", "-e", "/app/run.sh", "/app/nested", "a")),
        (["/bin/sh", "-c", "exec x"], None, "/usr/bin/bash", ("/bin/sh", "-c", "exec x")),
    ],
)
def test_as_the_kernel_would_start_it(
    tmp_path: Path, entrypoint: list[str] | None, command: list[str] | None, executable: str, argv: tuple[str, ...]
) -> None:
    program, _ = looked_at(tmp_path, Entrypoint=entrypoint, Cmd=command, WorkingDir="/app")
    assert (program.executable, program.argv, program.directory) == (executable, argv, "/app")
    assert program.environment["MULTI"].startswith("two\nlines")


@pytest.mark.parametrize(
    ("entrypoint", "says"),
    [
        ([], "starts nothing"),
        (["/app/none"], "no such program"),
        (["none"], "no such program"),
        (["/app/data"], "no such program"),
        (["/app/text"], "neither an ELF program"),
        (["/app/arm"], "another architecture"),
        (["/app/self"], "interpreter is a script"),
        (["/app/empty"], "names no interpreter"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, entrypoint: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        looked_at(tmp_path, Entrypoint=entrypoint)


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (0, 0)),
        ("app", (1000, 1001)),
        ("1000", (1000, 1001)),
        ("7", (7, 0)),
        ("app:staff", (1000, 50)),
        ("5:6", (5, 6)),
    ],
)
def test_users_by_the_images_own_accounts(tmp_path: Path, user: str, ids: tuple[int, int]) -> None:
    program, _ = looked_at(tmp_path, Entrypoint=["bash"], User=user)
    assert (program.uid, program.gid) == ids


@pytest.mark.parametrize("user", ["nobody", "app:nogroup"])
def test_users_that_the_image_lacks(tmp_path: Path, user: str) -> None:
    with pytest.raises(SettingsError, match="no such"):
        looked_at(tmp_path, Entrypoint=["bash"], User=user)


@pytest.mark.parametrize("user", ["9" * 5000, "4294967295", "app:" + "9" * 5000])
def test_numbers_that_no_account_has(tmp_path: Path, user: str) -> None:
    with pytest.raises(SettingsError, match="has no number"):
        looked_at(tmp_path, Entrypoint=["bash"], User=user)


def test_an_image_of_another_architecture(tmp_path: Path) -> None:
    image = read_layout(write_image(tmp_path, LAYER, config={"Entrypoint": ["bash"]}))
    from dataclasses import replace  # noqa: PLC0415

    with pytest.raises(SettingsError, match="another architecture"):
        program_of(replace(image.config, architecture="arm64"), read_files(image))


USER = {"sgx": {"enclave_size": "1G"}, "loader": {"env": {"PATH": "/more", "MODE": "user"}, "log_level": "debug"}}


def test_image_and_manifest_become_one(tmp_path: Path) -> None:
    program, files = looked_at(tmp_path, Entrypoint=["/app/run.sh"], User="app", WorkingDir="/app")
    document = with_files(composed(program, USER, Rules()), files)
    assert violations(document) == []
    assert document["libos"]["entrypoint"] == "/usr/bin/bash"
    loader = document["loader"]
    assert loader["argv"] == ["/bin/sh", "-e", "/app/run.sh"]
    assert (loader["uid"], loader["gid"], document["fs"]["start_dir"]) == (1000, 1001, "/app")
    assert loader["env"]["PATH"] == "/usr/bin:/bin:/more"
    assert loader["env"]["LD_LIBRARY_PATH"].split(":")[:2] == ["/gramine_lib", "/opt/lib"]
    assert (loader["env"]["MODE"], loader["log_level"], document["sgx"]["enclave_size"]) == ("user", "debug", "1G")
    trusted = {each["uri"]: each["sha256"] for each in document["sgx"]["trusted_files"] if isinstance(each, dict)}
    assert trusted["file:/app/run.sh"] == files.entries["/app/run.sh"].digest
    for left_out in (
        "/etc/hosts",
        "/tmp/x",
        "/usr/lib/gramine/libsysdb.so",
        "/usr/lib/gramine/runtime/glibc/libc.so.6",
    ):
        assert f"file:{left_out}" not in trusted
    assert list(trusted) == sorted(trusted)


def test_only_gramines_place_is_left_to_the_template(tmp_path: Path) -> None:
    program, files = looked_at(tmp_path, Entrypoint=["bash"])
    document = with_files(composed(program, USER, Rules()), files)
    text = jinja2.Template(as_template(document)).render(gramine={"pkglibdir": "/where"})
    rendered = tomllib.loads(text)
    assert rendered["loader"]["entrypoint"]["uri"] == "file:/where/libsysdb.so"
    assert rendered["loader"]["env"]["MULTI"] == document["loader"]["env"]["MULTI"]
    assert "@gramine" not in text


def test_arguments_are_fixed_unless_said_otherwise(tmp_path: Path) -> None:
    program, _ = looked_at(tmp_path, Entrypoint=["bash"], Cmd=["x"])
    loose = composed(program, {}, Rules(insecure_args=True))["loader"]
    assert loose["insecure__use_cmdline_argv"] is True
    assert "argv" not in loose
    assert composed(program, {"loader": {"argv": ["own"]}}, Rules())["loader"]["argv"] == ["own"]
    with pytest.raises(SettingsError, match="another program"):
        composed(program, {"libos": {"entrypoint": "/other"}}, Rules())


def test_files_that_may_change_are_not_measured(tmp_path: Path) -> None:
    program, files = looked_at(tmp_path, Entrypoint=["bash"])
    user = {
        "sgx": {"allowed_files": ["file:/app/"], "trusted_files": [{"uri": "file:/usr/bin/env", "sha256": "0" * 64}]}
    }
    trusted = with_files(composed(program, user, Rules()), files)["sgx"]["trusted_files"]
    uris = [each if isinstance(each, str) else each["uri"] for each in trusted]
    assert not [uri for uri in uris if uri.startswith("file:/app/")]
    assert uris.count("file:/usr/bin/env") == 1
