"""`amber rekey`: a service starts with the new key, and with the old one no more."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.core.errors import SettingsError
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.config import load
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.keybroker.app import open_state as open_broker
from ambergate.services.keybroker.config import load as load_broker

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from tests.softhsm import Token

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
CONFIG = """\
base_url = "https://attest.example"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "state.sqlite"
key_encryption_key = "state.kek"
"""
BROKER = CONFIG.partition("\n")[2] + '[[issuers]]\nissuer = "https://attest.example"\njwks_file = "keys.json"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An attestation service that was started once, and the id of its key."""
    folder = tmp_path_factory.mktemp("made")
    return folder, kid(folder)


@pytest.fixture
def folder(made: tuple[Path, str], tmp_path: Path) -> Path:
    return shutil.copytree(made[0], tmp_path / "site")


def kid(folder: Path, kek: str = "state.kek") -> str:
    """The id of the RSA key with which the service signs once it has started."""
    (folder / "service.toml").write_text(CONFIG.replace("state.kek", kek))
    with open_state(load(folder / "service.toml"), at=AT) as state:
        return TokenPki(state.token_keys.store.all(), AT).rsa.kid


def amber(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["rekey", "--config", str(folder / "service.toml"), *args], catch_exceptions=False)


def test_the_service_signs_on_under_the_new_key(made: tuple[Path, str], folder: Path) -> None:
    done = amber(folder, "--to", str(folder / "new.kek"), "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["resealed"]["signing_material"] > 0
    assert told["fresh"]
    with pytest.raises(SettingsError, match="under another key-encryption key"):
        kid(folder)
    assert kid(folder, "new.kek") == made[1]
    assert amber(folder).exit_code == 0, "a fresh data key alone"
    assert kid(folder, "new.kek") == made[1]


def test_into_the_environment_and_a_token(
    made: tuple[Path, str], folder: Path, softhsm: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBER_KEK", "5a" * 32)
    assert "set key_encryption_key to env:AMBER_KEK" in amber(folder, "--to", "env:AMBER_KEK").stdout
    assert kid(folder, "env:AMBER_KEK") == made[1]
    uri = softhsm.make_aes("rekey")
    assert amber(folder, "--to", uri).exit_code == 0
    monkeypatch.delenv("AMBER_KEK")
    assert kid(folder, uri) == made[1]
    gone = amber(folder, "--to", uri.replace("token=amber", "token=gone"))
    assert (gone.exit_code, gone.stderr.splitlines()[0]) == (
        5,
        "error: the token with the key-encryption key does not answer",
    )


def test_what_is_not_there_is_not_rekeyed(folder: Path) -> None:
    (folder / "state.kek").unlink()
    refused = amber(folder, "--to", str(folder / "new.kek"))
    assert refused.exit_code == 1
    assert "the key-encryption key is not there" in refused.stderr
    assert not (folder / "state.kek").exists()
    (folder / "state.sqlite").unlink()
    assert "no database yet" in amber(folder).stderr


def test_a_brokers_version_keys_go_with_it(tmp_path: Path) -> None:
    """They are in a database of their own: both are under the new key afterwards."""
    (tmp_path / "service.toml").write_text(BROKER)
    policy = ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32})
    key = uuid4()
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        state.secrets.add(key, b"a secret", policy, at=AT)
    done = amber(tmp_path, "--to", str(tmp_path / "new.kek"), "--json")
    assert (done.exit_code, json.loads(done.stdout)["resealed"]["broker_version_keys"]) == (0, 1)
    with (
        pytest.raises(SettingsError, match="under another"),
        open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT),
    ):
        pytest.fail("the old key opens it")
    (tmp_path / "service.toml").write_text(BROKER.replace("state.kek", "new.kek"))
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        found = state.secrets.find(key)
        assert found is not None
        assert state.secrets.reveal(found) == b"a secret"
