"""Signatures of tokens: compact JWS (RFC 7515) under three algorithms, and key sets (RFC 7517).

Nothing in a token's header is followed: no `jku`, `jwk`, `x5u` or `x5c` chooses a key; `alg` and `kid` only select
among the keys that the caller trusts already.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from ambergate.core.errors import MalformedToken, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

ALGORITHMS: Final = ("PS384", "RS256", "ES256")
MAX_TOKEN: Final = 64 * 1024  # characters; the longest known tokens have about 6,200
MAX_DEPTH: Final = 64  # levels of nesting; known tokens have 4
MAX_KEY_SET: Final = 256 * 1024  # characters; three chains take about 25,000
MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048  # NIST SP 800-131A; the keys that this protocol's services use have 3072
MAX_RSA_BITS: Final = 8192


class _Registry(jws.JWSRegistry):
    """One algorithm: a header chooses nothing. The token's length is bounded already; 512 bytes hold no `x5c`."""

    max_header_length = MAX_TOKEN


# Header members that we do not know are ignored, as RFC 7515, 4, has it; `crit` is refused below.
_REGISTRIES: Final = {alg: _Registry(algorithms=[alg], strict_check_header=False) for alg in ALGORITHMS}
_ES256: Final = ec.ECDSA(hashes.SHA256())
_PS384: Final = padding.PSS(padding.MGF1(hashes.SHA384()), 48)  # bytes of salt: as many as the hash has
# Members of a JWK that are secret (RFC 7518, 6.2.2, 6.3.2, 6.4).
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CANNOT_READ: Final = (JoseError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs tokens, the id that names it, and its certificates (DER, leaf first). Redacted."""

    kid: str
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    chain: tuple[bytes, ...]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What it signs with."""
        return _algorithms(type(self.private_key))

    def public_members(self) -> list[dict[str, object]]:
        """The public key as members of a key set: once for each algorithm."""
        return public_members(self.kid, self.private_key.public_key(), self.chain)

    def __repr__(self) -> str:
        return f"SigningKey({self.kid[:16]}…, {'/'.join(self.algorithms)})"


def public_members(
    kid: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, chain: Sequence[bytes]
) -> list[dict[str, object]]:
    """A public key as members of a key set, once for each algorithm; with its certificates (DER, leaf first)."""
    is_rsa = isinstance(public, rsa.RSAPublicKey)
    key = RSAKey.import_key(public) if isinstance(public, rsa.RSAPublicKey) else ECKey.import_key(public)
    x5c = [base64.b64encode(certificate).decode() for certificate in chain]
    algorithms = ("PS384", "RS256") if is_rsa else ("ES256",)
    return [{**key.as_dict(private=False), "alg": alg, "kid": kid, "x5c": x5c} for alg in algorithms]


@functools.lru_cache(8)  # abstract classes take their time to say what is one of theirs
def _algorithms(kind: type) -> tuple[str, ...]:
    return ("PS384", "RS256") if issubclass(kind, rsa.RSAPrivateKey) else ("ES256",)


def write_json(claims: Mapping[str, object]) -> bytes:
    """The claims as JSON: ASCII, no spaces."""
    return json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()


def sign(
    claims: Mapping[str, object],
    key: SigningKey,
    alg: str,
    *,
    jku: str | None,
    write: Callable[[Mapping[str, object]], bytes] = write_json,
) -> str:
    """A compact JWS of `claims`. `jku` is where the key set is served; None: nowhere.

    Args:
        claims: the payload.
        key: signs.
        alg: one of its algorithms.
        jku: where its key set is.
        write: writes the payload.

    Raises:
        ValueError: the key does not sign with `alg`.
    """
    if alg not in key.algorithms:
        msg = f"{key!r} does not sign with {alg}"
        raise ValueError(msg)
    message = _header(alg, jku, key.kid) + b"." + _encode(write(claims))
    return (message + b"." + _encode(_signature(message, key.private_key, alg))).decode()


@functools.lru_cache(64)
def _header(alg: str, jku: str | None, kid: str) -> bytes:
    header = {"alg": alg, **({} if jku is None else {"jku": jku}), "kid": kid, "typ": "JWT"}
    return _encode(json.dumps(header, separators=(",", ":")).encode())


def _signature(message: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, alg: str) -> bytes:
    """RFC 7518, 3.3 to 3.5, by a key of that algorithm.

    By `cryptography` itself: the library that reads tokens would look each key over anew.
    """
    if alg == "ES256":
        r, s = decode_dss_signature(cast("ec.EllipticCurvePrivateKey", key).sign(message, _ES256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    key = cast("rsa.RSAPrivateKey", key)
    if alg == "RS256":
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message, _PS384, hashes.SHA384())


def _encode(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515, 2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL_SAFE).rstrip(b"=")


_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class KeySet:
    """Public keys by id and algorithm. Made by `from_json`."""

    def __init__(self, keys: Mapping[tuple[str, str], RSAKey | ECKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a JWKS. Every key in it must be usable; one that is not is an error, never skipped.

        Raises:
            MalformedToken: not a key set; a key without id; a symmetric or private key; RSA below 2048 bits; a curve
                other than P-256; an algorithm other than PS384, RS256, ES256.
        """
        if len(text) > MAX_KEY_SET:
            raise MalformedToken("the key set is too long", seen=f"{len(text)} characters", wanted=f"<= {MAX_KEY_SET}")
        members = load_object(text, "the key set")
        entries = members.get("keys")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_KEYS:
            raise MalformedToken("the key set has no keys", wanted=f'{{"keys": [1 to {MAX_KEYS} keys]}}')
        keys: dict[tuple[str, str], RSAKey | ECKey] = {}
        for entry in entries:
            for kid, alg, key in _read_key(entry):
                keys.setdefault((kid, alg), key)  # as every client of this protocol does: the first match wins
        return cls(keys)

    @property
    def kids(self) -> frozenset[str]:
        """The ids of its keys."""
        return frozenset(kid for kid, _ in self._keys)

    def without(self, kids: Collection[str]) -> Self:
        """The same but for the keys of these ids."""
        return type(self)({(kid, alg): key for (kid, alg), key in self._keys.items() if kid not in kids})

    def only(self, algorithms: Collection[str]) -> Self:
        """The same, for signatures by these algorithms alone."""
        return type(self)({(kid, alg): key for (kid, alg), key in self._keys.items() if alg in algorithms})

    def verify(self, token: str) -> dict[str, object]:
        """The members that a key of this set signed. Says nothing of when, by whom or for whom.

        Raises:
            MalformedToken: not a compact JWS of a JSON object.
            TokenRejected: another algorithm, an unknown key, a critical header, or a signature that does not hold.
        """
        header, payload = take_apart(token)
        alg, kid = header.get("alg"), header.get("kid")
        if alg not in ALGORITHMS:
            raise TokenRejected(
                "the token's algorithm is not accepted", code="bad-algorithm", seen=alg, wanted=ALGORITHMS
            )
        if "crit" in header or "b64" in header:
            raise TokenRejected("the token has critical headers", code="critical-header", wanted="none")
        if header.get("typ", "JWT") not in ("JWT", "jwt"):
            raise TokenRejected("the token is of another type", code="bad-type", seen=header.get("typ"), wanted="JWT")
        if not isinstance(kid, str):
            raise TokenRejected("the token names no key", code="unknown-signing-key", wanted="kid")
        key = self._keys.get((kid, str(alg)))
        if key is None:
            hint = "fetch the issuer's key set again; is the token from this issuer?"
            raise TokenRejected(
                "the token's key is not in the key set", code="unknown-signing-key", seen=f"{kid} {alg}", hint=hint
            )
        try:
            jws.deserialize_compact(token, key, registry=_REGISTRIES[alg])
        except _CANNOT_READ as exc:
            raise TokenRejected(
                "the token's signature does not hold", code="bad-signature", seen=f"{kid} {alg}"
            ) from exc
        return payload


def take_apart(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Header and payload of a compact JWS. Nothing of them is proven.

    Raises:
        MalformedToken: it is none, or either is no JSON object.
    """
    if len(token) > MAX_TOKEN:
        raise MalformedToken("the token is too long", seen=f"{len(token)} characters", wanted=f"<= {MAX_TOKEN}")
    parts = token.split(".")
    if len(parts) != 3:
        raise MalformedToken("the token is not a compact JWS", seen=f"{len(parts)} parts", wanted="3 parts")
    header, payload, _ = (_decode(part) for part in parts)
    return load_object(header, "the token's header"), load_object(payload, "the token's payload")


def _decode(part: str, what: str = "a part of the token") -> bytes:
    """Base64url without padding, in its one canonical form (RFC 7515, 2)."""
    try:
        data = base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
    except (ValueError, binascii.Error) as exc:
        raise MalformedToken(f"{what} is not base64url") from exc
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise MalformedToken(f"{what} is not canonical base64url")
    return data


def load_object(text: str | bytes, what: str, *, depth: int = MAX_DEPTH) -> dict[str, object]:
    """A JSON object that every reader reads alike (RFC 7493): UTF-8, no member twice, finite numbers, whole characters.

    Args:
        text: JSON.
        what: what it is, for messages.
        depth: how deep arrays and objects may nest.

    Raises:
        MalformedToken: anything else.
    """
    try:
        # `json.loads` would guess the encoding of bytes, and skip a byte order mark.
        plain = text.decode() if isinstance(text, bytes) else text
        value = strict_value(plain)
        _check_depth(value, depth)
    except (ValueError, RecursionError) as exc:
        raise MalformedToken(f"{what} is not JSON", seen=ascii(exc)) from exc
    if not isinstance(value, dict):
        raise MalformedToken(f"{what} is not a JSON object", seen=type(value).__name__)
    return value


def strict_value(text: str) -> object:
    """JSON that every reader reads alike (RFC 7493): no member twice, finite numbers, whole characters.

    Raises:
        ValueError: anything else.
        RecursionError: nested too deeply for this interpreter.
    """
    value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite)
    # Halves of characters stop here, those in the text and those written as \ud800.
    (json.dumps(value, ensure_ascii=False) if "\\u" in text else text).encode()
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member is repeated"
        raise ValueError(msg)
    return members


def _no_number(text: str) -> NoReturn:
    msg = f"{text[:32]} is no number here"
    raise ValueError(msg)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        _no_number(text)
    return number


def _check_depth(value: object, depth: int) -> None:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if children is None:
        return
    if depth == 0:
        msg = "nested too deeply"
        raise ValueError(msg)
    for child in children:
        _check_depth(child, depth - 1)


def _read_key(entry: object) -> list[tuple[str, str, RSAKey | ECKey]]:
    if not isinstance(entry, dict):
        raise MalformedToken("a key is not a JSON object", seen=type(entry).__name__)
    kid = entry.get("kid")
    if not isinstance(kid, str) or not kid:
        raise MalformedToken("a key has no kid", wanted="text")
    if _PRIVATE & entry.keys():
        raise MalformedToken("a secret key stands in the key set", seen=kid, hint="that key is burnt: replace it")
    key, allowed = _import(entry, kid)
    alg = entry.get("alg")
    if alg is not None and alg not in allowed:
        raise MalformedToken("a key is for an algorithm that is not accepted", seen=f"{kid}: {alg}", wanted=allowed)
    use, operations = entry.get("use", "sig"), entry.get("key_ops", ["verify"])
    if use != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise MalformedToken("a key is not for signatures", seen=f"{kid}: {use} {operations}", wanted="sig, verify")
    return [(kid, each, key) for each in (allowed if alg is None else (alg,))]


def _import(entry: dict[str, Any], kid: str) -> tuple[RSAKey | ECKey, tuple[str, ...]]:
    kind = entry.get("kty")
    names = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}.get(str(kind))
    if names is None:
        raise MalformedToken("a key is of a kind that is not accepted", seen=f"{kid}: {kind}", wanted="RSA or EC")
    numbers: dict[str, str | list[str]] = {name: entry[name] for name in names if isinstance(entry.get(name), str)}
    allowed = _rsa(numbers, kid) if kind == "RSA" else _ec(numbers, kid)
    try:
        return (RSAKey if kind == "RSA" else ECKey).import_key(numbers), allowed
    except _CANNOT_READ as exc:
        raise MalformedToken("a key cannot be read", seen=kid) from exc


def _rsa(numbers: Mapping[str, object], kid: str) -> tuple[str, ...]:
    """Looked at before the key is imported: what imports it warns of short keys, and labours over long ones."""
    bits = int.from_bytes(_decode(str(numbers.get("n", "")), "an RSA key's n"), "big").bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise MalformedToken("an RSA key has an unacceptable size", seen=f"{kid}: {bits} bits", wanted="2048 to 8192")
    return ("PS384", "RS256")


def _ec(numbers: Mapping[str, object], kid: str) -> tuple[str, ...]:
    if numbers.get("crv") != "P-256":
        raise MalformedToken("an EC key is of another curve", seen=f"{kid}: {numbers.get('crv')}", wanted="P-256")
    return ("ES256",)
