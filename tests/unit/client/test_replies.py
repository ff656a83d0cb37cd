"""Each refusal of a service becomes the error it stands for, with what the service said."""

from __future__ import annotations

import json

import pytest

from ambergate.client.attempt import Attempt
from ambergate.client.replies import answered
from ambergate.client.transport import Response
from ambergate.core.errors import (
    AmberError,
    NotAuthorised,
    NotGenuine,
    NotWelcome,
    ReleaseRefused,
    SettingsError,
    TimedOut,
    TokenRejected,
    TooLarge,
    Unavailable,
)


def reply(status: int, document: object, headers: dict[str, str] | None = None) -> Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Response(status=status, headers=headers or {}, body=body)


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, {"error": "no", "code": "not-genuine", "step": "3.1"}, NotGenuine),
        (400, {"error": "no", "code": "malformed-evidence"}, NotGenuine),
        (400, {"error": "no", "code": "not-welcome", "mismatches": []}, NotWelcome),
        (400, {"error": "no"}, NotWelcome),
        (401, {"error": "no"}, NotAuthorised),
        (401, {"error": "no", "code": "token-rejected"}, TokenRejected),
        (403, {"message": "no"}, NotAuthorised),
        (401, {"error": "no", "code": "release-refused"}, NotWelcome),
        (401, {"error": "no", "mismatches": []}, NotWelcome),
        (404, {"error": "no"}, SettingsError),
        (408, {"error": "no"}, TimedOut),
        (413, {"error": "no"}, TooLarge),
        (429, {"message": "no"}, Unavailable),
        (500, {"error": "no"}, Unavailable),
        (502, b"<html>no</html>", Unavailable),
        (504, {"error": "no"}, TimedOut),
        (301, b"", Unavailable),
        (204, b"", Unavailable),
        (201, {"token": "x"}, Unavailable),
    ],
)
def test_a_status_stands_for_an_error(status: int, document: object, kind: type[AmberError]) -> None:
    with pytest.raises(AmberError) as caught:
        answered(reply(status, document), Attempt(), service="the service", refusal=NotWelcome)
    assert type(caught.value) is kind
    assert caught.value.message.startswith("the service: ")


def test_the_failing_step_and_the_services_words_are_kept() -> None:
    document = {"error": "the CRL\nis old", "code": "crl", "step": "2.9", "seen": "a", "wanted": "b", "hint": "c"}
    with pytest.raises(NotGenuine) as caught:
        answered(reply(400, document), Attempt(), service="it", refusal=NotWelcome)
    error = caught.value
    assert (error.message, error.step, error.code) == ("it: the CRL is old", "2.9", "crl")
    assert (error.seen, error.wanted, error.hint) == ("a", "b", "c")


def test_every_mismatch_of_a_brokers_policy_is_kept() -> None:
    mismatches = [{"rule": "mr_enclave", "seen": "aa", "wanted": "bb"}, "nonsense", {"rule": 1}]
    with pytest.raises(ReleaseRefused) as caught:
        answered(reply(403, {"error": "no", "mismatches": mismatches}), Attempt(), service="it", refusal=ReleaseRefused)
    assert caught.value.mismatches == (
        {"rule": "mr_enclave", "seen": "aa", "wanted": "bb"},
        {"rule": "", "seen": "", "wanted": ""},
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a": ' * 100_000])
def test_a_success_that_is_no_json_object_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        answered(reply(200, body), Attempt(), service="it", refusal=NotWelcome)
    assert caught.value.code == "bad-reply"


def test_the_exchange_is_noted_in_one_line_each() -> None:
    attempt = Attempt()
    headers = {"request-id": "r1\r\nforged: 1", "trace-id": "", "other": "x"}
    answered(reply(200, {}, headers), attempt, service="it", refusal=NotWelcome)
    assert attempt.notes == {"http_status": "200", "request_id": "r1 forged: 1"}
