"""The broker's keys: encrypted at rest, each version bound to its id, number and key manager, and to the policy.

A version is sealed under a version key of its own (`stores/version_keys.py`), together with the policy's text. Who
can write to the database and has not that key can delete a key, put an older row of the same key back, or enable a
version that was disabled, but can not loosen the policy of one: it would no longer open.

What is sealed is what the key manager wrote: the built-in one the key itself, any other its own name for it.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import Conflict, Malformed, NotFound, SettingsError, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import OPAQUE, KeyKind
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.secrets_before import convert
from ambergate.stores.tables import broker_secret_versions as _versions
from ambergate.stores.tables import broker_secrets as _secrets
from ambergate.stores.transactions import reading, writing
from ambergate.stores.version_keys import VersionKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine, Row

    from ambergate.stores.sealing import Sealer

MAX_LABEL: Final = 200  # characters
BUILT_IN: Final = "built-in"  # the key manager that keeps keys here
ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
DESTROYED: Final = "destroyed"
_STATES: Final = frozenset({ENABLED, DISABLED, DESTROYED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """One version of a key as it is kept: what may be known about it, and the sealed bytes."""

    id: UUID
    label: str
    policy: ResourcePolicy
    kind: KeyKind
    manager: str
    version: int
    latest: int
    state: str
    size: int  # bytes
    created_at: datetime
    changed_at: datetime | None
    version_key: UUID
    sealed: bytes | None = field(repr=False)


class SecretStore:
    """Keys by id, each in versions. Safe to use from several threads and processes.

    Args:
        engine: the database.
        sealer: from `data_keys.open_sealer`.
        version_keys: what versions are sealed under; kept in the same database when not given.

    Raises:
        SettingsError: the database was made with another key-encryption key, or its version keys are not there.
        Unavailable: the database does not answer.
    """

    def __init__(self, engine: Engine, sealer: Sealer, version_keys: VersionKeys | None = None) -> None:
        self._engine = engine
        self._sealer = sealer
        self._version_keys = VersionKeys(engine, sealer) if version_keys is None else version_keys
        self._version_keys.check()
        with reading(engine) as connection:
            some = connection.scalar(select(_versions.c.version_key).where(_versions.c.state == ENABLED).limit(1))
        if some is not None:
            with contextlib.suppress(NotFound):  # destroyed since this database was copied
                self._version_keys.open(UUID(some))  # missing version keys must stop the start, not the first release
        convert(engine, sealer, self._version_keys, context)

    def add(  # noqa: PLR0913  what a key is, each by its name
        self,
        secret_id: UUID,
        secret: bytes,
        policy: ResourcePolicy,
        *,
        at: datetime,
        label: str = "",
        kind: KeyKind = OPAQUE,
        manager: str = BUILT_IN,
    ) -> None:
        """Keep a key: its version 1.

        Args:
            secret_id: any UUID.
            secret: what the key manager wrote; 1 to `MAX_SECRET_SIZE` bytes.
            policy: who may have it.
            at: now.
            label: words for people; not secret.
            kind: what it is.
            manager: which key manager wrote it.

        Raises:
            SettingsError: the id is taken, the secret is empty, or the label too long.
            TooLarge: the secret is too long.
            Unavailable: the database does not answer.
        """
        _refuse_size(secret)
        if len(label) > MAX_LABEL or not label.isprintable():
            raise SettingsError("the label is unusable", seen=f"{len(label)} characters", wanted="<= 200 printable")
        text = policy.to_json()
        row = {
            "id": str(secret_id),
            "label": label,
            "policy": text,
            "sealed": b"",
            "size": 0,
            "created_at": at.isoformat(),
            "algorithm": kind.algorithm,
            "bits": kind.bits,
            "curve": kind.curve,
            "manager": manager,
            "version": 1,
        }
        version = self._version(secret_id, 1, secret, context(secret_id, 1, manager, text), at)
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(_secrets).values(row))
                connection.execute(insert(_versions).values(version))
        except IntegrityError as exc:
            raise SettingsError("a key of this id exists already", seen=secret_id, hint="delete it first") from exc

    def add_version(self, secret_id: UUID, secret: bytes, *, number: int, at: datetime) -> None:
        """Make this the latest version of a key; the ones before stay as they are.

        Args:
            secret_id: of a key that is here.
            secret: what its key manager wrote.
            number: the one after the latest, as the caller found it.
            at: now.

        Raises:
            NotFound: there is no such key.
            SettingsError: another version came meanwhile, or the secret is empty.
            TooLarge: the secret is too long.
            Unavailable: the database does not answer.
        """
        _refuse_size(secret)
        where = _secrets.c.id == str(secret_id)
        identity, sealer = self._version_keys.make(at=at)
        with writing(self._engine) as connection:
            row = connection.execute(select(_secrets).where(where)).first()
            if row is None:
                raise _absent(secret_id)
            if row.version + 1 != number:
                hint = "rotate it again if that is still wanted"
                raise SettingsError("this key was rotated meanwhile", seen=row.version, wanted=number - 1, hint=hint)
            sealed = sealer.seal(secret, context=context(secret_id, number, row.manager, row.policy))
            values = _values(secret_id, number, identity, sealed, len(secret), at)
            connection.execute(insert(_versions).values(values))
            connection.execute(update(_secrets).where(where).values(version=number))

    def find(self, secret_id: UUID, version: int | None = None) -> StoredSecret | None:
        """The key's version of this number, or its latest, sealed; None when there is none.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        number = _secrets.c.version if version is None else version
        with reading(self._engine) as connection:
            query = _joined(and_(_versions.c.secret_id == _secrets.c.id, _versions.c.version == number))
            row = connection.execute(query.where(_secrets.c.id == str(secret_id))).first()
        return None if row is None else _stored(row)

    def versions(self, secret_id: UUID) -> tuple[StoredSecret, ...]:
        """Every version of a key, sealed, oldest first. Raises as `find`."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                _joined(_versions.c.secret_id == _secrets.c.id)
                .where(_secrets.c.id == str(secret_id))
                .order_by(_versions.c.version)
            ).all()
        return tuple(_stored(row) for row in rows)

    def reveal(self, stored: StoredSecret) -> bytes:
        """What was kept. Proves that id, version, manager and policy are those it was kept with.

        Raises:
            NotFound: (`key-destroyed`) destroyed.
            SettingsError: sealed under another key, or the row was changed behind the store's back.
            Unavailable: the database does not answer.
        """
        if stored.sealed is None:
            raise NotFound("this key was destroyed", code="key-destroyed", seen=stored.changed_at)
        return self._version_keys.open(stored.version_key).open(
            stored.sealed, context=context(stored.id, stored.version, stored.manager, stored.policy.to_json())
        )

    def all(self) -> tuple[StoredSecret, ...]:
        """Every key's latest version, sealed, oldest first.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        latest = and_(_versions.c.secret_id == _secrets.c.id, _versions.c.version == _secrets.c.version)
        with reading(self._engine) as connection:
            rows = connection.execute(_joined(latest).order_by(_secrets.c.created_at, _secrets.c.id)).all()
        return tuple(_stored(row) for row in rows)

    def set_policy(self, secret_id: UUID, policy: ResourcePolicy, *, before: ResourcePolicy) -> bool:
        """Put all versions of a key under another policy, from the next release on; False when there is no such key.

        Args:
            secret_id: the key's id.
            policy: the other one.
            before: the one that the caller found it under, and judged by whether this may be.

        Raises:
            Conflict: it is under another by now.
            SettingsError: sealed under another key, or a row was changed behind the store's back.
            Unavailable: the database does not answer.
        """
        text = policy.to_json()
        where = _secrets.c.id == str(secret_id)
        with writing(self._engine) as connection:
            found = connection.scalar(select(_secrets.c.policy).where(where))
            if found is None:
                return False
            if found != before.to_json():
                raise Conflict("the key was put under another policy meanwhile", code="other-policy", seen=secret_id)
            rows = self._living(connection, secret_id)
            connection.execute(update(_secrets).where(where).values(policy=text))
            for row in rows:
                stored = _stored(row)
                bound = context(secret_id, stored.version, stored.manager, text)
                sealed = self._version_keys.open(stored.version_key).seal(self.reveal(stored), context=bound)
                connection.execute(update(_versions).where(_one(secret_id, row.version)).values(ciphertext=sealed))
        return True

    def set_state(self, secret_id: UUID, state: str, *, at: datetime, version: int | None = None) -> None:
        """Enable or disable one version, or all that are not destroyed.

        Raises:
            NotFound: there is none that this could be done to.
            Unavailable: the database does not answer.
        """
        assert state in {ENABLED, DISABLED}
        chosen = _one(secret_id, version) & (_versions.c.state != DESTROYED)
        with writing(self._engine) as connection:
            change = update(_versions).where(chosen).values(state=state, changed_at=at.isoformat())
            if not connection.execute(change).rowcount:
                raise _absent(secret_id, version)

    def destroy(self, secret_id: UUID, *, at: datetime, version: int | None = None) -> tuple[int, ...]:
        """Destroy one version, or all; what is destroyed already stays so.

        The version key goes first: from then on nothing opens the version, here or in a copy of the database.

        Returns:
            Which versions.

        Raises:
            NotFound: there is no such version.
            Unavailable: the database does not answer, or the trace is not gone yet. Destroy it again.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(_versions.c.version, _versions.c.version_key).where(_one(secret_id, version))
            ).all()
        if not rows:
            raise _absent(secret_id, version)
        self._version_keys.destroy([UUID(row.version_key) for row in rows], at=at)
        numbers = tuple(row.version for row in rows)
        gone = _one(secret_id) & _versions.c.version.in_(numbers) & (_versions.c.state != DESTROYED)
        with writing(self._engine) as connection:
            values = {"state": DESTROYED, "ciphertext": None, "changed_at": at.isoformat()}
            connection.execute(update(_versions).where(gone).values(values))
        return numbers

    def remove(self, secret_id: UUID) -> bool:
        """Forget that a key was here, once all its versions are destroyed; False when there is none.

        Raises:
            SettingsError: a version is not: it came while the others were being destroyed.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            living = _one(secret_id) & (_versions.c.state != DESTROYED)
            number = connection.scalar(select(_versions.c.version).where(living).limit(1))
            if number is not None:
                hint = "delete it again if that is still wanted"
                raise SettingsError("this key has a version that is not destroyed", seen=number, hint=hint)
            connection.execute(delete(_versions).where(_one(secret_id)))
            return bool(connection.execute(delete(_secrets).where(_secrets.c.id == str(secret_id))).rowcount)

    def check(self) -> None:
        """Ask the database something, for health checks.

        Raises:
            Unavailable: it does not answer.
        """
        with reading(self._engine) as connection:
            connection.execute(select(_secrets.c.id).limit(1)).first()

    def _version(self, secret_id: UUID, number: int, secret: bytes, bound: str, at: datetime) -> dict[str, object]:
        identity, sealer = self._version_keys.make(at=at)
        return _values(secret_id, number, identity, sealer.seal(secret, context=bound), len(secret), at)

    def _living(self, connection: Connection, secret_id: UUID) -> Sequence[Row[Any]]:
        query = _joined(_versions.c.secret_id == _secrets.c.id).where(_versions.c.state != DESTROYED)
        return connection.execute(query.where(_secrets.c.id == str(secret_id))).all()


def context(secret_id: UUID, version: int, manager: str, policy: str) -> str:
    """What a sealed version is bound to. Changing this makes every stored key unreadable."""
    digest = hashlib.sha256(policy.encode()).hexdigest()
    return f"ambergate broker secret {secret_id} version {version} manager {manager} policy {digest}"


def _values(
    secret_id: UUID, number: int, version_key: UUID, sealed: bytes, size: int, at: datetime
) -> dict[str, object]:
    return {
        "secret_id": str(secret_id),
        "version": number,
        "state": ENABLED,
        "version_key": str(version_key),
        "ciphertext": sealed,
        "size": size,
        "created_at": at.isoformat(),
    }


def _refuse_size(secret: bytes) -> None:
    if not secret:
        raise SettingsError("the secret is empty", seen="0 bytes", wanted=f"1 to {MAX_SECRET_SIZE} bytes")
    if len(secret) > MAX_SECRET_SIZE:
        raise TooLarge("the secret is too long", seen=f"{len(secret)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")


def _joined(on: Any) -> Any:  # noqa: ANN401  SQLAlchemy's own expressions
    keys = (_secrets.c[name] for name in ("id", "label", "policy", "algorithm", "bits", "curve", "manager"))
    mine = (
        _versions.c[n] for n in ("version", "state", "version_key", "ciphertext", "size", "created_at", "changed_at")
    )
    return select(*keys, _secrets.c.version.label("latest"), *mine).join_from(_secrets, _versions, on)


def _one(secret_id: UUID, version: int | None = None) -> Any:  # noqa: ANN401  as above
    where = _versions.c.secret_id == str(secret_id)
    return where if version is None else where & (_versions.c.version == version)


def _absent(secret_id: UUID, version: int | None = None) -> NotFound:
    if version is None:
        return NotFound("there is no key of this id", seen=secret_id, hint="amber keybroker key list shows them")
    return NotFound("there is no such version of this key", seen=f"{secret_id} version {version}")


def _stored(row: Row[Any]) -> StoredSecret:
    try:
        return StoredSecret(
            id=UUID(row.id),
            label=row.label,
            policy=ResourcePolicy.from_json(row.policy),
            kind=KeyKind.of(row.algorithm, bits=row.bits, curve=row.curve),
            manager=row.manager,
            version=row.version,
            latest=row.latest,
            state=_state(row),
            size=row.size,
            created_at=datetime.fromisoformat(row.created_at),
            changed_at=None if row.changed_at is None else datetime.fromisoformat(row.changed_at),
            version_key=UUID(row.version_key),
            sealed=row.ciphertext,
        )
    except (Malformed, ValueError, TypeError, AttributeError) as exc:
        raise SettingsError("a stored key is not what was written", seen=str(row.id)[:36]) from exc


def _state(row: Row[Any]) -> str:
    if row.state not in _STATES or (row.ciphertext is None) != (row.state == DESTROYED):
        message = "its state is none, or not that of what it holds"
        raise ValueError(message)
    return str(row.state)
