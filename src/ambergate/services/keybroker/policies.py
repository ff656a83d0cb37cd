"""Changes to release policies by id, each written down. A policy is never changed: keys are put under another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from ambergate.core.release.kbs_form import from_kbs, to_kbs
from ambergate.services.keybroker.ports import Change
from ambergate.stores.key_policies import KeyPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.ports import Journal
    from ambergate.stores.key_policies import KeyPolicyStore

_GIVEN = ("id", "created_at")  # the broker's to give


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The use case. Safe to call from several threads."""

    store: KeyPolicyStore
    journal: Journal

    def submit(self, document: Mapping[str, object], *, by: str, at: datetime) -> KeyPolicy:
        """A new policy, from a key transfer policy as Intel's Key Broker Service has them; it is told as it came.

        Raises:
            MalformedPolicy: it names nobody, or says what cannot be checked.
            others: as `create`.
        """
        policy = from_kbs(document)
        kept = {name: value for name, value in document.items() if name not in _GIVEN}
        return self._add(policy, kept, by=by, at=at)

    def create(self, policy: ResourcePolicy, *, by: str, at: datetime) -> KeyPolicy:
        """A new policy.

        Raises:
            Conflict: there are too many.
            Unavailable: the database or the audit log does not answer.
        """
        return self._add(policy, to_kbs(policy), by=by, at=at)

    def remove(self, policy_id: UUID, *, by: str, at: datetime) -> None:
        """Forget a policy that no key is under.

        Raises:
            NotFound: there is none.
            Conflict: a key is under it.
            Unavailable: the database or the audit log does not answer.
        """
        with self.journal.change(Change(what="policy.delete", subject=str(policy_id), by=by, at=at)):
            self.store.remove(policy_id, at=at)

    def _add(self, policy: ResourcePolicy, document: Mapping[str, object], *, by: str, at: datetime) -> KeyPolicy:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        made = KeyPolicy(id=uuid4(), document=text, policy=policy, created_at=at, created_by=by)
        told = {"policy": policy.to_json()}
        with self.journal.change(Change(what="policy.create", subject=str(made.id), by=by, at=at, details=told)):
            self.store.add(made)
        return made
