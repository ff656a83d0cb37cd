"""The running application of the tests beside this file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route
from tests.unit.web.site import ERRORS, Site, echo, failing, raising

from ambergate.services.web.application import build
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from collections.abc import Iterator


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    folder = tmp_path_factory.mktemp("tls")
    made = make_server_certificate(["127.0.0.1", "localhost"], datetime.now(UTC))
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)
    return TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="module")
def site(tls_files: TlsFiles) -> Iterator[Site]:
    routes = [Route(f"/error/{name}", raising(error)) for name, error in ERRORS.items()]
    routes += [Route("/echo", echo, methods=["POST"]), *health_routes(Readiness({"disk": lambda: None}, now=now))]
    with running(build(routes), tls_files) as port:
        yield Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))


@pytest.fixture
def unhealthy(tls_files: TlsFiles) -> Iterator[Site]:
    with running(build(health_routes(Readiness({"disk": failing}, now=now))), tls_files) as port:
        yield Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))
