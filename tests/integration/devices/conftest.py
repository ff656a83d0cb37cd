"""Programs run by `amber run`, on a software platform, with both services on loopback where a test wants them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ambergate.cli._stage import Stage, prepare, services
from ambergate.devices import fuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AMBER = (sys.executable, "-m", "ambergate.cli")
SECONDS = 60  # until a program that should have ended is called hung
SECRET = b"the secret\n\x00\xff of these tests"
API_KEY_LABEL = "devices"


@lru_cache(maxsize=1)
def why_no_fuse() -> str | None:
    """Why the FUSE tests cannot run here; None when they can. Asked once: the only place that decides it."""
    reason = fuse.why_not()
    if reason is None and os.geteuid() != 0 and not Path("/proc/self/ns/user").exists():
        reason = "no user namespaces"
    if reason is None:
        probe = "from ambergate.devices import namespace; import os; namespace.enter(user_namespace=os.geteuid() != 0)"
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
        reason = None if done.returncode == 0 else f"no mount namespace: {done.stderr.strip().splitlines()[-1]}"
    return reason


@pytest.fixture(scope="session")
def with_fuse() -> None:
    """Skips, with the reason, where there is no FUSE."""
    reason = why_no_fuse()
    if reason is not None:
        pytest.skip(f"FUSE: {reason}")


@dataclass(frozen=True)
class Client:
    """`amber` as a user of this machine would call it."""

    folder: Path
    environ: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [*AMBER, *arguments]

    def call(self, *arguments: str, give: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
        """One command, to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environ, **environ},
            input=give,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )

    def run(self, *program: str, flags: tuple[str, ...] = (), **rest: Any) -> subprocess.CompletedProcess[bytes]:  # noqa: ANN401
        """A program with the files, by FUSE."""
        return self.call("run", "--simulate", "--delivery", "fuse", *flags, "--", *program, **rest)

    def shell(self, script: str, *arguments: str, **rest: Any) -> subprocess.CompletedProcess[bytes]:  # noqa: ANN401
        """A shell script with the files, by FUSE."""
        return self.run("/bin/sh", "-c", script, "sh", *arguments, **rest)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs beside the test; killed at its end if it still does."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


@contextlib.contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Programs that start meanwhile hear this signal, whatever whoever started the tests ignored.

    What `nohup`, or `&` in a script, has ignored stays ignored, and no shell can trap it then.
    """
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def line(process: subprocess.Popen[bytes]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def tell(process: subprocess.Popen[bytes], text: str = "go") -> None:
    """Give a line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n".encode())
    process.stdin.flush()


def clean_environment() -> dict[str, str]:
    """This environment without settings of the client."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AMBER_")}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A software platform's directory."""
    directory = tmp_path_factory.mktemp("platform") / "simulator"
    subprocess.run([*AMBER, "simulator", "init", str(directory)], check=True, capture_output=True, timeout=SECONDS)
    return directory


@pytest.fixture
def client(platform: Path, tmp_path: Path) -> Client:
    """A client without any service."""
    return Client(tmp_path, {**clean_environment(), "AMBER_SIMULATOR": str(platform)})


@dataclass(frozen=True)
class Scene:
    """Both services at work, and who may ask them what."""

    stage: Stage
    environ: Mapping[str, str]
    api_key: str

    def client(self, folder: Path, **changes: str) -> Client:
        return Client(folder, {**self.environ, **changes})


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, reader: Path) -> Iterator[Scene]:
    """The services, with one API key, and one secret for `reader` and for this interpreter."""
    stage = prepare(tmp_path_factory.mktemp("stage"))
    created = stage.amber("apikey", "create", "--config", "attestation.toml", "--label", API_KEY_LABEL, "--json")
    api_key = str(json.loads(created)["key"])
    key_id = keep_secret(stage, [reader, Path("/bin/sh").resolve(), Path(sys.executable).resolve()])
    with services(stage, lambda _service, _line: None):
        environ = {name: value for name, value in stage.environment(api_key, key_id).items() if name in PASSED}
        yield Scene(stage, {**clean_environment(), **environ}, api_key)


PASSED = ("AMBER_URL", "AMBER_APIKEY", "AMBER_CACERTS", "AMBER_KBS_URL", "AMBER_KBS_KEYID", "AMBER_SIMULATOR")


def keep_secret(stage: Stage, programs: list[Path], secret: bytes = SECRET) -> str:
    """Have the broker keep the secret for these programs; its id."""
    from ambergate.simulator.cpu import EnclaveIdentity  # noqa: PLC0415

    measured = [EnclaveIdentity.of_program([program]).mr_enclave.hex() for program in programs]
    (stage.folder / "policy.toml").write_text(
        f"mr_enclave = {json.dumps(measured)}\ninsecure_accept_simulated = true\n"
    )
    arguments = ("keybroker", "key", "import", "--config", "broker.toml", "--policy", "policy.toml", "--json")
    done = subprocess.run([*AMBER, *arguments], cwd=stage.folder, input=secret, capture_output=True, check=True)
    return str(json.loads(done.stdout)["id"])


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our example in C, compiled."""
    source = Path(__file__).parents[3] / "examples" / "c" / "amber_reader.c"
    return compiled(source, tmp_path_factory.mktemp("reader") / "amber_reader")


def compiled(source: Path, target: Path, *flags: str) -> Path:
    """A C program, compiled; skips where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (Debian package gcc)")
    subprocess.run([compiler, "-O1", *flags, "-o", str(target), str(source)], check=True, capture_output=True)
    return target
