"""The key broker's secrets: encrypted at rest, each bound to its id and to the policy it is released under.

The policy's text is authenticated together with the secret. Whoever can write to the database but does not hold
the key-encryption key can delete a secret, or put an older row of the same secret back, but can not loosen the
policy of one: it would no longer open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import MalformedPolicy, SettingsError, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.sealed_values import secret_context
from ambergate.stores.tables import broker_secrets as _secrets
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine, Row

    from ambergate.stores.sealing import Sealer

MAX_LABEL: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A secret as it is kept: what may be known about it, and the sealed bytes."""

    id: UUID
    label: str
    policy: ResourcePolicy
    size: int
    created_at: datetime
    sealed: bytes = field(repr=False)
    version: int = 1


class SecretStore:
    """Secrets by id. Safe to use from several threads and processes.

    Args:
        engine: the database.
        sealer: from `data_keys.open_sealer`.

    Raises:
        SettingsError: the database was made with another key-encryption key.
        Unavailable: the database does not answer.
    """

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        with reading(engine) as connection:
            row = connection.execute(select(_secrets).limit(1)).first()
        if row is not None:
            self.reveal(_stored(row))  # a wrong key must stop the start, not the first release

    def add(self, secret_id: UUID, secret: bytes, policy: ResourcePolicy, *, at: datetime, label: str = "") -> None:
        """Keep a secret.

        Args:
            secret_id: any UUID.
            secret: 1 to `MAX_SECRET_SIZE` bytes.
            policy: who may have it.
            at: now.
            label: words for people; not secret.

        Raises:
            SettingsError: the id is taken, the secret is empty, or the label too long.
            TooLarge: the secret is too long.
            Unavailable: the database does not answer.
        """
        if not secret:
            raise SettingsError("the secret is empty", seen="0 bytes", wanted=f"1 to {MAX_SECRET_SIZE} bytes")
        if len(secret) > MAX_SECRET_SIZE:
            raise TooLarge("the secret is too long", seen=f"{len(secret)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")
        if len(label) > MAX_LABEL or not label.isprintable():
            raise SettingsError("the label is unusable", seen=f"{len(label)} characters", wanted="<= 200 printable")
        text = policy.to_json()
        values = {
            "id": str(secret_id),
            "label": label,
            "policy": text,
            "sealed": self._sealer.seal(secret, context=secret_context(secret_id, text)),
            "size": len(secret),
            "created_at": at.isoformat(),
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(_secrets).values(values))
        except IntegrityError as exc:
            raise SettingsError("a key of this id exists already", seen=secret_id, hint="delete it first") from exc

    def find(self, secret_id: UUID) -> StoredSecret | None:
        """The secret of this id, sealed; None when there is none.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_secrets).where(_secrets.c.id == str(secret_id))).first()
        return None if row is None else _stored(row)

    def reveal(self, stored: StoredSecret) -> bytes:
        """The secret itself. Proves that id and policy are those it was stored with.

        Raises:
            SettingsError: sealed under another key, or the row was changed behind the store's back.
        """
        return self._sealer.open(stored.sealed, context=secret_context(stored.id, stored.policy.to_json()))

    def all(self) -> tuple[StoredSecret, ...]:
        """Every secret, sealed, oldest first.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(_secrets).order_by(_secrets.c.created_at, _secrets.c.id)).all()
        return tuple(_stored(row) for row in rows)

    def set_policy(self, secret_id: UUID, policy: ResourcePolicy) -> bool:
        """Put a secret under another policy, from the next release on; False when there is no such secret.

        Raises:
            SettingsError: sealed under another key, or the row was changed behind the store's back.
            Unavailable: the database does not answer.
        """
        text = policy.to_json()
        where = _secrets.c.id == str(secret_id)
        with writing(self._engine) as connection:
            row = connection.execute(select(_secrets).where(where)).first()
            if row is None:
                return False
            sealed = self._sealer.seal(self.reveal(_stored(row)), context=secret_context(secret_id, text))
            connection.execute(update(_secrets).where(where).values(policy=text, sealed=sealed))
        return True

    def remove(self, secret_id: UUID) -> bool:
        """Forget a secret; False when there was none.

        Its sealed bytes can live on in the database's free pages and in backups, readable with the
        key-encryption key only.

        Raises:
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            return bool(connection.execute(delete(_secrets).where(_secrets.c.id == str(secret_id))).rowcount)

    def check(self) -> None:
        """Ask the database something, for health checks.

        Raises:
            Unavailable: it does not answer.
        """
        with reading(self._engine) as connection:
            connection.execute(select(_secrets.c.id).limit(1)).first()


def _stored(row: Row[Any]) -> StoredSecret:
    try:
        return StoredSecret(
            id=UUID(row.id),
            label=row.label,
            policy=ResourcePolicy.from_json(row.policy),
            size=row.size,
            created_at=datetime.fromisoformat(row.created_at),
            sealed=row.sealed,
        )
    except (MalformedPolicy, ValueError, TypeError) as exc:
        raise SettingsError("a stored key is not what was written", seen=str(row.id)[:36]) from exc
