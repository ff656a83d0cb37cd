"""A converted manifest, started as it says: its application gets a token and a secret, from its closed root alone."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import SECRET, keep_secret
from tests.integration.graminize.conftest import MANIFEST, READS_BOTH

from ambergate.graminize.template import Surroundings, render

if TYPE_CHECKING:
    import subprocess

    from tests.integration.graminize.conftest import Yard


KEY = b"\x00sixteen bytes\xff\n"
IS_A_TOKEN = re.compile(rb"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{200,}\.[A-Za-z0-9_-]{300,}\n")


@pytest.mark.parametrize(
    ("delivery", "envelope"), [("shim", ""), ("prefetch", ""), ("shim", "ECDH-ES+A256KW"), ("prefetch", "RSA-OAEP-256")]
)
def test_token_and_secret(yard: Yard, delivery: str, envelope: str) -> None:
    """With the API key and the addresses from outside, everything else measured; the secret in any form."""
    yard.write(READS_BOTH + yard.settings(kbs_envelope=envelope))
    yard.convert("--delivery", delivery, "--external-config", "outside.toml", "--require", "token,secret")
    assert yard.scene.api_key not in (yard.folder / "out.manifest").read_text()
    assert (yard.folder / "outside.toml").stat().st_mode & 0o777 == 0o600
    done = yard.start()
    assert (done.returncode, done.stderr) == (0, b"")
    assert IS_A_TOKEN.match(done.stdout)
    assert SECRET in done.stdout


def test_a_token_alone_takes_no_cryptography(yard: Yard) -> None:
    """Nor does a template's text change where it need not: it is converted, rendered by itself, and started."""
    settings = yard.settings(kbs_url="", kbs_ip="", kbs_keyid="", amber_apikey="")
    text = MANIFEST.replace('"/app/reader"', '"{{ program }}"') + settings
    yard.write(text, "app.manifest.template")
    flags = ("-D", "program=/app/reader", "--delivery", "shim", "--insecure-measure-apikey")
    yard.convert(*flags, name="app.manifest.template")
    assert "{{ program }}" in (yard.folder / "out.manifest").read_text()
    assert not (yard.folder / "amber-agent" / "site" / "cryptography").exists()
    rendered = render((yard.folder / "out.manifest").read_text(), Surroundings(defines={"program": "/app/reader"}))
    key = f'loader.env.AMBER_APIKEY = "{yard.scene.api_key}"\n'
    yard.write(rendered.text + key, "out.manifest")
    done = yard.start()
    assert (done.returncode, done.stderr) == (0, b"")
    assert IS_A_TOKEN.fullmatch(done.stdout)


def test_nothing_of_the_host_is_needed_or_taken(yard: Yard) -> None:
    """What the host has in its environment and gives for arguments is not what the application sees."""
    manifest = MANIFEST.replace('"reader"]', '"reader", "/proc/self/environ", "/proc/self/cmdline"]')
    yard.write(manifest + yard.settings() + 'loader.env.MINE = "1"\nloader.env.LD_PRELOAD = ""\n')
    yard.convert("--delivery", "prefetch", "--external-config", "outside.toml")
    done = yard.start("evil", "-c", "print(1)", PYTHONPATH="/evil", AMBER_URL="https://evil.example/")
    environ, _, arguments = done.stdout.rpartition(b"\n/proc" if b"\n/proc" in done.stdout else b"\nreader")
    assert done.returncode == 0, done.stderr
    assert b"evil" not in done.stdout
    assert b"MINE=1" in environ
    assert b"LD_LIBRARY_PATH=/lib\0" in environ
    assert b"/ambergate/lib" not in done.stdout
    assert b"AMBER_APIKEY" not in done.stdout
    assert b"/proc/self/cmdline" in arguments


ENCRYPTED = '  { type = "encrypted", path = "/data", uri = "file:data", key_name = "data" },\n'


def opens_with_the_secret(yard: Yard, secret: bytes, delivery: str) -> subprocess.CompletedProcess[bytes]:
    """What an application says of its encrypted mount's key, where the broker has this secret for it."""
    (yard.folder / "data").mkdir()
    (yard.folder / "data" / "kept").write_bytes(b"what is kept")
    paths = '"/dev/attestation/keys/data", "/data/kept"'
    text = MANIFEST.replace('["reader"]', f'["reader", {paths}]').replace(
        "fs.mounts = [\n", f"fs.mounts = [\n{ENCRYPTED}"
    )
    yard.write(text + yard.settings(kbs_keyid=keep_secret(yard.scene.stage, [yard.folder / "app" / "reader"], secret)))
    yard.convert("--delivery", delivery, "--external-config", "outside.toml", "--secret-to", "gramine-key:data")
    return yard.start()


@pytest.mark.parametrize("delivery", ["shim", "prefetch"])
def test_an_encrypted_mounts_key_comes_from_the_broker(yard: Yard, delivery: str) -> None:
    """It is there, whole and raw, before the application starts."""
    done = opens_with_the_secret(yard, KEY, delivery)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == KEY + b"\nwhat is kept\n"


def test_a_secret_that_is_no_key_of_gramines_stops_the_start(yard: Yard) -> None:
    done = opens_with_the_secret(yard, KEY + b"!", "prefetch")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"17 bytes" in done.stderr
    assert b"16 bytes" in done.stderr


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('amber_url = "https://evil.example/"', "amber_url"),
        ('kbs_keyid = "another"', "kbs_keyid"),
        ('cacerts = "/evil.pem"', "cacerts"),
        ("timeout = 5", "timeout"),
        ('arguments = ["--evil"]', "argument 1"),
        ("amber_ip = [", "Invalid value"),
    ],
)
def test_what_the_external_file_must_not_say(converted: Yard, line: str, seen: str) -> None:
    converted.write(f"{converted.outside}{line}\n", "outside.toml")
    done = converted.start()
    assert (done.returncode, done.stdout) == (1, b"")
    assert "from outside" in done.stderr.decode() or "external configuration" in done.stderr.decode()
    assert seen in done.stderr.decode()


def test_the_external_file_replaces_nothing_that_is_measured(converted: Yard) -> None:
    changed = converted.manifest.replace(
        "loader.env.AMBER_URL", 'loader.env.AMBER_IP = "127.0.0.1"\nloader.env.AMBER_URL'
    )
    converted.write(changed, "out.manifest")
    done = converted.start()
    assert (done.returncode, done.stdout) == (1, b"")
    assert "would replace a setting that is measured" in done.stderr.decode()


def test_arguments_from_outside_by_measured_patterns(yard: Yard) -> None:
    """What the host could give freely before, it can now give by the file, if the manifest's patterns allow it."""
    insecure = MANIFEST.replace('loader.argv = ["reader"]', "loader.insecure__use_cmdline_argv = true")
    yard.write(insecure + yard.settings())
    yard.convert("--external-config", "outside.toml", "--allow-argument", "/dev/amber/[a-z_]+")
    outside = yard.folder / "outside.toml"
    before = outside.read_text()
    outside.write_text(before + 'arguments = ["/dev/amber/secret"]\n')
    done = yard.start("-c", "print('evil')")
    assert (done.returncode, done.stdout) == (0, SECRET + b"\n"), done.stderr
    outside.write_text(before + 'arguments = ["/dev/amber/secret", "/dev/amber/../../app/reader"]\n')
    assert b"argument 2" in yard.start().stderr


def test_a_changed_file_of_the_agent_is_not_run(converted: Yard) -> None:
    """The manifest holds the hash: as under Gramine, the file is not there then."""
    name = "amber-agent/site/ambergate/cli/enclave.py"
    digest = hashlib.sha256((converted.folder / name).read_bytes()).hexdigest()
    assert f'{{ uri = "file:{name}", sha256 = "{digest}" }}' in converted.manifest
    converted.write(converted.manifest.replace(digest, "0" * 64), "out.manifest")
    done = converted.start()
    assert done.returncode != 0
    assert b"No module named 'ambergate.cli.enclave'" in done.stderr


def test_without_its_place_nothing_starts(converted: Yard) -> None:
    place = '{ type = "tmpfs", path = "/dev/amber" },'
    converted.write(converted.manifest.replace(place, ""), "out.manifest")
    done = converted.start()
    assert done.returncode == 5
    assert "tmpfs" in done.stderr.decode()
