"""Finding keys by what they are and by the policy that they are under, in pages: there may be a hundred thousand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from ambergate.core.errors import Malformed, SettingsError
from ambergate.core.release.material import KeyKind
from ambergate.stores.tables import broker_policy_uses as _uses
from ambergate.stores.tables import broker_secret_versions as _versions
from ambergate.stores.tables import broker_secrets as _keys
from ambergate.stores.transactions import reading

if TYPE_CHECKING:
    from sqlalchemy import Engine, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What keys are asked for; None: any.

    Attributes:
        id: this key alone.
        algorithm: in capital letters.
        bits: length of an AES or RSA key.
        curve: of an EC key, by SEC 2's name.
        policy_id: the policy that it is under.
    """

    id: UUID | None = None
    algorithm: str | None = None
    bits: int | None = None
    curve: str | None = None
    policy_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """What may be known about a key. `version` and `state` are those of its latest version."""

    id: UUID
    label: str
    kind: KeyKind
    manager: str
    version: int
    state: str
    created_at: datetime
    policy_id: UUID | None


class KeySearch:
    """Keys in a database, to be looked at. Safe to use from several threads.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, wanted: Wanted, *, after: UUID | None = None, limit: int) -> tuple[FoundKey, ...]:
        """Up to so many keys, by id, behind one of them.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        latest = (_versions.c.secret_id == _keys.c.id) & (_versions.c.version == _keys.c.version)
        query = (
            select(_keys, _versions.c.state, _uses.c.policy_id)
            .join(_versions, latest)
            .outerjoin(_uses, _uses.c.key_id == _keys.c.id)
            .order_by(_keys.c.id)
            .limit(limit)
        )
        conditions = {
            _keys.c.id: None if wanted.id is None else str(wanted.id),
            _keys.c.algorithm: wanted.algorithm,
            _keys.c.bits: wanted.bits,
            _keys.c.curve: wanted.curve,
            _uses.c.policy_id: None if wanted.policy_id is None else str(wanted.policy_id),
        }
        query = query.where(*(column == value for column, value in conditions.items() if value is not None))
        if after is not None:
            query = query.where(_keys.c.id > str(after))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(_found(row) for row in rows)

    def get(self, key_id: UUID) -> FoundKey | None:
        """The key of this id; None: there is none. Raises as `page`."""
        found = self.page(Wanted(id=key_id), limit=1)
        return found[0] if found else None


def _found(row: Row[Any]) -> FoundKey:
    try:
        return FoundKey(
            id=UUID(row.id),
            label=row.label,
            kind=KeyKind.of(row.algorithm, bits=row.bits, curve=row.curve),
            manager=row.manager,
            version=row.version,
            state=row.state,
            created_at=datetime.fromisoformat(row.created_at),
            policy_id=None if row.policy_id is None else UUID(row.policy_id),
        )
    except (Malformed, ValueError, TypeError) as exc:
        raise SettingsError("a stored key is not what was written", seen=str(row.id)[:36]) from exc
