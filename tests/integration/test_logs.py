"""A whole run with all that can go wrong in it, and no secret in any log; a line is an event, and names its request."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from scripts.whole import PASSWORD, PROGRAM, Whole, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "geheim-3f9c51d2a7"


@pytest.fixture(scope="module", params=["json", "text"])
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Whole, set[str]]]:
    """The form of the logs, the system after the run, and what must not be in them."""
    folder = tmp_path_factory.mktemp("ran")
    with whole(folder, f'[log]\nformat = "{request.param}"\nlevel = "debug"\n') as system:
        hidden = run(system)
        yield request.param, system, hidden


def run(system: Whole) -> set[str]:
    hidden = {system.api_key, system.bearer, PASSWORD, MARK, *spellings(system.secret)}
    for kek in ("attestation.kek", "broker.kek"):
        hidden |= {text for text in (system.folder / kek).read_text().split() if len(text) > 20}
    session = system.session()
    assert session.secret() == system.secret
    with system.client(system.attestation, **{"x-api-key": system.api_key}) as client:
        quote = system.platform.quote(PROGRAM, bytes(64))
        data = base64.b64encode(MARK.encode() * 4).decode()
        nonce = client.get("/appraisal/v1/nonce").json()
        answers = [
            client.post("/appraisal/v1/attest", json=body, headers={"request-id": "run/7"})
            for body in (
                {"quote": base64.b64encode(quote).decode()},
                {"quote": base64.b64encode(quote[:-40]).decode()},
                {"quote": base64.b64encode(quote).decode(), "verifier_nonce": nonce, "runtime_data": data},
                {"quote": base64.b64encode(quote).decode(), MARK: MARK},
                {"quote": MARK},
            )
        ]
        assert [answer.status_code for answer in answers] == [200, 400, 400, 400, 400]
        token = answers[0].json()["token"]
        hidden |= {token, *token.split("."), nonce["val"], nonce["signature"], data, *spellings(quote)}
        client.get(f"/certs?key={MARK}", headers={"authorization": f"Bearer {MARK}", "cookie": MARK})
        client.post("/appraisal/v1/attest", content=MARK.encode())
        client.get("/appraisal/v1/nonce", headers={"x-api-key": MARK})
        client.get("/appraisal/v1/nonce", headers={"request-id": f'{MARK}"'})
    abuse(system, token)
    return hidden


def abuse(system: Whole, token: str) -> None:
    """The broker, asked badly."""
    path = f"/kbs/v1/keys/{system.key_id}/transfer"
    with system.client(system.broker) as client:
        for sent in (token, token[:-8], f"{MARK}.{MARK}.{MARK}", MARK):
            assert client.post(path, json={"attestation_token": sent}).status_code == 401
        client.post(path, content=f'{{"attestation_token": "{MARK}'.encode())
        client.post(path, json={"attestation_token": token, MARK: 1})


def spellings(data: bytes) -> set[str]:
    """Pieces of what it looks like in a log."""
    encoded = base64.b64encode(data).decode()
    return {data.hex()[:48], data.hex()[-48:], encoded[:32], encoded[-32:], repr(data[:16])[2:-1]}


def lines(system: Whole) -> list[str]:
    return [line for each in (system.attestation, system.broker) for line in each.log.read_text().splitlines()]


def test_no_secret_is_in_any_log(ran: tuple[str, Whole, set[str]]) -> None:
    _, system, hidden = ran
    text = "\n".join(lines(system))
    assert len(text) > 1000
    for secret in hidden:
        for piece in (secret[:32], secret[len(secret) // 2 :][:32], secret[-32:]):
            assert piece not in text, f"of a secret of {len(secret)} characters"


def test_no_secret_is_in_metrics(ran: tuple[str, Whole, set[str]]) -> None:
    _, system, hidden = ran
    for each in (system.attestation, system.broker):
        told = httpx.get(f"http://127.0.0.1:{each.metrics}/metrics", trust_env=False).text
        assert "ambergate_http_requests_total" in told
        assert not [secret for secret in hidden if secret[:32] in told]


def test_every_line_is_an_event(ran: tuple[str, Whole, set[str]]) -> None:
    form, system, _ = ran
    for line in lines(system):
        if form == "json":
            event = json.loads(line)
            assert {"at", "level", "logger", "message"} <= event.keys()
        else:
            assert line.startswith(("20", "    ")), line


def test_one_request_has_one_name_everywhere(ran: tuple[str, Whole, set[str]]) -> None:
    form, system, _ = ran
    with system.client(system.attestation, **{"x-api-key": system.api_key, "request-id": "one/9"}) as client:
        answer = client.post("/appraisal/v1/attest", json={"quote": base64.b64encode(bytes(700)).decode()})
        client.get("/healthz")  # on the same connection: answered once the first is logged
    body = answer.json()
    names = {"trace_id": answer.headers["trace-id"], "request_id": "one/9"}
    assert answer.status_code == 400
    assert body.items() >= names.items()
    told = [line for line in lines(system) if names["trace_id"] in line]
    assert len(told) == 1
    if form == "json":
        event: dict[str, Any] = json.loads(told[0])
        assert event.items() >= names.items()
        assert event["code"] == body["code"]
        assert event["message"] == "POST /appraisal/v1/attest 400"
    else:
        assert f"trace_id={names['trace_id']} request_id=one/9" in told[0]
