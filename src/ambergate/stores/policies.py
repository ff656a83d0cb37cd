"""Named policies: every version is kept as it was, so that a token or a record that cites one can be looked up.

A policy's name is its own among those that are not deleted. One that a key names is not deleted: its holder would get
no token any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import and_, func, insert, or_, select, update

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage
from ambergate.core.errors import Conflict, NotFound
from ambergate.stores.changes import latest, next_number
from ambergate.stores.tables import api_keys as _keys
from ambergate.stores.tables import policies as _policies
from ambergate.stores.tables import policy_versions as _versions
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row, Select

CHANGES: Final = "policies"
MAX_LIVE: Final = 1000  # policies that are not deleted; processes keep them in memory, 20 KB each at most
MAX_VERSIONS: Final = 10_000  # of one policy
MAX_TYPE: Final = 64  # characters of `attestation_type`


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What its writer says of a version of a policy.

    Attributes:
        name: see `Policy`.
        language: what the text is written in.
        text: the policy.
        jwt: what it came in, if it was signed or said that it is not.
        signer: SHA-256 of the key that signed it.
    """

    name: str
    language: PolicyLanguage
    text: str
    jwt: str | None = None
    signer: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """A version of a policy, and what is known of it.

    `created_by`, `modified_by` and `deleted_by` are ids of API keys; None: it was done on the service's own machine.
    """

    policy: Policy
    attestation_type: str
    service_offer_id: UUID | None
    created_at: datetime
    created_by: UUID | None
    modified_at: datetime
    modified_by: UUID | None
    deleted_at: datetime | None
    deleted_by: UUID | None
    jwt: str | None
    signer: bytes | None


class PolicyStore:
    """Named policies in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(  # each part has its name
        self,
        draft: Draft,
        kind: PolicyKind,
        *,
        at: datetime,
        by: UUID | None = None,
        attestation_type: str = "",
        service_offer_id: UUID | None = None,
    ) -> StoredPolicy:
        """A new policy: its first version. Whether it can be judged by is looked at before.

        Raises:
            MalformedPolicy: name or text is none.
            Conflict: another policy has the name, or there are too many.
            Unavailable: the database does not answer.
        """
        policy = _policy(uuid4(), 1, draft, kind)
        with writing(self._engine) as connection:
            live = _policies.c.deleted_at.is_(None)
            if (connection.scalar(select(func.count()).select_from(_policies).where(live)) or 0) >= MAX_LIVE:
                raise Conflict("there are too many policies", code="too-many-policies", wanted=f"at most {MAX_LIVE}")
            _free_name(connection, policy)
            values = {
                "id": str(policy.id),
                "kind": kind.value,
                "name": policy.name,
                "version": 1,
                "attestation_type": attestation_type[:MAX_TYPE],
                "service_offer_id": None if service_offer_id is None else str(service_offer_id),
                "created_at": at.isoformat(),
                "created_by": None if by is None else str(by),
                "changed": next_number(connection, CHANGES),
            }
            connection.execute(insert(_policies).values(values))
            _insert_version(connection, policy, draft, at, by)
            return _live(connection, policy.id)

    def update(self, policy_id: UUID, draft: Draft, *, at: datetime, by: UUID | None = None) -> StoredPolicy:
        """The next version of a policy.

        Raises:
            MalformedPolicy: name or text is none.
            NotFound: there is no such policy.
            Conflict: another policy has the name, or this one has too many versions.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            found = _live(connection, policy_id).policy
            policy = _policy(policy_id, found.version + 1, draft, found.kind)
            if policy.version > MAX_VERSIONS:
                raise Conflict("the policy has too many versions", code="too-many-versions", wanted=MAX_VERSIONS)
            _free_name(connection, policy)
            _insert_version(connection, policy, draft, at, by)
            _change(connection, policy_id, name=policy.name, version=policy.version)
            return _live(connection, policy_id)

    def delete(self, policy_id: UUID, *, at: datetime, by: UUID | None = None) -> None:
        """Take a policy out of use. Its versions are kept.

        Raises:
            NotFound: there is no such policy.
            Conflict: keys name it.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            _live(connection, policy_id)
            holders = _holders(connection, policy_id, at)
            if holders:
                hint = "take it from them first: amber policy detach"
                raise Conflict(
                    "the policy is attached to API keys", code="policy-attached", seen=holders[:10], hint=hint
                )
            by_whom = None if by is None else str(by)
            _change(connection, policy_id, deleted_at=at.isoformat(), deleted_by=by_whom)

    def get(self, policy_id: UUID, *, version: int | None = None) -> StoredPolicy:
        """A policy as it is now, or one of its versions, which is there also when the policy is deleted.

        Raises:
            NotFound: there is none.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            if version is None:
                return _live(connection, policy_id)
            row = connection.execute(_select(version).where(_policies.c.id == str(policy_id))).first()
        if row is None:
            raise _unknown(policy_id, version)
        return _stored(row)

    def named(self, name: str) -> StoredPolicy:
        """The policy of this name.

        Raises:
            NotFound: there is none.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            live = and_(_policies.c.deleted_at.is_(None), _policies.c.name == name)
            row = connection.execute(_select().where(live)).first()
        if row is None:
            raise _unknown(name)
        return _stored(row)

    def all(self) -> tuple[StoredPolicy, ...]:
        """Every policy that is not deleted, oldest first.

        Raises:
            Unavailable: the database does not answer.
        """
        live = _policies.c.deleted_at.is_(None)
        with reading(self._engine) as connection:
            rows = connection.execute(_select().where(live).order_by(_policies.c.created_at, _policies.c.id)).all()
        return tuple(_stored(row) for row in rows)

    def since(self, number: int) -> tuple[int, dict[UUID, StoredPolicy]]:
        """The number of the latest change, and each policy that has changed after `number`, deleted ones too.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            last = latest(connection, CHANGES)
            if last == number:
                return last, {}
            rows = connection.execute(_select().where(_policies.c.changed > number)).all()
        return last, {UUID(row.id): _stored(row) for row in rows}


def live_policies(connection: Connection, ids: set[UUID]) -> set[UUID]:
    """Which of these there are, and not deleted."""
    wanted = _policies.c.id.in_([str(each) for each in ids])
    found = connection.scalars(select(_policies.c.id).where(wanted, _policies.c.deleted_at.is_(None)))
    return {UUID(each) for each in found}


def _holders(connection: Connection, policy_id: UUID, at: datetime) -> list[str]:
    """The ids of keys that hold at this instant and name this policy."""
    lasts = or_(_keys.c.expires_at.is_(None), _keys.c.expires_at > at.astimezone(UTC).isoformat())
    named = _keys.c.policy_ids.contains(str(policy_id))
    return list(connection.scalars(select(_keys.c.id).where(_keys.c.revoked_at.is_(None), lasts, named)))


def _select(version: int | None = None) -> Select[Any]:
    number = _policies.c.version if version is None else version
    join = and_(_versions.c.policy_id == _policies.c.id, _versions.c.version == number)
    of_policy = [column for column in _policies.c if column.name not in {"name", "version"}]
    return select(*of_policy, *(c for c in _versions.c if c.name != "policy_id")).join(_versions, join)


def _live(connection: Connection, policy_id: UUID) -> StoredPolicy:
    row = connection.execute(_select().where(_policies.c.id == str(policy_id))).first()
    if row is None or row.deleted_at is not None:
        raise _unknown(policy_id)
    return _stored(row)


def _unknown(which: object, version: int | None = None) -> NotFound:
    seen = which if version is None else f"{which}, version {version}"
    return NotFound("there is no such policy", code="unknown-policy", seen=seen, hint="amber policy list shows them")


def _free_name(connection: Connection, policy: Policy) -> None:
    taken = (_policies.c.name == policy.name, _policies.c.id != str(policy.id), _policies.c.deleted_at.is_(None))
    other = connection.scalar(select(_policies.c.id).where(*taken))
    if other is not None:
        raise Conflict("another policy has this name", code="policy-name-taken", seen=f"{policy.name}: {other}")


def _policy(policy_id: UUID, version: int, draft: Draft, kind: PolicyKind) -> Policy:
    return Policy(id=policy_id, version=version, name=draft.name, kind=kind, language=draft.language, text=draft.text)


def _insert_version(connection: Connection, policy: Policy, draft: Draft, at: datetime, by: UUID | None) -> None:
    values = {
        "policy_id": str(policy.id),
        "version": policy.version,
        "name": policy.name,
        "language": policy.language.value,
        "text": policy.text,
        "hash": policy.hash,
        "jwt": draft.jwt,
        "signer": draft.signer,
        "made_at": at.isoformat(),
        "made_by": None if by is None else str(by),
    }
    connection.execute(insert(_versions).values(values))


def _change(connection: Connection, policy_id: UUID, **values: object) -> None:
    values["changed"] = next_number(connection, CHANGES)
    connection.execute(update(_policies).where(_policies.c.id == str(policy_id)).values(values))


def _stored(row: Row[Any]) -> StoredPolicy:
    draft = Draft(name=row.name, language=PolicyLanguage(row.language), text=row.text)
    return StoredPolicy(
        policy=_policy(UUID(row.id), row.version, draft, PolicyKind(row.kind)),
        attestation_type=row.attestation_type,
        service_offer_id=_id(row.service_offer_id),
        created_at=datetime.fromisoformat(row.created_at),
        created_by=_id(row.created_by),
        modified_at=datetime.fromisoformat(row.made_at),
        modified_by=_id(row.made_by),
        deleted_at=None if row.deleted_at is None else datetime.fromisoformat(row.deleted_at),
        deleted_by=_id(row.deleted_by),
        jwt=row.jwt,
        signer=row.signer,
    )


def _id(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
