"""API keys over real sockets: what each scope opens, rates, ends, and what a key sets for its holder's requests."""

from __future__ import annotations

import contextlib
import ssl
import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import jwt
import pytest
from tests.integration.attestation.scene import (
    AT,
    Service,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.services.attestation.app import State, open_state
from ambergate.services.attestation.memory import REFRESH, TRUST
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles
    from ambergate.stores.api_keys import ApiKey


@pytest.fixture(scope="module")
def opened(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, State]]:
    folder = tmp_path_factory.mktemp("keys")
    platform = new_platform(folder)
    config = configure(folder, tls)
    with open_state(config, at=AT) as state, serving(config, state, directory_roots(config), platform) as service:
        yield service, state


@pytest.fixture
def service(opened: tuple[Service, State]) -> Iterator[Service]:
    """The clock of this one goes on from test to test: one that goes back has the keys read again."""
    yield opened[0]
    opened[0].clock.instant += timedelta(minutes=1)


@pytest.fixture
def state(opened: tuple[Service, State]) -> State:
    return opened[1]


@contextlib.contextmanager
def holder(service: Service, state: State, terms: Terms) -> Iterator[tuple[httpx.Client, ApiKey]]:
    """Somebody with a new key, which the service knows of by now."""
    key, text = state.api_keys.create("somebody", at=AT, terms=terms)
    service.clock.instant += REFRESH
    context = ssl.create_default_context(cafile=str(service.ca))
    with httpx.Client(
        base_url=service.client.base_url, verify=context, trust_env=False, headers={"x-api-key": text}
    ) as client:
        yield client, key


ROUTES = {
    "attest": [
        *(("GET", f"/appraisal/{name}") for name in ("v1/nonce", "v2/nonce", "v1/version")),
        *(("POST", f"/appraisal/{name}") for name in ("v1/attest", "v1/appraise", "v2/attest", "v2/attest/azure")),
        ("POST", "/attest/SgxEnclave?api-version=2022-08-01"),
    ],
    "manage": [
        *((method, "/management/v1/policies") for method in ("GET", "POST")),
        *((method, f"/management/v1/policies/{UUID(int=9)}") for method in ("GET", "PUT", "DELETE")),
    ],
}
OPEN = [
    *(("GET", f"/{name}") for name in ("certs", "certs/es256", "crl/root-ca-crl.der", "crl/ats-ca-crl.der", "healthz")),
    *(("GET", f"/{name}") for name in ("eat_profile.html", ".well-known/openid-configuration")),
]


@pytest.mark.parametrize("scopes", [{"attest"}, {"manage"}, {"attest", "manage"}])
def test_each_scope_opens_its_own_routes(service: Service, state: State, scopes: set[str]) -> None:
    """A key of another scope is told so by 403; one that is not known gets 401; what is open is open to all."""
    with holder(service, state, Terms(scopes=frozenset(scopes))) as (client, _):
        for scope, routes in ROUTES.items():
            for method, path in routes:
                answer = client.request(method, path, json=service.evidence(None) if method == "POST" else None)
                if scope in scopes:
                    assert answer.status_code not in {401, 403}, path
                    continue
                assert answer.status_code == 403, path
                if path.startswith("/attest/"):
                    continue  # Azure's clients read errors in a shape of their own
                told = answer.json()
                assert told["code"] == "not-permitted"
                assert told["error"] == told["message"]
                assert (told["seen"], told["wanted"]) == (f"a key to {scopes.copy().pop()}", f"a key to {scope}")
        for routes in ROUTES.values():
            for method, path in routes:
                assert client.request(method, path, headers={"x-api-key": "unknown"}).status_code == 401
        for method, path in OPEN:
            assert client.request(method, path, headers={"x-api-key": ""}).status_code == 200


def test_a_revoked_key_has_ended_within_five_seconds(service: Service, state: State) -> None:
    with holder(service, state, Terms()) as (client, key):
        assert client.get("/appraisal/v1/nonce").status_code == 200
        state.api_keys.revoke(key.id, at=service.clock.instant)
        service.clock.instant += TRUST
        answer = client.get("/appraisal/v1/nonce")
        assert (answer.status_code, answer.json()["code"]) == (401, "bad-api-key")


def test_a_key_ends_by_itself(service: Service, state: State) -> None:
    ends = service.clock.instant + timedelta(seconds=30)
    with holder(service, state, Terms(expires_at=ends)) as (client, _):
        service.clock.instant = ends - timedelta(milliseconds=1)
        assert client.get("/appraisal/v1/nonce").status_code == 200
        service.clock.instant = ends
        assert client.get("/appraisal/v1/nonce").status_code == 401


def test_who_asks_too_often_is_told_when_to_come_back(service: Service, state: State) -> None:
    with holder(service, state, Terms(rate=0.1, burst=2)) as (client, _):
        for _ in range(2):
            assert client.get("/appraisal/v1/nonce").status_code == 200
        answer = client.post("/appraisal/v1/attest", json=service.evidence(None))
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "10"
        told = answer.json()
        assert told["message"] == told["error"] == "Too many requests, limit exceeded."
        assert told["wanted"] == "at most 0.1 requests per second, 2 at once"
        assert service.client.get("/appraisal/v1/nonce").status_code == 200, "others are not held up"
        service.clock.instant += timedelta(seconds=10)
        assert client.get("/appraisal/v1/nonce").status_code == 200


def test_many_at_once_do_not_get_more_than_the_rate(service: Service, state: State) -> None:
    statuses: list[int] = []
    with holder(service, state, Terms(rate=0.01, burst=5)) as (client, _):
        threads = [
            threading.Thread(target=lambda: statuses.append(client.get("/appraisal/v1/version").status_code))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] * 5 + [429] * 15


def test_a_keys_algorithm_signs_where_the_request_names_none(service: Service, state: State) -> None:
    with holder(service, state, Terms(default_algorithm="ES256")) as (client, _):
        for named, signed in ((None, "ES256"), ("", "ES256"), ("RS256", "RS256")):
            body = {**service.evidence(None), "token_signing_alg": named}
            answer = client.post("/appraisal/v1/attest", json=body)
            assert jwt.get_unverified_header(answer.json()["token"])["alg"] == signed
    answer = service.attest(service.evidence(None))
    assert jwt.get_unverified_header(answer.json()["token"])["alg"] == "PS384", "where neither does"


def test_one_database_two_nodes(service: Service, state: State, tls: TlsFiles) -> None:
    """A key that one process makes opens the other's door; one that it revokes closes it within five seconds."""
    config = configure(service.folder, tls)
    with (
        open_state(config, at=AT) as other_state,
        serving(config, other_state, directory_roots(config), service.platform, clock=service.clock) as other,
        holder(service, state, Terms()) as (client, key),
    ):
        shown = {"x-api-key": client.headers["x-api-key"]}
        for each in (service.client, other.client):
            assert each.get("/appraisal/v1/nonce", headers=shown).status_code == 200
        other_state.api_keys.revoke(key.id, at=service.clock.instant)
        service.clock.instant += TRUST
        for each in (service.client, other.client):
            assert each.get("/appraisal/v1/nonce", headers=shown).status_code == 401
