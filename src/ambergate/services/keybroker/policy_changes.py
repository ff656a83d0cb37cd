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

from ambergate.core.errors import Conflict, NotFound, NotPermitted, SettingsError
from ambergate.core.release.owners import PolicyChange, approver, approvers, digest
from ambergate.services.keybroker.ports import Change, S
from ambergate.stores.policy_changes import PendingChange

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from ambergate.core.release.owners import Owners
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.keys import Keys
    from ambergate.stores.key_policies import KeyPolicyStore
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
    """The use case. Safe to call from several threads.

    Attributes:
        keys: the keys, to be changed by somebody.
        store: the changes that wait.
        policies: the policies that have an id; keys under a changed one are under none of these.
    """

    keys: Keys[S]
    store: PolicyChangeStore
    policies: KeyPolicyStore

    def propose(
        self, key_id: UUID, policy: ResourcePolicy, *, at: datetime, lifetime: timedelta = LIFETIME
    ) -> PendingChange:
        """Ask the owners of a key whether it may go under another policy.

        Raises:
            NotFound: there is no such key.
            Conflict: (`no-owners`) it has no owners to ask; (`too-many-changes`) too many wait.
            SettingsError: the lifetime is out of range.
            Unavailable: the store or the audit log does not answer.
        """
        current = self._policy(key_id)
        if current.owners is None:
            words, hint = "this key's policy names no owners: nobody has to approve", "amber keybroker key set-policy"
            raise Conflict(words, code="no-owners", seen=key_id, hint=hint)
        if not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise SettingsError("a change lives for a while", seen=lifetime, wanted=f"at most {MAX_LIFETIME.days} days")
        change = PolicyChange(
            id=str(uuid4()),
            key_id=str(key_id),
            before=digest(current.to_json()),
            after=policy.to_json(),
            expires_at=(at + lifetime).replace(microsecond=0),
        )
        pending = PendingChange(change=change, policy=policy, proposed_by=self.keys.by, proposed_at=at)
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
        owners = self.asked(change).owners
        if at >= change.expires_at:
            seen = change.expires_at.isoformat()
            raise NotPermitted("the change has lapsed", code="approval-needed", seen=seen, hint="propose it again")
        assert owners is not None
        who = approver(owners, change, approval)
        with self._written("change.approve", change, at, {"owner": who}):
            # Each of an owner's signatures is another text: kept once for each owner, they leave room for all owners.
            pending = self.store.approve(change_id, approval, counted=lambda kept: who in approvers(owners, kept))
        standing = _standing(owners, pending.change)
        if len(standing.approved_by) < standing.needed:
            return standing
        self._make(pending, at)
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
        """How a change stands that waits. Raises as `asked`."""
        owners = self.asked(change).owners
        assert owners is not None
        return _standing(owners, change)

    def asked(self, change: PolicyChange) -> ResourcePolicy:
        """The policy that the change's key is under, and whose owners are asked.

        Raises:
            NotFound: the key is no more.
            Conflict: (`other-change`) it is under another policy than the change begins with.
            Unavailable: the store does not answer.
        """
        policy = self._policy(UUID(change.key_id))
        if policy.owners is None or digest(policy.to_json()) != change.before:
            hint = "withdraw it, and propose it again"
            raise Conflict("the key is under another policy by now", code="other-change", seen=change.id, hint=hint)
        return policy

    def _make(self, pending: PendingChange, at: datetime) -> None:
        """Put the key under the other policy, unless another approval of this moment did it."""
        change, key_id = pending.change, UUID(pending.change.key_id)
        try:
            self.keys.set_policy(key_id, pending.policy, at=at, change=change)
        except Conflict:
            if self._policy(key_id).to_json() != change.after:
                raise
        self.policies.forget(key_id)
        self.store.remove(change.id)  # were it not: its key is under another policy than it begins with

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


def _standing(owners: Owners, change: PolicyChange) -> Standing:
    return Standing(approvers(owners, change), owners.needed, in_force=False)
