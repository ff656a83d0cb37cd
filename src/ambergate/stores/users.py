"""The key broker's users: names, password hashes and permissions. What a permission opens is not known here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import Conflict, NotFound, SettingsError
from ambergate.stores.tables import broker_users as _users
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine, Row

MAX_USERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as kept.

    Attributes:
        id: names them for ever.
        username: names them when they log in; can change.
        password: the hash, in PHC's form; never told.
        permissions: what they may do.
        generation: of their tokens; one of another generation opens nothing.
        created_at: when they were made.
        updated_at: when anything of this was changed last.
    """

    id: UUID
    username: str
    password: str = field(repr=False)
    permissions: frozenset[str]
    generation: int
    created_at: datetime
    updated_at: datetime


class UserStore:
    """Users in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, user: User) -> None:
        """Keep a user.

        Raises:
            Conflict: another has the name, or there are too many.
            Unavailable: the database does not answer.
        """
        try:
            with writing(self._engine) as connection:
                if (connection.scalar(select(func.count()).select_from(_users)) or 0) >= MAX_USERS:
                    raise Conflict("there are too many users", code="too-many-users", wanted=f"at most {MAX_USERS}")
                connection.execute(insert(_users).values(_values(user)))
        except IntegrityError as exc:
            raise _taken(user.username) from exc

    def replace(self, before: User, after: User) -> None:
        """Put `after` in the place of `before`, and end every token that `before` has.

        Raises:
            NotFound: they are gone.
            Conflict: another has the name, or somebody else changed them meanwhile.
            Unavailable: the database does not answer.
        """
        try:
            with writing(self._engine) as connection:
                found = _one(connection, before.id)
                if found != before:
                    hint = "look again, and try again"
                    raise Conflict("the user was changed meanwhile", code="changed-meanwhile", hint=hint)
                values = {**_values(after), "generation": before.generation + 1}
                connection.execute(update(_users).where(_users.c.id == str(before.id)).values(values))
        except IntegrityError as exc:
            raise _taken(after.username) from exc

    def remove(self, user_id: UUID) -> None:
        """Forget a user, and with them their tokens.

        Raises:
            NotFound: there is none.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            if not connection.execute(delete(_users).where(_users.c.id == str(user_id))).rowcount:
                raise _missing(user_id)

    def get(self, user_id: UUID) -> User:
        """The user of this id.

        Raises:
            NotFound: there is none.
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return _one(connection, user_id)

    def named(self, username: str) -> User | None:
        """The user of this name; None: there is none. Raises as `get`."""
        with reading(self._engine) as connection:
            row = connection.execute(select(_users).where(_users.c.username == username)).first()
        return None if row is None else _user(row)

    def all(self) -> tuple[User, ...]:
        """Every user, by name. Raises as `get`."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_users).order_by(_users.c.username)).all()
        return tuple(_user(row) for row in rows)


def _one(connection: Connection, user_id: UUID) -> User:
    row = connection.execute(select(_users).where(_users.c.id == str(user_id))).first()
    if row is None:
        raise _missing(user_id)
    return _user(row)


def _values(user: User) -> dict[str, object]:
    return {
        "id": str(user.id),
        "username": user.username,
        "password": user.password,
        "permissions": json.dumps(sorted(user.permissions)),
        "generation": user.generation,
        "created_at": _written(user.created_at),
        "updated_at": _written(user.updated_at),
    }


def _user(row: Row[Any]) -> User:
    try:
        return User(
            id=UUID(row.id),
            username=row.username,
            password=row.password,
            permissions=_permissions(row.permissions),
            generation=row.generation,
            created_at=datetime.fromisoformat(row.created_at),
            updated_at=datetime.fromisoformat(row.updated_at),
        )
    except (ValueError, TypeError) as exc:
        raise SettingsError("a stored user is not what was written", seen=str(row.id)[:36]) from exc


def _permissions(text: str) -> frozenset[str]:
    found: Iterable[object] = json.loads(text)
    return frozenset(str(each) for each in found)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _missing(user_id: UUID) -> NotFound:
    hint = "amber keybroker user list shows them"
    return NotFound("there is no user of this id", code="unknown-user", seen=user_id, hint=hint)


def _taken(username: str) -> Conflict:
    return Conflict("another user has this name", code="username-taken", seen=username)
