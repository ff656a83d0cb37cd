"""Both services from their images, under what a cluster holds them to: an enclave gets a token and a secret."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import AMBER, PASSED, clean_environment
from tests.integration.images.conftest import HELD, PODMAN, SECONDS, USER, Images, name_of

from ambergate.cli._stage import Stage, prepare
from ambergate.simulator.cpu import EnclaveIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "the secret of these tests\n"
PROGRAM = Path("/bin/sh").resolve()  # what the software platform measures
IN_IMAGE = "/opt/ambergate/bin/amber"
CONFIG = {"attestation": "attestation.toml", "keybroker": "broker.toml"}


@dataclass(frozen=True)
class Container:
    """A service that runs in its image."""

    images: Images
    name: str
    target: str

    @property
    def config(self) -> str:
        return f"/etc/ambergate/{CONFIG[self.target]}"

    def amber(self, *arguments: str, give: str | None = None) -> str:
        """What a command of the image prints, beside the service."""
        return self.images.run(*PODMAN, "exec", "-i", self.name, IN_IMAGE, *arguments, give=give).stdout

    def stopped(self) -> int:
        """Its exit code, after SIGTERM."""
        self.images.run(*PODMAN, "stop", "--time", "20", self.name)
        told = self.images.run(*PODMAN, "inspect", "--format", "{{.State.ExitCode}}", self.name)
        return int(told.stdout)

    def logs(self) -> str:
        done = self.images.run(*PODMAN, "logs", self.name)
        return done.stdout + done.stderr


@contextlib.contextmanager
def running(images: Images, stage: Stage, target: str) -> Iterator[Container]:
    """A service in its image, ready; with its configuration to read and its state to write, and nothing else."""
    name = f"{target}-{secrets.token_hex(4)}"
    configuration = configured(stage, target)
    state = stage.folder / f"{target}-state"
    state.mkdir()
    os.chown(state, USER, USER)
    container = Container(images, name, target)
    mounts = (f"--volume={configuration}:/etc/ambergate:ro", f"--volume={state}:/var/lib/ambergate")
    images.run(*PODMAN, "run", "--detach", "--name", name, "--network", "host", *HELD, *mounts, name_of(target))
    try:
        yield ready(container)
    finally:
        images.run(*PODMAN, "rm", "--force", "--time", "0", name)


def ready(container: Container) -> Container:
    """Returns once its own health check says so. Each try is an interpreter's start, so they are few."""
    told = ""
    for _ in range(40):
        done = container.images.run(
            *(*PODMAN, "exec", container.name, IN_IMAGE, container.target, "ready", "--config", container.config),
            check=False,
        )
        if done.returncode == 0:
            return container
        told = done.stderr
    pytest.fail(f"{told}\n{container.logs()}")


def configured(stage: Stage, target: str) -> Path:
    """What an operator would mount at /etc/ambergate: closed to others, the key readable by the service alone."""
    folder = stage.folder / f"{target}-configuration"
    folder.mkdir()
    text = (stage.folder / CONFIG[target]).read_text()
    for name in ("database", "key_encryption_key"):
        text = text.replace(f'{name} = "', f'{name} = "/var/lib/ambergate/')
    (folder / CONFIG[target]).write_text(text)
    for name in ("tls.pem", "tls.key", "ca.pem"):
        (folder / name).write_bytes((stage.folder / name).read_bytes())
    os.chown(folder / "tls.key", USER, USER)
    (folder / "tls.key").chmod(0o400)
    if target == "attestation":
        (folder / "simulator").mkdir()
        for name in ("root_ca.pem", "collateral"):
            subprocess.run(["cp", "-r", stage.folder / "simulator" / name, folder / "simulator" / name], check=True)
    return folder


def client(stage: Stage, environ: dict[str, str], *arguments: str) -> str:
    command = [*AMBER, *arguments, "--simulate", "--program", str(PROGRAM)]
    done = subprocess.run(command, cwd=stage.folder, env=environ, capture_output=True, text=True, timeout=SECONDS)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr
    return done.stdout


REGO = """default matches_sgx_policy = false
matches_sgx_policy = true { input.sgx_isvprodid == 1 }
"""


def test_a_token_and_a_secret_through_the_images(images: Images, tmp_path: Path) -> None:
    stage = prepare(tmp_path)
    policy = {"mr_enclave": [EnclaveIdentity.of_program([PROGRAM]).mr_enclave.hex()]}
    with running(images, stage, "attestation") as attestation, running(images, stage, "keybroker") as broker:
        (tmp_path / "keybroker-configuration/policy.toml").write_text(
            f"mr_enclave = {json.dumps(policy['mr_enclave'])}\ninsecure_accept_simulated = true\n"
        )
        api_key = json.loads(
            attestation.amber("apikey", "create", "--config", attestation.config, "--label", "images", "--json")
        )["key"]
        kept = broker.amber(
            *("keybroker", "key", "import", "--config", broker.config),
            *("--policy", "/etc/ambergate/policy.toml", "--json"),
            give=SECRET,
        )
        given = stage.environment(api_key, json.loads(kept)["id"])
        environ = {**clean_environment(), **{name: given[name] for name in PASSED}}
        assert client(stage, environ, "token", "get").count(".") == 2
        assert client(stage, environ, "secret", "get") == SECRET

        (tmp_path / "attestation-configuration/policy.rego").write_text(REGO)
        checked = json.loads(attestation.amber("policy", "check", "--json", "/etc/ambergate/policy.rego"))
        assert checked, "the interpreter finds what it is linked to"

        state = tmp_path / "attestation-state"
        assert {path.stat().st_uid for path in state.iterdir()} == {USER}
        secret = [path for path in state.iterdir() if path.name != "attestation.checkpoint"]  # for others to keep
        assert [path.name for path in secret if path.stat().st_mode & 0o077] == []
        assert broker.stopped() == 0
        assert attestation.stopped() == 0
        assert "Traceback" not in attestation.logs() + broker.logs()
