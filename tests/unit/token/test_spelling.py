"""One meaning has one spelling: what two readers could read in two ways is no token."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.keybroker.forge import AT, ISSUER, Forge, b64url, segment, sign

from ambergate.core.errors import MalformedToken, TokenRejected
from ambergate.core.token.check import KeySet, check_token
from ambergate.core.token.jose import MAX_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.token.types import Refuses


def signed(forge: Forge, header: bytes, payload: bytes) -> str:
    """A token of exactly these bytes, signed by the issuer."""
    message = f"{b64url(header)}.{b64url(payload)}"
    return f"{message}.{b64url(sign('PS384', message.encode(), forge.issuer_key))}"


def good_header(forge: Forge) -> bytes:
    return json.dumps({"alg": "PS384", "kid": forge.kid}).encode()


def good_payload(forge: Forge) -> bytes:
    return json.dumps(forge.claims()).encode()


def test_bytes_as_they_should_be(forge: Forge, keys: KeySet) -> None:
    token = signed(forge, good_header(forge), good_payload(forge))
    check_token(token, keys, issuer=ISSUER, at=AT)


@pytest.mark.parametrize("again", [b'"alg":"PS384"', b'"typ":"JWT","typ":"JWT"', b'"x":{"a":1,"a":1}', b'"x":NaN'])
def test_a_header_with_a_member_twice_or_no_number(forge: Forge, refuses: Refuses, again: bytes) -> None:
    header = good_header(forge)[:-1] + b"," + again + b"}"
    assert refuses(signed(forge, header, good_payload(forge))) == "malformed-token"


@pytest.mark.parametrize(
    "again",
    [
        b'"iss":"x"',
        b'"exp":1',
        b'"x":[{"a":1,"a":2}]',
        b'"x":NaN',
        b'"x":Infinity',
        b'"x":-Infinity',
        b'"x":1e',
        b'"x":',
    ],
)
def test_a_payload_with_a_member_twice_or_no_number(forge: Forge, refuses: Refuses, again: bytes) -> None:
    payload = good_payload(forge)[:-1] + b"," + again + b"}"
    assert refuses(signed(forge, good_header(forge), payload)) == "malformed-token"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_utf_8_here(forge: Forge, refuses: Refuses, encoding: str) -> None:
    payload = good_payload(forge).decode().encode(encoding)
    header = good_header(forge).decode().encode(encoding)
    assert refuses(signed(forge, good_header(forge), payload)) == "malformed-token"
    assert refuses(signed(forge, header, good_payload(forge))) == "malformed-token"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"1", b'"a"', b"{} {}", b"\xff", b"[" * 20_000, b'{"a":' * 9000]
)
def test_a_payload_that_is_no_object(forge: Forge, refuses: Refuses, payload: bytes) -> None:
    assert refuses(signed(forge, good_header(forge), payload)) == "malformed-token"


RESPELLED: dict[str, Callable[[str], str]] = {
    "padding": lambda part: part + "=" * (-len(part) % 4 or 4),
    "a line end": lambda part: part + "\n",
    "white space before": lambda part: " " + part,
    "white space within": lambda part: part[:4] + "\r\n" + part[4:],
    "the standard alphabet's plus": lambda part: part[:-1] + "+",
    "the standard alphabet's slash": lambda part: part[:-1] + "/",
    "a character of no alphabet": lambda part: part + "!",
    "a length that no bytes have": lambda part: part[: len(part) // 4 * 4] + "A",
}


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("name", RESPELLED)
def test_base64url_has_one_spelling(forge: Forge, refuses: Refuses, part: int, name: str) -> None:
    parts = forge.token().split(".")
    parts[part] = RESPELLED[name](parts[part])
    assert refuses(".".join(parts)) == "malformed-token"


@pytest.mark.parametrize("kid", ["x", "xx"])
def test_stray_bits_are_another_spelling(forge: Forge, refuses: Refuses, kid: str) -> None:
    """`QQ` and `QR` decode to the same byte."""
    _, payload, signature = forge.token().split(".")
    header = segment({"alg": "PS384", "kid": kid})
    assert len(header) % 4, "the last character has bits to spare"
    stray = header[:-1] + ALPHABET[ALPHABET.index(header[-1]) ^ 1]
    assert refuses(f"{stray}.{payload}.{signature}") == "malformed-token"


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("parts", [1, 2, 4, 5])
def test_a_token_has_three_parts(forge: Forge, refuses: Refuses, parts: int) -> None:
    assert refuses(".".join([*forge.token().split("."), "e30", "e30"][:parts])) == "malformed-token"


def test_the_longest_token(forge: Forge, keys: KeySet, refuses: Refuses) -> None:
    def padded(size: int) -> str:
        return forge.token(claims=forge.claims(padding="x" * size))

    size = (MAX_TOKEN - len(padded(0))) * 3 // 4
    assert MAX_TOKEN - 4 <= len(padded(size - 1)) <= MAX_TOKEN
    check_token(padded(size - 1), keys, issuer=ISSUER, at=AT)
    assert len(padded(size + 4)) > MAX_TOKEN
    assert refuses(padded(size + 4)) == "malformed-token"
    assert refuses("A" * (MAX_TOKEN + 1)) == "malformed-token"


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.text(alphabet='eyJhbGciOiJQUzM4NCJ9.-_={}":,AZ09', max_size=200))
def test_whatever_the_text_only_our_refusals_leave(text: str) -> None:
    with pytest.raises((MalformedToken, TokenRejected)):
        check_token(text, NO_KEYS, issuer=ISSUER, at=AT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5c", "x5u", "x5t", "cty", "enc", "zip"]
)


@settings(max_examples=200, deadline=None)
@given(header=st.dictionaries(HEADER_NAMES, JSON, max_size=4))
def test_whatever_the_header_says_only_our_refusals_leave(
    forge: Forge, keys: KeySet, header: dict[str, object]
) -> None:
    """Under a known kid and alg too, so that the JOSE library gets to see it."""
    token = f"{segment({'alg': 'PS384', 'kid': forge.kid, **header})}.{segment(forge.claims())}.{b64url(bytes(384))}"
    with pytest.raises((MalformedToken, TokenRejected)):
        check_token(token, keys, issuer=ISSUER, at=AT)


CLAIM_NAMES = st.sampled_from(
    [
        "iss",
        "exp",
        "iat",
        "nbf",
        "aud",
        "tee_simulated",
        "attester_type",
        "attester_tcb_status",
        "attester_advisory_ids",
        "attester_held_data",
        "attester_runtime_data",
        "verifier_nonce",
        "sgx_mrenclave",
        "sgx_isvsvn",
        "sgx_is_debuggable",
        "dbgstat",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(CLAIM_NAMES, JSON, max_size=3))
def test_whatever_is_signed_claims_or_our_refusals_leave(
    forge: Forge, keys: KeySet, changes: dict[str, object]
) -> None:
    """Signed by the cheap key, so that the claims are read."""
    token = forge.token(alg="ES256", key=forge.ec_key, header={"kid": forge.ec_kid}, claims=forge.claims(**changes))
    with contextlib.suppress(MalformedToken, TokenRejected):
        check_token(token, keys, issuer=ISSUER, at=AT, require={"deep": {"a": [1]}})


NO_KEYS = KeySet({})
