"""Release policies that have an id of their own, and which key was put under which of them.

A key holds its policy's text itself, sealed together with it: that text decides, and nothing here can loosen it. What
stands here is what people manage: documents by id, and the names by which keys are found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import delete, func, insert, or_, select, update

from ambergate.core.errors import Conflict, MalformedPolicy, NotFound, SettingsError
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.tables import broker_policies as _policies
from ambergate.stores.tables import broker_policy_uses as _uses
from ambergate.stores.tables import broker_secrets as _keys
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Engine, Row

MAX_POLICIES: Final = 100_000
# For so long a use counts although its key is not there: it may be about to be made. What a crash leaves is older.
_MAKING: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """A policy by its id.

    Attributes:
        id: names it.
        document: as it was submitted, JSON.
        policy: what it asks.
        created_at: when it was made.
        created_by: the user's name.
    """

    id: UUID
    document: str
    policy: ResourcePolicy
    created_at: datetime
    created_by: str


class KeyPolicyStore:
    """Policies in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, policy: KeyPolicy) -> None:
        """Keep a policy, for good: it can be removed and not changed.

        Raises:
            Conflict: there are too many.
            Unavailable: the database does not answer.
        """
        values = {
            "id": str(policy.id),
            "document": policy.document,
            "policy": policy.policy.to_json(),
            "created_at": _written(policy.created_at),
            "created_by": policy.created_by,
        }
        with writing(self._engine) as connection:
            if (connection.scalar(select(func.count()).select_from(_policies)) or 0) >= MAX_POLICIES:
                raise Conflict("there are too many policies", code="too-many-policies", wanted=f"<= {MAX_POLICIES}")
            connection.execute(insert(_policies).values(values))

    def get(self, policy_id: UUID) -> KeyPolicy:
        """The policy of this id.

        Raises:
            NotFound: there is none.
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_policies).where(_policies.c.id == str(policy_id))).first()
        if row is None:
            raise _missing(policy_id)
        return _policy(row)

    def page(self, *, after: UUID | None = None, limit: int) -> tuple[KeyPolicy, ...]:
        """Up to so many policies, by id, behind one of them. Raises as `get`."""
        query = select(_policies).order_by(_policies.c.id).limit(limit)
        if after is not None:
            query = query.where(_policies.c.id > str(after))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(_policy(row) for row in rows)

    def remove(self, policy_id: UUID, *, at: datetime) -> None:
        """Forget a policy that no key is under.

        Raises:
            NotFound: there is none.
            Conflict: (`policy-in-use`) a key is under it.
            Unavailable: the database does not answer.
        """
        there = select(_keys.c.id).where(_keys.c.id == _uses.c.key_id).exists()
        where = (_uses.c.policy_id == str(policy_id)) & or_(there, _uses.c.since > _written(at - _MAKING))
        with writing(self._engine) as connection:
            used = connection.scalar(select(_uses.c.key_id).where(where).limit(1))
            if used is not None:
                hint = "put its keys under another policy, or delete them"
                raise Conflict("keys are under this policy", code="policy-in-use", seen=f"key {used}", hint=hint)
            connection.execute(delete(_uses).where(_uses.c.policy_id == str(policy_id)))
            if not connection.execute(delete(_policies).where(_policies.c.id == str(policy_id))).rowcount:
                raise _missing(policy_id)

    def use(self, key_id: UUID, policy_id: UUID, *, at: datetime) -> KeyPolicy:
        """Note that a key is, or is about to be, under this policy, and no other.

        Raises:
            NotFound: there is no such policy.
            others: as `get`.
        """
        values = {"policy_id": str(policy_id), "since": _written(at)}
        with writing(self._engine) as connection:
            row = connection.execute(select(_policies).where(_policies.c.id == str(policy_id))).first()
            if row is None:
                raise _missing(policy_id)
            where = _uses.c.key_id == str(key_id)
            if not connection.execute(update(_uses).where(where).values(values)).rowcount:
                connection.execute(insert(_uses).values(key_id=str(key_id), **values))
        return _policy(row)

    def forget(self, key_id: UUID) -> None:
        """Note that a key is under none of these policies.

        Raises:
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            connection.execute(delete(_uses).where(_uses.c.key_id == str(key_id)))

    def of_keys(self, key_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Which policy each of these keys is under; keys under none of them are left out.

        Raises:
            Unavailable: the database does not answer.
        """
        found: dict[UUID, UUID] = {}
        with reading(self._engine) as connection:
            for some in _chunks([str(each) for each in key_ids]):
                query = select(_uses.c.key_id, _uses.c.policy_id).where(_uses.c.key_id.in_(some))
                found |= {UUID(row.key_id): UUID(row.policy_id) for row in connection.execute(query)}
        return found


def _chunks(names: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    """Lists that every engine takes as parameters."""
    return (names[start : start + size] for start in range(0, len(names), size))


def _policy(row: Row[Any]) -> KeyPolicy:
    try:
        return KeyPolicy(
            id=UUID(row.id),
            document=row.document,
            policy=ResourcePolicy.from_json(row.policy),
            created_at=datetime.fromisoformat(row.created_at),
            created_by=row.created_by,
        )
    except (MalformedPolicy, ValueError, TypeError) as exc:
        raise SettingsError("a stored policy is not what was written", seen=str(row.id)[:36]) from exc


def _missing(policy_id: UUID) -> NotFound:
    hint = "amber keybroker policy list shows them"
    return NotFound("there is no key transfer policy of this id", code="unknown-policy", seen=policy_id, hint=hint)


def _written(at: datetime) -> str:
    """In UTC and of one width: texts of instants are then in the order of these."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
