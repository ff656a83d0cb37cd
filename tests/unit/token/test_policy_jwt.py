"""Signed policies: the words are those that the certificate's key signed, or there is no policy."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.appraise.named import MAX_TEXT
from ambergate.core.errors import MalformedPolicy
from ambergate.core.token.policy_jwt import CLAIM, MAX_JWT, PolicyText, read_policy_text, signer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
REGO: Final = 'default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 1 }\n# "größe"\n'
KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: CertificateIssuerPrivateKeyTypes = KEY, *, days: int = 30) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "policy signer")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(AT - timedelta(days=1))
        .not_valid_after(AT + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


def der(of: x509.Certificate) -> bytes:
    return of.public_bytes(serialization.Encoding.DER)


X5C: Final = base64.b64encode(der(certificate())).decode()


def signed(alg: str = "PS384", claims: dict[str, Any] | None = None, **header: object) -> str:
    """As PyJWT, which shares nothing with the reader, writes it."""
    return jwt.encode({CLAIM: REGO} if claims is None else claims, KEY, algorithm=alg, headers={"x5c": [X5C], **header})


def unsigned(claims: dict[str, Any] | None = None, **header: object) -> str:
    head, body = ({"alg": "none", "typ": "JWT", **header}, {CLAIM: REGO} if claims is None else claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (head, body))
        + "."
    )


def refused(text: str, *, at: datetime = AT) -> MalformedPolicy:
    with pytest.raises(MalformedPolicy) as caught:
        read_policy_text(text, at=at)
    return caught.value


def test_a_plain_policy_is_itself() -> None:
    for text in (REGO, "a = 1", "x.y.z", "eyJ.x", "", "eyJa.b.c d"):
        assert read_policy_text(text, at=AT) == PolicyText(text=text)


@pytest.mark.parametrize("alg", ["PS384", "RS256", "PS256", "RS384"])
def test_a_signed_policy(alg: str) -> None:
    token = signed(alg)
    assert read_policy_text(f"{token}\n", at=AT) == PolicyText(
        text=REGO, jwt=token, signer=signer_of(der(certificate()))
    )


def test_a_signer_is_its_key_whatever_the_certificate() -> None:
    renewed = certificate(days=300)
    assert signer_of(der(renewed)) == signer_of(renewed.public_bytes(serialization.Encoding.PEM))
    assert signer_of(der(renewed)) == signer_of(der(certificate()))


def test_one_that_says_that_nobody_signed_it() -> None:
    token = unsigned()
    assert read_policy_text(token, at=AT) == PolicyText(text=REGO, jwt=token, signer=None)


def test_the_older_tools_base64() -> None:
    inside = base64.b64encode(REGO.encode()).decode()
    assert read_policy_text(signed(claims={CLAIM: inside}), at=AT).text == REGO
    assert read_policy_text(unsigned({CLAIM: inside}), at=AT).text == REGO


def test_every_bit_of_the_words_counts() -> None:
    head, _, signature = signed().split(".")
    other = base64.urlsafe_b64encode(json.dumps({CLAIM: REGO + " "}).encode()).rstrip(b"=").decode()
    assert "does not hold" in refused(f"{head}.{other}.{signature}").message


def test_another_key_than_the_certificates() -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    theirs = base64.b64encode(der(certificate(stranger))).decode()
    assert "does not hold" in refused(signed(x5c=[theirs])).message


def short_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return base64.b64encode(der(certificate(key))).decode()


def ec_key() -> str:
    return base64.b64encode(der(certificate(ec.generate_private_key(ec.SECP256R1())))).decode()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (lambda: signed(claims={CLAIM: REGO, "iat": 1}), "other claims"),
        (lambda: signed(claims={}), "other claims"),
        (lambda: signed(claims={CLAIM: 1}), "other claims"),
        (lambda: signed(claims={CLAIM.lower(): REGO}), "other claims"),
        (lambda: signed("PS512"), "algorithm"),
        (lambda: signed(crit=["b64"], b64=True), "critical"),
        (lambda: signed(x5c=None), "certificate"),
        (lambda: signed(x5c=[]), "certificate"),
        (lambda: signed(x5c=[X5C, X5C]), "certificate"),
        (lambda: signed(x5c=X5C), "certificate"),
        (lambda: signed(x5c=[7]), "certificate"),
        (lambda: signed(x5c=["*"]), "base64"),
        (lambda: signed(x5c=["AAAA"]), "cannot be read"),
        (lambda: signed(x5c=[base64.b64encode(bytes(9000)).decode()]), "too long"),
        (lambda: signed(x5c=[short_key()]), "not accepted"),
        (lambda: signed(x5c=[ec_key()]), "not accepted"),
        (lambda: jwt.encode({CLAIM: REGO}, "k" * 64, algorithm="HS256", headers={"x5c": [X5C]}), "algorithm"),
        (lambda: unsigned() + "AAAA", "nobody"),
        (lambda: unsigned(x5c=[X5C]), "nobody"),
        (lambda: unsigned(alg="None"), "algorithm"),
        (lambda: unsigned(alg=""), "algorithm"),
        (lambda: signed().rsplit(".", 1)[0] + ".", "does not hold"),
        (lambda: "eyJ" + "a" * 21 + ".Yg.Yg", "JSON"),
        (lambda: "eyJhbGciOiJub25lIn0.e30=.", "base64url"),
        (lambda: unsigned({CLAIM: "a b" * MAX_TEXT}), "too long"),
    ],
)
def test_what_is_not_taken(token: Callable[[], str], words: str) -> None:
    error = refused(token())
    assert words in f"{error.message}"


def test_a_certificate_that_does_not_hold_now() -> None:
    token = signed()
    for at in (AT - timedelta(days=2), AT + timedelta(days=31)):
        assert "does not hold now" in refused(token, at=at).message


def test_time_has_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        read_policy_text(REGO, at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_lengths_are_bounded() -> None:
    assert "too long" in refused("x" * (MAX_TEXT + 1)).message
    assert "too long" in refused("eyJ" + "a" * MAX_JWT + ".b.c").message
    longest = "größe " * (MAX_TEXT // 8)
    assert read_policy_text(unsigned({CLAIM: base64.b64encode(longest.encode()).decode()}), at=AT).text == longest


@given(st.text(max_size=200) | st.from_regex(r"eyJ[\w-]{0,60}\.[\w-]{0,60}\.[\w-]{0,20}", fullmatch=True))
def test_any_text_is_a_policys_or_refused(text: str) -> None:
    try:
        read_policy_text(text, at=AT)
    except MalformedPolicy:
        return
