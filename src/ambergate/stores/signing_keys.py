"""Secrets of a service's own that last as long as its database: made once, sealed at rest, the same after every start.

The keys that sign tokens have lives, and a store of their own (`stores/token_keys.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from ambergate.stores.sealed_values import material_context
from ambergate.stores.tables import signing_material as _material
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ambergate.stores.sealing import Sealer


class SigningMaterialStore:
    """Named secrets of the service's own making.

    Args:
        engine: the database.
        sealer: from `data_keys.open_sealer`.
    """

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def ensure(self, name: str, make: Callable[[], bytes]) -> bytes:
        """One of them; made by `make` when it is not there yet. Two processes that ask together get the same.

        Raises:
            SettingsError: sealed under another key-encryption key, or changed since.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            sealed = connection.scalar(select(_material.c.sealed).where(_material.c.name == name))
            if sealed is None:
                made = make()
                values = {"name": name, "sealed": self._sealer.seal(made, context=material_context(name))}
                connection.execute(insert(_material).values(values))
                return made
        return self._sealer.open(sealed, context=material_context(name))

    def find(self, name: str) -> bytes | None:
        """One of them; None: it is not there.

        Raises:
            SettingsError: sealed under another key-encryption key, or changed since.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            sealed = connection.scalar(select(_material.c.sealed).where(_material.c.name == name))
        return None if sealed is None else self._sealer.open(sealed, context=material_context(name))
