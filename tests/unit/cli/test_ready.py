"""`ready`: a health check that believes only who has the key of the configured certificate."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ambergate.cli.main import main
from ambergate.core.errors import Unavailable
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from starlette.requests import Request

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
CONFIG = """
[listen]
host = "{host}"
port = {port}
certificate = "{certificate}"
key = "key.pem"
[store]
database = "a.sqlite"
key_encryption_key = "a.kek"
"""
ATTESTATION = 'base_url = "https://attest.example"\n' + CONFIG + '[[anchors]]\nintel = true\ncollateral = "held"\n'
BROKER = CONFIG + '[[issuers]]\nissuer = "https://a"\njwks_file = "keys.json"\n'


def fine() -> None:
    """Nothing to tell."""


def fails() -> None:
    raise Unavailable("the database does not answer")


def serving(**checks: object) -> Starlette:
    return Starlette(routes=health_routes(Readiness(checks, now=lambda: NOW)))  # type: ignore[arg-type]


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("keys.json", '{"keys": []}')):
        (tmp_path / name).write_text(text)
    other = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    (tmp_path / "other.pem").write_text(other.cert_pem)
    return TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")


def ready(
    tls: TlsFiles,
    port: int,
    *more: str,
    service: str = "attestation",
    host: str = "127.0.0.1",
    certificate: str = "cert.pem",
) -> Result:
    file = tls.certificate.with_name("service.toml")
    text = ATTESTATION if service == "attestation" else BROKER
    file.write_text(text.format(host=host, port=port, certificate=certificate))
    return CliRunner().invoke(main, [service, "ready", "--config", str(file), *more])


@pytest.mark.parametrize("service", ["attestation", "keybroker"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_service_that_is_ready(tls: TlsFiles, service: str, host: str) -> None:
    with running(serving(database=fine, audit=fine), tls) as port:
        told = ready(tls, port, service=service, host=host)
        as_json = ready(tls, port, "--json", service=service, host=host)
    assert (told.exit_code, told.output) == (0, "ready: database, audit\n")
    assert json.loads(as_json.output)["ready"] is True


def test_a_check_that_fails_is_named(tls: TlsFiles) -> None:
    with running(serving(database=fails, audit=fine), tls) as port:
        told = ready(tls, port)
    assert told.exit_code == 5
    assert "database: the database does not answer" in told.output
    assert "audit" not in told.output


def test_another_certificate_is_another_service(tls: TlsFiles) -> None:
    with running(serving(database=fine), tls) as port:
        told = ready(tls, port, certificate="other.pem")
    assert told.exit_code == 5
    assert "what answers is not this service" in told.output


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"checks": 1}', '{"checks": {"a": 1}}', "[" * 50000, "x" * 70000])
def test_an_answer_of_something_else_is_one_error(tls: TlsFiles, body: str) -> None:
    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(body)

    with running(Starlette(routes=[Route("/readyz", answer)]), tls) as port:
        told = ready(tls, port)
    assert told.exit_code == 5
    assert told.output.startswith("error: ")


def test_nobody_there(tls: TlsFiles) -> None:
    told = ready(tls, 1)
    assert told.exit_code == 5
    assert "the service does not answer" in told.output


def test_no_port_of_its_own(tls: TlsFiles) -> None:
    told = ready(tls, 0)
    assert told.exit_code == 1
    assert "listen.port = 0" in told.output
