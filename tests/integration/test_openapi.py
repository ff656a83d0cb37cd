"""The documents tell every route, the services serve them, and a bounded run of schemathesis finds nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.openapi_fuzz import fuzz
from scripts.whole import Whole, whole
from starlette.routing import Route
from tests.integration.attestation.scene import AT, Clock, configure, directory_roots, new_platform
from tests.integration.keybroker.scene import OPTIONS

from ambergate.services.attestation import app as attestation
from ambergate.services.attestation import operations as attestation_operations
from ambergate.services.keybroker import app as broker
from ambergate.services.keybroker import config as broker_config
from ambergate.services.keybroker import operations as broker_operations
from ambergate.services.keybroker.trust import TrustedIssuers
from ambergate.services.web.openapi import served
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

DOCS = Path(__file__).resolve().parents[2] / "docs" / "openapi"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("whole")) as system:
        yield system


def routes(app: Starlette) -> set[tuple[str, str]]:
    return served([route for route in app.routes if isinstance(route, Route)])


def test_every_route_of_the_attestation_service_is_told(tmp_path: Path) -> None:
    made = make_server_certificate(["127.0.0.1"], AT)
    (tmp_path / "cert.pem").write_text(made.cert_pem)
    (tmp_path / "key.pem").write_text(made.key_pem)
    new_platform(tmp_path)
    config = configure(tmp_path, TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem"))
    with attestation.open_state(config, at=AT) as state:
        app = attestation.create_app(config, state, directory_roots(config), now=Clock())
    assert routes(app) == set(attestation_operations.OPERATIONS)


def test_every_route_of_the_broker_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": []}')
    text = '[listen]\nport = 1\ncertificate = "c"\nkey = "k"\n'
    text += '[store]\ndatabase = "b.sqlite"\nkey_encryption_key = "b.kek"\n'
    (tmp_path / "broker.toml").write_text(text + '[[issuers]]\nissuer = "i"\njwks_file = "keys.json"\n')
    with broker.open_state(broker_config.load(tmp_path / "broker.toml"), now=Clock()) as state:
        app = broker.create_app(state, TrustedIssuers([]), now=Clock(), options=OPTIONS)
    assert routes(app) == set(broker_operations.OPERATIONS)


def test_the_services_serve_what_is_kept(system: Whole) -> None:
    for name, process in (("attestation", system.attestation), ("keybroker", system.broker)):
        with system.client(process) as client:
            told: dict[str, Any] = client.get("/openapi.json").json()
        assert told == json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
        assert told["openapi"] == "3.1.0"


def test_every_answer_is_as_documented(system: Whole) -> None:
    """`make openapi-fuzz` asks ten times as much."""
    outcome = fuzz(system, calls=1, seed=7, examples=3)
    assert outcome.faults == []
    assert outcome.calls > 1000
    assert {"200", "201", "204", "400", "401", "404", "405", "415"} <= set(outcome.statuses)
