"""A key broker and an issuer's key set on real TLS sockets."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from tests.integration.keybroker.forge import ISSUER, Forge, jwk, rsa_key
from tests.integration.keybroker.scene import Broker, KeySetServer, running_broker

from ambergate.services.keybroker.fetch import KeySetUrl
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND_KEY_SET = json.dumps({"keys": [jwk(rsa_key().public_key(), "b2" * 48, "PS384")]})


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for 127.0.0.1, its authority beside it as ca.pem."""
    folder = tmp_path_factory.mktemp("tls")
    # The sockets are real and so is their clock: this certificate is valid today, not at the tests' instant.
    made = make_server_certificate(["127.0.0.1", "localhost"], datetime.now().astimezone())
    (folder / "cert.pem").write_text(made.cert_pem)
    (folder / "key.pem").write_text(made.key_pem)
    (folder / "ca.pem").write_text(made.ca_pem)
    return TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="session")
def ca(tls: TlsFiles) -> Path:
    return tls.certificate.with_name("ca.pem")


@pytest.fixture(scope="session")
def key_set_server(forge: Forge, tls: TlsFiles) -> Iterator[str]:
    """The URL of the issuer's key set."""
    with running(KeySetServer(forge.key_set()).app(), tls) as port:
        yield f"https://127.0.0.1:{port}/certs"


@pytest.fixture(scope="session")
def broker(key_set_server: str, tls: TlsFiles, ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Trusts the forge's issuer, a second one, and the first one's laboratory, simulations included."""
    keys = IssuerKeys(KeySetUrl(key_set_server, cacerts=ca))
    trust = TrustedIssuers(
        [
            TrustedIssuer(issuer=ISSUER, keys=keys),
            TrustedIssuer(issuer=f"{ISSUER}/second", keys=IssuerKeys(lambda: SECOND_KEY_SET)),
            TrustedIssuer(issuer=f"{ISSUER}/lab", keys=keys, accept_simulated=True),
        ]
    )
    with running_broker(trust, tls, tmp_path_factory.mktemp("broker")) as broker:
        yield broker
