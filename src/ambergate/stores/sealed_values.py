"""Where sealed values are: every column that holds them, and what each value is bound to.

Whoever puts a database under another key, or checks a backup, goes through these; a test holds the list to be whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.stores.tables import broker_secrets, signing_material

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, Row, Table


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values.

    Attributes:
        column: the values.
        key: the table's primary key.
        context: what the value of a row is bound to.
    """

    column: Column[Any]
    key: Column[Any]
    context: Callable[[Row[Any]], str]

    @property
    def table(self) -> Table:
        """The table that they stand in."""
        found: Table = self.column.table
        return found


def material_context(name: str) -> str:
    """What sealed material is bound to. Changing this makes every stored key unreadable."""
    return f"ambergate signing material {name}"


def secret_context(secret_id: object, policy: str) -> str:
    """What a sealed secret is bound to. Changing this makes every stored secret unreadable."""
    return f"ambergate broker secret {secret_id} policy {hashlib.sha256(policy.encode()).hexdigest()}"


SEALED: Final = (
    SealedColumn(signing_material.c.sealed, signing_material.c.name, lambda row: material_context(row.name)),
    SealedColumn(broker_secrets.c.sealed, broker_secrets.c.id, lambda row: secret_context(row.id, row.policy)),
)
