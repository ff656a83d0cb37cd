"""What two manifests differ in, and what each difference means."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.unit.graminize.told import RIGHT

from ambergate.cli.main import main
from ambergate.graminize.difference import Change, Effect, differences

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = tomllib.loads(RIGHT)


def changed(old: str, new: str, more: str = "") -> list[Change]:
    assert old in RIGHT
    return differences(BEFORE, tomllib.loads(RIGHT.replace(old, new) + more))


def test_none() -> None:
    assert differences(BEFORE, copy.deepcopy(BEFORE)) == []


def test_the_order_alone() -> None:
    other = {name: BEFORE[name] for name in reversed(BEFORE)}
    (only,) = differences(BEFORE, other)
    assert only.effect is Effect.NONE


DCAP = 'sgx.remote_attestation = "dcap"'


@pytest.mark.parametrize(
    ("old", "new", "more", "key", "effect"),
    [
        (DCAP, DCAP, "sgx.debug = true", "sgx.debug", Effect.WEAKER),
        (DCAP, DCAP, "sgx.debug = false", "sgx.debug", Effect.OTHER),
        (DCAP, DCAP, "loader.insecure__use_host_env = true", "loader.insecure__use_host_env", Effect.WEAKER),
        (DCAP, DCAP, 'sgx.file_check_policy = "allow_all_but_log"', "sgx.file_check_policy", Effect.WEAKER),
        (DCAP, DCAP, 'sgx.allowed_files = ["file:x"]', "sgx.allowed_files[file:x]", Effect.WEAKER),
        (DCAP, DCAP, 'fs.insecure__keys.a = "00"', "fs.insecure__keys.a", Effect.WEAKER),
        (DCAP, DCAP, "loader.env.A = { passthrough = true }", "loader.env.A", Effect.WEAKER),
        (DCAP, 'sgx.remote_attestation = "none"', "", "sgx.remote_attestation", Effect.IDENTITY),
        (DCAP, DCAP, "sgx.isvsvn = 3", "sgx.isvsvn", Effect.IDENTITY),
        ("/app/server", "/app/other", "", "libos.entrypoint", Effect.CODE),
        (DCAP, DCAP, 'loader.argv = ["a"]', "loader.argv", Effect.CODE),
        (DCAP, DCAP, 'loader.env.LD_PRELOAD = "x"', "loader.env.LD_PRELOAD", Effect.CODE),
        ('"file:app/server"', '"file:app/b"', "", "sgx.trusted_files[file:app/b]", Effect.CODE),
        ('uri = "file:app"', 'uri = "file:b"', "", "fs.mounts[/app]", Effect.CODE),
        (
            'type = "tmpfs", path = "/dev/amber"',
            'path = "/dev/amber", uri = "file:x"',
            "",
            "fs.mounts[/dev/amber]",
            Effect.WEAKER,
        ),
        ("attest.example", "other.example", "", "sgx.amber_url", Effect.SETTING),
        ('"512M"', '"1G"', "", "sgx.enclave_size", Effect.ROOM),
        ('"error"', '"none"', "", "loader.log_level", Effect.OTHER),
        (
            '{ path = "/lib", uri = "file:runtime" },\n  { path = "/app", uri = "file:app" }',
            '{ path = "/app", uri = "file:app" },\n  { path = "/lib", uri = "file:runtime" }',
            "",
            "fs.mounts",
            Effect.CODE,
        ),
    ],
)
def test_what_it_means(old: str, new: str, more: str, key: str, effect: Effect) -> None:
    assert effect in {each.effect for each in changed(old, new, more) if each.key == key}


def test_the_other_way_round_is_stronger() -> None:
    weak = tomllib.loads(RIGHT + 'sgx.debug = true\nsgx.isvsvn = 2\nsgx.allowed_files = ["file:x"]')
    found = {each.key: each.effect for each in differences(weak, BEFORE)}
    assert found == {
        "sgx.debug": Effect.STRONGER,
        "sgx.allowed_files[file:x]": Effect.STRONGER,
        "sgx.isvsvn": Effect.WEAKER,  # an earlier one is taken for good
    }


def test_what_weakens_comes_first() -> None:
    found = changed('"512M"', '"1G"', 'sgx.debug = true\nsgx.isvsvn = 4\nloader.argv = ["a"]')
    assert [each.effect for each in found] == [Effect.WEAKER, Effect.IDENTITY, Effect.CODE, Effect.ROOM]


def test_a_hash_that_changed() -> None:
    hashed = [RIGHT.replace('"file:app/server"', f'{{ uri = "file:a", sha256 = "{digit * 64}" }}') for digit in "12"]
    (only,) = differences(*map(tomllib.loads, hashed))
    assert (only.key, only.meaning) == ("sgx.trusted_files[file:a]", "another content")


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(RIGHT)
    (tmp_path / "b").write_text(RIGHT + 'sgx.debug = true\nsgx.amber_apikey = "kept-quite-secret"\n')
    arguments = ["manifest", "diff", str(tmp_path / "a"), str(tmp_path / "b")]
    words = CliRunner().invoke(main, arguments)
    assert words.exit_code == 0, words.output
    assert "+ sgx.debug: true\n    weaker: the host can read" in words.output
    assert "MRENCLAVE: another one; 2 changes, of which 1 make the enclave weaker" in words.output
    told = CliRunner().invoke(main, [*arguments, "--json"])
    assert [each["key"] for each in json.loads(told.output)["changes"]] == ["sgx.debug", "sgx.amber_apikey"]
    assert "kept-quite-secret" not in words.output + told.output
    same = CliRunner().invoke(main, [*arguments[:3], str(tmp_path / "a")])
    assert same.output.startswith("MRENCLAVE: the same")
