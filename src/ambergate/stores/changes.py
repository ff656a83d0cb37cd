"""Changes are numbered, so that who keeps things in memory reads what has changed, and nothing else.

Writers come one after the other (ADR 0023), so no number becomes visible before a smaller one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from ambergate.stores.tables import changes

if TYPE_CHECKING:
    from sqlalchemy import Connection


def next_number(connection: Connection, kind: str) -> int:
    """The number of one more change of this kind, inside a write transaction."""
    where = changes.c.kind == kind
    if not connection.execute(update(changes).where(where).values(number=changes.c.number + 1)).rowcount:
        connection.execute(insert(changes).values(kind=kind, number=1))
    return latest(connection, kind)


def latest(connection: Connection, kind: str) -> int:
    """The number of the latest change of this kind; 0: there was none."""
    return connection.scalar(select(changes.c.number).where(changes.c.kind == kind)) or 0
