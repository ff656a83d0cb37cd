"""The keys of the token PKI as they stand at one instant: which signs, which are published, which are revoked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ambergate.core.errors import SettingsError
from ambergate.core.token.jose import SigningKey, public_members
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.certificates import Revocation, issued_by, read_key, revocation_list
from ambergate.services.attestation.key_making import authority_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ambergate.services.attestation.certificates import Authority, PrivateKey
    from ambergate.stores.token_keys import TokenKey


class TokenPki:
    """Immutable. Made anew when a key's instant has come, or the stored keys have changed (`KeyRing`).

    Args:
        keys: what is stored.
        at: the instant, aware.

    Raises:
        SettingsError: a key that signs is missing, or does not parse.
    """

    def __init__(self, keys: Sequence[TokenKey], at: datetime) -> None:
        self._keys = tuple(keys)
        self.at = at
        self._root, self._ca = authority_of(self._keys, "root"), authority_of(self._keys, "ca")
        chain = [plan.authority(self._keys, kind) for kind in ("ca", "root")]
        self._above = tuple(key.certificate for key in chain if key is not None)
        self.rsa = self._signing("rsa")
        self.ec = self._signing("ec")

    def key_for(self, alg: str, /) -> SigningKey:
        """The key that signs with this algorithm.

        Raises:
            KeyError: none does.
        """
        for key in (self.rsa, self.ec):
            if alg in key.algorithms:
                return key
        raise KeyError(alg)

    at_hand = key_for

    def ec_key_set(self) -> dict[str, object]:
        """The EC keys as JWKS, apart from the others: a deployed client refuses a whole set for one key without `n`."""
        return self._sets["ec"]

    def key_set(self) -> dict[str, object]:
        """The RSA keys as JWKS, under PS384 and under RS256, with their chains; the one that signs comes first."""
        return self._sets["rsa"]

    @property
    def revoked(self) -> frozenset[str]:
        """Ids of all that is on the revocation lists."""
        return frozenset(key.id for key in self._keys if key.revoked_at is not None)

    @property
    def first_root(self) -> bytes:
        """What names this PKI for as long as it lives: the first certificate of its root."""
        return min((key for key in self._keys if key.kind == "root"), key=lambda key: key.published_at).certificate

    def root_crl(self, at: datetime) -> bytes:
        """The root's revocation list, DER: signing CAs."""
        return revocation_list(self._root, self._lines(self._root), at)

    def ca_crl(self, at: datetime) -> bytes:
        """The signing CA's revocation list, DER: leaves. Those of a CA that is revoked itself are on none any more."""
        return revocation_list(self._ca, self._lines(self._ca), at)

    def _lines(self, issuer: Authority) -> Iterator[Revocation]:
        for key in self._keys:
            if key.revoked_at is not None and issued_by(key.certificate, issuer):
                yield Revocation(key.certificate, key.revoked_at, key.reason or "unspecified")

    def until(self) -> datetime | None:
        """The next instant at which keys stand otherwise by themselves; None: there is none."""
        instants = [key.active_from for key in self._keys if key.active_from is not None]
        ends = [(key, plan.retired_from(self._keys, key)) for key in self._keys if key.kind in plan.LEAVES]
        instants += [end + key.lifetime + plan.MARGIN for key, end in ends if end is not None]
        return min((instant for instant in instants if instant > self.at), default=None)

    @functools.cached_property
    def _sets(self) -> dict[str, dict[str, object]]:
        sets: dict[str, dict[str, object]] = {}
        for kind in plan.LEAVES:
            shown = plan.published(self._keys, kind, self.at)
            sets[kind] = {"keys": [member for key in shown for member in self._public(key)]}
        return sets

    def _public(self, key: TokenKey) -> list[dict[str, object]]:
        """Its members of the key set, out of its certificate: of who has retired there is nothing else."""
        public = x509.load_der_x509_certificate(key.certificate).public_key()
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return public_members(key.id, public, (key.certificate, *self._above))

    def _signing(self, kind: str) -> SigningKey:
        key = plan.active(self._keys, kind, self.at)
        if key is None or key.private is None:
            raise SettingsError("there is no key to sign tokens with", wanted=kind)
        return SigningKey(key.id, _read(key), (key.certificate, *self._above))


def _read(key: TokenKey) -> PrivateKey:
    assert key.private is not None
    try:
        return read_key(key.private)
    except (ValueError, TypeError) as exc:
        raise SettingsError("a stored signing key cannot be read", seen=f"{key.kind}: {type(exc).__name__}") from exc
