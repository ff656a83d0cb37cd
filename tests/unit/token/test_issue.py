"""Tokens as other people's code sees them: PyJWT and cryptography verify what we signed, by key set and by chain."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, urlsafe_b64decode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID
from tests.unit.token.judged import BASE_URL, WHEN, Laboratory, issuance, service_keys

from ambergate.core.errors import TooLarge
from ambergate.core.token.check import KeySet, check_token
from ambergate.core.token.issue import KEY_SET_PATHS, issue_token
from ambergate.core.token.jose import MAX_TOKEN

if TYPE_CHECKING:
    from ambergate.core.appraise.appraisal import Appraisal
    from ambergate.services.attestation.pki import TokenPki

ALGORITHMS = ["PS384", "RS256", "ES256"]


@pytest.fixture(scope="module")
def pki() -> TokenPki:
    return service_keys()


@pytest.fixture(scope="module")
def appraisal() -> Appraisal:
    return Laboratory.open().appraisal()


def make(appraisal: Appraisal, pki: TokenPki, alg: str, **changes: object) -> str:
    return issue_token(appraisal, issuance(**changes), pki.key_for(alg), alg)


def header_of(token: str) -> dict[str, Any]:
    header = token.split(".", maxsplit=1)[0]
    return dict(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4))))


def members_of(pki: TokenPki) -> list[dict[str, Any]]:
    """Every key of both key sets, as JSON gives them."""
    return [key for keys in (pki.key_set(), pki.ec_key_set()) for key in json.loads(json.dumps(keys))["keys"]]


def published(pki: TokenPki, alg: str) -> str:
    """The key set that a token of this algorithm points to."""
    return json.dumps(pki.ec_key_set() if alg == "ES256" else pki.key_set())


def entry_of(pki: TokenPki, alg: str) -> dict[str, Any]:
    """The one entry of the published key set for this algorithm."""
    (entry,) = [key for key in members_of(pki) if key["alg"] == alg]
    return dict(entry)


def chain_of(pki: TokenPki, alg: str) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(b64decode(text, validate=True)) for text in entry_of(pki, alg)["x5c"]]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_we_believe_our_own_tokens(appraisal: Appraisal, pki: TokenPki, alg: str) -> None:
    keys = KeySet.from_json(json.dumps({"keys": members_of(pki)}))
    issuer = f"{BASE_URL}/simulated"
    claims = check_token(make(appraisal, pki, alg), keys, issuer=issuer, at=WHEN, accept_simulated=True)
    assert (claims.simulated, claims.tcb_status) == (True, "UpToDate")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_pyjwt_verifies_through_the_key_set(appraisal: Appraisal, pki: TokenPki, alg: str) -> None:
    """As the Python client of this protocol does: times, types and the absence of `aud` are checked by it."""
    token = make(appraisal, pki, alg)
    entry = entry_of(pki, alg)
    assert header_of(token) == {"alg": alg, "typ": "JWT", "kid": entry["kid"], "jku": BASE_URL + KEY_SET_PATHS[alg]}
    key = jwt.PyJWK(entry)
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token, key, algorithms=[alg], options=options, issuer=f"{BASE_URL}/simulated")
    assert claims["attester_type"] == "SGX"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB"), key, algorithms=[alg])


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_leaf_of_the_chain_verifies_too(appraisal: Appraisal, pki: TokenPki, alg: str) -> None:
    message, _, signature = make(appraisal, pki, alg).rpartition(".")
    key = chain_of(pki, alg)[0].public_key()
    raw = urlsafe_b64decode(signature + "==")
    if isinstance(key, ec.EllipticCurvePublicKey):
        der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key.verify(der, message.encode(), ec.ECDSA(hashes.SHA256()))
        return
    assert isinstance(key, rsa.RSAPublicKey)
    assert len(raw) == 384
    if alg == "RS256":
        key.verify(raw, message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return
    key.verify(raw, message.encode(), padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    with pytest.raises(InvalidSignature):
        key.verify(raw, message.encode(), padding.PSS(padding.MGF1(hashes.SHA384()), 32), hashes.SHA384())


def test_the_key_set_is_what_deployed_clients_can_read(pki: TokenPki) -> None:
    """Wire protocol 1.6 and 7.4: alg, kty, kid, n and e in every key; RSA twice; kid = SHA-384 of the leaf; 3 certs."""
    keys = json.loads(published(pki, "PS384"))["keys"]
    assert [(key["kty"], key["alg"]) for key in keys] == [("RSA", "PS384"), ("RSA", "RS256")]
    for key in keys:
        assert key["kid"] == hashlib.sha384(b64decode(key["x5c"][0])).hexdigest()
        assert len(key["x5c"]) == 3
        assert set(key) == {"kty", "alg", "kid", "x5c", "n", "e"}
    assert keys[0]["kid"] == keys[1]["kid"]
    assert KEY_SET_PATHS["PS384"] == KEY_SET_PATHS["RS256"] == "/certs", "one client compares it with this text"


def test_the_ec_key_stands_apart(pki: TokenPki) -> None:
    """A deployed client refuses a whole set for one key without a modulus."""
    (key,) = json.loads(published(pki, "ES256"))["keys"]
    assert (key["kty"], key["alg"], key["kid"]) == ("EC", "ES256", hashlib.sha384(b64decode(key["x5c"][0])).hexdigest())
    assert set(key) == {"kty", "alg", "kid", "x5c", "crv", "x", "y"}
    assert key["kid"] != pki.rsa.kid
    assert KEY_SET_PATHS["ES256"] != KEY_SET_PATHS["PS384"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_numbers_beside_the_chain_are_the_leafs(pki: TokenPki, alg: str) -> None:
    """One client takes the key from n and e, another from x5c."""
    assert jwt.PyJWK(entry_of(pki, alg)).key == chain_of(pki, alg)[0].public_key()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_chain_is_in_the_profile_that_clients_check(pki: TokenPki, alg: str) -> None:
    leaf, signing, root = chain_of(pki, alg)
    names = [c.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for c in (leaf, signing, root)]
    assert "Root CA" in names[2]
    assert "Signing CA" in names[1]
    assert "Signing CA" not in names[0]
    assert "Root CA" not in names[0]
    assert "Root CA" not in names[1]
    assert root.subject == root.issuer == signing.issuer
    assert leaf.issuer == signing.subject != signing.issuer
    for certificate, issuer in ((leaf, signing), (signing, root), (root, root)):
        certificate.verify_directly_issued_by(issuer)
        key = issuer.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert (key.key_size, key.public_numbers().e) == (3072, 65537)
        assert isinstance(certificate.signature_algorithm_parameters, padding.PKCS1v15)
        assert isinstance(certificate.signature_hash_algorithm, hashes.SHA512)
        assert certificate.not_valid_before_utc < WHEN < certificate.not_valid_after_utc
        assert certificate.not_valid_after_utc <= issuer.not_valid_after_utc
    assert leaf.not_valid_after_utc - WHEN <= timedelta(days=5 * 365)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_chains_extensions(pki: TokenPki, alg: str) -> None:
    leaf, signing, root = chain_of(pki, alg)
    for certificate, is_ca, length in ((leaf, False, None), (signing, True, 0), (root, True, None)):
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, is_ca, length)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.key_cert_sign is usage.value.crl_sign is is_ca
        assert usage.value.digital_signature is usage.value.content_commitment is not is_ca
        with pytest.raises(x509.ExtensionNotFound):
            extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert addresses(leaf) == [f"{BASE_URL}/crl/ats-ca-crl.der"]
    assert addresses(signing) == [f"{BASE_URL}/crl/root-ca-crl.der"]
    with pytest.raises(x509.ExtensionNotFound):
        addresses(root)


def addresses(certificate: x509.Certificate) -> list[str]:
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return [name.value for point in points for name in point.full_name or ()]


def test_a_key_does_not_sign_with_anothers_algorithm(appraisal: Appraisal, pki: TokenPki) -> None:
    with pytest.raises(ValueError, match="does not sign"):
        issue_token(appraisal, issuance(), pki.rsa, "ES256")
    with pytest.raises(ValueError, match="does not sign"):
        issue_token(appraisal, issuance(), pki.ec, "PS384")
    with pytest.raises(KeyError):
        pki.key_for("HS256")


def test_keys_do_not_show_themselves(pki: TokenPki) -> None:
    private = pki.rsa.private_key
    assert isinstance(private, rsa.RSAPrivateKey)
    assert repr(pki.rsa) == f"SigningKey({pki.rsa.kid[:16]}…, PS384/RS256)"
    assert repr(pki.ec).endswith("ES256)")


def test_no_token_is_issued_that_nobody_would_read(appraisal: Appraisal, pki: TokenPki) -> None:
    """Runtime data is all that makes a token long; base64 of base64 takes 16 characters for 9 bytes."""
    keys = KeySet.from_json(json.dumps({"keys": members_of(pki)}))
    longest = make(appraisal, pki, "PS384", runtime_data=b"x" * 34_000)
    assert MAX_TOKEN - 3000 < len(longest) <= MAX_TOKEN
    check_token(longest, keys, issuer=f"{BASE_URL}/simulated", at=WHEN, accept_simulated=True)
    for data in (b"x" * 36_000, b'{"a":"' + "é".encode() * 9_000 + b'"}'):
        with pytest.raises(TooLarge) as caught:
            make(appraisal, pki, "PS384", runtime_data=data)
        assert "runtime data" in str(caught.value.hint)
