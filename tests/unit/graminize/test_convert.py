"""Manifests as Gramine's users write them: each becomes one that stock Gramine accepts, and its application stays."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.graminize.told import manifest

from ambergate.core.errors import SettingsError
from ambergate.graminize.application import INTERPRETER, SCRIPT, amber_keys, settings_of, start_of
from ambergate.graminize.checks import check
from ambergate.graminize.convert import Conversion, Mounted, NotConvertible, Plan, converted
from ambergate.graminize.output import Form, output_of
from ambergate.graminize.problems import Severity
from ambergate.graminize.schema import violations
from ambergate.graminize.source import Manifest, parse_manifest, read_manifest
from ambergate.graminize.template import Surroundings

FOLDER = Path(__file__).parent / "manifests"
NAMES = sorted(path.name for path in FOLDER.iterdir() if ".manifest" in path.name)
AGENT = Mounted(uri="file:amber-agent", hashes={"bin/python3": "1" * 64, "launch.py": "2" * 64})
AROUND = Surroundings(
    defines={
        "entrypoint": "/usr/bin/python3",
        "arch_libdir": "/lib/x86_64-linux-gnu",
        "log_level": "error",
        "ra_type": "dcap",
        "amber_host": "attest.example",
        "amber_ip": "192.0.2.1",
        "version": "java-17",
        "heap": "4G",
        "many": "yes",
    }
)
# Those whose text cannot be kept, and why.
NOT_KEPT = {"java.manifest.template": Form.RENDERED}  # a list whose elements statements write, on one line
# What a conversion changes; everything else stays as it is.
TOUCHED = {
    ("loader", "argv"),
    ("loader", "env"),
    ("loader", "insecure__use_cmdline_argv"),
    ("loader", "argv_src_file"),
    ("libos", "entrypoint"),
    ("fs", "mounts"),
    ("sgx", "trusted_files"),
    ("sgx", "allowed_files"),
    ("sgx", "max_threads"),
    ("sgx", "remote_attestation"),
    ("sys", "disallow_subprocesses"),
    ("sys", "enable_extra_runtime_domain_names_conf"),
}


def plan(delivery: str, **changes: Any) -> Plan:  # noqa: ANN401
    return Plan(
        delivery=delivery, agent=None if delivery == "native" else AGENT, roots="/ambergate/cacerts.pem", **changes
    )


def outside(name: str) -> dict[str, Any]:
    return {"external": "file:outside.toml", "allow_arguments": ("-[a-z]",)} if name.startswith("arguments") else {}


def done(source: Manifest, delivery: str, **changes: Any) -> tuple[Conversion, Manifest, Form]:  # noqa: ANN401
    """The conversion, and what it wrote, read again."""
    conversion = converted(source, plan(delivery, **changes))
    output = output_of(source, conversion, AROUND)
    again = parse_manifest(output.text, source.name, source.directory, AROUND)
    assert again.document == conversion.document
    return conversion, again, output.form


def leaves(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(table, name): value for table, members in document.items() for name, value in members.items()}


def test_there_are_twelve() -> None:
    assert len(NAMES) == 12


@pytest.mark.parametrize("delivery", ["shim", "prefetch"])
@pytest.mark.parametrize("name", NAMES)
def test_stock_gramine_accepts_it_and_the_application_is_the_same(name: str, delivery: str) -> None:
    source = read_manifest(FOLDER / name, AROUND)
    before = copy.deepcopy(source.document)
    conversion, again, form = done(source, delivery, **outside(name))
    assert source.document == before
    assert violations(again.document) == []
    assert amber_keys(again.document) == ()
    start = start_of(again.document)
    assert (start.converted, start.delivery, start.executable) == (True, delivery, before["libos"]["entrypoint"])
    argv = before["loader"].get("argv") or [before["libos"]["entrypoint"]]
    if "argv_src_file" not in before["loader"]:
        assert list(start.argv or ()) == argv
    assert again.document["libos"]["entrypoint"] == INTERPRETER
    assert form is NOT_KEPT.get(name, Form.KEPT)
    ours = [{"type": "tmpfs", "path": "/dev/amber"}, {"path": "/ambergate", "uri": AGENT.uri}]
    ours += [{"path": "/ambergate-external.toml", "uri": "file:outside.toml"}] if outside(name) else []
    assert again.document["fs"]["mounts"][-len(ours) :] == ours
    errors = [each for each in check(again) if each.severity is not Severity.WARNING]
    assert [(each.rule, each.key) for each in errors] == []
    if name != "old.manifest":
        unchanged = {
            key: value for key, value in leaves(before).items() if key not in TOUCHED and "_" not in key[1][:6]
        }
        after = leaves(again.document)
        assert {key: after.get(key) for key in unchanged} == unchanged
        assert again.document["fs"]["mounts"][: len(before["fs"]["mounts"])] == before["fs"]["mounts"]
        trusted = before["sgx"].get("trusted_files", [])
        assert again.document["sgx"]["trusted_files"] == [*trusted, *AGENT.trusted()]
    assert set(conversion.external) == ({"amber_ip", "amber_apikey"} if outside(name) else set())


def test_gramines_own_check_agrees(tmp_path: Path) -> None:
    """Where Gramine is installed, it is asked."""
    oracle = shutil.which("gramine-manifest-check")
    if oracle is None:
        pytest.skip("gramine-manifest-check is not installed: our copy of its rules is not compared with them")
    for name in NAMES:
        _, again, _ = done(read_manifest(FOLDER / name, AROUND), "shim", **outside(name))
        (tmp_path / name).write_text(again.text)
        checked = subprocess.run([oracle, str(tmp_path / name)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", NAMES)
def test_twice_is_once(name: str) -> None:
    """To the byte, whether it is told the same again or nothing; and by another way, and back."""
    source = read_manifest(FOLDER / name, AROUND)
    _, once, _ = done(source, "shim", **outside(name))
    _, twice, form = done(once, "shim", **outside(name))
    assert (twice.source, form) == (once.source, Form.KEPT)
    _, thrice, _ = done(twice, "shim")
    assert thrice.source == once.source
    _, other, _ = done(once, "prefetch")
    _, back, _ = done(other, "shim")
    assert back.document == once.document


@pytest.mark.parametrize("name", NAMES)
def test_comments_stay(name: str) -> None:
    source = read_manifest(FOLDER / name, AROUND)
    _, again, _ = done(source, "shim", **outside(name))
    comments = re.findall(r"#[^\n\"}]*[a-z][^\n\"}]*$", source.source, re.MULTILINE)
    gone = {"# for development"}  # of a line that goes
    assert comments
    assert [each for each in comments if each not in again.source] == [each for each in comments if each in gone]


@pytest.mark.parametrize("name", [name for name in NAMES if not outside(name)])
def test_native_is_the_way_back(name: str) -> None:
    """For a Gramine with the client built in: the settings where they were, and no trace of ours."""
    source = read_manifest(FOLDER / name, AROUND)
    _, once, _ = done(source, "shim")
    _, native, _ = done(once, "native")
    assert "ambergate" not in native.text.replace("/ambergate/cacerts.pem", "")
    assert native.document["libos"] == source.document["libos"]
    before, after = settings_of(source.document), settings_of(native.document)
    assert {key.path[0] for key in after.values()} <= {"sgx"}
    for key, setting in before.items():
        if setting.text and key != "cacerts":
            assert (after[key].text or "").rstrip("/") == setting.text.rstrip("/")
    _, straight, _ = done(source, "native")
    assert straight.document["sgx"]["remote_attestation"] == "dcap"


def test_a_templates_own_words_move_with_what_they_stand_for() -> None:
    _, again, form = done(read_manifest(FOLDER / "python.manifest.template", AROUND), "shim")
    assert (again.template, form) == (True, Form.KEPT)
    assert 'loader.env.AMBER_URL = "https://{{ amber_host }}:443/appraisal/v1/"' in again.source
    assert '"/ambergate/lib:/lib:{{ arch_libdir }}:/usr/{{ arch_libdir }}"' in again.source
    assert again.source.count("{% for path in python.get_sys_path(entrypoint) %}") == 2
    assert re.search(r'"--",\s+"\{\{ entrypoint \}\}",\s+"python3"', again.source)
    other = Surroundings(defines={**AROUND.defines, "amber_ip": "192.0.2.77"})
    rendered = parse_manifest(again.source, again.name, again.directory, other)
    assert settings_of(rendered.document)["endpoint_ip"].text == "192.0.2.77"


def test_arguments_in_a_file_are_the_applications() -> None:
    _, again, _ = done(read_manifest(FOLDER / "busybox.manifest", AROUND), "shim")
    assert start_of(again.document).argv == ("busybox", "echo", "a b", "")
    assert "argv_src_file" not in again.document["loader"]


@pytest.mark.parametrize("content", [b"", b"no end", b"\xff\0"])
def test_a_file_that_holds_no_arguments(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "arguments").write_bytes(content)
    source = parse_manifest((FOLDER / "busybox.manifest").read_text(), "busybox", tmp_path)
    with pytest.raises(SettingsError, match="argv_src_file"):
        converted(source, plan("shim"))


def test_what_is_preloaded_is_for_the_application() -> None:
    _, again, _ = done(read_manifest(FOLDER / "openvino.manifest"), "shim")
    assert start_of(again.document).told("--preload") == ("/lib/libtcmalloc.so",)
    assert "LD_PRELOAD" not in again.document["loader"]["env"]
    assert again.document["loader"]["env"]["TZ"] == {"passthrough": True}


def test_where_the_secret_goes_is_measured_and_stays() -> None:
    place = '  { type = "tmpfs", path = "/dev/amber" },\n'
    mount = '  { type = "encrypted", path = "/data", uri = "file:data", key_name = "data" },\n'
    source = manifest((place, place + mount))
    first, once, _ = done(source, "shim", secret_to=("gramine-key:data", "env:KEY"))
    assert start_of(once.document).told("--secret-to") == ("gramine-key:data", "env:KEY")
    assert done(once, "shim")[0].document == first.document
    assert start_of(done(once, "prefetch", secret_to=("env:X",))[1].document).told("--secret-to") == ("env:X",)
    with pytest.raises(NotConvertible) as caught:
        converted(source, plan("shim", secret_to=("gramine-key:dta",)))
    assert [each.rule for each in caught.value.found] == ["secret-key"]


def test_room_is_made_and_told() -> None:
    small = manifest(("sgx.max_threads = 64", "sgx.max_threads = 4"), ('"512M"', '"64M"'), ("= false", "= true"))
    conversion = converted(small, plan("shim"))
    sgx = conversion.document["sgx"]
    assert (sgx["max_threads"], sgx["enclave_size"]) == (64, "256M")
    assert conversion.document["sys"]["disallow_subprocesses"] is False
    told = " ".join(conversion.notes)
    assert all(word in told for word in ("max_threads", "enclave_size", "disallow_subprocesses"))
    large = manifest(("sgx.max_threads = 64", "sgx.max_threads = 512"), ('"512M"', '"8G"'))
    assert converted(large, plan("shim")).notes == ()


def test_an_api_key_is_not_measured_unless_somebody_insists() -> None:
    source = manifest(more='sgx.amber_apikey = "kept-quite-secret"')
    with pytest.raises(NotConvertible) as caught:
        converted(source, plan("shim"))
    assert [each.rule for each in caught.value.found] == ["apikey-measured"]
    assert "kept-quite-secret" not in str(caught.value.as_dict())
    left = converted(source, plan("shim", external="file:outside.toml"))
    assert "kept-quite-secret" not in str(left.document)
    assert left.external["amber_apikey"] == "kept-quite-secret"
    assert left.document["sgx"]["allowed_files"] == ["file:outside.toml"]
    insisted = converted(source, plan("shim", insecure_measure_apikey=True))
    assert insisted.document["loader"]["env"]["AMBER_APIKEY"] == "kept-quite-secret"


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ("loader.insecure__use_host_env = true", "host-environment"),
        ("loader.insecure__use_cmdline_argv = true", "host-arguments"),
        ('sgx.file_check_policy = "allow_all_but_log"', "host-files"),
        ("loader.env.LD_PRELOAD = { passthrough = true }", "host-variable"),
        ('sgx.amber_uri = "x"', "amber-unknown"),
        ("sgx.max_thread = 4", "schema"),
        ('sgx.protected_files.a = "file:a"', "deprecated"),
        ('sgx.allowed_files = ["file:app/"]', "allowed-code"),
    ],
)
def test_what_no_conversion_mends(more: str, rule: str) -> None:
    with pytest.raises(NotConvertible) as caught:
        converted(manifest(more=more), plan("shim"))
    assert rule in {each.rule for each in caught.value.found}


def test_one_that_starts_a_launcher_as_we_never_write_it() -> None:
    text = f'loader.argv = ["{INTERPRETER}", "{SCRIPT}", "-c", "evil"]'
    with pytest.raises(SettingsError, match="nothing of ours"):
        converted(manifest(('"/app/server"', f'"{INTERPRETER}"'), more=text), plan("shim"))


def test_the_settings_as_the_first_users_were_told() -> None:
    """Its settings as its document prints them, in a manifest for the program that it shows."""
    document = os.environ.get("AMBER_SEED")
    if document is None:
        pytest.skip("the document is no part of the project: its path is wanted in AMBER_SEED")
    block = re.search(r"```\w*\n([^`]*sgx\.amber_ip[^`]*)```", Path(document).read_text(encoding="utf-8"))
    assert block is not None
    text = (FOLDER / "hello.manifest").read_text().replace('sgx.remote_attestation = "dcap"\n', "")
    seed = parse_manifest(re.sub(r"sgx\.amber_url.*\n", "", text) + block[1], "seed", Path())
    assert len(amber_keys(seed.document)) == 7
    conversion, again, form = done(seed, "shim")
    assert (violations(again.document), form) == ([], Form.KEPT)
    before, after = settings_of(seed.document), settings_of(again.document)
    assert {name: each.text for name, each in after.items() if name != "cacerts"} == {
        name: each.text for name, each in before.items() if each.text
    }
    assert any("remote_attestation" in note for note in conversion.notes)


def test_a_text_that_the_editor_spoils_is_written_anew() -> None:
    """It is known to put a new table into another one: what it wrote is looked at, and not taken."""
    spoiled = manifest(
        text='loader.entrypoint = "file:a"\n[libos]\nentrypoint = "/b"\n[fs]\nmounts = []\n[sgx]\n'
        'amber_url = "https://192.0.2.1/a/"\n[loader.env]\nA = "1"\n'
    )
    _, again, _ = done(spoiled, "shim")
    assert violations(again.document) == []
    assert tomllib.loads(again.source)["loader"]["env"]["A"] == "1"
