"""Named policies as clients meet them: by id in the request, told in the token, and each client's own way to refuse."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.attestation.managed import DOES_NOT, MATCHES, Managed, managed
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, SIMULATED
from tests.integration.clients.network import Network
from tests.integration.clients.test_go import Client as Go
from tests.integration.clients.test_gramine import INTELS, SPKI, ra_tls_quote
from tests.integration.clients.test_gramine import Client as RaTls
from tests.integration.clients.test_python import Client as Python
from tests.integration.clients.test_python import flat
from tests.integration.clients.test_trustee import Client as Trustee
from tests.integration.clients.test_trustee import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    """Under Intel's name, also of software platforms: or one of these clients would take nothing."""
    tokens = f'[tokens]\ninsecure_simulated_issuer = "{INTELS}"\n'
    with managed(tmp_path_factory.mktemp("client policies"), tls, SIMULATED + tokens) as site:
        yield site


@pytest.fixture(scope="module")
def ids(site: Managed) -> dict[str, str]:
    made = {"matches": site.made("matches", MATCHES), "does-not": site.made("does-not", DOES_NOT)}
    site.known()
    return {name: str(policy["policy_id"]) for name, policy in made.items()}


@pytest.fixture
def network(site: Managed) -> Network:
    return Network(site.service, site.service.ca)


def test_python_gets_a_token_whatever_matches(site: Managed, ids: dict[str, str], network: Network) -> None:
    client = Python(network)
    body = flat(site.service.platform.quote(ENCLAVE, bytes(64)), None, policy_ids=list(ids.values()))
    claims = client.verify(client.post("/appraisal/v1/attest", body).object()["token"])
    assert [each["id"] for each in claims["policy_ids_matched"]] == [ids["matches"]]
    assert [each["id"] for each in claims["policy_ids_unmatched"]] == [ids["does-not"]]
    assert set(claims["policy_ids_matched"][0]) == {"id", "version", "hash"}


def test_go_asks_that_all_must_match(site: Managed, ids: dict[str, str], network: Network) -> None:
    client = Go(network)
    quote = b64encode(site.service.platform.quote(ENCLAVE, bytes(64))).decode()
    body: dict[str, Any] = {"policy_must_match": True, "sgx": {"quote": quote, "runtime_data": None}}
    claims = client.verify(client.token("/appraisal/v2/attest", {**body, "policy_ids": [ids["matches"]]}))
    assert [each["id"] for each in claims["policy_ids_matched"]] == [ids["matches"]]
    content = json.dumps({**body, "policy_ids": list(ids.values())}).encode()
    headers = [("x-api-key", site.service.api_key), ("content-type", "application/json")]
    answer = network.exchange("POST", f"{BASE_URL}/appraisal/v2/attest", [*headers, ("accept", "*/*")], content)
    assert answer.status == 400, "which no client tries again"
    assert "does-not" in answer.object()["error"], "clients show nothing but this member"


def test_ra_tls_takes_what_matches_alone(site: Managed, ids: dict[str, str], network: Network) -> None:
    client, quote = RaTls(network), ra_tls_quote(site.service)
    claims = client.attest(quote, SPKI, policy_ids=[ids["matches"]])
    assert "policy_ids_unmatched" not in claims
    with pytest.raises(AssertionError, match=ids["does-not"]):
        client.attest(quote, SPKI, policy_ids=list(ids.values()))


def test_trustee_refuses_by_the_mere_presence(site: Managed, ids: dict[str, str], network: Network) -> None:
    client = Trustee(network)
    body = evidence(site.service, "sgx")
    assert client.verify(client.post("/appraisal/v1/attest", {**body, "policy_ids": [ids["matches"]]}))
    with pytest.raises(AssertionError, match="mere presence"):
        client.verify(client.post("/appraisal/v1/attest", {**body, "policy_ids": [ids["does-not"]]}))


def test_a_slim_token_tells_them_too(site: Managed, ids: dict[str, str], network: Network) -> None:
    client = Python(network)
    body = flat(site.service.platform.quote(ENCLAVE, bytes(64)), None, policy_ids=list(ids.values()))
    answer = client.post("/appraisal/v1/attest", {**body, "token_profile": "slim"})
    assert len(answer.body) <= 4095
    assert [each["id"] for each in client.verify(answer.object()["token"])["policy_ids_unmatched"]] == [ids["does-not"]]
