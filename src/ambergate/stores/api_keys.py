"""API keys of the attestation service: shown once when made, kept as a hash.

A key is 33 random bytes, so its SHA-256 cannot be guessed back; a slow password hash would add nothing but load to
every request.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import insert, select, update

from ambergate.core.errors import NotAuthorised, SettingsError
from ambergate.stores.tables import api_keys as _keys
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine, Row

KEY_BYTES: Final = 33  # a multiple of three: base64 without padding
MAX_KEY: Final = 256  # characters; longer ones are not looked up
MAX_LABEL: Final = 200  # characters
_HINT: Final = "create one with `amber apikey create` and send it as x-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; not the key."""

    id: UUID
    label: str
    created_at: datetime
    revoked_at: datetime | None


class ApiKeyStore:
    """API keys in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
        token_bytes: randomness for new keys.
    """

    def __init__(self, engine: Engine, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._engine = engine
        self._token_bytes = token_bytes

    def create(self, label: str, *, at: datetime) -> tuple[ApiKey, str]:
        """A new key, and its text: the only time that it is seen.

        Raises:
            SettingsError: the label is empty, too long or not printable.
            Unavailable: the database does not answer.
        """
        if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
            raise SettingsError("the label is unusable", seen=f"{len(label)} characters", wanted="1 to 200 printable")
        text = self._draw()
        key = ApiKey(id=uuid4(), label=label, created_at=at, revoked_at=None)
        values = {"id": str(key.id), "label": label, "digest": _digest(text), "created_at": at.isoformat()}
        with writing(self._engine) as connection:
            connection.execute(insert(_keys).values(values))
        return key, text

    def authorise(self, text: str) -> ApiKey:
        """The key of this text.

        Raises:
            NotAuthorised: unknown, revoked or no key at all; which of these is not told.
            Unavailable: the database does not answer.
        """
        row = None
        if 1 <= len(text) <= MAX_KEY:
            with reading(self._engine) as connection:
                row = connection.execute(select(_keys).where(_keys.c.digest == _digest(text))).first()
        if row is None or row.revoked_at is not None:
            raise NotAuthorised("the API key is not valid here", code="bad-api-key", hint=_HINT)
        return _known(row)

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, oldest first.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(_keys).order_by(_keys.c.created_at, _keys.c.id)).all()
        return tuple(_known(row) for row in rows)

    def revoke(self, key_id: UUID, *, at: datetime) -> None:
        """End a key, at once and for good.

        Raises:
            SettingsError: there is no such key.
            Unavailable: the database does not answer.
        """
        where = _keys.c.id == str(key_id)
        with writing(self._engine) as connection:
            if connection.execute(select(_keys.c.id).where(where)).first() is None:
                hint = "amber apikey list shows them"
                raise SettingsError("there is no API key of this id", seen=key_id, hint=hint)
            connection.execute(
                update(_keys).where(where, _keys.c.revoked_at.is_(None)).values(revoked_at=at.isoformat())
            )

    def check(self) -> None:
        """Ask the database something, for health checks.

        Raises:
            Unavailable: it does not answer.
        """
        with reading(self._engine) as connection:
            connection.execute(select(_keys.c.id).limit(1)).first()

    def _draw(self) -> str:
        """Letters and digits only: standard and URL-safe base64 agree on them, as deployed clients need."""
        while True:
            text = base64.b64encode(self._token_bytes(KEY_BYTES)).decode()
            if text.isalnum():
                return text


def _digest(text: str) -> bytes:
    return hashlib.sha256(b"ambergate api key\x00" + text.encode("utf-8", "surrogateescape")).digest()


def _known(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=UUID(row.id),
        label=row.label,
        created_at=datetime.fromisoformat(row.created_at),
        revoked_at=None if row.revoked_at is None else datetime.fromisoformat(row.revoked_at),
    )
