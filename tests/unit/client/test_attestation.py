"""REPORTDATA, nonces and tokens as the attestation exchange reads and makes them."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.client.attestation import MAX_TOKEN, Nonce, read_token, report_data
from ambergate.core.errors import SettingsError, TooLarge, Unavailable


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def token_of(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJQUzM4NCJ9.{payload}.c2lnbmF0dXJl"


@given(st.binary(min_size=1, max_size=100), st.binary(min_size=1, max_size=60), st.binary(max_size=500))
def test_report_data_binds_nonce_and_data_in_this_order(val: bytes, iat: bytes, data: bytes) -> None:
    nonce = Nonce.of({"val": encoded(val), "iat": encoded(iat), "signature": encoded(b"s")})
    assert report_data("SGX", nonce, data) == hashlib.sha256(val + iat + data).digest() + bytes(32)
    assert report_data("TDX", nonce, data) == hashlib.sha512(val + iat + data).digest()


def test_the_nonce_goes_back_as_it_came() -> None:
    document = {"val": encoded(b"v"), "iat": encoded(b"i"), "signature": encoded(b"s")}
    assert dict(Nonce.of({**document, "more": 1}).wire) == document


@pytest.mark.parametrize("name", ["val", "iat", "signature"])
@pytest.mark.parametrize("value", [None, 1, "", "not base64!", encoded(bytes(1025)), "QQ"])
def test_a_nonce_with_an_unusable_part_is_a_bad_reply(name: str, value: object) -> None:
    document: dict[str, object] = {part: encoded(b"x") for part in ("val", "iat", "signature")}
    with pytest.raises(Unavailable) as caught:
        Nonce.of({**document, name: value})
    assert caught.value.code == "bad-reply"


def test_evidence_of_another_kind_is_refused() -> None:
    nonce = Nonce.of({part: encoded(b"x") for part in ("val", "iat", "signature")})
    with pytest.raises(SettingsError):
        report_data("SEV", nonce, b"")


def test_a_token_tells_its_end_and_its_tcb() -> None:
    claims = {"exp": 1700000000, "attester_tcb_status": "OutOfDate", "attester_advisory_ids": ["INTEL-SA-00001"]}
    attested = read_token(token_of(claims))
    assert attested.token == token_of(claims)
    assert attested.expires_at is not None
    assert attested.expires_at.timestamp() == 1700000000
    assert attested.tcb_status == "OutOfDate"
    assert attested.advisory_ids == ("INTEL-SA-00001",)
    assert attested.token not in repr(attested)


@pytest.mark.parametrize(
    "claims",
    [
        {"ver": "2.0.0", "sgx": {"attester_tcb_status": "OutOfDate", "attester_advisory_ids": ["INTEL-SA-00001"]}},
        {"ver": "1.0", "amber_tcb_status": "OUT_OF_DATE", "amber_advisory_ids": ["INTEL-SA-00001"]},
    ],
)
def test_a_token_of_another_profile_tells_the_same(claims: dict[str, object]) -> None:
    """The API key may have any."""
    attested = read_token(token_of({"exp": 1700000000, **claims}))
    assert (attested.tcb_status, attested.advisory_ids) == ("OutOfDate", ("INTEL-SA-00001",))
    assert attested.expires_at is not None


def test_a_token_that_says_two_things_says_nothing() -> None:
    twice = {"attester_tcb_status": "UpToDate", "ver": "2.0.0", "sgx": {"attester_tcb_status": "OutOfDate"}}
    assert read_token(token_of(twice)).tcb_status is None


@pytest.mark.parametrize("exp", [None, "soon", True, 1e30, -1e30, float("nan")])
def test_a_token_without_a_usable_end_has_none(exp: object) -> None:
    assert read_token(token_of({"exp": exp})).expires_at is None


@pytest.mark.parametrize(
    "token", [None, 1, "", "a.b", "a.b.c.d", "a..c", "a b.c.d", "a.!.c", "a.b.c\n", token_of([1]), "a.QQ.c"]
)
def test_what_is_no_token_is_a_bad_reply(token: object) -> None:
    with pytest.raises(Unavailable) as caught:
        read_token(token)
    assert caught.value.code == "bad-reply"


def test_a_token_beyond_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read_token("a" * (MAX_TOKEN + 1))
