"""What an API key sets for the tokens of a client that cannot ask: request, then key, then endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from tests.integration.attestation.scene import AT, ENCLAVE, Service, b64

from ambergate.services.attestation.app import open_api_keys
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable

V1, V2, OLD = "/appraisal/v1/attest", "/appraisal/v2/attest", "/appraisal/v1/appraise"
AZURE = "/attest/SgxEnclave?api-version=2022-08-01"


@pytest.fixture
def key_with(service: Service) -> Callable[..., str]:
    """A key of its own in the running service's database."""

    def make(**terms: str) -> str:
        with open_api_keys(service.folder / "attestation.sqlite") as keys:
            return keys.create("picky client", at=AT, terms=Terms(**terms))[1]  # type: ignore[arg-type]

    return make


def token(service: Service, key: str, path: str = V1, **more: str) -> str:
    body = {"quote": b64(service.platform.quote(ENCLAVE, bytes(64))), **more}
    answer = service.attest(body, path=path, **{"x-api-key": key})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def claims(text: str) -> dict[str, object]:
    return dict(jwt.decode(text, options={"verify_signature": False}))


@pytest.mark.parametrize(("profile", "version"), [("v2", "2.0.0"), ("amber-2022", "1.0"), ("slim", "1.0.0")])
@pytest.mark.parametrize("path", [V1, V2, OLD])
def test_a_key_goes_before_the_endpoint(
    service: Service, key_with: Callable[..., str], profile: str, version: str, path: str
) -> None:
    told = claims(token(service, key_with(profile=profile), path))
    assert told["ver"] == version
    assert "sgx_collateral" not in told
    assert told["tee_simulated"] is True


def test_a_request_goes_before_the_key(service: Service, key_with: Callable[..., str]) -> None:
    assert claims(token(service, key_with(profile="amber-2022"), token_profile="v2"))["ver"] == "2.0.0"


def test_azures_endpoint_has_its_own_profile_and_algorithm(service: Service, key_with: Callable[..., str]) -> None:
    text = token(service, key_with(profile="slim", default_algorithm="ES256"), AZURE)
    assert claims(text)["x-ms-ver"] == "1.0"
    assert jwt.get_unverified_header(text)["alg"] == "RS256"


def test_a_slim_key_is_all_that_the_oldest_client_needs(service: Service, key_with: Callable[..., str]) -> None:
    body = {"quote": b64(service.platform.quote(ENCLAVE, bytes(64)))}
    answer = service.attest(body, **{"x-api-key": key_with(profile="slim")})
    assert len(answer.content) <= 4095
