"""A signing root that the operator pins for an issuer: its key sets count for no more than that root says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.token.certified import certified_keys, read_crl

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography import x509

    from ambergate.core.token.certified import CertifiedKeys


@dataclass(frozen=True, slots=True)
class SigningRoot:
    """Fits what `IssuerKeys` calls `vouch`.

    Attributes:
        roots: from `read_roots`.
        lists: fetch the issuer's revocation lists, anew with each key set; None: nobody looks whether a key is revoked.
    """

    roots: tuple[x509.Certificate, ...]
    lists: tuple[Callable[[], bytes], ...] | None

    def __call__(self, text: str, at: datetime) -> CertifiedKeys:
        """What the root vouches for, of a key set.

        Raises:
            MalformedToken: nothing, or not all.
            Unavailable: a revocation list cannot be had.
        """
        crls = None if self.lists is None else [read_crl(fetch()) for fetch in self.lists]
        return certified_keys(text, self.roots, crls, at=at)
