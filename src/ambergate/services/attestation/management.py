"""Management of named policies: what may become one, whoever asks for it and however it came.

A policy is taken only if an engine of this service can judge by it, and, where the configuration names signers, only if
one of them signed it. That is looked at here, for the wire and for the command line alike.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage
from ambergate.core.errors import MalformedPolicy
from ambergate.core.token.policy_jwt import MAX_JWT, read_policy_text
from ambergate.services.attestation.named import check_policy
from ambergate.stores.policies import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.appraise.named import PolicyEngine
    from ambergate.stores.policies import PolicyStore, StoredPolicy

_NOBODY: Final = UUID(int=0)  # of a policy that is only looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What somebody would have as a policy.

    Attributes:
        name: None: that of the version before.
        text: the policy, or a JWT that holds it; None: that of the version before.
        language: None: that of the version before, or else Rego.
    """

    name: str | None
    text: str | None
    language: PolicyLanguage | None = None


class Management:
    """The use case. Safe to share between threads.

    Args:
        store: keeps policies.
        engines: judge them.
        signers: SHA-256 of the keys of which one must have signed each policy; None: none need have.
    """

    def __init__(
        self,
        store: PolicyStore,
        engines: Mapping[PolicyLanguage, PolicyEngine],
        *,
        signers: frozenset[bytes] | None = None,
    ) -> None:
        self.store = store
        self._engines = engines
        self._signers = signers
        # One at a time: policies are written seldom, and what judges them is needed for requests meanwhile.
        self._checking = threading.Lock()

    def create(  # each part has its name
        self,
        submitted: Submitted,
        kind: PolicyKind,
        *,
        at: datetime,
        by: UUID | None = None,
        attestation_type: str = "",
        service_offer_id: UUID | None = None,
    ) -> StoredPolicy:
        """A new policy.

        Args:
            submitted: name and text, both.
            kind: what it is for.
            at: now, aware.
            by: id of the API key that does this; None: the command line on the service's own machine.
            attestation_type: kept and told, and of no meaning.
            service_offer_id: the same.

        Raises:
            MalformedPolicy: name, text or signature are none, or no engine can judge by it.
            Conflict: another policy has the name, or there are too many.
            Unavailable: the database does not answer, or the policy could not be tried.
        """
        if submitted.name is None or submitted.text is None:
            raise MalformedPolicy("a policy has a name and a text", wanted="both")
        language = submitted.language or PolicyLanguage.REGO
        draft = self._draft(submitted.name, submitted.text, language, at)
        self._check(draft, kind)
        return self.store.create(
            draft, kind, at=at, by=by, attestation_type=attestation_type, service_offer_id=service_offer_id
        )

    def update(self, policy_id: UUID, submitted: Submitted, *, at: datetime, by: UUID | None = None) -> StoredPolicy:
        """The next version of a policy; what is not submitted is as in the version before, its signature too.

        Raises:
            NotFound: there is no such policy.
            others: as `create`.
        """
        before = self.store.get(policy_id)
        text = before.jwt or before.policy.text if submitted.text is None else submitted.text
        language = submitted.language or before.policy.language
        draft = self._draft(submitted.name or before.policy.name, text, language, at)
        self._check(draft, before.policy.kind)
        return self.store.update(policy_id, draft, at=at, by=by)

    def delete(self, policy_id: UUID, *, at: datetime, by: UUID | None = None) -> None:
        """Take a policy out of use.

        Raises:
            NotFound: there is no such policy.
            Conflict: keys name it.
            Unavailable: the database does not answer.
        """
        self.store.delete(policy_id, at=at, by=by)

    def _draft(self, name: str, text: str, language: PolicyLanguage, at: datetime) -> Draft:
        if len(text) > MAX_JWT:
            raise MalformedPolicy("the policy is too long", seen=f"{len(text)} characters", wanted=f"at most {MAX_JWT}")
        read = read_policy_text(text, at=at)
        if self._signers is not None and read.signer not in self._signers:
            raise MalformedPolicy(
                "this service takes policies only from its signers",
                code="policy-not-signed",
                seen="no signature" if read.signer is None else f"signed by key {read.signer.hex()[:16]}…",
                wanted="a JWT signed by one of [policies] signers",
            )
        return Draft(name=name, language=language, text=read.text, jwt=read.jwt, signer=read.signer)

    def _check(self, draft: Draft, kind: PolicyKind) -> None:
        policy = Policy(id=_NOBODY, version=1, name=draft.name, kind=kind, language=draft.language, text=draft.text)
        with self._checking:
            check_policy(self._engines, policy)
