"""Who failed to log in lately, and how often: in the database, so that neither a restart nor another node forgets.

Names are kept as digests: strangers choose them, and somebody's password typed as a name must not be found here.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from ambergate.stores.tables import broker_login_failures as _failures
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

FORGOTTEN: Final = timedelta(hours=24)  # after the last failure
MAX_KEPT: Final = 100_000  # names and addresses; beyond, those that failed longest ago are forgotten first


class Failures(NamedTuple):
    """How often in a row, and when the last time."""

    number: int
    last: datetime


class LoginFailures:
    """Failures in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, who: str, *, at: datetime) -> Failures | None:
        """The failures of a name or address that are not forgotten yet.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_failures).where(_failures.c.who == _digest(who))).first()
        if row is None:
            return None
        last = datetime.fromisoformat(row.last_at)
        return None if last + FORGOTTEN <= at else Failures(row.failures, last)

    def count(self, whos: Sequence[str], *, at: datetime) -> None:
        """One failure more for each of them.

        Raises:
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            connection.execute(delete(_failures).where(_failures.c.last_at <= _written(at - FORGOTTEN)))
            for who in whos:
                where = _failures.c.who == _digest(who)
                values = {"failures": _failures.c.failures + 1, "last_at": _written(at)}
                if not connection.execute(update(_failures).where(where).values(values)).rowcount:
                    connection.execute(insert(_failures).values(who=_digest(who), failures=1, last_at=_written(at)))
            surplus = (connection.scalar(select(func.count()).select_from(_failures)) or 0) - MAX_KEPT
            if surplus > 0:
                oldest = select(_failures.c.who).order_by(_failures.c.last_at, _failures.c.who).limit(surplus)
                connection.execute(delete(_failures).where(_failures.c.who.in_(oldest.scalar_subquery())))

    def forget(self, who: str) -> bool:
        """Count from nothing again; whether there was something.

        Raises:
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            return bool(connection.execute(delete(_failures).where(_failures.c.who == _digest(who))).rowcount)


def _digest(who: str) -> bytes:
    return hashlib.sha256(b"ambergate login failure\x00" + who.encode("utf-8", "surrogateescape")).digest()


def _written(at: datetime) -> str:
    """In UTC and of one width: texts of instants are then in the order of these."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
