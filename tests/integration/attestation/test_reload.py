"""Certificate and policy are changed under load, by SIGHUP to the service: no request notices."""

from __future__ import annotations

import signal
from itertools import cycle, islice
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from tests.integration.attestation.operated import Operated, asking, operated
from tests.integration.attestation.scene import ENCLAVE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from ambergate.services.web.selfsigned import ServerCertificate

CHANGES = 20
SOMEBODY = "ab" * 32


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Operated]:
    with operated(tmp_path) as running:
        yield running


def serial(certificate: ServerCertificate) -> int:
    return x509.load_pem_x509_certificate(certificate.cert_pem.encode()).serial_number


def in_force(service: Operated, client: httpx.Client, number: int, status: int) -> None:
    service.until(lambda: service.shown() == number)
    service.until(lambda: service.attested(client).status_code == status)


def test_no_request_is_lost_while_certificate_and_policy_change(service: Operated) -> None:
    with asking(service) as answers, service.client() as client:
        assert service.attested(client).status_code == 200
        turns = cycle(
            [(service.certificates[1], SOMEBODY, 400), (service.certificates[0], ENCLAVE.mr_enclave.hex(), 200)]
        )
        for certificate, welcome, status in islice(turns, CHANGES):
            service.certify(certificate)
            service.configure(welcome=welcome)
            service.tell(signal.SIGHUP)
            in_force(service, client, serial(certificate), status)
    assert set(answers) == {200}
    assert len(answers) > CHANGES
    assert service.log().count("is in force") == CHANGES
    service.tell(signal.SIGTERM)
    assert service.process.wait(30) == 0


def test_what_cannot_be_used_changes_nothing_and_is_told(service: Operated) -> None:
    service.put("attestation.toml", "prot = 1\n" + (service.folder / "attestation.toml").read_text())
    service.tell(signal.SIGHUP)
    with service.client() as client:
        service.until(lambda: client.get("/healthz").status_code == 200 and "is not taken" in service.log())
        assert "prot" in service.log()
        assert service.attested(client).status_code == 200
        service.configure(welcome=SOMEBODY)
        service.put("key.pem", service.certificates[1].key_pem)
        service.tell(signal.SIGHUP)
        service.until(lambda: client.get("/healthz").status_code == 200 and service.log().count("is not taken") == 2)
        assert "certificate and key cannot be used" in service.log()
        assert service.attested(client).status_code == 200, "neither the certificate nor the policy"
    assert service.shown() == serial(service.certificates[0])


def test_what_takes_a_restart_is_told_and_the_rest_is_in_force(service: Operated) -> None:
    service.configure(welcome=SOMEBODY, port=1, more='[audit]\ncheckpoint = "elsewhere"\n')
    service.tell(signal.SIGHUP)
    with service.client() as client:
        service.until(lambda: service.attested(client).status_code == 400)
    for name in ("listen.port", "audit.checkpoint"):
        assert f"{name} was changed: that takes a restart" in service.log()
    assert not (service.folder / "elsewhere").exists()
