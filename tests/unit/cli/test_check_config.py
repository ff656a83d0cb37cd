"""`check-config` and `--print-config`: all that is wrong at once, what is in force, and no secret."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.stores.sealing import load_or_create_key

if TYPE_CHECKING:
    from click.testing import Result

LISTEN = '[listen]\nport = 0\ncertificate = "cert.pem"\nkey = "key.pem"\n'
STORE = '[store]\ndatabase = "a.sqlite"\nkey_encryption_key = "a.kek"\n'
ATTESTATION = f'base_url = "https://attest.example"\n{LISTEN}{STORE}[[anchors]]\nintel = true\ncollateral = "held"\n'
BROKER = f'{LISTEN}{STORE}[[issuers]]\nissuer = "https://a"\njwks_file = "keys.json"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_server_certificate(["localhost"], datetime.now(UTC))
    for name, text in (
        ("cert.pem", made.cert_pem),
        ("key.pem", made.key_pem),
        ("keys.json", '{"keys": []}'),
        ("attestation.toml", ATTESTATION),
        ("broker.toml", BROKER),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "held").mkdir()
    return tmp_path


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def check(file: Path, *more: str, service: str = "attestation", **environ: str) -> Result:
    return run(service, "check-config", str(file), *more, **environ)


def problems(file: Path, **options: str) -> list[str]:
    result = check(file, "--json", **options)
    assert result.exit_code == 1, result.output
    return [f"{one['message']} | {one.get('seen')}" for one in json.loads(result.output)["problems"]]


def test_nothing_is_wrong_and_nothing_is_made(folder: Path) -> None:
    before = sorted(folder.iterdir())
    result = check(folder / "attestation.toml")
    assert (result.exit_code, result.output) == (0, f"{folder / 'attestation.toml'}: nothing is wrong\n")
    assert check(folder / "broker.toml", service="keybroker").exit_code == 1, "an empty key set is none"
    assert sorted(folder.iterdir()) == before


def test_everything_that_is_named_is_read_and_all_of_it_told(folder: Path) -> None:
    made = make_server_certificate(["localhost"], datetime.now(UTC))
    (folder / "key.pem").write_text(made.key_pem)
    (folder / "a.sqlite").write_text("no database, but quite some text")
    load_or_create_key(folder / "a.kek")
    (folder / "a.kek").chmod(0o644)
    (folder / "held").rmdir()
    more = '[[anchors]]\npem = "cert.pem"\nsimulated = true\ncollateral = "https://a"\ncollateral_cacerts = "key.pem"\n'
    (folder / "attestation.toml").write_text(ATTESTATION + more + '[audit]\ncheckpoint = "nowhere/x"\n')
    told = problems(folder / "attestation.toml")
    wanted = (
        "the TLS certificate and key cannot be used",
        "store.database is no SQLite database",
        "the key file is open to others",
        "audit.checkpoint cannot be made",
        "anchors.collateral is no folder",
        "anchors.collateral_cacerts cannot be used",
    )
    assert len(told) == len(wanted)
    for message, seen in zip(wanted, told, strict=True):
        assert seen.startswith(message)
    words = check(folder / "attestation.toml")
    assert words.exit_code == 1
    assert all(message in words.output for message in wanted)


def test_a_tls_key_is_closed_and_its_certificate_is_good_now(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)
    assert problems(folder / "attestation.toml")[0].startswith("listen.key is open to others")
    made = make_server_certificate(["localhost"], datetime.now(UTC) - timedelta(days=9), lifetime=timedelta(days=1))
    (folder / "cert.pem").write_text(made.cert_pem)
    (folder / "key.pem").write_text(made.key_pem)
    (folder / "key.pem").chmod(0o640)
    assert problems(folder / "attestation.toml")[0].startswith("listen.certificate is not good now")


def test_the_files_of_a_database_url_are_looked_at(folder: Path) -> None:
    url = f"postgresql://amber@127.0.0.1/amber?passfile={folder / 'pass'}"
    told = problems(folder / "attestation.toml", AMBER_ATTESTATION__STORE__DATABASE=url)
    assert told[0].startswith("passfile of store.database cannot be read")
    (folder / "pass").write_text("x")
    (folder / "pass").chmod(0o640)
    told = problems(folder / "attestation.toml", AMBER_ATTESTATION__STORE__DATABASE=url)
    assert told[0].startswith("passfile of store.database is open to others")
    told = problems(folder / "attestation.toml", AMBER_ATTESTATION__STORE__DATABASE=url.replace("passfile", "sslkey"))
    assert told[0].startswith("sslkey of store.database is open to others")


def test_a_brokers_key_sets_are_read(folder: Path) -> None:
    (folder / "keys.json").write_text("{")
    assert problems(folder / "broker.toml", service="keybroker")[0].startswith("issuers.jwks_file cannot be used")
    (folder / "keys.json").unlink()
    assert problems(folder / "broker.toml", service="keybroker")[0].startswith("issuers.jwks_file cannot be used")


def test_the_settings_in_force_without_secrets(folder: Path) -> None:
    (folder / "password").write_text("pa55word")
    (folder / "password").chmod(0o600)
    environ = {
        "AMBER_ATTESTATION__STORE__DATABASE": "postgresql://amber@127.0.0.1/amber",
        "AMBER_ATTESTATION__STORE__PASSWORD_FILE": "password",
    }
    for command in ("check-config", "serve"):
        where = [str(folder / "attestation.toml")]
        more = where if command == "check-config" else ["--config", *where]
        result = run("attestation", command, *more, "--print-config", "--json", **environ)
        found = {one["name"]: (one["value"], one["source"]) for one in json.loads(result.output)["settings"]}
        assert found["store.password"] == ("(secret)", "AMBER_ATTESTATION__STORE__PASSWORD_FILE")
        assert found["listen.port"] == (0, str(folder / "attestation.toml"))
        assert found["tokens.lifetime_seconds"] == (300, "default")
        words = run("attestation", command, *more, "--print-config", **environ).output
        assert 'listen.host = "127.0.0.1"' in words
        assert "pa55word" not in words + result.output


def test_a_configuration_that_does_not_load(folder: Path) -> None:
    (folder / "broker.toml").write_text(BROKER.replace("port", "prot") + "[stoer]\n")
    told = problems(folder / "broker.toml", service="keybroker")
    assert told == [
        f"the configuration has an unknown key | {at} in {folder / 'broker.toml'}" for at in ("stoer", "listen.prot")
    ]
    result = run("keybroker", "serve", "--config", str(folder / "broker.toml"))
    assert result.exit_code == 1
    assert "did you mean listen.port?" in result.output
    assert "did you mean store?" in result.output


def test_no_command_reads_a_configuration_without_the_environment() -> None:
    """They all go through `cli/_services.py`, or an operator's key would be made in another database."""
    folder = Path(main.callback.__code__.co_filename).parent  # type: ignore[union-attr]
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.py")}
    assert "_services.py" in texts
    loading = [name for name, text in texts.items() if ".config import load" in text]
    assert loading == ["_services.py"]
    assert os.sep not in loading[0]
