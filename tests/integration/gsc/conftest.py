"""Images made of this machine's own files, by a real engine in a storage of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from tests.integration.devices.conftest import AMBER, clean_environment

from ambergate.graminize.linking import linked

DOUBLE = Path(__file__).parent / "gramine_double"
PROGRAMS = ("bash", "cat", "cp", "dirname", "env", "grep", "head", "id", "ls", "mkdir", "rm", "sed", "tar", "test")
# Which files the doubles load.
PROBE = """
import argparse, base64, encodings.idna, hashlib, json, locale, pathlib, re, struct, sys, tomllib, warnings
loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print("\\n".join(file for file in loaded if file and file.startswith("/")))
"""
SECONDS = 300.0
PASSPHRASE = secrets.token_hex(16)
BASE, APP, GRAMINE = "localhost/base:1", "localhost/app:1", "localhost/gramine-double:1"
CONFIG = f'Distro: "auto"\nGramine:\n  Image: "{GRAMINE}"\n'


@dataclass(frozen=True)
class Bench:
    """A folder, and an engine whose images nobody else sees."""

    folder: Path
    environ: dict[str, str]

    def amber(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run([*AMBER, *arguments], **environ)

    def buildah(self, *arguments: str) -> str:
        return self.done("buildah", *arguments)

    def done(self, *command: str) -> str:
        done = self.run([*command])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            start_new_session=True,  # an engine that cannot start a container may signal its whole group
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def _why_not() -> str | None:
    if shutil.which("buildah") is None:
        return "buildah is not installed (scripts/system-packages)"
    if os.geteuid() != 0:
        return "buildah by chroot takes root here"
    if not Path("/usr/bin/python3").exists():
        return "no /usr/bin/python3, of which the base image is made"
    return None


def _copy(source: Path, root: Path, inside: str) -> None:
    target = root / inside.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(source.resolve(), target)


def _root_of(root: Path) -> None:
    """A small Debian: a shell, some tools, Python with its library, and what they link to."""
    python = Path("/usr/bin/python3").resolve()
    programs = [Path("/usr/bin") / name for name in PROGRAMS] + [python]
    for program in programs:
        _copy(program, root, f"/usr/bin/{program.name}")
        for name, file in linked(program.resolve()):
            del name
            _copy(file, root, str(file))
    for link, target in (("usr/bin/sh", "bash"), ("usr/bin/python3", python.name), ("bin", "usr/bin")):
        (root / link).symlink_to(target)
    asked = subprocess.run([str(python), "-I", "-c", PROBE], capture_output=True, text=True, check=True)
    for file in map(Path, asked.stdout.split()):
        _copy(file, root, str(file))
        for _, library in linked(file) if file.suffix == ".so" else ():
            _copy(library, root, str(library))
    for folder in ("etc", "tmp", "dev", "proc", "sys"):
        (root / folder).mkdir(exist_ok=True)
    shutil.copy("/etc/os-release", root / "etc/os-release")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\n")
    shutil.copy(DOUBLE / "apt-get", root / "usr/bin/apt-get")


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """An engine's storage with nothing in it."""
    reason = _why_not()
    if reason is not None:
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("storage")
    conf = place / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n')
    return Bench(place, {**clean_environment(), "CONTAINERS_STORAGE_CONF": str(conf), "PATH": os.environ["PATH"]})


@pytest.fixture(scope="session")
def storage(empty_storage: Bench) -> dict[str, str]:
    """An engine's storage, with a base image and the double of Gramine in it."""
    bench, place = empty_storage, empty_storage.folder
    _root_of(place / "root")
    bench.write("Dockerfile.base", "FROM scratch\nCOPY root/ /\nENV PATH=/usr/bin:/bin\n")
    installed = place / "double"
    for name in ("gramine-manifest", "gramine-sgx-sign", "gramine-sgx", "gramine-direct"):
        _copy(DOUBLE / name, installed, f"/usr/bin/{name}")
    _copy(DOUBLE / "double.py", installed, "/usr/lib/gramine-double/double.py")
    for name in ("libsysdb.so", "sgx/libpal.so", "runtime/glibc/libc.so.6"):
        target = installed / "usr/lib/x86_64-linux-gnu/gramine" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("a test double\n")
    bench.write("Dockerfile.gramine", f"FROM {BASE}\nCOPY double/ /gramine/install/\n")
    build_image(bench, "Dockerfile.base", BASE)
    build_image(bench, "Dockerfile.gramine", GRAMINE)
    return bench.environ


def build_image(bench: Bench, recipe: str, tag: str) -> None:
    options = ("--isolation", "chroot", "--pull=false", "--timestamp", "0", "--quiet")
    bench.buildah("build", *options, "--file", recipe, "--tag", tag, str(bench.folder))


@pytest.fixture
def bench(tmp_path: Path, storage: dict[str, str]) -> Bench:
    bench = Bench(tmp_path, storage)
    bench.write("config.yaml", CONFIG)
    return bench


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that SGX takes, behind a passphrase."""
    key = rsa.generate_private_key(3, 3072)
    path = tmp_path_factory.mktemp("key") / "key.pem"
    secret = BestAvailableEncryption(PASSPHRASE.encode())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    path.with_name("passphrase").write_text(PASSPHRASE + "\n")
    return path


def build_app(bench: Bench, recipe: str, tag: str = APP, **files: str) -> None:
    """An application's image over the base."""
    for name, text in files.items():
        bench.write(name.replace("__", "."), text).chmod(0o755)
    bench.write("Dockerfile.app", f"FROM {BASE}\n{recipe}")
    build_image(bench, "Dockerfile.app", tag)
