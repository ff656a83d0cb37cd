"""The policies for a signed image reach both services, each once; what does not work is told with what was sent."""

from __future__ import annotations

import json
import secrets
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.devices.conftest import reader, scene
from tests.integration.gsc.conftest import APP, Bench, build_image
from tests.unit.quote.test_sigstruct import make

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.devices.conftest import Scene

__all__ = ["reader", "scene"]  # fixtures
GONE = "https://127.0.0.1:1"


@dataclass(frozen=True)
class Services:
    """Both services, and who may manage their policies."""

    bench: Bench
    scene: Scene
    name: str  # of this test's policy, and of who asks the broker

    def where(self, *, broker: str | None = None) -> tuple[str, ...]:
        folder = self.bench.folder
        return (
            *("--register", self.scene.stage.attestation_url, "--apikey-file", str(folder / "manage.key")),
            *("--register-broker", broker or self.scene.stage.broker_url, "--broker-user", self.name),
            *("--broker-password-file", str(folder / "password")),
            *("--register-cacerts", self.scene.environ["AMBER_CACERTS"], "--name", self.name),
        )

    def info(self, *more: str, broker: str | None = None) -> tuple[int, dict[str, Any]]:
        """What registering a signed image told."""
        done = self.bench.amber("gsc", "info-image", f"gsc-{APP}", *self.where(broker=broker), *more, "--json")
        return done.returncode, json.loads(done.stdout)

    def kept(self) -> tuple[list[str], int]:
        """Texts of this test's policies at the attestation service, and how many release policies there are."""
        config = str(self.scene.stage.folder / "attestation.toml")
        named = json.loads(self.scene.stage.amber("policy", "list", "--config", config, "--json"))
        mine = [each["policy"] for each in named if each["policy_name"] == self.name]
        return mine, len(
            json.loads(self.scene.stage.amber("keybroker", "policy", "list", "--config", "broker.toml", "--json"))
        )


@pytest.fixture(scope="session")
def signed(empty_storage: Bench) -> Bench:
    """A storage with an image that holds a signature, and nothing else."""
    (empty_storage.folder / "entrypoint.sig").write_bytes(make(rsa.generate_private_key(3, 3072)))
    empty_storage.write("Dockerfile.signed", "FROM scratch\nCOPY entrypoint.sig /gramine/app_files/entrypoint.sig\n")
    build_image(empty_storage, "Dockerfile.signed", f"gsc-{APP}")
    return empty_storage


@pytest.fixture
def services(signed: Bench, scene: Scene, tmp_path: Path) -> Services:
    stage = scene.stage
    bench = Bench(tmp_path, signed.environ)
    made = stage.amber(
        "apikey", "create", "--config", "attestation.toml", "--label", "o", "--scope", "manage", "--json"
    )
    bench.write("manage.key", json.loads(made)["key"]).chmod(0o600)
    password = secrets.token_hex(16)
    bench.write("password", password + "\n").chmod(0o600)
    name = f"image-{secrets.token_hex(4)}"
    permissions = ("--permission", "key-transfer-policies:create", "--permission", "key-transfer-policies:search")
    command = ("keybroker", "user", "create", name, "--config", "broker.toml", *permissions)
    stage.amber(*command, "--password-file", "-", give=password)
    return Services(bench, scene, name)


def test_both_services_know_a_signed_image_and_know_it_once(services: Services) -> None:
    code, first = services.info()
    assert (code, first["policy_was"], first["release_policy_was"]) == (0, "created", "created"), first
    texts, released = services.kept()
    assert len(texts) == 1
    assert first["mr_enclave"] in texts[0]
    code, again = services.info()
    assert (code, again["policy_was"], again["release_policy_was"]) == (0, "there already", "there already"), again
    assert (again["policy_id"], again["release_policy_id"]) == (first["policy_id"], first["release_policy_id"])
    assert services.kept() == (texts, released)


def test_another_enclaves_policy_is_replaced_only_if_that_is_said(services: Services) -> None:
    _, first = services.info()
    code, refused = services.info("--by-signer")
    assert code == 1
    assert refused["error"]["message"].startswith("the attestation service at https://")
    assert "--replace" in refused["error"]["wanted"]
    code, told = services.info("--by-signer", "--replace")
    assert (code, told["policy_was"], told["policy_id"]) == (0, "replaced", first["policy_id"]), told
    (text,), _ = services.kept()
    assert set(tomllib.loads(text)["sgx"][0]) >= {"mr_signer", "isv_prod_id"}


def test_which_service_failed_is_told_with_what_was_sent(services: Services) -> None:
    code, told = services.info(broker=GONE)
    assert code == 5
    assert told["error"]["message"].startswith(f"the key broker at {GONE} did not take its policy: ")
    assert "the attestation policy was sent before" in told["error"]["hint"]
    (_,), _ = services.kept()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", APP, "--register", GONE, "--apikey-file", "key"), "MRENCLAVE is measured when it is signed"),
        (("sign-image", APP, "--export-for-signing", "x", "--register-broker", GONE), "when it is signed"),
        (("info-image", APP, "--register", GONE), "--register takes --apikey-file"),
        (("info-image", APP, "--replace"), "are for --register"),
        (("info-image", APP, "--name", "one"), "are for --register"),
        (("info-image", APP, "--register-broker", GONE, "--broker-user", "o"), "--broker-password-file"),
    ],
)
def test_what_registering_takes_is_looked_at_first(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    bench = Bench(tmp_path, {"PATH": "/nonexistent"})
    bench.write("key", "a key")
    done = bench.amber("gsc", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
