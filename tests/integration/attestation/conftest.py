"""One running service for most tests; each puts back what it turns."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from tests.integration.attestation.scene import AT, Service, started

from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for 127.0.0.1, its authority beside it as ca.pem."""
    folder = tmp_path_factory.mktemp("tls")
    # The sockets are real and so is their clock: this certificate is valid today, not at the tests' instant.
    made = make_server_certificate(["127.0.0.1", "localhost"], datetime.now().astimezone())
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)
    return TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="session")
def running_service(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with started(tmp_path_factory.mktemp("service"), tls) as service:
        yield service


@pytest.fixture
def service(running_service: Service) -> Iterator[Service]:
    yield running_service
    running_service.clock.instant = AT
