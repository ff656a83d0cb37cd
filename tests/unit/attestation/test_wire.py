"""Requests as deployed clients send them are read; what says two things, or too much, is not."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambergate.core.errors import Malformed
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.token.names import Profile
from ambergate.services.attestation.evidence import Evidence, Rule
from ambergate.services.attestation.nonces import Nonce
from ambergate.services.attestation.wire import (
    MAX_POLICY_IDS,
    MAX_RUNTIME_DATA,
    AttestRequest,
    Endpoint,
    decode_base64,
    read_request,
)
from ambergate.services.web.bodies import decode

V1 = Endpoint(Rule.REPORT, Profile.V1)
QUOTE = b"\x03\x00\xfb\xff\xbe"  # its base64 has `+` and `/`, and needs padding
NONCE = {"val": "dmFs", "iat": "aWF0", "signature": "c2ln"}
POLICY = "7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"


def read(**members: object) -> Evidence:
    body = {"quote": b64encode(QUOTE).decode(), **members}
    return read_request(decode(json.dumps(body).encode(), AttestRequest), V1)


def refusal(**members: object) -> Malformed:
    with pytest.raises(Malformed) as caught:
        read(**members)
    assert caught.value.code == "malformed-request"
    return caught.value


def test_the_least_that_can_be_said() -> None:
    assert read() == Evidence(quote=QUOTE, nonce=None, runtime_data=None, policy_ids=())


def test_all_that_can_be_said() -> None:
    evidence = read(
        verifier_nonce=NONCE,
        runtime_data="ZGF0YQ==",
        policy_ids=[POLICY],
        event_log="bG9n",
        token_signing_alg="RS256",
        policy_must_match=True,
    )
    assert evidence == Evidence(
        quote=QUOTE,
        nonce=Nonce("dmFs", "aWF0", "c2ln"),
        runtime_data=b"data",
        policy_ids=(UUID(POLICY),),
        policy_must_match=True,
        algorithm="RS256",
    )


OPTIONAL = [
    *("verifier_nonce", "nonce", "signed_nonce", "runtime_data", "user_data", "policy_ids", "event_log"),
    *("token_signing_alg", "policy_must_match"),
]


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_is_absent(name: str) -> None:
    """The Python client sends every member that it does not use as null."""
    assert read(**{name: None}) == read()
    assert read(**dict.fromkeys(OPTIONAL)) == read()


def test_empty_is_absent() -> None:
    """Clients in C send an empty list, those in Python an empty text."""
    assert read(runtime_data="", user_data="", policy_ids=[], token_signing_alg="", policy_must_match=False) == read()


@pytest.mark.parametrize("name", ["verifier_nonce", "nonce", "signed_nonce"])
def test_the_nonces_names_through_the_years(name: str) -> None:
    assert read(**{name: NONCE}).nonce == Nonce("dmFs", "aWF0", "c2ln")


def test_the_datas_names_through_the_years() -> None:
    assert read(user_data="ZGF0YQ==").runtime_data == read(runtime_data="ZGF0YQ==").runtime_data == b"data"
    assert read(user_data="ZGF0YQ==", runtime_data="").runtime_data == b"data"
    assert "beside" in str(refusal(user_data="ZGF0YQ==", runtime_data="ZGF0YQ=="))


@pytest.mark.parametrize("others", [("nonce",), ("signed_nonce",), ("nonce", "signed_nonce")])
def test_several_nonces_are_none(others: tuple[str, ...]) -> None:
    assert "several" in str(refusal(verifier_nonce=NONCE, **dict.fromkeys(others, NONCE)))


@pytest.mark.parametrize("alg", ["PS384", "RS256", "ES256"])
def test_algorithms_that_are_offered(alg: str) -> None:
    assert read(token_signing_alg=alg).algorithm == alg


@pytest.mark.parametrize("alg", ["none", "HS256", "RS384", "ps384", " PS384", "x" * 10_000])
def test_algorithms_that_are_not(alg: str) -> None:
    error = refusal(token_signing_alg=alg)
    assert error.wanted == "PS384 or RS256 or ES256"
    assert len(error.seen or "") <= 32


def test_policy_ids() -> None:
    assert read(policy_ids=[POLICY, POLICY.upper()]).policy_ids == (UUID(POLICY), UUID(POLICY))
    assert len(read(policy_ids=[POLICY] * MAX_POLICY_IDS).policy_ids) == MAX_POLICY_IDS
    assert "too many" in str(refusal(policy_ids=[POLICY] * (MAX_POLICY_IDS + 1)))
    for wrong in ("", "x", POLICY[:-1], "é" * 36):
        assert "UUID" in str(refusal(policy_ids=[POLICY, wrong]))


WRONG: dict[str, list[object]] = {
    "quote": [None, 1, [], {}, ["QQ=="]],
    "verifier_nonce": ["nonce", [], {}, {"val": "a"}, {**NONCE, "more": 1}, {**NONCE, "val": None}],
    "runtime_data": [1, [], {}],
    "policy_ids": [POLICY, {}, [1], [None], [[POLICY]]],
    "token_signing_alg": [1, ["PS384"]],
    "policy_must_match": ["true", 1, []],
    "quotes": ["QQ=="],
    "Quote": ["QQ=="],
    "policy_id": [POLICY],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_other_shapes_and_unknown_members(name: str, value: object) -> None:
    refusal(**{name: value})


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"quote":"QQ=="', b'{"quote":"\\ud800"}', b"\xff"])
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_request(decode(body, AttestRequest), V1)


DIALECTS = [
    b64encode(QUOTE).decode(),
    b64encode(QUOTE).decode().rstrip("="),
    urlsafe_b64encode(QUOTE).decode(),
    urlsafe_b64encode(QUOTE).decode().rstrip("="),
]


@pytest.mark.parametrize("text", DIALECTS)
def test_four_dialects_of_base64(text: str) -> None:
    assert len(set(DIALECTS)) == 4
    assert read(quote=text).quote == QUOTE
    assert read(runtime_data=text).runtime_data == QUOTE


@pytest.mark.parametrize(
    "text", ["*", "A", "QUJDR", "QQ=Q", "Q=Q=", "QQ===", "QUI=QUI=", "QQ==\n", "Q Q=", "é", "\x00"]
)
def test_other_dialects_are_not_read(text: str) -> None:
    assert "quote is not base64" in str(refusal(quote=text))
    assert "runtime_data is not base64" in str(refusal(runtime_data=text))


def test_lengths_are_bounded() -> None:
    assert len(decode_base64(b64encode(bytes(30)).decode(), "x", limit=30)) == 30
    for size in (31, 32, 33, 40, 300):
        with pytest.raises(Malformed) as caught:
            decode_base64(b64encode(bytes(size)).decode(), "x", limit=30)
        assert "too long" in str(caught.value)
    assert "quote is too long" in str(refusal(quote="A" * (MAX_QUOTE * 2)))
    assert "runtime_data is too long" in str(refusal(runtime_data="A" * (MAX_RUNTIME_DATA * 2)))


@settings(max_examples=200)
@given(data=st.binary(max_size=100))
def test_what_was_encoded_comes_back(data: bytes) -> None:
    for text in (b64encode(data).decode(), urlsafe_b64encode(data).decode().rstrip("=")):
        assert decode_base64(text, "x", limit=100) == data


ANY: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(members=st.dictionaries(st.sampled_from(["quote", *OPTIONAL]), ANY, max_size=5))
def test_whatever_the_members_only_malformed_leaves(members: dict[str, object]) -> None:
    with contextlib.suppress(Malformed):
        read_request(decode(json.dumps(members).encode(), AttestRequest), V1)
