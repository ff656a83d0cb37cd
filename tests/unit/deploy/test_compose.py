"""The compose stack as Docker Compose itself reads it: what holds of every container, and what is published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.unit.deploy.conftest import PROJECT

from ambergate.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.deploy.conftest import Tool

COMPOSE = PROJECT / "deploy" / "compose"
SERVICES = ("attestation", "keybroker", "database")
LINT = """
extends: default
rules: {line-length: {max: 150}, document-start: disable, comments: {min-spaces-from-content: 1}}
"""


@pytest.fixture
def stack(tool: Tool) -> dict[str, Any]:
    return rendered(tool)


def rendered(tool: Tool, *files: str) -> dict[str, Any]:
    named = [f"--file={COMPOSE / name}" for name in ("compose.yaml", *files)]
    done = tool("docker-compose", *named, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_yamllint_finds_nothing() -> None:
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", LINT, str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_what_every_container_is_held_to(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert int(service["mem_limit"]) > 0
    assert service["cpus"] > 0
    assert service["pids_limit"] > 0
    assert all("noexec" in each and "size=" in each for each in service["tmpfs"])
    assert service["healthcheck"]["test"][0] == "CMD"  # no image of ours has a shell
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"] != "10s"


def test_two_ports_are_published_and_no_others(stack: dict[str, Any]) -> None:
    published = {
        name: [port["target"] for port in service.get("ports", [])] for name, service in stack["services"].items()
    }
    assert published == {"attestation": [8443], "keybroker": [9443], "database": []}


def test_who_reaches_whom(stack: dict[str, Any]) -> None:
    networks = {name: set(service["networks"]) for name, service in stack["services"].items()}
    both = {"outside", "services", "database"}
    assert networks == {"attestation": both, "keybroker": both, "database": {"database"}}
    internal = {name for name, network in stack["networks"].items() if network.get("internal")}
    assert internal == {"services", "database"}


def test_secrets_are_files_that_their_reader_alone_is_given(stack: dict[str, Any]) -> None:
    given = {name: {each["source"] for each in service["secrets"]} for name, service in stack["services"].items()}
    assert given == {
        "attestation": {"ca.pem", "services.pem", "services.key", "attestation-password"},
        "keybroker": {"ca.pem", "services.pem", "services.key", "keybroker-password"},
        "database": {"database.pem", "database.key", "database-password"},
    }
    variables = {name for service in stack["services"].values() for name in service["environment"]}
    assert [name for name in variables if "PASSWORD" in name and not name.endswith("_FILE")] == []


def test_a_software_platform_is_believed_by_the_laptop_alone(tool: Tool) -> None:
    plain, laptop = json.dumps(rendered(tool)), json.dumps(rendered(tool, "laptop.yaml"))
    assert "simulated" not in plain
    assert "insecure" not in plain
    assert "insecure_accept_simulated" in laptop


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A copy of the folder in which `prepare` made what is secret."""
    if os.geteuid() != 0 or shutil.which("openssl") is None:
        pytest.skip("prepare takes root and openssl")
    folder = tmp_path / "compose"
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns("secrets", "laptop"))
    subprocess.run([str(folder / "prepare"), "attest.example", "10.0.0.7"], check=True, capture_output=True)
    return folder


def test_prepare_gives_each_file_to_its_reader(prepared: Path) -> None:
    secrets = prepared / "secrets"
    owners = {path.name: (path.stat().st_uid, oct(path.stat().st_mode & 0o777)) for path in secrets.iterdir()}
    public, ours, theirs = (0, "0o444"), (10001, "0o400"), (999, "0o400")
    assert owners == {
        **dict.fromkeys(("ca.pem", "services.pem", "database.pem"), public),
        **dict.fromkeys(("services.key", "attestation-password", "keybroker-password"), ours),
        **dict.fromkeys(("database.key", "database-password", "roles.sql"), theirs),
    }
    for name, wanted in (("services", "DNS:attest.example, IP Address:10.0.0.7"), ("database", "DNS:database")):
        told = openssl("x509", "-noout", "-ext", "subjectAltName", "-in", f"{secrets}/{name}.pem")
        assert wanted in told
        openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", f"{secrets}/ca.pem", f"{secrets}/{name}.pem"
        )
    roles = (secrets / "roles.sql").read_text()
    for name in ("attestation", "keybroker"):
        password = (secrets / f"{name}-password").read_text().strip()
        assert len(password) == 48
        assert f"CREATE ROLE {name} LOGIN PASSWORD '{password}'" in roles


def test_prepare_replaces_nothing(prepared: Path) -> None:
    before = {path.name: path.read_bytes() for path in (prepared / "secrets").iterdir()}
    again = subprocess.run([str(prepared / "prepare")], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert {path.name: path.read_bytes() for path in (prepared / "secrets").iterdir()} == before


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("service", "file"), [("attestation", "attestation.toml"), ("keybroker", "broker.toml")])
def test_the_configurations_are_taken_whole(tool: Tool, prepared: Path, service: str, file: str) -> None:
    """With the environment that compose gives them; the places in a container are places of this test."""
    config = prepared / "configuration" / file
    (prepared / "state").mkdir()

    def here(text: str) -> str:
        return text.replace("/run/secrets", str(prepared / "secrets")).replace(
            "/var/lib/ambergate", str(prepared / "state")
        )

    config.write_text(here(config.read_text()))
    environment = rendered(tool)["services"][service]["environment"]
    given = {name: here(value) for name, value in environment.items()}
    result = CliRunner().invoke(main, [service, "check-config", str(config)], env=given)
    assert (result.exit_code, result.output) == (0, f"{config}: nothing is wrong\n")
    shown = CliRunner().invoke(main, [service, "check-config", str(config), "--print-config"], env=given)
    assert re.search(r'store.password = "\(secret\)"', shown.output)
