"""[gc] Gramine's contributed RA-TLS library for Intel Trust Authority: no nonce, one algorithm, one issuer's name."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, ISSUER
from tests.integration.attestation.test_issuer import service_with
from tests.integration.clients import chain
from tests.integration.clients.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Headers

    from ambergate.services.web.server import TlsFiles

INTELS: Final = "Intel Trust Authority"
# What it takes of a platform's status, each by name; others it refuses.
STATUSES: Final = {
    *("UpToDate", "SWHardeningNeeded", "ConfigurationNeeded"),
    *("ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
}
PUBLIC_KEY: Final = ec.derive_private_key(1234567, ec.SECP384R1()).public_key()
SPKI: Final = PUBLIC_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Client:
    """The verifying side of RA-TLS."""

    network: Network
    portal: str = BASE_URL

    def attest(self, quote: bytes, data: bytes, *, policy_ids: Sequence[str] = ()) -> dict[str, Any]:
        """`quote` and `runtime_data` in base64url without padding; policy ids from its environment."""
        key = f"x-api-key: {self.network.service.api_key}"
        assert len(key) < 256
        headers: Headers = [("Accept", "application/json"), ("Content-Type", "application/json")]
        body = {"quote": raw_url(quote), "runtime_data": raw_url(data), "policy_ids": list(policy_ids)}
        answer = self.network.exchange(
            "POST",
            f"{BASE_URL}/appraisal/v1/attest",
            [*headers, ("x-api-key", self.network.service.api_key)],
            json.dumps(body).encode(),
        )
        assert answer.status == 200, answer.body
        return self.verify(answer.object()["token"], quote)

    def verify(self, token: str, quote: bytes) -> dict[str, Any]:
        at = self.network.service.clock.instant.timestamp()
        header = jwt.get_unverified_header(token)
        assert (header["alg"], header["typ"]) == ("PS384", "JWT")
        assert header["jku"] == f"{self.portal}/certs"
        answer = self.network.exchange("GET", header["jku"], [("Content-Type", "application/json")])
        entry = next(key for key in answer.object()["keys"] if key["kid"] == header["kid"])
        claims = chain.decoded(token, chain.certificates(entry)[0].public_key(), ["PS384"])
        assert claims["iss"] == INTELS
        assert claims["ver"] == "1.0.0"
        assert claims["nbf"] - 60 <= at < claims["exp"]
        assert claims["attester_tcb_status"] in STATUSES
        unmatched = claims.get("policy_ids_unmatched", [])
        assert isinstance(unmatched, list), "null is no array"
        assert unmatched == []
        for name, size in (("sgx_mrenclave", 64), ("sgx_mrsigner", 64), ("sgx_report_data", 128)):
            assert len(claims[name]) == size
        for name in ("sgx_isvprodid", "sgx_isvsvn"):
            assert type(claims[name]) is int
        assert claims["sgx_is_debuggable"] is False
        body = quote[48:432]
        assert claims["sgx_report_data"] == body[320:384].hex()
        assert claims["sgx_mrenclave"] == body[64:96].hex()
        return claims


def raw_url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def ra_tls_quote(service: Service) -> bytes:
    return service.platform.quote(ENCLAVE, hashlib.sha256(SPKI).digest() + bytes(32))


@pytest.fixture(scope="module")
def named(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service about hardware under Intel's name: `[tokens] issuer`."""
    tokens = f'[tokens]\nissuer = "{INTELS}"\n'
    with service_with(tokens, tls, tmp_path_factory, hardware=True) as service:
        yield service


def test_ra_tls_with_the_name_set(named: Service) -> None:
    claims = Client(Network(named, named.ca)).attest(ra_tls_quote(named), SPKI)
    assert claims["attester_held_data"] == b64encode(SPKI).decode()
    assert "verifier_nonce" not in claims
    assert "tee_simulated" not in claims


def test_without_the_setting_it_refuses(service: Service, network: Network) -> None:
    """And so it refuses every token about a software platform: it would not see that it is one."""
    with pytest.raises(AssertionError) as caught:
        Client(network).attest(ra_tls_quote(service), SPKI)
    assert ISSUER in str(caught.value)


def test_software_platforms_need_the_insecure_setting(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    tokens = f'[tokens]\nissuer = "{INTELS}"\n'
    with service_with(tokens, tls, tmp_path_factory) as service, pytest.raises(AssertionError, match="simulated"):
        Client(Network(service, service.ca)).attest(ra_tls_quote(service), SPKI)
    insecure = f'[tokens]\ninsecure_simulated_issuer = "{INTELS}"\n'
    with service_with(insecure, tls, tmp_path_factory) as service:
        claims = Client(Network(service, service.ca)).attest(ra_tls_quote(service), SPKI)
        assert claims["tee_simulated"] is True


def test_another_portal_is_not_the_tokens(named: Service) -> None:
    with pytest.raises(AssertionError):
        Client(Network(named, named.ca), portal=f"{BASE_URL}/portal").attest(ra_tls_quote(named), SPKI)
