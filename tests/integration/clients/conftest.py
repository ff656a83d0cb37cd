"""A running service under a public name, as clients are pointed at it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.attestation.scene import AT, Service, configure, directory_roots, new_platform, serving
from tests.integration.clients.network import Network

from ambergate.services.attestation.app import open_state
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for the public name and for 127.0.0.1, its authority beside it."""
    folder = tmp_path_factory.mktemp("tls")
    made = make_server_certificate(["attest.example", "127.0.0.1"], datetime.now().astimezone())
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)
    return TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="session")
def running_service(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Its keys were rotated two minutes ago: beside the one that signs, one has retired and one stands by."""
    folder = tmp_path_factory.mktemp("clients")
    platform = new_platform(folder)
    config = configure(folder, tls)
    with open_state(config, at=AT - timedelta(days=1)) as state:
        for days in (0.5, 0):
            state.token_keys.keep_up(AT - timedelta(days=days), config.key_rules)
            if days:
                state.token_keys.rotate(AT - timedelta(minutes=2), config.key_rules)
        with serving(config, state, directory_roots(config), platform) as service:
            assert len(service.client.get("/certs").json()["keys"]) == 6
            yield service


@pytest.fixture
def service(running_service: Service) -> Iterator[Service]:
    yield running_service
    running_service.clock.instant = AT


@pytest.fixture
def network(service: Service) -> Network:
    return Network(service, service.ca)
