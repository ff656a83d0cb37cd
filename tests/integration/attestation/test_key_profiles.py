"""What an API key sets for the tokens of a client that cannot ask: request, then key, then endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
import pytest
from tests.integration.attestation.scene import (
    AT,
    ENCLAVE,
    Service,
    b64,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.services.attestation.app import open_state
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles

V1, V2, OLD = "/appraisal/v1/attest", "/appraisal/v2/attest", "/appraisal/v1/appraise"
AZURE = "/attest/SgxEnclave?api-version=2022-08-01"
TERMS = {
    "v2": Terms(profile="v2"),
    "amber-2022": Terms(profile="amber-2022"),
    "slim": Terms(profile="slim"),
    "slim, ES256": Terms(profile="slim", default_algorithm="ES256"),
}


@dataclass(frozen=True)
class Scene:
    """A service, and its keys by their terms."""

    service: Service
    keys: dict[str, str]


@pytest.fixture(scope="module")
def scene(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("key profiles")
    platform = new_platform(folder)
    config = configure(folder, tls)
    with open_state(config, at=AT) as state:
        keys = {name: state.api_keys.create(name, at=AT, terms=terms)[1] for name, terms in TERMS.items()}
        with serving(config, state, directory_roots(config), platform) as service:
            yield Scene(service, keys)


def token(scene: Scene, key: str, path: str = V1, **more: str) -> str:
    service = scene.service
    body = {"quote": b64(service.platform.quote(ENCLAVE, bytes(64))), **more}
    answer = service.attest(body, path=path, **{"x-api-key": scene.keys[key]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def claims(text: str) -> dict[str, object]:
    return dict(jwt.decode(text, options={"verify_signature": False}))


@pytest.mark.parametrize(("profile", "version"), [("v2", "2.0.0"), ("amber-2022", "1.0"), ("slim", "1.0.0")])
@pytest.mark.parametrize("path", [V1, V2, OLD])
def test_a_key_goes_before_the_endpoint(scene: Scene, profile: str, version: str, path: str) -> None:
    told = claims(token(scene, profile, path))
    assert told["ver"] == version
    assert "sgx_collateral" not in told
    assert told["tee_simulated"] is True


def test_a_request_goes_before_the_key(scene: Scene) -> None:
    assert claims(token(scene, "amber-2022", token_profile="v2"))["ver"] == "2.0.0"


def test_azures_endpoint_has_its_own_profile_and_algorithm(scene: Scene) -> None:
    text = token(scene, "slim, ES256", AZURE)
    assert claims(text)["x-ms-ver"] == "1.0"
    assert jwt.get_unverified_header(text)["alg"] == "RS256"


def test_a_slim_key_is_all_that_the_oldest_client_needs(scene: Scene) -> None:
    service = scene.service
    body = {"quote": b64(service.platform.quote(ENCLAVE, bytes(64)))}
    answer = service.attest(body, **{"x-api-key": scene.keys["slim"]})
    assert len(answer.content) <= 4095
