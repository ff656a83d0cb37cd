"""Callers: whose API key a request shows, and what that key sets for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.services.attestation.ports import ATTEST, Caller

if TYPE_CHECKING:
    from ambergate.stores.api_keys import ApiKeyStore


class Callers:
    """The callers that the database knows. Fits `ports.Authorisation`.

    Args:
        keys: the API keys.
    """

    def __init__(self, keys: ApiKeyStore) -> None:
        self._keys = keys

    def authorise(self, text: str, /) -> Caller:
        """Whose key this is.

        Raises:
            NotAuthorised: unknown, revoked or no key at all; which of these is not told.
            Unavailable: the database does not answer.
        """
        key = self._keys.authorise(text)
        return Caller(key_id=key.id, label=key.label, scopes=frozenset({ATTEST}))

    def check(self) -> None:
        """Raises `Unavailable` when it could not tell."""
        self._keys.check()
