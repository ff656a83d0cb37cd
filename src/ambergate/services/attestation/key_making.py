"""Keys of the token PKI as they are made: the first of all, and what a key and its certificate are stored as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ambergate.core.errors import SettingsError
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.certificates import SKEW, Authority, certify, digest, new_key, read_key
from ambergate.stores.token_keys import LEGACY, TokenKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from ambergate.services.attestation.certificates import PrivateKey


def first_keys(
    kept: Mapping[str, bytes],
    base_url: str,
    at: datetime,
    lifetime: timedelta,
    make: Callable[[str], PrivateKey] = new_key,
) -> tuple[TokenKey, ...]:
    """Root, signing CA and one leaf of each kind: those that an earlier release kept, or fresh ones.

    Raises:
        SettingsError: what was kept is not whole.
    """
    if kept:
        return _taken_over(kept, lifetime)
    keys: list[TokenKey] = []
    for kind in ("root", "ca", *plan.LEAVES):
        issuer = None if kind == "root" else authority_of(keys, "root" if kind == "ca" else "ca")
        private = make(kind)
        certificate = certify(kind, private, issuer, at=at, base_url=base_url)
        keys.append(made(kind, private, certificate, at=at, lifetime=lifetime, active_from=at))
    return tuple(keys)


def made(
    kind: str,
    private: PrivateKey,
    certificate: bytes,
    *,
    at: datetime,
    lifetime: timedelta,
    active_from: datetime | None = None,
) -> TokenKey:
    """A key to be stored, published from `at`."""
    return TokenKey(
        id=digest(certificate),
        kind=kind,
        certificate=certificate,
        private=private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        published_at=at,
        active_from=active_from,
        lifetime=lifetime,
    )


def authority_of(keys: Iterable[TokenKey], kind: str) -> Authority:
    """Who certifies.

    Raises:
        SettingsError: its key is not there, or cannot be read.
    """
    found = plan.authority(keys, kind)
    try:
        if found is None or found.private is None:
            raise SettingsError("a key of the token PKI is not there", wanted=kind)
        key = read_key(found.private)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise SettingsError("a key of the token PKI is of another kind", wanted=f"{kind}: RSA")
        return Authority(key, x509.load_der_x509_certificate(found.certificate))
    except (ValueError, TypeError) as exc:
        raise SettingsError("a key of the token PKI cannot be read", seen=f"{kind}: {type(exc).__name__}") from exc


def _taken_over(kept: Mapping[str, bytes], lifetime: timedelta) -> tuple[TokenKey, ...]:
    missing = [name for name in LEGACY if name not in kept]
    if missing:
        raise SettingsError("the stored signing keys are not whole", seen=f"without {missing[0]}")
    keys = []
    for kind in ("root", "ca", *plan.LEAVES):
        certificate = kept[f"{kind}.certificate"]
        try:
            private = read_key(kept[f"{kind}.key"])
            begun = x509.load_der_x509_certificate(certificate).not_valid_before_utc + SKEW
        except (ValueError, TypeError) as exc:
            raise SettingsError("the stored signing keys cannot be read", seen=f"{kind}: {type(exc).__name__}") from exc
        keys.append(made(kind, private, certificate, at=begun, lifetime=lifetime, active_from=begun))
    return tuple(keys)
