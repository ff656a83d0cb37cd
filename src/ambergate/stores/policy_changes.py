"""Changes of release policies that wait for their owners' approval, by id.

Nothing here is trusted: what owners signed is checked against the policy that a key is under, which is sealed together
with it, whenever it counts. Who can write to the database can lose a change, and approve of none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from ambergate.core.errors import Conflict, MalformedPolicy, NotFound, SettingsError
from ambergate.core.release.owners import MAX_APPROVALS, PolicyChange
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.tables import broker_policy_changes as _changes
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine, Row

MAX_CHANGES: Final = 1000  # that wait at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A change that waits, and who proposed it when; `policy` is the one that the key is to be under."""

    change: PolicyChange
    policy: ResourcePolicy
    proposed_by: str
    proposed_at: datetime


class PolicyChangeStore:
    """Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, pending: PendingChange) -> None:
        """Keep a change. Those that have lapsed by then are forgotten.

        Raises:
            Conflict: too many wait.
            Unavailable: the database does not answer.
        """
        change = pending.change
        values = {
            "id": change.id,
            "key_id": change.key_id,
            "before": change.before,
            "after": change.after,
            "approvals": json.dumps(change.approvals),
            "expires_at": _written(change.expires_at),
            "proposed_by": pending.proposed_by,
            "proposed_at": _written(pending.proposed_at),
        }
        with writing(self._engine) as connection:
            connection.execute(delete(_changes).where(_changes.c.expires_at <= _written(pending.proposed_at)))
            if (connection.scalar(select(func.count()).select_from(_changes)) or 0) >= MAX_CHANGES:
                raise Conflict("too many changes wait", code="too-many-changes", wanted=f"<= {MAX_CHANGES}")
            connection.execute(insert(_changes).values(values))

    def find(self, change_id: str) -> PendingChange:
        """The change of this id.

        Raises:
            NotFound: there is none.
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return _found(connection, change_id)

    def page(self, *, after: UUID | None = None, limit: int = MAX_CHANGES) -> tuple[PendingChange, ...]:
        """Changes in the order of their ids.

        Args:
            after: the id that the page begins behind; None: the first.
            limit: so many at most.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        query = select(_changes).where(_changes.c.id > ("" if after is None else str(after)))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(_changes.c.id).limit(limit)).all()
        return tuple(map(_read, rows))

    def approve(
        self, change_id: str, approval: str, *, counted: Callable[[PolicyChange], bool] = lambda _: False
    ) -> PendingChange:
        """Add what an owner signed.

        Args:
            change_id: the change.
            approval: what was signed.
            counted: whether what is kept says the same already; nothing is added then.

        Raises:
            NotFound: there is no such change.
            Conflict: more approvals than can be.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            change = _found(connection, change_id).change
            approvals = change.approvals
            if approval not in approvals and not counted(change):
                if len(approvals) >= MAX_APPROVALS:
                    raise Conflict("the change has too many approvals", wanted=f"<= {MAX_APPROVALS}")
                told = json.dumps([*approvals, approval])
                connection.execute(update(_changes).where(_changes.c.id == change_id).values(approvals=told))
            return _found(connection, change_id)

    def remove(self, change_id: str) -> bool:
        """Forget a change; False when there was none.

        Raises:
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            return bool(connection.execute(delete(_changes).where(_changes.c.id == change_id)).rowcount)


def _found(connection: Connection, change_id: str) -> PendingChange:
    row = connection.execute(select(_changes).where(_changes.c.id == change_id)).first()
    if row is None:
        hint = "amber keybroker change list shows them"
        raise NotFound("there is no change of this id", code="unknown-change", seen=change_id[:64], hint=hint)
    return _read(row)


def _read(row: Row[Any]) -> PendingChange:
    try:
        change = PolicyChange(
            id=str(UUID(row.id)),
            key_id=str(UUID(row.key_id)),
            before=row.before,
            after=row.after,
            expires_at=datetime.fromisoformat(row.expires_at),
            approvals=tuple(map(str, json.loads(row.approvals))),
        )
        at, policy = datetime.fromisoformat(row.proposed_at), ResourcePolicy.from_json(row.after)
    except (MalformedPolicy, ValueError, TypeError, RecursionError) as exc:
        raise SettingsError("a stored policy change is not what was written", seen=str(row.id)[:36]) from exc
    return PendingChange(change=change, policy=policy, proposed_by=row.proposed_by, proposed_at=at)


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
