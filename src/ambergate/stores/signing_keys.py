"""Private keys and certificates of a service, made once, sealed at rest, the same after every start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, insert, select

from ambergate.stores.engine import create_tables, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine

    from ambergate.stores.sealing import Sealer

_metadata = MetaData()
_material = Table(
    "signing_material",
    _metadata,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)


class SigningMaterialStore:
    """Named secrets of the service's own making.

    Args:
        engine: the database.
        sealer: holds the key-encryption key.

    Raises:
        SettingsError: the database is of another version.
        Unavailable: the database does not answer.
    """

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        create_tables(engine, _metadata, component="signing material", version=1)

    def load_or_create(self, make: Callable[[], Mapping[str, bytes]]) -> dict[str, bytes]:
        """All of it; made by `make` when there is none yet. Two processes that start together get the same.

        Raises:
            SettingsError: sealed under another key-encryption key, or changed since.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            rows = connection.execute(select(_material)).all()
            if not rows:
                made = dict(make())
                sealed = [{"name": n, "sealed": self._sealer.seal(v, context=_context(n))} for n, v in made.items()]
                connection.execute(insert(_material), sealed)
                return made
        return {row.name: self._sealer.open(row.sealed, context=_context(row.name)) for row in rows}


def _context(name: str) -> str:
    """What sealed material is bound to. Changing this makes every stored key unreadable."""
    return f"ambergate signing material {name}"
