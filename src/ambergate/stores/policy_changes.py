"""Changes of release policies that wait for their owners' approval, by id.

Nothing here is trusted: what owners signed is checked against the policy that a key is under, which is sealed together
with it, whenever it counts. Who can write to the database can lose a change, and approve of none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update

from ambergate.core.errors import Conflict, NotFound
from ambergate.core.release.owners import MAX_APPROVALS, PolicyChange
from ambergate.stores.tables import broker_policy_changes as _changes
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

MAX_CHANGES: Final = 1000  # that wait at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A change that waits, and who proposed it when."""

    change: PolicyChange
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
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return _found(connection, change_id)

    def all(self) -> tuple[PendingChange, ...]:
        """Every change, the one that lapses first before the others.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(_changes).order_by(_changes.c.expires_at, _changes.c.id)).all()
        return tuple(map(_read, rows))

    def approve(self, change_id: str, approval: str) -> PendingChange:
        """Add what an owner signed.

        Raises:
            NotFound: there is no such change.
            Conflict: more approvals than can be.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            approvals = _found(connection, change_id).change.approvals
            if approval not in approvals:
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
    change = PolicyChange(
        id=row.id,
        key_id=row.key_id,
        before=row.before,
        after=row.after,
        expires_at=datetime.fromisoformat(row.expires_at),
        approvals=tuple(map(str, json.loads(row.approvals))),
    )
    at = datetime.fromisoformat(row.proposed_at)
    return PendingChange(change=change, proposed_by=row.proposed_by, proposed_at=at)


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
