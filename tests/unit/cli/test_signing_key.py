"""`amber attestation signing-key`: an operator rotates, lists and revokes, and is told what that means for others."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.config import load
from ambergate.services.attestation.key_plan import LEAD

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = timedelta(minutes=1)
CONFIG = """\
base_url = "https://attest.example"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "state.sqlite"
key_encryption_key = "state.kek"
[tokens]
rotate_days = 30
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service that has been running long enough for the keys that stand by to be known to everybody."""
    (tmp_path / "service.toml").write_text(CONFIG)
    config, now = load(tmp_path / "service.toml"), datetime.now().astimezone()
    assert config.key_rules.rotate_every == timedelta(days=30)
    with open_state(config, at=now - 2 * LEAD) as state:
        state.token_keys.keep_up(now - LEAD - MINUTE, config.key_rules)
    return tmp_path


def amber(folder: Path, *args: str) -> tuple[int, str]:
    where = ["--config", str(folder / "service.toml")]
    done = CliRunner().invoke(main, ["attestation", "signing-key", *args, *where], catch_exceptions=False)
    return done.exit_code, done.stdout + done.stderr


def told(folder: Path, *args: str) -> Any:  # noqa: ANN401  # JSON
    return json.loads(amber(folder, *args, "--json")[1])


def states(folder: Path, *args: str) -> dict[str, str]:
    return {key["id"]: key["state"] for key in told(folder, "list", *args) if key["kind"] == "rsa"}


def test_rotated_listed_and_revoked(folder: Path) -> None:
    assert sorted(states(folder).values()) == ["active", "standing by"]
    (first,) = (key for key, state in states(folder).items() if state == "active")
    code, text = amber(folder, "rotate")
    assert (code, text.count("signs from now")) == (0, 2)
    code, text = amber(folder, "rotate")
    assert (code, text.splitlines()[0]) == (1, "error: a rotation is under way")
    (second,) = (key for key, state in states(folder).items() if state == "active")
    assert states(folder) == {first: "retired", second: "active"}
    assert f"{second}  rsa   active" in amber(folder, "list")[1]

    code, text = amber(folder, "revoke", "--id", second, "--reason", "superseded")
    assert code == 0
    assert "may refuse its tokens until" in text, "nothing stood by any more"
    assert second not in states(folder)
    assert states(folder, "--all")[second] == "revoked"
    assert amber(folder, "revoke", "--id", second)[0] == 1
    assert told(folder, "revoke", "--id", "0" * 96)["error"]["code"] == "not-found"


def test_machines_are_told_what_happened(folder: Path) -> None:
    started = told(folder, "rotate")
    assert {key["kind"] for key in started} == {"rsa", "ec"}
    assert all(set(key) == {"id", "kind", "signs_from"} for key in started)
    (rsa,) = (key["id"] for key in started if key["kind"] == "rsa")
    revoked = told(folder, "revoke", "--id", rsa)
    assert (revoked["id"], revoked["reason"]) == (rsa, "keyCompromise")
    assert states(folder)[revoked["successor"]] == "active"
    assert revoked["trusted_from"] > revoked["revoked_at"]
    authorities = {key["kind"]: key["state"] for key in told(folder, "list") if key["kind"] in ("root", "ca")}
    assert authorities == {"root": "active", "ca": "active"}


def test_a_leaked_ca_is_replaced_once_that_is_confirmed(folder: Path) -> None:
    before = states(folder)
    assert amber(folder, "revoke-ca")[0] == 1, "nobody said yes"
    assert states(folder) == before
    started = {key["kind"]: key["id"] for key in told(folder, "revoke-ca", "--yes")}
    assert states(folder) == {started["rsa"]: "active"}
    assert set(states(folder, "--all").values()) == {"active", "revoked"}
    assert [key["state"] for key in told(folder, "list", "--all") if key["kind"] == "ca"] == ["revoked", "active"]
    code, text = amber(folder, "revoke-ca", "--yes")
    assert (code, text.count("signs from now on")) == (0, 2)


def test_without_the_key_encryption_key_there_is_nothing_to_rotate(folder: Path) -> None:
    (folder / "state.kek").rename(folder / "aside")
    for command in ("list", "rotate"):
        code, text = amber(folder, command)
        assert (code, text.splitlines()[0]) == (1, "error: the key-encryption key is not there")
    assert not (folder / "state.kek").exists()
