"""More tokens that must get nothing, by families: what forgers vary, varied throughout."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration.keybroker.forge import ABSENT, AT, ISSUER, MR_ENCLAVE, Forge, b64url, segment, sign
from tests.integration.keybroker.hostile import (
    NOW,
    Maker,
    claims,
    foreign,
    header,
    hmac_with,
    mislabelled,
    own_certificate,
    own_jwk,
    raw_payload,
    respelled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LABELS: Final = (
    *("HS256", "HS384", "HS512", "PS256", "PS512", "RS384", "RS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA"),
    *(
        "dir",
        "A128KW",
        "RSA1_5",
        "RSA-OAEP",
        "PS384 ",
        " PS384",
        "PS384\0",
        "Ps384",
        "PS384,RS256",
        "SHA384",
        "\u03a1S384",
    ),
)
TYPES: Final = ("JOSE", "JOSE+JSON", "secevent+jwt", "logout+jwt", "kb+jwt", "application/at+jwt", "", "JWT ", 5, None)
CRITICAL: Final = (["alg"], ["kid"], "exp", {"exp": 1}, None, [5])
ISSUERS: Final = (
    *("http://attest.example:8443", "HTTPS://attest.example:8443", "https://attest.example.:8443"),
    *("https://attest.example:8443#", "https://attest.example:8443?", "https://evil@attest.example:8443"),
    *("https://attest.example:8443/../", " https://attest.example:8443", "https://attest.example:8443\n"),
    *("https://attest.example:8443\0", "https://\u0430ttest.example:8443", "https%3A//attest.example:8443"),
    *("https://attest.example:8443/second/", "attest.example:8443", "https://attest.example:08443", ""),
)
TIMES: Final[dict[str, Mapping[str, Any]]] = {
    "exp in milliseconds": {"exp": (NOW + 300) * 1000},
    "exp with a fraction": {"exp": NOW + 300.5},
    "exp as a whole fraction": {"exp": float(NOW + 300)},
    "exp a date": {"exp": "2030-01-01T00:00:00Z"},
    "exp an object": {"exp": {"at": NOW + 300}},
    "exp zero": {"exp": 0},
    "iat null": {"iat": None},
    "iat negative": {"iat": -5},
    "iat true": {"iat": True},
    "iat in milliseconds": {"iat": NOW * 1000},
    "iat of the next second": {"iat": NOW + 1},
    "nbf null": {"nbf": None},
    "nbf of the next second": {"nbf": NOW + 1},
    "nbf with a fraction": {"nbf": NOW - 0.5},
    "nbf a list": {"nbf": [NOW]},
    "a lifetime that has passed": {"iat": NOW - 300, "nbf": NOW - 300, "exp": NOW},
    "a lifetime that comes": {"iat": NOW + 300, "nbf": NOW + 300, "exp": NOW + 600},
}
AUDIENCES: Final[tuple[object, ...]] = ("", [], None, [ISSUER], "key broker", {"a": 1})
# One claim of another type or form each.
FORMS: Final[dict[str, Any]] = {
    "attester_tcb_date": ["yesterday", 5],
    "attester_tcb_status": [5, ["UpToDate"]],
    "attester_advisory_ids": ["INTEL-SA-00615", [5]],
    "attester_runtime_data": ["data", [1]],
    "attester_type": [["SGX"], 5],
    "attester_held_data": [5, "AA=A", "A A="],
    "policy_ids_matched": ["0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a11", [5], [{"version": "v1"}]],
    "verifier_nonce": ["nonce", [1]],
    "sgx_isvprodid": ["7", 7.0],
    "sgx_mrsigner": [["c3" * 32], 5],
    "dbgstat": [False, 0],
    "tee_simulated": [0, "no", []],
}
# Tokens of other profiles, with one claim in two places, or about two evidences.
NESTED: Final[dict[str, Mapping[str, Any]]] = {
    "v2 about two": {"ver": "2.0.0", "sgx": {}, "tdx": {}},
    "v2 about none": {"ver": "2.0.0"},
    "v2 about a list": {"ver": "2.0.0", "sgx": [{}]},
    "v2 with the enclave twice": {"ver": "2.0.0", "sgx": {"sgx_mrenclave": MR_ENCLAVE}},
    "v2 with debug twice": {"ver": "2.0.0", "sgx": {"sgx_is_debuggable": False}},
    "2022 with the enclave twice": {"ver": "1.0", "amber_sgx_mrenclave": MR_ENCLAVE},
    "2022 with the status twice": {"ver": "1.0", "amber_tcb_status": "OK"},
    "2022 with odd policies": {"ver": "1.0", "amber_matched_policy_ids": [1]},
}
OFFERS: Final[dict[str, object]] = {
    "jku": "https://evil.example/certs",
    "jwk": own_jwk,
    "x5u": "https://evil.example/cert.pem",
    "x5c": own_certificate,
    "x5t": "AAAA",
    "x5t#S256": "AAAA",
}
KIDS: Final[dict[str, object]] = {
    "no kid": ABSENT,
    "a kid of its own": "99" * 48,
    "the kid of the EC key": "e2" * 48,
    "a kid that is a URL": "https://evil.example/certs#1",
}


def ec_pem(forge: Forge) -> bytes:
    return forge.ec_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def modulus_text(forge: Forge) -> bytes:
    return str(forge.key_set()["keys"][0]["n"]).encode()


def key_set_text(forge: Forge) -> bytes:
    return json.dumps(forge.key_set()).encode()


SECRETS: Final[dict[str, Callable[[Forge], bytes]]] = {
    "the EC key's PEM": ec_pem,
    "the modulus as text": modulus_text,
    "the key set": key_set_text,
    "the issuer's name": lambda _: ISSUER.encode(),
    "zeros": lambda _: bytes(32),
}


def salted(length: int, digest: hashes.HashAlgorithm) -> Maker:
    """PS384 in name, under another salt or mask than RFC 7518, 3.5, has."""

    def make(forge: Forge) -> str:
        text = f"{segment({'alg': 'PS384', 'kid': forge.kid, 'typ': 'JWT'})}.{segment(forge.claims())}"
        scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=length)
        return f"{text}.{b64url(forge.issuer_key.sign(text.encode(), scheme, hashes.SHA384()))}"

    return make


def ec_signature(change: Callable[[bytes], bytes]) -> Maker:
    """ES256 by the issuer's EC key, the signature spelled differently."""

    def make(forge: Forge) -> str:
        text = f"{segment({'alg': 'ES256', 'kid': forge.ec_kid, 'typ': 'JWT'})}.{segment(forge.claims())}"
        return f"{text}.{b64url(change(sign('ES256', text.encode(), forge.ec_key)))}"

    return make


def as_der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def raw_header(text: str) -> Maker:
    """Signed by the issuer under a header that is written by hand."""

    def make(forge: Forge) -> str:
        head = b64url(text.replace("KID", forge.kid).encode("utf-8", "surrogatepass"))
        message = f"{head}.{segment(forge.claims())}"
        return f"{message}.{b64url(sign('PS384', message.encode(), forge.issuer_key))}"

    return make


MORE_WORTHLESS: Final[dict[str, Maker]] = {
    **{f"PS384 announced as {label!a}": mislabelled("PS384", label) for label in LABELS},
    **{
        f"{alg} under {name}": hmac_with(key, alg)
        for alg in ("HS256", "HS384", "HS512")
        for name, key in SECRETS.items()
    },
    **{
        f"a stranger's key, by {member}, {name}": foreign(**{member: offer, "kid": kid})
        for member, offer in OFFERS.items()
        for name, kid in KIDS.items()
    },
    **{f"typ {kind!r}": header(typ=kind) for kind in TYPES},
    **{f"crit {named!r}": header(crit=named) for named in CRITICAL},
    "b64 true": header(b64=True),
    **{f"issuer {name!a}": claims(iss=name) for name in ISSUERS},
    **{name: claims(**members) for name, members in TIMES.items()},
    **{f"audience {named!r}": claims(aud=named) for named in AUDIENCES},
    **{f"{name} {value!r}": claims(**{name: value}) for name, values in FORMS.items() for value in values},
    **{name: claims(**members) for name, members in NESTED.items()},
    "no salt": salted(0, hashes.SHA384()),
    "a salt too short": salted(32, hashes.SHA384()),
    "a salt too long": salted(64, hashes.SHA384()),
    "another mask": salted(48, hashes.SHA256()),
    "ES256 in DER": ec_signature(as_der),
    "ES256 turned": ec_signature(lambda raw: raw[32:] + raw[:32]),
    "ES256 cut": ec_signature(lambda raw: raw[:-1]),
    "ES256 longer": ec_signature(lambda raw: raw + b"\0"),
    "ES256 with zero bytes": ec_signature(lambda raw: bytes(16) + raw[:32] + bytes(16) + raw[32:]),
    "ES256 of the order": ec_signature(lambda _: b"\xff" * 64),
    "alg named twice": raw_header('{"alg":"none","alg":"PS384","kid":"KID"}'),
    "kid named twice": raw_header('{"alg":"PS384","kid":"x","kid":"KID"}'),
    "a header that is a list": raw_header('["PS384","KID"]'),
    "a header with a mark before it": raw_header('\ufeff{"alg":"PS384","kid":"KID"}'),
    "a header with half a character": raw_header('{"alg":"PS384","kid":"KID","x":"\\ud800"}'),
    "a header with a number beyond all": raw_header('{"alg":"PS384","kid":"KID","x":1e999}'),
    "a header nested without end": raw_header('{"alg":"PS384","kid":"KID","x":' + "[" * 5000 + "]" * 5000 + "}"),
    "a payload with a mark before it": lambda forge: raw_payload("\ufeff" + json.dumps(forge.claims()))(forge),
    "a payload with something behind it": lambda forge: raw_payload(json.dumps(forge.claims()) + "{}")(forge),
    "a payload with NaN in it": lambda forge: raw_payload('{"x":NaN,' + json.dumps(forge.claims())[1:])(forge),
    "the simulation named twice": lambda forge: raw_payload(
        '{"tee_simulated":true,"tee_simulated":false,' + json.dumps(forge.claims())[1:]
    )(forge),
    "the alphabet of plain base64": respelled(lambda parts: f"{parts[0]}.{parts[1]}+.{parts[2]}/"),
    "bits behind the signature": respelled(lambda parts: f"{parts[0]}.{parts[1]}.{parts[2]}A"),
    "in capitals": respelled(lambda parts: ".".join(parts).upper()),
    "encoded twice": respelled(lambda parts: b64encode(".".join(parts).encode()).decode()),
}
# Good tokens, replayed when their key's policy does not want them any more, or not yet: seconds of the broker's clock.
REPLAYED: Final[dict[str, tuple[Mapping[str, Any], int, str]]] = {
    "older than the policy lets it be": ({"max_token_age_seconds": 60}, 51, "token_age"),
    "after the policy's last day": ({"not_after": AT}, 0, "not_after"),
    "a second after it": ({"not_after": AT}, 1, "not_after"),
    "before the policy's first day": ({"not_before": AT.replace(day=2)}, 0, "not_before"),
    "outside of its hours": ({"weekly": [{"from": "00:00", "to": "12:00"}]}, 0, "weekly"),
    "on another day": ({"weekly": [{"days": ["Mon"], "from": "00:00", "to": "24:00"}]}, 30, "weekly"),
    "without the nonce of this request": ({"nonce": "bound"}, 0, "nonce"),
}
