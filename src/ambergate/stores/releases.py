"""How often each secret was released, where its policy bounds that. Counted before anything leaves, and never back.

One transaction reads and counts; writers come one after the other on every engine and from every node
(`ambergate.stores.transactions`), so that no two releases take the same place. What was counted and not released, since
the broker or its audit log stopped in between, stays counted: there may be fewer releases than a policy allows, and
never more.

What is not promised: whoever can write to the database can turn a count back. The audit log has every release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from ambergate.stores.tables import broker_releases as _releases
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine


class ReleaseCounter:
    """The counts of a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, secret_id: UUID, limit: int) -> int | None:
        """Count one release more, durably; which one it is, from 1. None: `limit` were counted already.

        Raises:
            Unavailable: the database does not answer; it may have counted.
        """
        where = _releases.c.secret_id == str(secret_id)
        with writing(self._engine) as connection:
            count: int | None = connection.scalar(select(_releases.c.count).where(where))
            if count is not None and count >= limit:
                return None
            if count is None:
                connection.execute(insert(_releases).values(secret_id=str(secret_id), count=1))
                return 1
            connection.execute(update(_releases).where(where).values(count=count + 1))
            return count + 1

    def taken(self, secret_id: UUID) -> int:
        """How many were counted.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            found = connection.scalar(select(_releases.c.count).where(_releases.c.secret_id == str(secret_id)))
        return found or 0
