"""Each decision is in the log before its answer leaves, with what it was about and nothing secret."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from tests.integration.attestation.scene import (
    AT,
    ENCLAVE,
    b64,
    configure,
    directory_roots,
    new_platform,
    serving,
    started,
)

from ambergate.core.errors import NotIntact
from ambergate.services.attestation.app import open_state
from ambergate.stores.audit_proof import check_proof, read_proof
from ambergate.stores.checkpoints import CheckpointKey
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from tests.conftest import Postgres
    from tests.integration.attestation.scene import Service

    from ambergate.services.web.server import TlsFiles


@pytest.fixture
def own(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this test's own: its log holds what the test did."""
    with started(tmp_path_factory.mktemp("own"), tls) as service:
        yield service


def records(service: Service) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(service.folder / "attestation.sqlite")) as connection:
        rows = connection.execute("SELECT record FROM audit_entries ORDER BY seq").fetchall()
    return [json.loads(record) for (record,) in rows]


def alter(service: Service, statement: str) -> None:
    with closing(sqlite3.connect(service.folder / "attestation.sqlite")) as connection, connection:
        connection.execute(statement)


def jti_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(jwt.decode(answer.json()["token"], options={"verify_signature": False})["jti"])


def test_a_token_has_its_record(own: Service) -> None:
    nonce = own.nonce()
    answer = own.attest(own.evidence(nonce, b"runtime data of the enclave"), **{"request-id": "request 7"})
    (record,) = records(own)
    assert record["jti"] == jti_of(answer)
    assert (record["verdict"], record["at"]) == ("issued", AT.isoformat())
    assert (record["request_id"], record["trace_id"]) == ("request 7", answer.headers["trace-id"])
    assert (record["alg"], record["profile"], record["simulated"], record["policies"]) == ("PS384", "v1", True, [])
    assert record["evidence"]["sgx_mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert record["evidence"]["sgx_collateral"]["quotehash"]
    assert len(record["key_id"]) == 36
    text = json.dumps(record)
    token = answer.json()["token"]
    for secret in (own.api_key, token, token.split(".")[2], nonce["val"], nonce["signature"], b64(b"runtime data of")):
        assert secret not in text
    assert "runtime data" not in text


def test_a_refusal_has_its_record_too(own: Service) -> None:
    """Forged, replayed, malformed: with the step, and with the claims as far as they were proven."""
    forged = own.evidence(own.nonce())
    forged["quote"] = forged["quote"][:600] + ("A" if forged["quote"][600] != "A" else "B") + forged["quote"][601:]
    unbound = own.evidence(own.nonce()) | {"verifier_nonce": own.nonce()}
    nameless = own.evidence(own.nonce()) | {"policy_ids": ["017f22e2-79b0-7cc3-98c4-dc0c0c07398f"]}
    assert [own.attest(body).status_code for body in (forged, unbound, nameless)] == [400] * 3
    first, second, third = records(own)
    assert (first["verdict"], first["step"], first["evidence"], first["jti"]) == (
        "refused",
        "8.1.quote_signature",
        None,
        None,
    )
    assert (second["code"], second["step"]) == ("report-data-mismatch", "10.2.report_data")
    assert second["evidence"]["sgx_mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert (third["code"], third["mismatches"][0]["rule"]) == ("unknown-policy", "policy_ids")


def test_what_was_not_decided_has_none(own: Service) -> None:
    """No key, no JSON, no quote: nobody judged anything."""
    assert own.attest({"quote": "AA"}, **{"x-api-key": "x"}).status_code == 401
    assert own.attest(b"{").status_code == 400
    assert records(own) == []


def proven(service: Service, jti: str) -> dict[str, Any]:
    key = CheckpointKey.from_text(service.client.get("/audit/v1/key").text)
    answer = service.client.get(f"/audit/v1/proofs/{jti}")
    assert answer.status_code == 200, answer.text
    proof = read_proof(answer.content)
    stated = check_proof(proof, key)
    assert key.opened(service.client.get("/audit/v1/checkpoint").text) == stated
    with pytest.raises(NotIntact):
        check_proof(read_proof(answer.text.replace("issued", "isSued")), key)
    return dict(json.loads(proof.record))


def test_a_token_is_proven_to_be_in_the_log(own: Service) -> None:
    tokens = [jti_of(own.attest(own.evidence(own.nonce()))) for _ in range(5)]
    for jti in tokens:
        assert proven(own, jti)["jti"] == jti


def test_proofs_are_for_whose_token_it_is(own: Service, tls: TlsFiles) -> None:
    del tls
    jti = jti_of(own.attest(own.evidence(own.nonce())))
    alter(own, 'UPDATE audit_entries SET record = replace(record, \'"key_id":"\', \'"key_id":"0\')')
    assert own.client.get(f"/audit/v1/proofs/{jti}").status_code == 404
    for path in ("key", "checkpoint", f"proofs/{jti}"):
        assert own.client.get(f"/audit/v1/{path}", headers={"x-api-key": "x"}).status_code == 401


@pytest.mark.parametrize("jti", ["x", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "%00"])
def test_no_proof_of_what_is_not_there(own: Service, jti: str) -> None:
    assert own.client.get(f"/audit/v1/proofs/{jti}").status_code == 404


@pytest.mark.parametrize("genuine", [True, False])
def test_no_answer_without_its_record(own: Service, genuine: bool) -> None:  # noqa: FBT001
    """The token and the refusal alike: what could not be recorded is not told."""
    body = own.evidence(own.nonce())
    if not genuine:
        body["verifier_nonce"] = own.nonce()
    alter(own, "ALTER TABLE audit_entries RENAME TO elsewhere")
    answer = own.attest(body)
    told = answer.json()
    assert told.pop("trace_id") == answer.headers["trace-id"]
    assert (answer.status_code, told) == (
        503,
        {"error": "the decision cannot be recorded", "code": "audit-unavailable"},
    )
    told = own.client.get("/readyz")
    assert (told.status_code, told.json()["error"]) == (503, "not ready: audit")
    assert own.client.get("/healthz").status_code == 200
    own.clock.instant += timedelta(seconds=1)
    alter(own, "ALTER TABLE elsewhere RENAME TO audit_entries")
    assert own.attest(body).status_code == (200 if genuine else 400)
    assert own.client.get("/readyz").status_code == 200
    assert len(records(own)) == 1


def test_a_log_that_was_changed_under_way_gets_no_more(own: Service) -> None:
    jti_of(own.attest(own.evidence(own.nonce())))
    alter(own, "UPDATE audit_head SET size = 0, peaks = x''")
    assert own.attest(own.evidence(own.nonce())).status_code == 503


def test_who_manages_may_see_every_proof_and_needs_not_attest(tls: TlsFiles, tmp_path: Path) -> None:
    platform, config = new_platform(tmp_path), configure(tmp_path, tls)
    with open_state(config, at=AT) as state, serving(config, state, directory_roots(config), platform) as service:
        manager = {"x-api-key": state.api_keys.create("auditor", at=AT, terms=Terms(scopes=frozenset({"manage"})))[1]}
        other = {"x-api-key": state.api_keys.create("another", at=AT)[1]}
        jti = jti_of(service.attest(service.evidence(service.nonce())))
        assert service.client.get(f"/audit/v1/proofs/{jti}", headers=manager).status_code == 200
        assert service.client.get("/audit/v1/checkpoint", headers=manager).status_code == 200
        assert service.client.get(f"/audit/v1/proofs/{jti}", headers=other).status_code == 404


def test_two_nodes_on_one_server_are_one_service(tls: TlsFiles, tmp_path: Path, postgres: Postgres) -> None:
    """The same keys, nonces and API keys, and one log: what one node issued, the other proves."""
    platform, config = new_platform(tmp_path), configure(tmp_path, tls)
    config = replace(config, database=postgres.fresh())
    with (
        open_state(config, at=AT) as first_state,
        open_state(replace(config, checkpoint=tmp_path / "second.checkpoint"), at=AT) as second_state,
        serving(config, first_state, directory_roots(config), platform) as first,
        serving(config, second_state, directory_roots(config), platform) as second,
    ):
        assert first.client.get("/certs").json() == second.client.get("/certs").json()
        tokens = [jti_of(node.attest(node.evidence(first.nonce()))) for node in (first, second, first, second)]
        own = {"x-api-key": first.api_key}
        assert [second.client.get(f"/audit/v1/proofs/{jti}", headers=own).status_code for jti in tokens] == [
            200,
            404,
            200,
            404,
        ]
        key = first_state.audit.key
        notes = [node.client.get("/audit/v1/checkpoint").text for node in (first, second)]
        assert [key.opened(note).size for note in notes] == [4, 4]
