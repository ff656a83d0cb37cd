"""Keys as they are managed over HTTP: under policies that have an id, by users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic
from uuid import UUID, uuid4

from ambergate.core.errors import Conflict, NotFound, SettingsError
from ambergate.services.keybroker.keyring import BUILT_IN
from ambergate.services.keybroker.ports import S

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ambergate.core.release.material import KeyKind
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.keys import Keys
    from ambergate.stores.key_policies import KeyPolicy, KeyPolicyStore
    from ambergate.stores.key_search import FoundKey, KeySearch


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What somebody would have as a key.

    Attributes:
        kind: what it is.
        policy_id: who may have it.
        material: the key, where it was made elsewhere; None: it is to be made.
        known_as: the manager's name for a key that it has already; None: it has none.
        label: words for people.
        manager: the key manager that keeps it.
    """

    kind: KeyKind
    policy_id: UUID
    material: bytes | None = None
    known_as: str | None = None
    label: str = ""
    manager: str = BUILT_IN

    def __repr__(self) -> str:
        return f"NewKey({self.kind}, policy {self.policy_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedKeys(Generic[S]):
    """The use case. Safe to call from several threads.

    Attributes:
        keys: the keys, to be changed by the user of this name.
        search: what keys there are.
        policies: the policies that have an id.
    """

    keys: Callable[[str], Keys[S]]
    search: KeySearch
    policies: KeyPolicyStore

    def create(self, new: NewKey, *, by: str, at: datetime) -> FoundKey:
        """A new key, made or taken over.

        Raises:
            Conflict: there is no such policy, no such key manager, or in it no such key.
            Malformed: it is no key of its kind, or its manager keeps none.
            TooLarge: it is too long.
            Unavailable: the manager, the store or the audit log does not answer.
        """
        key_id, keys = uuid4(), self.keys(by)
        if new.manager not in keys.ring.managers:
            wanted = ", ".join(sorted(keys.ring.managers))
            raise Conflict("there is no such key manager", code="unknown-manager", seen=new.manager[:64], wanted=wanted)
        policy = self._used(key_id, new.policy_id, at).policy
        try:
            if new.known_as is not None:
                _adopt(keys, key_id, new, policy, at)
            elif new.material is None:
                keys.create(key_id, new.kind, policy, at=at, label=new.label, manager=new.manager)
            else:
                keys.add(key_id, new.material, policy, at=at, label=new.label, kind=new.kind, manager=new.manager)
        except BaseException:
            self.policies.forget(key_id)
            raise
        return self.get(key_id)

    def get(self, key_id: UUID) -> FoundKey:
        """The key of this id.

        Raises:
            NotFound: there is none.
            Unavailable: the store does not answer.
        """
        found = self.search.get(key_id)
        if found is None:
            raise NotFound("there is no key of this id", code="unknown-key", seen=key_id)
        return found

    def set_policy(self, key_id: UUID, policy_id: UUID, *, by: str, at: datetime) -> FoundKey:
        """Put a key under another policy, from its next release on.

        Raises:
            NotFound: there is no such key.
            Conflict: there is no such policy.
            SettingsError: what is stored does not open.
            Unavailable: the store or the audit log does not answer.
        """
        before = self.get(key_id).policy_id
        policy = self._used(key_id, policy_id, at).policy
        try:
            self.keys(by).set_policy(key_id, policy, at=at)
        except BaseException:
            self._back(key_id, before, at)
            raise
        return self.get(key_id)

    def versions(self, key_id: UUID) -> tuple[S, ...]:
        """Every version of a key, oldest first.

        Raises:
            Unavailable: the store does not answer.
        """
        return self.keys("").ring.catalogue.versions(key_id)

    def rotate(self, key_id: UUID, *, by: str, at: datetime, material: bytes | None = None) -> int:
        """Add a version, made or given. Returns its number; raises as `Keys.rotate`."""
        return self.keys(by).rotate(key_id, at=at, material=material)

    def set_state(self, key_id: UUID, *, enabled: bool, version: int | None, by: str, at: datetime) -> None:
        """Release one version, or all, again or no more. Raises as `Keys.disable`."""
        keys = self.keys(by)
        (keys.enable if enabled else keys.disable)(key_id, at=at, version=version)

    def destroy(self, key_id: UUID, version: int, *, by: str, at: datetime) -> None:
        """Destroy one version. Raises as `Keys.destroy`."""
        self.keys(by).destroy(key_id, at=at, version=version)

    def remove(self, key_id: UUID, *, by: str, at: datetime) -> None:
        """Destroy a key and forget its id.

        Raises:
            NotFound: there is no such key.
            Unavailable: its manager, the store or the audit log does not answer. Remove it again.
        """
        self.keys(by).remove(key_id, at=at)
        self.policies.forget(key_id)

    def _used(self, key_id: UUID, policy_id: UUID, at: datetime) -> KeyPolicy:
        try:
            return self.policies.use(key_id, policy_id, at=at)
        except NotFound as exc:  # of what the path names there is something
            raise Conflict(exc.message, code=exc.code, seen=exc.seen, hint=exc.hint) from exc

    def _back(self, key_id: UUID, before: UUID | None, at: datetime) -> None:
        if before is None:
            self.policies.forget(key_id)
        else:
            self.policies.use(key_id, before, at=at)


def _adopt(keys: Keys[S], key_id: UUID, new: NewKey, policy: ResourcePolicy, at: datetime) -> None:
    """Take a key that its manager has. What the manager has instead is what the caller asked for, not our doing."""
    assert new.known_as is not None
    try:
        keys.adopt(key_id, new.known_as, policy, at=at, label=new.label, kind=new.kind, manager=new.manager)
    except (NotFound, SettingsError) as exc:
        raise Conflict(exc.message, code="key-not-adopted", seen=new.known_as[:64], wanted=exc.wanted) from exc
