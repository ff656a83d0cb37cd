"""`amber keybroker user`: the first user is made on the broker's machine, by a password that no argument holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.integration.keybroker.scene import CONFIG

from ambergate.cli.main import main
from ambergate.services.keybroker.permissions import PERMISSIONS

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PASSWORD = "a good password\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broker.toml").write_text(CONFIG)
    return tmp_path


def user(folder: Path, *args: str, give: str | None = None) -> Result:
    config = ["--config", str(folder / "broker.toml")]
    return CliRunner().invoke(main, ["keybroker", "user", *args, *config], input=give, catch_exceptions=False)


def created(folder: Path, name: str = "admin", *permissions: str) -> Result:
    named = [part for each in permissions for part in ("--permission", each)] or ["--all-permissions"]
    return user(folder, "create", name, *named, "--password-file", "-", give=PASSWORD)


def test_the_first_user(folder: Path) -> None:
    assert created(folder).exit_code == 0
    (one,) = json.loads(user(folder, "list", "--json").stdout)
    assert (one["username"], one["permissions"]) == ("admin", sorted(PERMISSIONS))
    assert "password" not in one


def test_a_password_is_asked_for_twice(folder: Path) -> None:
    done = user(folder, "create", "admin", "--all-permissions", give=PASSWORD * 2)
    assert done.exit_code == 0
    assert "a good password" not in done.output
    differ = user(folder, "create", "b", "--all-permissions", give=f"{PASSWORD}another one\n" + "\n" * 4)
    assert differ.exit_code == 1
    assert "b" not in [each["username"] for each in json.loads(user(folder, "list", "--json").stdout)]


def test_a_password_comes_from_a_file(folder: Path) -> None:
    (folder / "password").write_text("a good password\nand more\n")
    made = user(folder, "create", "admin", "--all-permissions", "--password-file", str(folder / "password"), "--json")
    assert json.loads(made.stdout)["username"] == "admin"


def test_what_makes_no_user(folder: Path) -> None:
    assert user(folder, "create", "x", "--password-file", "-", give=PASSWORD).exit_code == 1
    assert user(folder, "create", "x", "--all-permissions", "--password-file", "-", give="short\n").exit_code == 4
    assert created(folder, "x", "keys:fly").exit_code == 4
    assert "no users" in user(folder, "list").stdout


def test_permissions_and_password_are_changed(folder: Path) -> None:
    created(folder, "bob", "keys:search")
    granted = json.loads(user(folder, "grant", "bob", "--permission", "keys:create", "--json").stdout)
    assert granted["permissions"] == ["keys:create"]
    assert user(folder, "password", "bob", "--password-file", "-", give="another password\n").exit_code == 0
    assert user(folder, "end-tokens", "bob").stdout == "bob has to log in again\n"
    assert "no failures" in user(folder, "unlock", "bob").stdout
    assert user(folder, "unlock").exit_code == 1
    assert user(folder, "delete", "bob").exit_code == 0
    for act in (("delete", "bob"), ("end-tokens", "bob")):
        gone = user(folder, *act)
        assert (gone.exit_code, "no user of this name" in gone.stderr) == (1, True)
