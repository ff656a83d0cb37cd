"""Collateral that was accepted, and how new it was: it survives restarts and is common to all who share the database.

Nothing here is secret, and nothing is believed because it stands here: the reader verifies it again. Whoever can write
to the database can take the marks away and so let an older statement in, which must still be genuine and unexpired.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.tables import DIGITS, DOCUMENTS
from ambergate.stores.tables import collateral as _bundles
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine, Row

MAX_KEY: Final = 200  # characters
_RACES: Final = 3


class CollateralStore:
    """The newest accepted bundle of each key. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, key: str) -> tuple[str, datetime] | None:
        """The bundle of this key and when it was accepted; None when there is none.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(
                select(_bundles.c.bundle, _bundles.c.accepted_at).where(_bundles.c.key == key)
            ).first()
        if row is None:
            return None
        try:
            return row.bundle, datetime.fromisoformat(row.accepted_at)
        except ValueError as exc:
            raise _damaged(key) from exc

    def save(
        self, key: str, text: str, *, at: datetime, marks: Mapping[str, tuple[int, datetime]]
    ) -> dict[str, tuple[int, datetime]] | None:
        """Keep a bundle, unless a document of it goes back behind what is kept; one transaction decides.

        Args:
            key: what it is kept under.
            text: the bundle as JSON.
            at: now.
            marks: for each of `DOCUMENTS` its number, and when it was issued.

        Returns:
            None when it was kept; else the marks of what is kept.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        values = {"bundle": text, "accepted_at": at.astimezone(UTC).isoformat(), **_columns(marks)}
        newer = [_bundles.c[name] <= value for name, value in _columns(marks).items()]
        for _ in range(_RACES):
            try:
                with writing(self._engine) as connection:
                    if connection.execute(
                        update(_bundles).where(and_(_bundles.c.key == key, *newer)).values(values)
                    ).rowcount:
                        return None
                    row = connection.execute(select(_bundles).where(_bundles.c.key == key)).first()
                    if row is not None:
                        return _marks(row)
                    connection.execute(insert(_bundles).values(key=key, **values))
                    return None
            except IntegrityError:
                continue  # somebody else was first with this key: compare with theirs
        raise Unavailable("the collateral cannot be kept", seen=f"{_RACES} races lost for {key}", hint="try again")


def _columns(marks: Mapping[str, tuple[int, datetime]]) -> dict[str, str]:
    """The marks as text that compares as they do."""
    numbers = {f"{name}_number": f"{marks[name][0]:0{DIGITS}x}" for name in DOCUMENTS}
    issued = {f"{name}_issued": _instant(marks[name][1]) for name in DOCUMENTS}
    return numbers | issued


def _instant(at: datetime) -> str:
    """Whole seconds in UTC, all of one width."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _marks(row: Row[Any]) -> dict[str, tuple[int, datetime]]:
    found = row._mapping  # noqa: SLF001  the public name of a row's columns, in spite of the underscore
    try:
        return {
            name: (int(found[f"{name}_number"], 16), datetime.fromisoformat(found[f"{name}_issued"]))
            for name in DOCUMENTS
        }
    except ValueError as exc:
        raise _damaged(row.key) from exc


def _damaged(key: str) -> SettingsError:
    return SettingsError(
        "stored collateral is not what was written", seen=key, hint="delete this row: it is fetched anew"
    )
