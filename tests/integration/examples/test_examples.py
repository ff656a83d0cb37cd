"""What `examples/` shows: the pages' commands as written, and what these made, started on a software platform."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scripts.pages import blocks_of, run_block
from tests.integration.devices.conftest import SECONDS, SECRET, clean_environment, keep_secret
from tests.integration.graminize.conftest import LOADER, platform_files, reader, runtime, scene

from ambergate.graminize.source import read_manifest
from ambergate.graminize.template import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.devices.conftest import Scene

__all__ = ["platform_files", "reader", "runtime", "scene"]  # fixtures

EXAMPLES = Path(__file__).parents[3] / "examples"
KEY = b"\x00sixteen bytes\xff\n"
IS_A_TOKEN = re.compile(r"[\w-]{20,}\.[\w-]{200,}\.[\w-]{300,}")


@dataclass(frozen=True)
class Example:
    """A folder of `examples/`, copied, with the settings of services that run."""

    folder: Path
    attestation: Path
    runtime: Path

    def follow(self) -> None:
        """Do what the page says."""
        page = (self.folder / "README.md").read_text(encoding="utf-8")
        blocks = blocks_of(page)
        assert len(blocks) == len(re.findall(r"^```bash$", page, re.MULTILINE)) >= 2
        exported = ""
        for block in blocks:
            run_block(replace(block, text=exported + block.text), self.folder)
            exported += "".join(re.findall(r"^export .*\n", block.text, re.MULTILINE))

    def rendered(self, name: str, **defines: str) -> Path:
        """The manifest that the page made, by the values of this machine, with its libc in the place of Gramine's."""
        around = Surroundings(defines=defines, pkglibdir=str(self.runtime))
        text = read_manifest(self.folder / name, around).text
        path = self.folder / "started.manifest"
        path.write_text(text)
        return path

    @contextlib.contextmanager
    def started(self, manifest: Path) -> Iterator[subprocess.Popen[bytes]]:
        """What it starts, ended by SIGTERM."""
        command = [sys.executable, str(LOADER), str(manifest), str(self.attestation)]
        with subprocess.Popen(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.communicate(timeout=SECONDS)


def heard(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Its lines until one has these words."""
    assert process.stdout is not None
    said = b""
    while words not in said:
        line = process.stdout.readline()
        assert line, said.decode(errors="replace")
        said += line
    return said


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.fixture(scope="session")
def gramine(tmp_path_factory: pytest.TempPathFactory, runtime: Path) -> Path:
    """What is found where Gramine's library directory would be."""
    place = tmp_path_factory.mktemp("gramine")
    (place / "runtime").mkdir()
    (place / "runtime" / "glibc").symlink_to(runtime)
    (place / "libsysdb.so").touch()
    return place


def laid_out(name: str, folder: Path, scene: Scene, places: tuple[Path, Path], **changes: str) -> Example:
    """An example as its user has it who changed the settings to those of their services."""
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
    environ, attestation, gramine = scene.environ, *places
    values = {
        "amber_url": environ["AMBER_URL"],
        "amber_ip": "127.0.0.1",
        "kbs_url": environ["AMBER_KBS_URL"],
        "kbs_ip": "127.0.0.1",
        "kbs_keyid": changes.pop("key_id", environ["AMBER_KBS_KEYID"]),
    }
    template = folder / f"{name}.manifest.template"
    text = template.read_text(encoding="utf-8")
    for key, value in values.items():
        text = re.sub(rf'^sgx\.{key} = ".*"$', f'sgx.{key} = "{value}"', text, flags=re.MULTILINE)
    for old, new in changes.items():
        assert f'"{old.removeprefix("_")}"' in text
        text = text.replace(f'"{old.removeprefix("_")}"', f'"{new}"')
    template.write_text(text, encoding="utf-8")
    shutil.copy(environ["AMBER_CACERTS"], folder / "roots.pem")
    (folder / "api.key").write_text(scene.api_key + "\n")
    return Example(folder, attestation, gramine)


@pytest.fixture
def places(platform_files: Path, gramine: Path) -> tuple[Path, Path]:
    return platform_files, gramine


def needs(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian package {package})")
    return str(Path(found).resolve())


@pytest.mark.parametrize("name", ["c", "python"])
def test_a_token_is_printed(tmp_path: Path, scene: Scene, places: tuple[Path, Path], name: str) -> None:
    if name == "python" and not Path("/usr/bin/python3").exists():
        pytest.skip("no /usr/bin/python3, which the page names")
    example = laid_out(name, tmp_path, scene, places)
    example.follow()
    made = {"c": "amber_reader.manifest", "python": "reader.manifest"}[name]
    manifest = example.rendered(made, entrypoint=str(Path("/usr/bin/python3").resolve()))
    with example.started(manifest) as process:
        said = process.communicate(timeout=SECONDS)[0].decode()
    assert process.returncode == 0, said
    assert IS_A_TOKEN.match(said)
    assert name == "python" or "[INFO] renewed" in said


def test_redis_keeps_its_data_where_the_brokers_key_opens(
    tmp_path: Path, scene: Scene, places: tuple[Path, Path], reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encryption is Gramine's, and not here: the mount is a directory, and its key a file that is looked at."""
    needs("openssl", "openssl")
    client = needs("redis-cli", "redis-tools")
    server = needs("redis-check-rdb", "redis-tools")  # the same program: Debian's redis-server is a link to it
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(server)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    port, folder = free_port(), tmp_path / "redis"
    key_id = keep_secret(scene.stage, [reader], KEY)
    example = laid_out("redis", folder, scene, places, key_id=key_id, _6379=port)
    example.follow()
    for each in ("server.key", "server.pem"):  # where Gramine's tool would put them, encrypted
        shutil.copy(folder / "tls" / each, folder / "data" / "tls" / each)
    manifest = example.rendered("redis.manifest", redis=server)

    def ask(*words: str, known: bool = True) -> str:
        who = ("--cert", "tls/client.pem", "--key", "tls/client.key") if known else ()
        command = [client, "--tls", "--cacert", "ca.pem", *who, "-p", port, *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS).stdout

    with example.started(manifest) as process:
        heard(process, b"Ready to accept connections")
        given = Path(f"/proc/{process.pid}/root/dev/attestation/keys/redis")
        assert given.read_bytes() == KEY
        assert ask("SET", "greeting", "hello") == "OK\n"
        assert "hello" not in ask("GET", "greeting", known=False)
    with example.started(manifest) as process:
        heard(process, b"Ready to accept connections")
        assert ask("GET", "greeting") == "hello\n"


def test_the_service_in_java_signs_and_shows_a_token(tmp_path: Path, scene: Scene, places: tuple[Path, Path]) -> None:
    java = Path(needs("java", "openjdk-17-jre-headless"))
    port = free_port()
    example = laid_out("java", tmp_path, scene, places, _8080=port)
    example.follow()

    def ask(path: str, body: bytes | None = None) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=SECONDS) as answer:
            return str(answer.read().decode().strip())

    with example.started(example.rendered("java.manifest", jvm=str(java.parents[1]))) as process:
        heard(process, b"listening on port")
        tokens = {ask("/token"), ask("/token")}
        assert len(tokens) == 2
        assert all(IS_A_TOKEN.fullmatch(token) for token in tokens)
        assert ask("/sign", b"a document") == hmac.digest(SECRET, b"a document", hashlib.sha256).hex()
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask("/sign", bytes(65537))
        with refused.value:  # which is the answer, and its connection
            assert refused.value.code == 413
