"""`amber apikey`: make, list, rotate and revoke, for people and for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from tests.unit.stores.policy_rows import with_policies

from ambergate.cli.main import main
from ambergate.core.errors import NotAuthorised
from ambergate.services.attestation.app import open_api_keys
from ambergate.services.attestation.callers import Callers
from ambergate.stores.engine import open_database

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CONFIG = """\
base_url = "https://attest.example"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "attestation.toml").write_text(CONFIG)
    return tmp_path


def amber(folder: Path, *args: str) -> Result:
    config = str(folder / "attestation.toml")
    return CliRunner().invoke(main, ["apikey", *args, "--config", config], catch_exceptions=False)


def created(folder: Path, *more: str, label: str = "build farm") -> dict[str, Any]:
    return dict(json.loads(amber(folder, "create", "--label", label, *more, "--json").stdout))


def is_good(folder: Path, key: str, *, after: timedelta = timedelta()) -> bool:
    with open_api_keys(folder / "attestation.sqlite") as keys:
        try:
            Callers(keys, now=lambda: datetime.now(UTC) + after).authorise(key)
        except NotAuthorised:
            return False
    return True


def test_a_key_is_printed_alone_so_that_a_shell_can_take_it(folder: Path) -> None:
    made = amber(folder, "create", "--label", "build farm")
    assert made.exit_code == 0
    key = made.stdout.removesuffix("\n")
    assert key.isalnum()
    assert is_good(folder, key)
    assert "build farm" in made.stderr
    assert "not be shown again" in made.stderr
    assert key not in made.stderr


def test_a_key_for_machines(folder: Path) -> None:
    made = created(folder)
    assert made == {
        "id": made["id"],
        "label": "build farm",
        "created_at": made["created_at"],
        "revoked_at": None,
        "expires_at": None,
        "scopes": ["attest"],
        "policy_ids": [],
        "policy_must_match": False,
        "algorithm": None,
        "profile": None,
        "rate": None,
        "burst": None,
        "replaces": None,
        "key": made["key"],
    }
    assert is_good(folder, made["key"])


def test_a_key_on_terms(folder: Path) -> None:
    policy = str(uuid4())
    engine = open_database(folder / "attestation.sqlite")
    with_policies(engine, UUID(policy))
    engine.dispose()
    made = created(
        folder,
        *("--scope", "manage", "--scope", "attest", "--expires", "2126-01-31T12:00:00Z", "--policy", policy),
        *("--policy-must-match", "--algorithm", "ES256", "--profile", "v2", "--rate", "0.5"),
    )
    assert (made["scopes"], made["expires_at"]) == (["attest", "manage"], "2126-01-31T12:00:00+00:00")
    assert (made["policy_ids"], made["policy_must_match"]) == ([policy], True)
    assert (made["algorithm"], made["profile"], made["rate"], made["burst"]) == ("ES256", "v2", 0.5, 10)
    assert "good until 2126-01-31  attest+manage  build farm" in amber(folder, "list").stdout


def test_a_key_for_some_days(folder: Path) -> None:
    made = created(folder, "--days", "7")
    assert is_good(folder, made["key"], after=timedelta(days=6, hours=23))
    assert not is_good(folder, made["key"], after=timedelta(days=7))


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (("--scope", "everything"), 1),
        (("--expires", "2020-01-01"), 1),
        (("--expires", "soon"), 2),
        (("--days", "0"), 2),
        (("--days", "1", "--expires", "2126-01-01"), 1),
        (("--policy", "42"), 1),
        (("--policy", str(UUID(int=2))), 1),  # there is none
        (("--policy", str(UUID(int=1)), "--policy", str(UUID(int=1))), 1),
        (("--algorithm", "HS256"), 1),
        (("--profile", "V2!"), 1),
        (("--rate", "0"), 1),
        (("--rate", "nan"), 1),
        (("--rate", "1", "--burst", "0"), 1),
        (("--burst", "5"), 1),
    ],
)
def test_terms_that_no_key_can_have(folder: Path, more: tuple[str, ...], status: int) -> None:
    assert amber(folder, "create", "--label", "x", *more).exit_code == status
    assert json.loads(amber(folder, "list", "--json").stdout) == []


def test_a_key_is_rotated_with_overlap(folder: Path) -> None:
    old = created(folder, "--scope", "manage")
    done = amber(folder, "rotate", "--id", old["id"], "--overlap-hours", "2")
    assert done.exit_code == 0
    key = done.stdout.removesuffix("\n")
    assert key != old["key"]
    assert is_good(folder, key)
    assert is_good(folder, old["key"], after=timedelta(minutes=119))
    assert not is_good(folder, old["key"], after=timedelta(hours=2))
    before, after = json.loads(amber(folder, "list", "--json").stdout)
    assert (after["replaces"], after["scopes"], after["label"]) == (before["id"], ["manage"], "build farm")
    assert "good until" in amber(folder, "list").stdout
    amber(folder, "rotate", "--id", after["id"], "--overlap-hours", "0")
    assert "ended" in amber(folder, "list").stdout
    assert amber(folder, "rotate", "--id", after["id"]).exit_code == 1
    assert amber(folder, "rotate", "--id", "42").exit_code == 1


def test_the_first_use_makes_a_database_for_its_owner_alone(folder: Path) -> None:
    created(folder)
    assert (folder / "attestation.sqlite").stat().st_mode & 0o777 == 0o600
    assert not (folder / "attestation.kek").exists(), "API keys need no key-encryption key"


def test_keys_are_listed_without_being_shown(folder: Path) -> None:
    made = created(folder)
    words = amber(folder, "list").stdout
    assert made["id"] in words
    assert "build farm" in words
    assert "good" in words
    assert made["key"] not in words
    (one,) = json.loads(amber(folder, "list", "--json").stdout)
    assert one == {name: value for name, value in made.items() if name != "key"}


def test_no_keys(folder: Path) -> None:
    assert "amber apikey create" in amber(folder, "list").stdout
    assert json.loads(amber(folder, "list", "--json").stdout) == []


def test_a_key_is_revoked(folder: Path) -> None:
    made, other = created(folder), created(folder)
    done = amber(folder, "revoke", "--id", made["id"])
    assert (done.exit_code, done.stdout) == (0, f"{made['id']} is revoked\n")
    assert not is_good(folder, made["key"])
    assert is_good(folder, other["key"])
    assert "revoked 20" in amber(folder, "list").stdout
    assert json.loads(amber(folder, "revoke", "--id", other["id"], "--json").stdout) == {
        "id": other["id"],
        "revoked": True,
    }
    assert all(key["revoked_at"] for key in json.loads(amber(folder, "list", "--json").stdout))


def test_there_is_nothing_to_revoke(folder: Path) -> None:
    unknown = amber(folder, "revoke", "--id", str(uuid4()))
    assert unknown.exit_code == 1
    assert "amber apikey list" in unknown.stderr
    wrong = amber(folder, "revoke", "--id", "42", "--json")
    assert wrong.exit_code == 1
    assert json.loads(wrong.stdout)["error"]["wanted"] == "a UUID"


def test_a_label_is_needed_and_printable(folder: Path) -> None:
    assert amber(folder, "create").exit_code == 2
    assert amber(folder, "create", "--label", "").exit_code == 1
    assert amber(folder, "create", "--label", "two\nlines").exit_code == 1
    assert json.loads(amber(folder, "list", "--json").stdout) == []


def test_ids_are_random(folder: Path) -> None:
    assert {UUID(created(folder)["id"]).version for _ in range(3)} == {4}


def test_a_configuration_that_cannot_be_used(folder: Path) -> None:
    (folder / "attestation.toml").write_text("[listen]\n")
    assert amber(folder, "list").exit_code == 1
    (folder / "attestation.toml").unlink()
    assert amber(folder, "list").exit_code == 2


def test_a_database_that_cannot_be_used(folder: Path) -> None:
    (folder / "attestation.toml").write_text(CONFIG.replace('"attestation.sqlite"', '"nowhere/a.sqlite"'))
    assert "does its folder exist?" in amber(folder, "list").stderr
    (folder / "attestation.toml").write_text(CONFIG)
    (folder / "attestation.sqlite").write_bytes(b"no database" * 1000)
    broken = amber(folder, "list", "--json")
    assert broken.exit_code == 5
    assert json.loads(broken.stdout)["error"]["code"] == "unavailable"
