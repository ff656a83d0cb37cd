"""Where sealed values are: every column that holds them, and what each value is bound to.

Whoever puts a database under another key, or checks a backup, goes through these; a test holds the list to be whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func

from ambergate.stores.tables import broker_secrets, broker_version_keys, signing_keys, signing_material

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, ColumnElement, Row, Table


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values; a row may hold none (NULL, or no bytes) where there was one.

    Attributes:
        column: the values.
        key: the table's primary key.
        context: what the value of a row is bound to.
    """

    column: Column[Any]
    key: Column[Any]
    context: Callable[[Row[Any]], str]

    @property
    def some(self) -> ColumnElement[bool]:
        """Which rows hold one."""
        return self.column.is_not(None) & (func.length(self.column) > 0)

    @property
    def table(self) -> Table:
        """The table that they stand in."""
        found: Table = self.column.table
        return found


def material_context(name: str) -> str:
    """What sealed material is bound to. Changing this makes every stored key unreadable."""
    return f"ambergate signing material {name}"


def token_key_context(key_id: str) -> str:
    """What a sealed key of the token PKI is bound to: its certificate's digest."""
    return f"ambergate token key {key_id}"


def secret_context(secret_id: object, policy: str) -> str:
    """What a sealed secret is bound to. Changing this makes every stored secret unreadable."""
    return f"ambergate broker secret {secret_id} policy {hashlib.sha256(policy.encode()).hexdigest()}"


def version_key_context(identity: object) -> str:
    """What a version key is bound to. Changing this makes every stored key unreadable."""
    return f"ambergate broker version key {identity}"


SEALED: Final = (
    SealedColumn(signing_material.c.sealed, signing_material.c.name, lambda row: material_context(row.name)),
    SealedColumn(signing_keys.c.sealed, signing_keys.c.id, lambda row: token_key_context(row.id)),
    SealedColumn(broker_secrets.c.sealed, broker_secrets.c.id, lambda row: secret_context(row.id, row.policy)),
    SealedColumn(broker_version_keys.c.sealed, broker_version_keys.c.id, lambda row: version_key_context(row.id)),
)
