"""The background check over real TLS: a workload brings evidence, the broker asks a running attestation service."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.attestation.managed import DOES_NOT, MATCHES, Managed, managed
from tests.integration.attestation.scene import ENCLAVE, ISSUER, bound
from tests.integration.attestation.test_tdx import td_bound
from tests.integration.keybroker.scene import PASSWORDS, SECRET, Broker, running_broker

from ambergate.client.settings import ApiKey, parse_url
from ambergate.client.transport import Peer
from ambergate.core.release.envelope import Tee, encode_held_key, open_sealed
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.keybroker.app import Options
from ambergate.services.keybroker.background import AttestationClient
from ambergate.services.keybroker.fetch import KeySetUrl
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.limits import Limits
from ambergate.services.web.rates import Rate
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from ambergate.services.web.server import TlsFiles

WORKLOAD = rsa.generate_private_key(65537, 3072)
TD = TdIdentity.of_image([b"a trust domain"])
SGX_KEY, TDX_KEY, NAMED_KEY, REFUSING_KEY = (UUID(int=number) for number in range(1, 5))
SGX_POLICY = {"mr_enclave": [ENCLAVE.mr_enclave.hex()], "insecure_accept_simulated": True}


@dataclass
class Place:
    """Attestation service and broker, on one clock."""

    site: Managed
    broker: Broker

    def ask(self, key_id: UUID, **more: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        return self.broker.client.post(f"/kbs/v1/keys/{key_id}/transfer", **more)

    def evidence(self, tee: Tee, nonce: dict[str, str]) -> dict[str, Any]:
        """What an honest workload brings, by the names of Intel's broker."""
        data = encode_held_key(WORKLOAD.public_key(), tee=tee)
        platform = self.site.service.platform
        if tee == "SGX":
            quote = platform.quote(ENCLAVE, bound(nonce, data))
        else:
            quote = platform.td_quote(TD, td_bound(nonce, data))
        return {"quote": b64(quote), "nonce": nonce, "user_data": b64(data)}


def b64(octets: bytes) -> str:
    return b64encode(octets).decode()


@pytest.fixture(scope="module")
def place(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with managed(tmp_path_factory.mktemp("verifier"), tls) as site:
        url = parse_url("verifier.url", f"https://127.0.0.1:{site.service.port}/appraisal/v1/")
        assert url is not None
        peer = Peer(url=url, addresses=(), roots=site.service.ca.read_text(), timeout=20)
        verifier = AttestationClient(peer, ApiKey(site.service.api_key))
        keys = IssuerKeys(KeySetUrl(f"https://127.0.0.1:{site.service.port}/certs", cacerts=site.service.ca))
        trust = TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys, accept_simulated=True)])
        options = Options(passwords=PASSWORDS, verifier=verifier)
        with running_broker(trust, tls, tmp_path_factory.mktemp("broker"), options=options) as broker:
            policies = [site.made("handshake-yes", MATCHES), site.made("handshake-no", DOES_NOT)]
            site.known()
            broker.clock.instant = site.service.clock.instant
            named, refusing = ({**SGX_POLICY, "policy_ids_matched": [each["policy_id"]]} for each in policies)
            tdx = {"mr_td": [TD.mr_td.hex()], "insecure_accept_simulated": True, "tcb_statuses": ["UpToDate"]}
            for key_id, policy in zip(
                (SGX_KEY, TDX_KEY, NAMED_KEY, REFUSING_KEY), (SGX_POLICY, tdx, named, refusing), strict=True
            ):
                broker.store.add(key_id, SECRET, ResourcePolicy.from_mapping(policy), at=broker.clock.instant)
            yield Place(site, broker)
        verifier.close()


def opened(response: httpx.Response) -> bytes:
    body = response.json()
    assert set(body) == {"wrapped_key", "wrapped_swk"}
    return open_sealed(WORKLOAD, *(b64decode(body[name], validate=True) for name in ("wrapped_key", "wrapped_swk")))


@pytest.mark.parametrize(("key_id", "tee"), [(SGX_KEY, "SGX"), (TDX_KEY, "TDX"), (NAMED_KEY, "SGX")])
def test_evidence_becomes_a_key_in_two_steps(place: Place, key_id: UUID, tee: Tee) -> None:
    """Nothing, and a nonce comes back with what to bring; then the evidence, and the key."""
    first = place.ask(key_id)
    assert (first.status_code, first.headers["attestation-type"]) == (200, tee)
    assert set(first.json()) == {"val", "iat", "signature"}
    second = place.ask(key_id, json=place.evidence(tee, first.json()), headers={"attestation-type": tee})
    assert second.status_code == 200, second.text
    assert second.headers["attestation-type"] == ""
    assert opened(second) == SECRET
    record = place.broker.decisions[-1]
    assert (record["verdict"], record["token"]["attester_type"], record["key_id"]) == ("released", tee, str(key_id))


def test_a_key_that_is_not_there(place: Place) -> None:
    assert place.ask(UUID(int=99)).status_code == 404
    evidence = place.evidence("SGX", place.ask(SGX_KEY).json())
    assert place.ask(UUID(int=99), json=evidence, headers={"attestation-type": "SGX"}).status_code == 404
    assert place.broker.decisions[-1]["code"] == "unknown-key"


def test_whose_fault_it_is_is_told_apart(place: Place) -> None:
    """Bad evidence, another kind of it, a policy of the attestation service: each is refused and written down."""
    nonce = place.ask(SGX_KEY).json()
    good = place.evidence("SGX", nonce)
    header = {"attestation-type": "SGX"}
    other_key = b64(encode_held_key(rsa.generate_private_key(65537, 3072).public_key()))
    swapped = place.ask(SGX_KEY, json={**good, "user_data": other_key}, headers=header)
    assert (swapped.status_code, "report_data" in swapped.json()["step"]) == (400, True)
    kind = place.ask(TDX_KEY, json=good, headers=header)
    assert (kind.status_code, kind.json()["code"]) == (401, "attester-type")
    pretended = place.ask(TDX_KEY, json=good, headers={"attestation-type": "TDX"})
    assert (pretended.status_code, pretended.json()["code"]) == (401, "attester-type")
    refused = place.ask(REFUSING_KEY, json=good, headers=header)
    assert refused.status_code == 401
    assert [each["rule"] for each in refused.json()["mismatches"]] == ["policy_ids_matched"]
    assert [each["verdict"] for each in place.broker.decisions[-4:]] == ["refused"] * 4


@pytest.mark.parametrize(
    "change",
    [
        {"quote": None},
        {"nonce": None},
        {"user_data": None},
        {"user_data": ""},
        {"quote": "not base64!"},
        {"nonce": {"val": "AA=="}},
        {"nonce": {"val": 1, "iat": "", "signature": ""}},
        {"more": 1},
    ],
)
def test_evidence_that_is_not_whole(place: Place, change: dict[str, Any]) -> None:
    body = {**place.evidence("SGX", place.ask(SGX_KEY).json()), **change}
    assert place.ask(SGX_KEY, json=body, headers={"attestation-type": "SGX"}).status_code == 400


def test_what_is_neither_token_nor_evidence(place: Place) -> None:
    header = {"attestation-type": "SGX"}
    assert place.ask(SGX_KEY, json={}).status_code == 400
    assert place.ask(SGX_KEY, headers=header).status_code == 400
    assert place.ask(SGX_KEY, headers={"attestation-type": "SEV"}).status_code == 400
    assert place.ask(SGX_KEY, json=place.evidence("SGX", place.ask(SGX_KEY).json())).status_code == 400
    assert place.ask(SGX_KEY, content=b"x", headers={**header, "content-type": "text/plain"}).status_code == 415


def test_nobody_asks_without_limit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = Options(passwords=PASSWORDS, transfer_rate=Rate(1, 3))
    with running_broker(TrustedIssuers([]), tls, tmp_path_factory.mktemp("limited"), options=options) as broker:
        statuses = [broker.transfer("a.b.c").status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        refused = broker.transfer("a.b.c")
        assert (refused.headers["retry-after"], refused.json()["code"]) == ("1", "too-many-requests")


def test_nor_of_one_address_on_all_routes(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = Options(passwords=PASSWORDS, limits=Limits(rate=Rate(1, 2)))
    with running_broker(TrustedIssuers([]), tls, tmp_path_factory.mktemp("limited"), options=options) as broker:
        assert [broker.client.get("/healthz").status_code for _ in range(3)] == [200, 200, 429]
        assert broker.transfer("a.b.c").json()["code"] == "too-many-requests-from-address"
