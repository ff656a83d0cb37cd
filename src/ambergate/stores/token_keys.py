"""The keys and certificates that stand behind tokens: which there are, since when and until when, sealed at rest.

A row never changes its key or its certificate; what changes are its instants, and at the end its private half goes.
Each change takes a number (`stores/changes.py`), so that processes see cheaply whether there was one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from ambergate.core.errors import SettingsError
from ambergate.stores.changes import latest, next_number
from ambergate.stores.sealed_values import material_context, token_key_context
from ambergate.stores.tables import signing_keys as _keys
from ambergate.stores.tables import signing_material as _material
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Connection, Engine, Row

    from ambergate.stores.sealing import Sealer

CHANGES: Final = "signing keys"  # what their changes are counted as
# What releases before this one kept, one of each: `rsa.key`, `rsa.certificate` and so on, among the signing material.
LEGACY: Final = tuple(f"{kind}.{part}" for kind in ("root", "ca", "rsa", "ec") for part in ("key", "certificate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """One certificate and its private key. Redacted.

    Attributes:
        id: SHA-384 of the certificate, lower-case hexadecimal; a leaf's is the `kid` of its tokens.
        kind: "root", "ca", or what signs tokens: "rsa", "ec".
        certificate: DER.
        private: PKCS#8, DER; None: it is needed no more and was destroyed here.
        published_at: since when everybody is told of it.
        active_from: since when it signs; None: it stands by.
        lifetime: the longest that a token of it lives.
        revoked_at: since when it counts for nothing; None: it was not revoked.
        reason: why, as RFC 5280, 5.3.1, names it.
    """

    id: str
    kind: str
    certificate: bytes
    private: bytes | None = field(repr=False)
    published_at: datetime
    active_from: datetime | None
    lifetime: timedelta
    revoked_at: datetime | None = None
    reason: str | None = None


class TokenKeyStore:
    """All of them. Safe to use from several threads and processes.

    Args:
        engine: the database.
        sealer: from `data_keys.open_sealer`.
    """

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def since(self, number: int) -> tuple[int, Mapping[str, tuple[TokenKey, ...]]]:
        """The number of the latest change, and, if that is another, all keys under one name.

        Raises:
            SettingsError: sealed under another key, or changed since.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            now = latest(connection, CHANGES)
            return now, {} if now == number else {CHANGES: self._read(connection)}

    def all(self) -> tuple[TokenKey, ...]:
        """Every key, oldest first.

        Raises:
            SettingsError: sealed under another key, or changed since.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return self._read(connection)

    def begin(self, make: Callable[[Mapping[str, bytes]], Iterable[TokenKey]]) -> None:
        """The first keys, when there are none yet. Processes that start together get the same.

        Args:
            make: makes them of what a release before this one kept, by `LEGACY`; of nothing when there is nothing.

        Raises:
            SettingsError: sealed under another key, or changed since.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            if connection.scalar(select(_keys.c.id).limit(1)) is not None:
                return
        with writing(self._engine) as connection:
            if connection.scalar(select(_keys.c.id).limit(1)) is not None:
                return
            rows = connection.execute(select(_material).where(_material.c.name.in_(LEGACY))).all()
            kept = {row.name: self._sealer.open(row.sealed, context=material_context(row.name)) for row in rows}
            self._write(connection, (), make(kept))
            connection.execute(delete(_material).where(_material.c.name.in_(LEGACY)))

    def change(self, decide: Callable[[tuple[TokenKey, ...]], Iterable[TokenKey]]) -> tuple[TokenKey, ...]:
        """Replace the keys that there are by those that `decide` makes of them, in one transaction.

        Returns:
            What there is then.

        Raises:
            SettingsError: sealed under another key, or changed since.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            before = self._read(connection)
            after = tuple(decide(before))
            if after != before:
                self._write(connection, before, after)
            return after

    def _read(self, connection: Connection) -> tuple[TokenKey, ...]:
        rows = connection.execute(select(_keys).order_by(_keys.c.published_at, _keys.c.id)).all()
        return tuple(self._opened(row) for row in rows)

    def _opened(self, row: Row[Any]) -> TokenKey:
        sealed = row.sealed
        try:
            return TokenKey(
                id=row.id,
                kind=row.kind,
                certificate=row.certificate,
                private=None if sealed is None else self._sealer.open(sealed, context=token_key_context(row.id)),
                published_at=datetime.fromisoformat(row.published_at),
                active_from=_instant(row.active_from),
                lifetime=timedelta(seconds=row.lifetime),
                revoked_at=_instant(row.revoked_at),
                reason=row.reason,
            )
        except (ValueError, TypeError, OverflowError) as exc:
            raise SettingsError("a stored signing key is not what was written", seen=str(row.id)[:96]) from exc

    def _write(self, connection: Connection, before: Iterable[TokenKey], after: Iterable[TokenKey]) -> None:
        known = {key.id: key for key in before}
        kept = {key.id: key for key in after}
        if gone := known.keys() - kept.keys():
            connection.execute(delete(_keys).where(_keys.c.id.in_(gone)))
        for key in kept.values():
            was = known.get(key.id)
            if was is None:
                fixed = {"id": key.id, "kind": key.kind, "certificate": key.certificate}
                connection.execute(insert(_keys).values(**fixed, sealed=self._sealed(key), **_changing(key)))
            elif key != was:
                sealed = {} if key.private == was.private else {"sealed": self._sealed(key)}
                connection.execute(update(_keys).where(_keys.c.id == key.id).values(**sealed, **_changing(key)))
        next_number(connection, CHANGES)

    def _sealed(self, key: TokenKey) -> bytes | None:
        return None if key.private is None else self._sealer.seal(key.private, context=token_key_context(key.id))


def _changing(key: TokenKey) -> dict[str, object]:
    return {
        "published_at": key.published_at.isoformat(),
        "active_from": None if key.active_from is None else key.active_from.isoformat(),
        "lifetime": int(key.lifetime.total_seconds()),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
        "reason": key.reason,
    }


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
