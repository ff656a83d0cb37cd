"""The broker's side of the background check, against a running attestation service over real TLS."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from tests.integration.attestation.managed import DOES_NOT, MATCHES, Managed, managed
from tests.integration.attestation.scene import ENCLAVE, ISSUER, bound

from ambergate.client.settings import ApiKey, parse_url
from ambergate.client.transport import Peer
from ambergate.core.errors import AmberError, Malformed, NotGenuine, NotWelcome, TimedOut, TooLarge, Unavailable
from ambergate.core.token.check import check_token
from ambergate.services.keybroker.background import MAX_IDLE, MAX_POLICY_IDS, MAX_USER_DATA, AttestationClient
from ambergate.services.keybroker.ports import Evidence
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"the workload's public key"


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    with managed(tmp_path_factory.mktemp("verifier"), tls) as site:
        yield site


def peer(port: int, ca: Path, timeout: float = 20.0) -> Peer:
    url = parse_url("verifier.url", f"https://127.0.0.1:{port}/appraisal/v1/")
    assert url is not None
    return Peer(url=url, addresses=(), roots=ca.read_text(), timeout=timeout)


@pytest.fixture(scope="module")
def verifier(site: Managed) -> Iterator[AttestationClient]:
    client = AttestationClient(peer(site.service.port, site.service.ca), ApiKey(site.service.api_key))
    yield client
    client.close()


def evidence(site: Managed, verifier: AttestationClient, *, user_data: bytes = DATA) -> Evidence:
    """What an honest workload hands over, for a nonce that the broker had."""
    nonce = dict(verifier.nonce(request_id="r"))
    quote = site.service.platform.quote(ENCLAVE, bound(nonce, DATA))
    return Evidence(quote=quote, nonce=nonce, user_data=user_data)


def asked(verifier: AttestationClient, given: Evidence, *policy_ids: UUID) -> str:
    return verifier.token(given, policy_ids=policy_ids, request_id=str(uuid4()))


def test_good_evidence_becomes_a_token_that_its_issuer_signed(site: Managed, verifier: AttestationClient) -> None:
    given = evidence(site, verifier)
    token = asked(verifier, given)
    at = site.service.clock.instant
    claims = check_token(token, site.service.keys(), issuer=ISSUER, at=at, accept_simulated=True)
    assert claims.held_data == DATA
    assert claims.nonce == given.nonce


def test_policy_ids_are_handed_on_and_told_in_the_token(site: Managed, verifier: AttestationClient) -> None:
    made = [site.made("bg-yes", MATCHES), site.made("bg-no", DOES_NOT)]
    site.known()
    token = asked(verifier, evidence(site, verifier), *(UUID(each["policy_id"]) for each in made))
    at = site.service.clock.instant
    raw = check_token(token, site.service.keys(), issuer=ISSUER, at=at, accept_simulated=True).raw
    told = {name: [each["id"] for each in raw[f"policy_ids_{name}"]] for name in ("matched", "unmatched")}  # type: ignore[attr-defined]
    assert told == {"matched": [made[0]["policy_id"]], "unmatched": [made[1]["policy_id"]]}


def test_the_request_id_is_the_callers(site: Managed, verifier: AttestationClient) -> None:
    """The service names requests as it was told to: both logs speak of one request."""
    with pytest.raises(NotGenuine):
        verifier.token(evidence(site, verifier, user_data=b"other"), policy_ids=(), request_id="shared-name")


@pytest.mark.parametrize(
    ("changes", "error", "step"),
    [
        ({"user_data": b"another key"}, NotGenuine, "report_data"),
        ({"quote": b"\3" * 700}, NotGenuine, "quote_format"),
        ({"nonce": {"val": "AAAA", "iat": "AAAA", "signature": "AAAA"}}, NotGenuine, "nonce"),
    ],
)
def test_bad_evidence_is_the_workloads_fault_and_names_its_step(
    site: Managed, verifier: AttestationClient, changes: dict[str, Any], error: type[AmberError], step: str
) -> None:
    with pytest.raises(error) as caught:
        asked(verifier, replace(evidence(site, verifier), **changes))
    assert step in str(caught.value.as_dict()["step"])


def test_a_changed_quote_names_the_step_that_refuses_it(site: Managed, verifier: AttestationClient) -> None:
    given = evidence(site, verifier)
    forged = bytearray(given.quote)
    forged[48 + 64] ^= 1  # MRENCLAVE, in the report that the quote signs
    with pytest.raises(NotGenuine) as caught:
        asked(verifier, replace(given, quote=bytes(forged)))
    assert caught.value.step[0].isdigit()


def test_a_policy_that_refuses_is_told_with_its_rules(site: Managed, verifier: AttestationClient) -> None:
    """The service's own policy takes no debug enclaves."""
    nonce = dict(verifier.nonce(request_id="r"))
    quote = site.service.platform.quote(replace(ENCLAVE, debug=True), bound(nonce, DATA))
    with pytest.raises(NotWelcome) as caught:
        asked(verifier, Evidence(quote=quote, nonce=nonce, user_data=DATA))
    assert [each["rule"] for each in caught.value.mismatches] == ["debug"]


def test_a_service_that_does_not_know_the_broker_is_the_operators_fault(site: Managed) -> None:
    """401 from the service must not become 401 to a workload: it could do nothing about it."""
    stranger = AttestationClient(peer(site.service.port, site.service.ca), ApiKey("a-key-that-nobody-made"))
    with closing(stranger), pytest.raises(Unavailable) as caught:
        stranger.nonce(request_id="r")
    assert caught.value.code == "verifier-refuses-broker"
    assert "nobody-made" not in str(caught.value.as_dict())


def test_a_service_that_is_not_there_is_unavailable(ca: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = AttestationClient(peer(taken.getsockname()[1], ca), None)
        with pytest.raises(Unavailable):
            away.nonce(request_id="r")


def test_a_service_under_another_root_is_unavailable(site: Managed, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(make_server_certificate(["127.0.0.1"], datetime.now().astimezone()).ca_pem)
    with pytest.raises(Unavailable):
        AttestationClient(peer(site.service.port, other), None).nonce(request_id="r")


@contextmanager
def answering(status: int, body: bytes, tls: TlsFiles, ca: Path) -> Iterator[AttestationClient]:
    """A service that says the same to everybody: what no service of ours does."""

    async def say(request: object) -> Response:
        del request
        return Response(body, status, media_type="application/json")

    routes = [Route("/appraisal/v1/{what}", say, methods=["GET", "POST"])]
    with running(Starlette(routes=routes), tls) as port:
        client = AttestationClient(peer(port, ca), None)
        yield client
        client.close()


GIVEN = Evidence(quote=b"q" * 700, nonce={"val": "AA==", "iat": "AA==", "signature": "AA=="}, user_data=DATA)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error": "quote verification failed"}', Malformed),
        (400, b"", Malformed),
        (401, b'{"message": "no such key"}', Unavailable),
        (401, b'{"error": "expired", "code": "token-expired"}', Unavailable),
        (403, b"{}", Unavailable),
        (404, b"{}", Unavailable),
        (429, b"{}", Unavailable),
        (413, b"{}", TooLarge),
        (500, b"{}", Unavailable),
        (302, b"{}", Unavailable),
        (504, b"{}", TimedOut),
        (200, b"", Unavailable),
        (200, b"[]", Unavailable),
        (200, b"{}", Unavailable),
        (200, b'{"token": 5}', Unavailable),
        (200, b'{"token": "a.b"}', Unavailable),
        (200, b'{"token": "a.b.c"}', Unavailable),
        (200, b"{" * 300_000, Unavailable),
    ],
)
def test_whatever_a_service_answers_is_told_apart(
    status: int, body: bytes, error: type[AmberError], tls: TlsFiles, ca: Path
) -> None:
    """What the workload sent is its own; everything else is the operator's, and no answer raises anything foreign."""
    with answering(status, body, tls, ca) as client, pytest.raises(error) as caught:
        asked(client, GIVEN)
    assert type(caught.value) is error


def test_what_is_too_long_is_not_sent(verifier: AttestationClient) -> None:
    too_long: tuple[dict[str, Any], ...] = (
        {"quote": b"q" * 300_000},
        {"user_data": bytes(MAX_USER_DATA + 1)},
        {"event_log": bytes(140_000)},
    )
    for changes in too_long:
        with pytest.raises(TooLarge):
            asked(verifier, replace(GIVEN, **changes))
    with pytest.raises(Unavailable):
        asked(verifier, GIVEN, *(UUID(int=each) for each in range(MAX_POLICY_IDS + 1)))


def test_connections_are_kept_and_bounded(site: Managed) -> None:
    client = AttestationClient(peer(site.service.port, site.service.ca), ApiKey(site.service.api_key))
    with ThreadPoolExecutor(MAX_IDLE * 2) as pool:
        nonces = list(pool.map(lambda each: client.nonce(request_id=str(each))["val"], range(MAX_IDLE * 3)))
    assert len(set(nonces)) == MAX_IDLE * 3
    assert 1 <= len(client._idle) <= MAX_IDLE
    client.close()
    assert client._idle == []


def test_the_key_is_not_shown(site: Managed, verifier: AttestationClient) -> None:
    assert site.service.api_key not in repr(verifier) + repr(vars(verifier))
    assert os.environ.get("AMBER_API_KEY") is None  # it comes from a file alone
