"""Changes to the keys that the broker holds, each written down before and after it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ambergate.core.errors import NotFound
from ambergate.services.keybroker.ports import Change

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.ports import Journal


class KeyStore(Protocol):
    """Where keys are kept, for who changes them."""

    def add(self, secret_id: UUID, secret: bytes, policy: ResourcePolicy, *, at: datetime, label: str = "") -> object:
        """Keep a key of the caller's own."""

    def set_policy(self, secret_id: UUID, policy: ResourcePolicy) -> bool:
        """Put a key under another policy; False when there is no such key."""

    def remove(self, secret_id: UUID) -> bool:
        """Forget a key; False when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The use case. Safe to call from several threads.

    Attributes:
        store: where keys are kept.
        journal: where changes are written down.
        by: who makes them: a user's name, or `ports.LOCAL`.
    """

    store: KeyStore
    journal: Journal
    by: str

    def add(self, key_id: UUID, secret: bytes, policy: ResourcePolicy, *, at: datetime, label: str = "") -> None:
        """Keep a key.

        Raises:
            SettingsError: the id is taken, the secret is empty, or the label too long.
            TooLarge: the secret is too long.
            Unavailable: the store or the audit log does not answer.
        """
        told = {"bytes": len(secret), "policy": policy.to_json(), "label": label}
        with self.journal.change(Change(what="key.create", subject=str(key_id), by=self.by, at=at, details=told)):
            self.store.add(key_id, secret, policy, at=at, label=label)

    def set_policy(self, key_id: UUID, policy: ResourcePolicy, *, at: datetime) -> None:
        """Put a key under another policy, from its next release on.

        Raises:
            NotFound: there is no such key.
            SettingsError: what is stored does not open.
            Unavailable: the store or the audit log does not answer.
        """
        told = {"policy": policy.to_json()}
        with self.journal.change(Change(what="key.set-policy", subject=str(key_id), by=self.by, at=at, details=told)):
            if not self.store.set_policy(key_id, policy):
                raise _no_such_key(key_id)

    def remove(self, key_id: UUID, *, at: datetime) -> None:
        """Forget a key.

        Raises:
            NotFound: there is no such key.
            Unavailable: the store or the audit log does not answer.
        """
        with self.journal.change(Change(what="key.delete", subject=str(key_id), by=self.by, at=at)):
            if not self.store.remove(key_id):
                raise _no_such_key(key_id)


def _no_such_key(key_id: UUID) -> NotFound:
    hint = "amber keybroker key list shows them"
    return NotFound("there is no key of this id", code="unknown-key", seen=key_id, hint=hint)
