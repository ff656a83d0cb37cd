"""Keys over their life: made or taken over, rotated, disabled, enabled, destroyed. Each change is written down.

A key stays with the manager that it began with. A change is done when its method has returned. Where one fails
half-way nothing that was there is lost: at worst a manager holds a key that no catalogue knows, under the name
`ID/VERSION`; or a key is destroyed in its manager and not yet in the catalogue, and destroying it again is the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from ambergate.core.errors import Malformed, NotFound, SettingsError
from ambergate.core.release.material import OPAQUE
from ambergate.core.release.owners import require_approval
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.ports import Change, S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.release.material import KeyKind
    from ambergate.core.release.owners import PolicyChange
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.ports import Journal

MAX_KNOWN_AS: Final = 512  # characters of a manager's own name for a key; our limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys(Generic[S]):
    """The use case. Safe to call from several threads.

    Attributes:
        ring: the keys and their managers.
        journal: where changes are written down.
        by: who makes them: a user's name, or `ports.LOCAL`.
    """

    ring: KeyRing[S]
    journal: Journal
    by: str

    def create(
        self,
        key_id: UUID,
        kind: KeyKind,
        policy: ResourcePolicy,
        *,
        at: datetime,
        label: str = "",
        manager: str = BUILT_IN,
    ) -> None:
        """Have a manager make a key, which becomes version 1 of this id.

        Raises:
            Malformed: the manager makes none of this kind.
            SettingsError: no such manager, the id is taken, or the label unusable.
            Unavailable: the manager, the store or the audit log does not answer.
        """
        told = {"material": "made", **_told(kind, policy, label, manager)}
        with self._change("key.create", key_id, at, told):
            self._refuse_taken(key_id)
            reference = self.ring.manager(manager).create(_name(key_id, 1), kind)
            self.ring.catalogue.add(key_id, reference, policy, at=at, label=label, kind=kind, manager=manager)

    def add(  # noqa: PLR0913  what a key is, each by its name
        self,
        key_id: UUID,
        material: bytes,
        policy: ResourcePolicy,
        *,
        at: datetime,
        label: str = "",
        kind: KeyKind = OPAQUE,
        manager: str = BUILT_IN,
    ) -> None:
        """Hand a key that was made elsewhere to a manager.

        Raises:
            Malformed: it is no key of this kind, or the manager keeps none of it.
            TooLarge: it is too long.
            others: as `create`.
        """
        told = {"material": "given", "bytes": len(material), **_told(kind, policy, label, manager)}
        with self._change("key.create", key_id, at, told):
            material = kind.canonical(material)
            self._refuse_taken(key_id)
            reference = self.ring.manager(manager).keep(_name(key_id, 1), kind, material)
            self.ring.catalogue.add(key_id, reference, policy, at=at, label=label, kind=kind, manager=manager)

    def adopt(  # noqa: PLR0913  as above
        self,
        key_id: UUID,
        known_as: str,
        policy: ResourcePolicy,
        *,
        at: datetime,
        manager: str,
        kind: KeyKind,
        label: str = "",
    ) -> None:
        """Release a key that a manager has already, by the manager's name for it. It is never destroyed there by us.

        Raises:
            Malformed: (`malformed-key-name`) no name that a manager can have.
            NotFound: the manager has none of this name.
            SettingsError: it is of another kind; or as `create`.
            Unavailable: as `create`.
        """
        if not (0 < len(known_as) <= MAX_KNOWN_AS and known_as.isprintable()):
            wanted = f"1 to {MAX_KNOWN_AS} printable characters"
            raise Malformed("this is no name of a key", code="malformed-key-name", seen=known_as[:64], wanted=wanted)
        told = {"material": "adopted", "known_as": known_as, **_told(kind, policy, label, manager)}
        with self._change("key.create", key_id, at, told):
            self._refuse_taken(key_id)
            reference = self.ring.manager(manager).adopt(known_as, kind)
            self.ring.catalogue.add(key_id, reference, policy, at=at, label=label, kind=kind, manager=manager)

    def rotate(self, key_id: UUID, *, at: datetime, material: bytes | None = None) -> int:
        """Add a version, of the same kind and in the same manager: made there, or this one. It is released from now on.

        The versions before can still be asked for by number until they are disabled.

        Returns:
            Its number.

        Raises:
            NotFound: no key of this id.
            others: as `create` and `add`.
        """
        with self._change("key.rotate", key_id, at, {"material": "made" if material is None else "given"}):
            latest = self._latest(key_id)
            manager, number = self.ring.manager(latest.manager), latest.latest + 1
            if material is None:
                reference = manager.create(_name(key_id, number), latest.kind)
            else:
                reference = manager.keep(_name(key_id, number), latest.kind, latest.kind.canonical(material))
            self.ring.catalogue.add_version(key_id, reference, number=number, at=at)
        return number

    def set_policy(
        self, key_id: UUID, policy: ResourcePolicy, *, at: datetime, change: PolicyChange | None = None
    ) -> None:
        """Put a key under another policy, from its next release on.

        Args:
            key_id: the key.
            policy: the other one.
            at: now.
            change: what its owners approved; None: nothing.

        Raises:
            NotFound: there is no such key.
            NotPermitted: the key's policy names owners, and too few approved.
            Conflict: they approved of another change, or the key was put under another policy meanwhile.
            SettingsError: what is stored does not open.
            Unavailable: the store or the audit log does not answer.
        """
        now, after = self._latest(key_id).policy, policy.to_json()
        told: dict[str, object] = {"policy": after}
        if now.owners is not None:
            approved = require_approval(now.owners, now.to_json(), after, key_id=str(key_id), change=change, at=at)
            told["approved_by"] = sorted(approved)
        with self._change("key.set-policy", key_id, at, told):
            if not self.ring.catalogue.set_policy(key_id, policy, before=now):
                raise _no_such_key(key_id)

    def disable(self, key_id: UUID, *, at: datetime, version: int | None = None) -> None:
        """Release one version, or any, no more, until it is enabled.

        Raises:
            NotFound: there is none that is not destroyed.
            Unavailable: the store or the audit log does not answer.
        """
        with self._change("key.disable", key_id, at, {"key_version": version}):
            self.ring.catalogue.set_state(key_id, "disabled", at=at, version=version)

    def enable(self, key_id: UUID, *, at: datetime, version: int | None = None) -> None:
        """Release one version, or all, again. Raises as `disable`."""
        with self._change("key.enable", key_id, at, {"key_version": version}):
            self.ring.catalogue.set_state(key_id, "enabled", at=at, version=version)

    def destroy(self, key_id: UUID, *, at: datetime, version: int | None = None) -> tuple[int, ...]:
        """Destroy one version, or all: in the manager, then in the catalogue. Nothing brings it back.

        Returns:
            Which versions.

        Raises:
            NotFound: there is none.
            Unavailable: the manager, the store or the audit log does not answer. Destroy it again.
        """
        with self._change("key.destroy", key_id, at, {"key_version": version}):
            return self._destroy(key_id, at, version)

    def remove(self, key_id: UUID, *, at: datetime) -> None:
        """Destroy a key and forget its id. Raises as `destroy`, and `SettingsError`: it was rotated meanwhile."""
        with self._change("key.delete", key_id, at):
            self._destroy(key_id, at)
            if not self.ring.catalogue.remove(key_id):
                raise _no_such_key(key_id)

    def _destroy(self, key_id: UUID, at: datetime, version: int | None = None) -> tuple[int, ...]:
        """Those versions alone that are here now: of one that comes meanwhile its manager would know nothing."""
        chosen = [each for each in self.ring.catalogue.versions(key_id) if version in {None, each.version}]
        for stored in chosen:
            if stored.state != "destroyed" and stored.manager != BUILT_IN:
                self._destroy_outside(stored)
        if not chosen:
            return self.ring.catalogue.destroy(key_id, at=at, version=version)  # which says what is not there
        numbers = [self.ring.catalogue.destroy(key_id, at=at, version=each.version) for each in chosen]
        return tuple(number for some in numbers for number in some)

    def _destroy_outside(self, stored: S) -> None:
        try:
            reference = self.ring.catalogue.reveal(stored)
        except NotFound:
            return  # its data key went in an earlier attempt, after the manager's part
        self.ring.manager(stored.manager).destroy(reference)

    def _latest(self, key_id: UUID) -> S:
        found = self.ring.find(key_id)
        if found is None:
            raise _no_such_key(key_id)
        return found

    def _refuse_taken(self, key_id: UUID) -> None:
        """Before a manager makes anything; the catalogue decides."""
        if self.ring.find(key_id) is not None:
            raise SettingsError("a key of this id exists already", seen=key_id, hint="delete it first")

    def _change(
        self, what: str, key_id: UUID, at: datetime, details: Mapping[str, object] | None = None
    ) -> AbstractContextManager[None]:
        return self.journal.change(Change(what=what, subject=str(key_id), by=self.by, at=at, details=details or {}))


def _told(kind: KeyKind, policy: ResourcePolicy, label: str, manager: str) -> dict[str, object]:
    return {"kind": str(kind), "manager": manager, "policy": policy.to_json(), "label": label}


def _name(key_id: UUID, version: int) -> str:
    """How a manager knows a version: unique there, and readable to the manager's operator."""
    return f"{key_id}/{version}"


def _no_such_key(key_id: UUID) -> NotFound:
    hint = "amber keybroker key list shows them"
    return NotFound("there is no key of this id", code="unknown-key", seen=key_id, hint=hint)
