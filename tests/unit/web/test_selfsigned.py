"""The certificate for laptops and tests: clients accept it for its names, for its time, and for nothing else."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from ambergate.services.web.selfsigned import LIFETIME, ServerCertificate, make_server_certificate

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def made() -> ServerCertificate:
    return make_server_certificate(["amber.example", "127.0.0.1", "::1"], AT)


def believed(made: ServerCertificate, name: x509.DNSName | x509.IPAddress, at: datetime = AT) -> bool:
    """What a client that holds this authority makes of the server, by rules of the web (RFC 5280, CA/B Forum)."""
    store = Store([x509.load_pem_x509_certificate(made.ca_pem.encode())])
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(name)
    try:
        verifier.verify(x509.load_pem_x509_certificate(made.cert_pem.encode()), [])
    except VerificationError:
        return False
    return True


def test_it_is_for_its_names_and_addresses(made: ServerCertificate) -> None:
    assert believed(made, x509.DNSName("amber.example"))
    assert believed(made, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    assert believed(made, x509.IPAddress(ipaddress.ip_address("::1")))
    assert not believed(made, x509.DNSName("other.example"))
    assert not believed(made, x509.IPAddress(ipaddress.ip_address("127.0.0.2")))


def test_it_is_for_its_time(made: ServerCertificate) -> None:
    name = x509.DNSName("amber.example")
    assert believed(made, name, AT - timedelta(minutes=59)), "a client's clock may be behind"
    assert believed(made, name, AT + LIFETIME - timedelta(seconds=1))
    assert not believed(made, name, AT + LIFETIME + timedelta(seconds=1))
    short = make_server_certificate(["amber.example"], AT, lifetime=timedelta(hours=1))
    assert not believed(short, name, AT + timedelta(hours=2))


def test_another_authority_does_not_vouch_for_it(made: ServerCertificate) -> None:
    other = make_server_certificate(["amber.example"], AT)
    assert not believed(made._replace(ca_pem=other.ca_pem), x509.DNSName("amber.example"))


def test_the_key_is_the_servers_and_not_the_authoritys(made: ServerCertificate) -> None:
    certificate = x509.load_pem_x509_certificate(made.cert_pem.encode())
    authority = x509.load_pem_x509_certificate(made.ca_pem.encode())
    key = load_pem_private_key(made.key_pem.encode(), None)
    assert certificate.public_key() == key.public_key()
    assert authority.public_key() != key.public_key()
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_every_one_is_another() -> None:
    one, two = (make_server_certificate(["localhost"], AT) for _ in range(2))
    assert one.key_pem != two.key_pem
    assert one.ca_pem != two.ca_pem
