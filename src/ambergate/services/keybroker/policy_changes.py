"""Another policy for a key whose owners must approve: proposed, approved by so many of them, and then in force.

Until then, and for ever if too few approve before the change lapses, the key stays under the policy that it has:
releases go on by that one. Whoever may change policies may propose and withdraw; whose approval counts, the policy
that the key is under says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Generic, NamedTuple
from uuid import UUID, uuid4

from ambergate.core.errors import NotFound, SettingsError
from ambergate.core.release.owners import PolicyChange, approver, approvers, digest
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.keybroker.ports import Change, S
from ambergate.stores.policy_changes import PendingChange

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from ambergate.core.release.owners import Owners
    from ambergate.services.keybroker.keys import Keys
    from ambergate.stores.policy_changes import PolicyChangeStore

LIFETIME: Final = timedelta(days=7)
MAX_LIFETIME: Final = timedelta(days=30)


class Standing(NamedTuple):
    """How a change stands: who approved, how many must, and whether it is in force."""

    approved_by: frozenset[str]
    needed: int
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanges(Generic[S]):
    """The use case. Safe to call from several threads."""

    keys: Keys[S]
    store: PolicyChangeStore

    def propose(
        self, key_id: UUID, policy: ResourcePolicy, *, at: datetime, lifetime: timedelta = LIFETIME
    ) -> PendingChange:
        """Ask the owners of a key whether it may go under another policy.

        Raises:
            NotFound: there is no such key.
            SettingsError: it has no owners to ask, or the lifetime is out of range.
            Conflict: too many changes wait.
            Unavailable: the store or the audit log does not answer.
        """
        current = self._policy(key_id)
        if current.owners is None:
            hint = "amber keybroker key set-policy"
            raise SettingsError("this key's policy names no owners: nobody has to approve", seen=key_id, hint=hint)
        if not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise SettingsError("a change lives for a while", seen=lifetime, wanted=f"at most {MAX_LIFETIME.days} days")
        change = PolicyChange(
            id=str(uuid4()),
            key_id=str(key_id),
            before=digest(current.to_json()),
            after=policy.to_json(),
            expires_at=(at + lifetime).replace(microsecond=0),
        )
        pending = PendingChange(change=change, proposed_by=self.keys.by, proposed_at=at)
        with self._written("change.propose", change, at, {"policy": change.after}):
            self.store.add(pending)
        return pending

    def approve(self, change_id: str, approval: str, *, at: datetime) -> Standing:
        """Take what an owner signed. With the last that is needed the change is made.

        Raises:
            NotFound: no such change, or its key is no more.
            MalformedToken: no JWS.
            TokenRejected: no owner signed it, or it is of another change.
            NotPermitted: the change has lapsed.
            Conflict: the key is under another policy by now.
            Unavailable: the store or the audit log does not answer.
        """
        change = self.store.find(change_id).change
        owners = self._owners(change)
        who = approver(owners, change, approval)
        with self._written("change.approve", change, at, {"owner": who}):
            change = self.store.approve(change_id, approval).change
        standing = self._standing(owners, change)
        if len(standing.approved_by) < standing.needed:
            return standing
        self.keys.set_policy(UUID(change.key_id), ResourcePolicy.from_json(change.after), at=at, change=change)
        self.store.remove(change_id)  # were it not: its key is under another policy than it begins with
        return standing._replace(in_force=True)

    def withdraw(self, change_id: str, *, at: datetime) -> None:
        """Ask no more.

        Raises:
            NotFound: there is no such change.
            Unavailable: the store or the audit log does not answer.
        """
        change = self.store.find(change_id).change
        with self._written("change.withdraw", change, at, {}):
            self.store.remove(change_id)

    def standing(self, change: PolicyChange) -> Standing:
        """How a change stands that waits. Raises as `approve`."""
        return self._standing(self._owners(change), change)

    def _standing(self, owners: Owners, change: PolicyChange) -> Standing:
        return Standing(approvers(owners, change), owners.needed, in_force=False)

    def _owners(self, change: PolicyChange) -> Owners:
        owners = self._policy(UUID(change.key_id)).owners
        if owners is None:
            raise SettingsError("this key's policy names no owners any more", seen=change.key_id, hint="withdraw it")
        return owners

    def _policy(self, key_id: UUID) -> ResourcePolicy:
        found = self.keys.ring.find(key_id)
        if found is None:
            hint = "amber keybroker key list shows them"
            raise NotFound("there is no key of this id", code="unknown-key", seen=key_id, hint=hint)
        return found.policy

    def _written(
        self, what: str, change: PolicyChange, at: datetime, details: dict[str, object]
    ) -> AbstractContextManager[None]:
        told = {"change": change.id, **details}
        return self.keys.journal.change(Change(what=what, subject=change.key_id, by=self.keys.by, at=at, details=told))
