"""Token keys without a database and without waiting for fresh ones: RSA keys are used again, certificates are not."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ambergate.services.attestation.certificates import new_key
from ambergate.services.attestation.key_making import first_keys
from ambergate.services.attestation.key_plan import Rules
from ambergate.services.attestation.rotation import KeyKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ambergate.services.attestation.certificates import PrivateKey
    from ambergate.stores.token_keys import TokenKey

AT = datetime(2026, 3, 1, tzinfo=UTC)
BASE_URL = "https://attest.example"
RULES = Rules(token_lifetime=timedelta(minutes=5))


@functools.cache
def same_key(kind: str) -> PrivateKey:
    return new_key(kind)


@functools.cache
def begun() -> tuple[TokenKey, ...]:
    """What a first start makes at `AT`."""
    return first_keys({}, BASE_URL, AT, RULES.token_lifetime, same_key)


@dataclass
class Kept:
    """A store in memory, which takes what is decided as the real one does."""

    keys: tuple[TokenKey, ...] = field(default_factory=begun)

    def all(self) -> tuple[TokenKey, ...]:
        return self.keys

    def change(self, decide: Callable[[tuple[TokenKey, ...]], Iterable[TokenKey]]) -> tuple[TokenKey, ...]:
        self.keys = tuple(sorted(decide(self.keys), key=lambda key: (key.published_at, key.id)))
        return self.keys


def keeper(kept: Kept | None = None) -> tuple[KeyKeeper, Kept]:
    kept = kept or Kept()
    return KeyKeeper(kept, BASE_URL, make=same_key), kept  # type: ignore[arg-type]  # it fits
