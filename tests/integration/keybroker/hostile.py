"""Tokens that must not get a secret. Every one differs from the good one in the one thing its name says."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from tests.integration.keybroker.forge import ABSENT, AT, ISSUER, Forge, b64url, jwk, rsa_key, segment, sign

from ambergate.core.release.envelope import encode_held_key

Maker = Callable[[Forge], str]
NOW: Final = int(AT.timestamp())


def header(**members: object) -> Maker:
    """Signed by the issuer's key, under another header."""
    return lambda forge: forge.token(header=members)


def claims(**members: object) -> Maker:
    """Signed by the issuer, with other claims."""
    return lambda forge: forge.token(claims=forge.claims(**members))


def held(make: Callable[[Forge], bytes]) -> Maker:
    """Signed by the issuer, with other held data."""
    return lambda forge: forge.token(claims=forge.claims(attester_held_data=b64encode(make(forge)).decode()))


def unsigned(alg: object, signature: str = "") -> Maker:
    def make(forge: Forge) -> str:
        return f"{segment({'alg': alg, 'kid': forge.kid, 'typ': 'JWT'})}.{segment(forge.claims())}.{signature}"

    return make


def public_pem(forge: Forge) -> bytes:
    return forge.issuer_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_der(forge: Forge) -> bytes:
    return forge.issuer_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def modulus(forge: Forge) -> bytes:
    return forge.issuer_key.public_key().public_numbers().n.to_bytes(384, "big")


def hmac_with(key: Callable[[Forge], bytes], alg: str = "HS256", **members: object) -> Maker:
    return lambda forge: forge.token(alg=alg, key=key(forge), header=members)


def foreign(**members: object) -> Maker:
    """Signed by a stranger's key, with a header that offers that key."""

    def make(forge: Forge) -> str:
        offered = {name: value(forge) if callable(value) else value for name, value in members.items()}
        return forge.token(key=forge.other_key, header=offered)

    return make


def own_jwk(forge: Forge) -> object:
    return jwk(forge.other_key.public_key(), forge.kid, "PS384")


def own_certificate(forge: Forge) -> list[str]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Attestation Token Signing")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(forge.other_key.public_key())
        .serial_number(1)
        .not_valid_before(AT - timedelta(days=1))
        .not_valid_after(AT + timedelta(days=1))
        .sign(forge.other_key, hashes.SHA256())
    )
    return [b64encode(certificate.public_bytes(Encoding.DER)).decode()]


def respelled(change: Callable[[list[str]], str]) -> Maker:
    """A good token, spelled or cut differently after signing."""
    return lambda forge: change(forge.token().split("."))


def flipped(text: str) -> str:
    """The same length, another first character."""
    return ("B" if text[0] != "B" else "C") + text[1:]


def rewritten(parts: list[str]) -> str:
    """Another enclave's measurement put into the payload, the signature kept."""
    payload = json.loads(urlsafe_b64decode(parts[1] + "=="))
    return f"{parts[0]}.{segment({**payload, 'sgx_isvsvn': 9})}.{parts[2]}"


def cross_signed(forge: Forge) -> str:
    """Says another trusted issuer, signed by this one."""
    return forge.token(claims=forge.claims(iss=f"{ISSUER}/second"))


def raw_payload(text: str) -> Maker:
    """Signed by the issuer, with a payload that is no object."""

    def make(forge: Forge) -> str:
        message = f"{segment({'alg': 'PS384', 'kid': forge.kid, 'typ': 'JWT'})}.{b64url(text.encode())}"
        return f"{message}.{b64url(sign('PS384', message.encode(), forge.issuer_key))}"

    return make


def mislabelled(alg: str, said: str) -> Maker:
    """Signed with one algorithm, announced as another."""
    return lambda forge: forge.token(alg=alg, header={"alg": said})


def with_key(alg: str, key: Callable[[Forge], Any], **members: object) -> Maker:
    return lambda forge: forge.token(alg=alg, key=key(forge), header=members)


# Refused before any policy is asked: they prove nothing.
WORTHLESS: Final[dict[str, Maker]] = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "alg none with a signature": unsigned("none", "AAAA"),
    "alg empty": unsigned(""),
    "alg absent": header(alg=ABSENT),
    "alg null": header(alg=None),
    "alg a list": header(alg=["PS384"]),
    "alg a number": header(alg=384),
    "alg in lower case": header(alg="ps384"),
    "alg unknown": header(alg="PS999"),
    "HS256 under the public PEM": hmac_with(public_pem),
    "HS384 under the public PEM": hmac_with(public_pem, "HS384"),
    "HS512 under the public PEM": hmac_with(public_pem, "HS512"),
    "HS256 under the public DER": hmac_with(public_der),
    "HS256 under the modulus": hmac_with(modulus),
    "HS256 under nothing": hmac_with(lambda _: b""),
    "HS256 under the key id": hmac_with(lambda forge: forge.kid.encode()),
    "HS256 under a file of nothing": hmac_with(lambda _: b"", kid="../../../../../../dev/null"),
    "PS256": lambda forge: forge.token(alg="PS256"),
    "PS512": lambda forge: forge.token(alg="PS512"),
    "RS384": lambda forge: forge.token(alg="RS384"),
    "RS512": lambda forge: forge.token(alg="RS512"),
    "RS256 announced as PS384": mislabelled("RS256", "PS384"),
    "PS384 announced as RS256": mislabelled("PS384", "RS256"),
    "ES256 by a stranger under the RSA key's id": with_key("ES256", lambda _: ec.generate_private_key(ec.SECP256R1())),
    "ES256 by the issuer under the RSA key's id": with_key("ES256", lambda forge: forge.ec_key),
    "ES256 of zeros": lambda forge: ".".join(
        [*forge.token(alg="ES256", key=forge.ec_key, header={"kid": forge.ec_kid}).split(".")[:2], b64url(bytes(64))]
    ),
    "PS384 under the EC key's id": header(kid="e2" * 48),
    "a stranger's key": foreign(),
    "a stranger's key, in jwk": foreign(jwk=own_jwk),
    "a stranger's key, in jwk, no kid": foreign(jwk=own_jwk, kid=ABSENT),
    "a stranger's key, in x5c": foreign(x5c=own_certificate),
    "a stranger's key, in x5c, no kid": foreign(x5c=own_certificate, kid=ABSENT),
    "a stranger's key, at jku": foreign(jku="https://127.0.0.1:1/certs", kid="99" * 48),
    "a stranger's key, at x5u": foreign(x5u="https://127.0.0.1:1/cert.pem", kid="99" * 48),
    "a weak stranger's key": with_key("PS384", lambda _: rsa_key(2048)),
    "kid absent": header(kid=ABSENT),
    "kid empty": header(kid=""),
    "kid null": header(kid=None),
    "kid a number": header(kid=0),
    "kid a list": lambda forge: forge.token(header={"kid": [forge.kid]}),
    "kid unknown": header(kid="00" * 48),
    "kid in upper case": lambda forge: forge.token(header={"kid": forge.kid.upper()}),
    "kid cut": lambda forge: forge.token(header={"kid": forge.kid[:-1]}),
    "kid a path": header(kid="../../../etc/passwd"),
    "kid an injection": header(kid="' OR '1'='1"),
    "typ of another token": header(typ="at+jwt"),
    "crit unknown": header(crit=["exp"], exp=NOW + 300),
    "crit empty": header(crit=[]),
    "crit b64": header(crit=["b64"], b64=False),
    "signature absent": respelled(lambda parts: f"{parts[0]}.{parts[1]}."),
    "signature cut": respelled(lambda parts: f"{parts[0]}.{parts[1]}.{parts[2][:-4]}"),
    "signature longer": respelled(lambda parts: f"{parts[0]}.{parts[1]}.{parts[2]}AAAA"),
    "signature flipped": respelled(lambda parts: f"{parts[0]}.{parts[1]}.{flipped(parts[2])}"),
    "header flipped": respelled(lambda parts: f"{flipped(parts[0])}.{parts[1]}.{parts[2]}"),
    "payload rewritten": respelled(rewritten),
    "payload of another token": lambda forge: ".".join(
        [forge.token().split(".")[0], segment(forge.claims(jti="x")), forge.token().split(".")[2]]
    ),
    "issuer unknown": claims(iss="https://evil.example"),
    "issuer with a slash": claims(iss=f"{ISSUER}/"),
    "issuer in upper case": claims(iss=ISSUER.upper()),
    "issuer with a port less": claims(iss="https://attest.example"),
    "issuer Intel": claims(iss="Intel Trust Authority"),
    "issuer absent": claims(iss=ABSENT),
    "issuer null": claims(iss=None),
    "issuer a list": claims(iss=[ISSUER]),
    "issuer an object": claims(iss={"": ISSUER}),
    "issuer's simulation, not trusted": claims(iss=f"{ISSUER}/simulated", tee_simulated=True),
    "another trusted issuer's name": cross_signed,
    "simulated": claims(tee_simulated=True),
    "simulated in words": claims(tee_simulated="false"),
    "expired long ago": claims(iat=NOW - 4000, nbf=NOW - 4000, exp=NOW - 3600),
    "expired a second ago": claims(exp=NOW - 1),
    "expiring this second": claims(exp=NOW),
    "not yet valid": claims(nbf=NOW + 120),
    "issued in the future": claims(iat=NOW + 120, nbf=NOW + 120),
    "exp absent": claims(exp=ABSENT),
    "exp null": claims(exp=None),
    "exp text": claims(exp=str(NOW + 300)),
    "exp true": claims(exp=True),
    "exp negative": claims(exp=-1),
    "exp a list": claims(exp=[NOW + 300]),
    "exp infinite": claims(exp=float("inf")),
    "exp not a number": claims(exp=float("nan")),
    "exp beyond all calendars": claims(exp=10**18),
    "iat absent": claims(iat=ABSENT),
    "iat text": claims(iat=str(NOW)),
    "nbf text": claims(nbf=str(NOW)),
    "no token": lambda _: "",
    "white space": lambda _: " ",
    "one part": respelled(lambda parts: parts[0]),
    "two parts": respelled(lambda parts: ".".join(parts[:2])),
    "four parts": respelled(lambda parts: ".".join([*parts, parts[2]])),
    "five parts, as a JWE": respelled(lambda parts: ".".join([*parts, parts[2], parts[2]])),
    "dots": lambda _: "..",
    "in JSON serialization": respelled(
        lambda parts: json.dumps({"protected": parts[0], "payload": parts[1], "signature": parts[2]})
    ),
    "with a Bearer before it": respelled(lambda parts: "Bearer " + ".".join(parts)),
    "padded base64": respelled(lambda parts: ".".join(part + "=" * (-len(part) % 4 or 4) for part in parts)),
    "white space in the signature": respelled(lambda parts: f"{parts[0]}.{parts[1]}.{parts[2][:8]}\n{parts[2][8:]}"),
    "a NUL in the payload": respelled(lambda parts: f"{parts[0]}.{parts[1]}\0.{parts[2]}"),
    "letters that are not ASCII": lambda _: "é.é.é",
    "for an audience": claims(aud="https://somebody.example"),
    "issuer named twice": lambda forge: raw_payload(f'{{"iss":"https://evil.example",{json.dumps(forge.claims())[1:]}')(
        forge
    ),
    "expiry named twice": lambda forge: raw_payload(f'{{"exp":1,{json.dumps(forge.claims())[1:]}')(forge),
    "enclave a number": claims(sgx_mrenclave=5),
    "version in words": claims(sgx_isvsvn="3"),
    "version true": claims(sgx_isvsvn=True),
    "debug in words": claims(sgx_is_debuggable="false"),
    "status absent": claims(attester_tcb_status=ABSENT),
    "type absent": claims(attester_type=ABSENT),
    "held data not base64": claims(attester_held_data="%%%"),
    "held data a list": claims(attester_held_data=[1, 0, 1, 0]),
    "payload a list": raw_payload("[]"),
    "payload null": raw_payload("null"),
    "payload text": raw_payload('"claims"'),
    "payload no JSON": raw_payload("{"),
    "payload nested without end": raw_payload("[" * 20_000),
    "endless": lambda _: "A" * 70_000 + ".A.A",
}

SHORT_RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def with_exponent(exponent: str) -> Maker:
    return held(lambda forge: bytes.fromhex(exponent) + forge.held()[4:])


def td_key(forge: Forge) -> str:
    """The workload's key as a TD holds it: else its byte order would be a second reason."""
    return b64encode(encode_held_key(forge.workload_key.public_key(), tee="TDX")).decode()


# Good tokens of enclaves that the policy does not approve: what they are, and the rule that says so.
UNWELCOME: Final[dict[str, tuple[Maker, str]]] = {
    "another enclave": (claims(sgx_mrenclave="5b" + "5a" * 31), "mr_enclave"),
    "another enclave by its last bit": (claims(sgx_mrenclave="5a" * 31 + "5b"), "mr_enclave"),
    "signer where the enclave belongs": (claims(sgx_mrenclave="c3" * 32), "mr_enclave"),
    "another signer": (claims(sgx_mrsigner="c3" * 31 + "c2"), "mr_signer"),
    "another product": (claims(sgx_isvprodid=8), "isv_prod_id"),
    "product zero": (claims(sgx_isvprodid=0), "isv_prod_id"),
    "an older version": (claims(sgx_isvsvn=2), "isv_svn"),
    "version zero": (claims(sgx_isvsvn=0), "isv_svn"),
    "debug": (claims(sgx_is_debuggable=True, dbgstat="enabled"), "debug"),
    "debug by dbgstat only": (claims(dbgstat="enabled"), "debug"),
    "debug by the flag only": (claims(sgx_is_debuggable=True), "debug"),
    "debug unsaid": (claims(sgx_is_debuggable=ABSENT, dbgstat=ABSENT), "debug"),
    "a status of old": (claims(attester_tcb_status="OK"), "tcb_status"),
    "revoked": (claims(attester_tcb_status="Revoked"), "tcb_status"),
    "another TEE": (
        lambda forge: forge.token(claims=forge.claims(attester_type="TDX", attester_held_data=td_key(forge))),
        "attester_type",
    ),
    "no enclave": (claims(sgx_mrenclave=ABSENT), "mr_enclave"),
    "no signer": (claims(sgx_mrsigner=ABSENT), "mr_signer"),
    "no product": (claims(sgx_isvprodid=ABSENT), "isv_prod_id"),
    "no version": (claims(sgx_isvsvn=ABSENT), "isv_svn"),
    "hardening needed": (claims(attester_tcb_status="SWHardeningNeeded"), "tcb_status"),
    "configuration needed": (claims(attester_tcb_status="ConfigurationNeeded"), "tcb_status"),
    "both needed": (claims(attester_tcb_status="ConfigurationAndSWHardeningNeeded"), "tcb_status"),
    "out of date": (claims(attester_tcb_status="OutOfDate"), "tcb_status"),
    "out of date and configuration": (claims(attester_tcb_status="OutOfDateConfigurationNeeded"), "tcb_status"),
    "held data absent": (claims(attester_held_data=ABSENT), "workload_key"),
    "held data empty": (claims(attester_held_data=""), "workload_key"),
    "the key in runtime data only": (
        lambda forge: forge.token(
            claims=forge.claims(
                attester_held_data=ABSENT, attester_runtime_data={"key": b64encode(forge.held()).decode()}
            )
        ),
        "workload_key",
    ),
    "held data that is text": (held(lambda _: b"just some words"), "workload_key"),
    "held data that is PEM": (held(public_pem), "workload_key"),
    "held data that is DER": (held(public_der), "workload_key"),
    "a key cut short": (held(lambda forge: forge.held()[:200]), "workload_key"),
    "a key of 2048 bits": (
        held(lambda _: bytes.fromhex("01000100") + SHORT_RSA.public_key().public_numbers().n.to_bytes(256, "little")),
        "workload_key",
    ),
    "a key too long": (held(lambda _: bytes.fromhex("01000100") + b"\xff" * 1025), "workload_key"),
    "an even modulus": (held(lambda _: bytes.fromhex("01000100") + bytes(383) + b"\x80"), "workload_key"),
    "a modulus of zeros": (held(lambda _: bytes.fromhex("01000100") + bytes(384)), "workload_key"),
    "a modulus divisible by three": (
        held(lambda _: bytes.fromhex("01000100") + (((1 << 3071) // 3 | 1) * 3).to_bytes(384, "little")),
        "workload_key",
    ),
    "exponent one": (with_exponent("01000000"), "workload_key"),
    "exponent three": (with_exponent("03000000"), "workload_key"),
    "exponent zero": (with_exponent("00000000"), "workload_key"),
}
