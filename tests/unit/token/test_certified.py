"""A pinned signing root: whose keys it vouches for, until when, and what it does not vouch for."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.keybroker.forge import AT, jwk

from ambergate.core.errors import MalformedToken
from ambergate.core.token.certified import MAX_CHAIN, certified_keys, read_crl, read_roots

DAY = timedelta(days=1)


@dataclass
class Made:
    """A certificate and its key."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def b64(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()


@dataclass
class Spec:
    """What a certificate says."""

    name: str
    ca: bool = False
    usage: bool = True  # whether it says what it is for
    sign: bool = True
    crl_sign: bool = True
    begins: timedelta = -DAY
    ends: timedelta = 30 * DAY
    path_length: int | None = None
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))


def made(spec: Spec, by: Made | None = None) -> Made:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.name)])
    signer = spec.key if by is None else by.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(spec.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(AT + spec.begins)
        .not_valid_after(AT + spec.ends)
        .add_extension(x509.BasicConstraints(ca=spec.ca, path_length=spec.path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(spec.key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if spec.usage:
        names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        usage = x509.KeyUsage(
            digital_signature=spec.sign and not spec.ca,
            key_cert_sign=spec.ca,
            crl_sign=spec.ca and spec.crl_sign,
            encipher_only=False,
            decipher_only=False,
            **dict.fromkeys(names, False),
        )
        builder = builder.add_extension(usage, critical=True)
    return Made(spec.key, builder.sign(signer, hashes.SHA256()))


def listed(by: Made, *revoked: Made, begins: timedelta = -DAY, ends: timedelta = DAY, key: Any = None) -> Any:  # noqa: ANN401
    """A revocation list."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(AT + begins)
        .next_update(AT + ends)
    )
    for each in revoked:
        line = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number).revocation_date(AT)
        builder = builder.add_revoked_certificate(line.build())
    return builder.sign(key or by.key, hashes.SHA256())


ROOT = made(Spec("Root", ca=True))
CA = made(Spec("CA", ca=True, path_length=0), ROOT)
LEAF = made(Spec("Leaf"), CA)
OTHER_LEAF = made(Spec("Other"), CA)
STRANGER = made(Spec("Root", ca=True))  # of the same name
LISTS = [listed(ROOT), listed(CA)]


def entry(kid: str, leaf: Made, *above: Made) -> dict[str, Any]:
    alg = "ES256" if isinstance(leaf.key, ec.EllipticCurvePrivateKey) else "PS384"
    return {**jwk(leaf.key.public_key(), kid, alg), "x5c": [each.b64 for each in (leaf, *above)]}


def key_set(*entries: dict[str, Any]) -> str:
    return json.dumps({"keys": list(entries)})


GOOD = entry("one", LEAF, CA, ROOT)


def certified(*entries: dict[str, Any], roots: Any = (ROOT,), crls: Any = LISTS, at: Any = AT) -> Any:  # noqa: ANN401
    return certified_keys(key_set(*entries), [each.certificate for each in roots], crls, at=at)


def test_a_key_with_a_chain_to_the_root_is_taken_until_the_first_end() -> None:
    found = certified(GOOD)
    assert found.keys.kids == {"one"}
    assert found.until == AT + DAY  # of the revocation lists; the certificates last longer
    assert certified(GOOD, crls=None).until == LEAF.certificate.not_valid_after_utc


def test_the_root_need_not_be_in_the_chain_and_rsa_will_do() -> None:
    leaf = made(Spec("RSA", key=rsa.generate_private_key(public_exponent=65537, key_size=2048)), CA)
    assert certified(entry("rsa", leaf, CA), GOOD).keys.kids == {"rsa", "one"}
    assert certified(entry("direct", made(Spec("Direct"), ROOT))).keys.kids == {"direct"}


def test_one_of_several_roots_is_enough() -> None:
    assert certified(GOOD, roots=(STRANGER, ROOT)).keys.kids == {"one"}


def test_a_revoked_key_is_left_out_and_the_others_stay() -> None:
    other = entry("two", OTHER_LEAF, CA)
    assert certified(GOOD, other, crls=[listed(ROOT), listed(CA, LEAF)]).keys.kids == {"two"}
    with pytest.raises(MalformedToken, match="revoked"):
        certified(GOOD, crls=[listed(ROOT), listed(CA, LEAF)])
    with pytest.raises(MalformedToken, match="revoked"):
        certified(GOOD, other, crls=[listed(ROOT, CA), listed(CA)])
    assert certified(GOOD, crls=None).keys.kids == {"one"}


LONG = [made(Spec("L1", ca=True), ROOT)]
for number in range(2, MAX_CHAIN + 2):
    LONG.insert(0, made(Spec(f"L{number}", ca=True), LONG[0]))

EXPIRED = made(Spec("Expired", ca=True, ends=-DAY / 2), ROOT)
BELOW = made(Spec("Below", ca=True), CA)  # whose path length is 0
OF_ONE, OF_OTHER = jwk(LEAF.key.public_key(), "one", "ES256"), entry("one", OTHER_LEAF, CA)

# What no root vouches for.
NOT_VOUCHED: dict[str, Any] = {
    "no chain": {name: value for name, value in GOOD.items() if name != "x5c"},
    "an empty chain": {**GOOD, "x5c": []},
    "a chain in words": {**GOOD, "x5c": "AAAA"},
    "a chain of no base64": {**GOOD, "x5c": ["%%%"]},
    "a chain of no certificate": {**GOOD, "x5c": ["AAAA"]},
    "a chain of numbers": {**GOOD, "x5c": [5]},
    "a certificate too long": {**GOOD, "x5c": ["A" * 12_000]},
    "a chain too long": entry("one", made(Spec("Far"), LONG[0]), *LONG),
    "a missing link": entry("one", LEAF),
    "another root of the same name": entry("one", made(Spec("Leaf"), STRANGER)),
    "a root of its own": entry("one", made(Spec("Self"))),
    "a leaf that signed": entry("one", made(Spec("Sub"), LEAF), LEAF, CA),
    "an expired leaf": entry("one", made(Spec("Old", ends=timedelta(0) - timedelta(hours=1)), CA), CA),
    "a leaf of tomorrow": entry("one", made(Spec("New", begins=DAY), CA), CA),
    "an expired authority": entry(
        "one", made(Spec("Leaf"), old := made(Spec("CA2", ca=True, ends=-DAY / 2), ROOT)), old
    ),
    "a leaf that is an authority": entry("one", made(Spec("Both", ca=True), ROOT)),
    "a leaf for something else": entry("one", made(Spec("Enc", sign=False), CA), CA),
    "a leaf that does not say": entry("one", made(Spec("Dumb", usage=False), CA), CA),
    "a path too long": entry("one", made(Spec("Leaf"), BELOW), BELOW, CA),
    "another key than the certificate's": {
        **entry("one", OTHER_LEAF, CA),
        **jwk(LEAF.key.public_key(), "one", "ES256"),
    },
}


@pytest.mark.parametrize("name", NOT_VOUCHED)
def test_what_the_root_does_not_vouch_for_spoils_the_set(name: str) -> None:
    with pytest.raises(MalformedToken):
        certified(NOT_VOUCHED[name], crls=None)
    with pytest.raises(MalformedToken):
        certified(entry("two", OTHER_LEAF, CA), NOT_VOUCHED[name], crls=None)


@pytest.mark.parametrize(
    "crls",
    [
        pytest.param([], id="none"),
        pytest.param([listed(CA)], id="none of the root"),
        pytest.param([listed(ROOT)], id="none of the CA"),
        pytest.param([listed(ROOT), listed(CA, ends=timedelta(0), begins=-2 * DAY)], id="expired this instant"),
        pytest.param([listed(ROOT), listed(CA, begins=DAY, ends=2 * DAY)], id="of tomorrow"),
        pytest.param([listed(ROOT), listed(CA, key=STRANGER.key)], id="signed by another"),
        pytest.param([listed(ROOT), listed(STRANGER)], id="of another of the root's name"),
    ],
)
def test_without_a_list_that_holds_nothing_is_vouched_for(crls: Any) -> None:  # noqa: ANN401
    with pytest.raises(MalformedToken, match="revocation list"):
        certified(GOOD, crls=crls)


def test_an_authority_that_may_not_sign_lists_signs_none() -> None:
    silent = made(Spec("Silent", ca=True, crl_sign=False), ROOT)
    with pytest.raises(MalformedToken, match="revocation list"):
        certified(entry("one", made(Spec("Leaf"), silent), silent), crls=[listed(ROOT), listed(silent)])


def test_roots_are_authorities_in_pem() -> None:
    pem = ROOT.certificate.public_bytes(Encoding.PEM)
    assert read_roots(pem + STRANGER.certificate.public_bytes(Encoding.PEM)) == (ROOT.certificate, STRANGER.certificate)
    for wrong in (b"", b"words", LEAF.certificate.public_bytes(Encoding.PEM), pem * 20):
        with pytest.raises(MalformedToken):
            read_roots(wrong)


def test_lists_are_read_in_both_forms() -> None:
    for encoding in (Encoding.DER, Encoding.PEM):
        assert read_crl(LISTS[0].public_bytes(encoding)) == LISTS[0]
    for wrong in (b"", b"words", b"-----BEGIN X509 CRL-----\n", b"0" * (1024 * 1024 + 1)):
        with pytest.raises(MalformedToken):
            read_crl(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_give_our_own_error(data: bytes) -> None:
    for read in (read_crl, read_roots):
        with pytest.raises(MalformedToken):
            read(data)
    with pytest.raises(MalformedToken):
        certified({**GOOD, "x5c": [base64.b64encode(data).decode()]})
