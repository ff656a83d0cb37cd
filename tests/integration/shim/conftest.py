"""Programs with the shim before their own libraries, and an agent beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import PASSED, clean_environment, keep_secret

from ambergate.cli._stage import prepare, services
from ambergate.core.errors import Unavailable
from ambergate.devices import shim_build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STARTER = Path(__file__).parent / "starter.py"
PROGRAM = Path(__file__).parent / "program.c"
SECONDS = 60  # until a program that should have ended is called hung
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# The shim stands before the sanitizers' library, which then stands before libc, as it wants; programs may leak.
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
COMPLAINTS = (b"AddressSanitizer", b"runtime error", b"Traceback")


@dataclass(frozen=True)
class Place:
    """Where programs are run with the shim."""

    environ: Mapping[str, str]
    program: Path

    def command(self, *program: str, kind: str = "numbered") -> list[str]:
        return [sys.executable, str(STARTER), kind, *program]

    def run(self, *program: str, kind: str = "numbered", **environ: str) -> subprocess.CompletedProcess[bytes]:
        """A program, to its end; its tokens are numbered unless `kind` is `session`."""
        done = subprocess.run(
            self.command(*program, kind=kind),
            env={**self.environ, **environ},
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        assert not any(word in done.stderr for word in COMPLAINTS), done.stderr.decode()
        return done

    def shell(self, script: str, kind: str = "numbered", **environ: str) -> subprocess.CompletedProcess[bytes]:
        return self.run("/bin/sh", "-c", script, kind=kind, **environ)

    def deed(self, *words: str, **environ: str) -> list[str]:
        """What our program prints."""
        done = self.run(str(self.program), *words, **environ)
        assert done.stderr == b""
        return done.stdout.decode().splitlines()

    def script(self, *lines: str) -> list[str]:
        """What a shell prints that finds our program as $P."""
        done = self.shell("\n".join(lines), P=str(self.program))
        return done.stdout.decode().splitlines()


def compiler() -> str:
    """The compiler; skips where there is none."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler (Debian package gcc)")
    return found


def compiled(target: Path, *flags: str) -> Path:
    """Our program."""
    subprocess.run(
        [compiler(), "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(target), str(PROGRAM), *flags],
        check=True,
        capture_output=True,
    )
    return target


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our program, hardened as distributions do: its opens go through __open_2 where they can."""
    return compiled(tmp_path_factory.mktemp("program") / "program", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Place:
    """The shim as it is compiled for users, in a cache of its own."""
    compiler()
    cache = tmp_path_factory.mktemp("cache")
    return Place({**clean_environment(), "XDG_CACHE_HOME": str(cache)}, program)


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Place:
    """The shim compiled with sanitizers that end the program at the first fault."""
    cache = tmp_path_factory.mktemp("sanitized")
    if (shim_build.SOURCES / shim_build.LIBRARY).exists():
        pytest.skip("the package holds a compiled shim, which would be used instead")
    library = Path(subprocess.check_output([compiler(), "-print-file-name=libasan.so"], text=True).strip())
    if not library.is_absolute():
        pytest.skip("the compiler has no AddressSanitizer (Debian package libgcc-12-dev)")
    kept = cache / "ambergate" / "shim" / shim_build._version()
    kept.mkdir(parents=True)
    for folder in (kept, *kept.parents[:2]):
        folder.chmod(0o700)
    try:
        shim_build.compile_shim(kept / shim_build.LIBRARY, *SANITIZERS, compiler=compiler())
    except Unavailable as error:
        pytest.skip(f"no sanitizers: {error.seen}")
    environ = {"XDG_CACHE_HOME": str(cache), "PROGRAM_LD_PRELOAD": str(library), **SANITIZER_OPTIONS}
    return Place({**clean_environment(), **environ}, program)


@pytest.fixture(scope="session", params=["plain", "sanitized"])
def place(request: pytest.FixtureRequest) -> Place:
    """Both, one after the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Place)
    return found


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, plain: Place) -> Iterator[Place]:
    """Both services at work, and a secret for our program and for the shell."""
    stage = prepare(tmp_path_factory.mktemp("stage"))
    created = stage.amber("apikey", "create", "--config", "attestation.toml", "--label", "shim", "--json")
    key_id = keep_secret(stage, [plain.program, Path("/bin/sh").resolve()])
    with services(stage, lambda _service, _line: None):
        environ = stage.environment(str(json.loads(created)["key"]), key_id)
        yield Place({**plain.environ, **{name: environ[name] for name in PASSED}}, plain.program)


def names_below(directory: str) -> set[str]:
    """What is in a directory."""
    return set(os.listdir(directory))  # noqa: PTH208
