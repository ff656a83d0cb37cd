"""Changes to users, each written down. Nobody can give away what they may not do themselves.

That holds for what a user is made with, what they are changed to, and what they had before: else whoever may change
users could take the account of one who may do more, by setting its password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from ambergate.core.errors import Malformed, NotPermitted
from ambergate.services.keybroker.permissions import read_permissions
from ambergate.services.keybroker.ports import LOCAL, Change
from ambergate.stores.users import User

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ambergate.services.keybroker.passwords import Passwords
    from ambergate.services.keybroker.ports import Journal
    from ambergate.stores.users import UserStore

# Letters, digits, and what addresses of mail and hosts have; at most 255 characters, as the Key Broker Service.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,254}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something.

    Attributes:
        name: of the user; `LOCAL` for a command on the broker's machine.
        permissions: what they may do; None: all.
        user_id: of the user.
    """

    name: str
    permissions: frozenset[str] | None
    user_id: UUID | None = None


OPERATOR: Final = Actor(LOCAL, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The use case. Safe to call from several threads."""

    store: UserStore
    passwords: Passwords
    journal: Journal

    def create(self, username: str, password: str, permissions: Iterable[str], *, by: Actor, at: datetime) -> User:
        """A new user.

        Raises:
            Malformed: name, password or permissions are none.
            NotPermitted: it would have more permissions than who makes it.
            Conflict: another has the name.
            Unavailable: the database or the audit log does not answer.
        """
        granted = read_permissions(permissions)
        _refuse_beyond(by, granted)
        user = User(
            id=uuid4(),
            username=_name(username),
            password=self.passwords.hash(password),
            permissions=granted,
            generation=1,
            created_at=at,
            updated_at=at,
        )
        with self.journal.change(_change("user.create", user, by, at, permissions=" ".join(sorted(granted)))):
            self.store.add(user)
        return user

    def update(  # each part has its name
        self,
        user_id: UUID,
        *,
        by: Actor,
        at: datetime,
        username: str | None = None,
        password: str | None = None,
        permissions: Iterable[str] | None = None,
    ) -> User:
        """Change what is given, and end every token that the user has.

        Raises:
            NotFound: there is no such user.
            others: as `create`.
        """
        before = self.store.get(user_id)
        granted = before.permissions if permissions is None else read_permissions(permissions)
        _refuse_beyond(by, granted | before.permissions)
        after = replace(
            before,
            username=before.username if username is None else _name(username),
            password=before.password if password is None else self.passwords.hash(password),
            permissions=granted,
            updated_at=at,
        )
        told = {
            "username": after.username,
            "password": "changed" if password is not None else "kept",
            "permissions": " ".join(sorted(granted)),
        }
        with self.journal.change(_change("user.update", before, by, at, **told)):
            self.store.replace(before, after)
        return self.store.get(user_id)

    def remove(self, user_id: UUID, *, by: Actor, at: datetime) -> None:
        """Forget a user, and with them their tokens.

        Raises:
            NotFound: there is no such user.
            NotPermitted: they may do more than who removes them.
            Unavailable: the database or the audit log does not answer.
        """
        user = self.store.get(user_id)
        _refuse_beyond(by, user.permissions)
        with self.journal.change(_change("user.delete", user, by, at)):
            self.store.remove(user_id)

    def end_tokens(self, user_id: UUID, *, by: Actor, at: datetime) -> None:
        """End every token that the user has. Raises as `remove`."""
        user = self.store.get(user_id)
        _refuse_beyond(by, user.permissions)
        with self.journal.change(_change("user.end-tokens", user, by, at)):
            self.store.replace(user, replace(user, updated_at=at))


def _refuse_beyond(by: Actor, permissions: frozenset[str]) -> None:
    beyond = frozenset() if by.permissions is None else permissions - by.permissions
    if beyond:
        raise NotPermitted(
            "nobody gives or takes permissions that they do not have",
            code="beyond-own-permissions",
            seen=", ".join(sorted(beyond)),
            wanted=f"of {by.name}: {', '.join(sorted(by.permissions or ()))}",
        )


def _change(what: str, user: User, by: Actor, at: datetime, **details: object) -> Change:
    return Change(what=what, subject=str(user.id), by=by.name, at=at, details={"username": user.username, **details})


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        wanted = "1 to 255 of A-Z a-z 0-9 . _ @ + -, the first a letter or digit"
        raise Malformed("this is no user name", code="malformed-username", seen=f"{text[:64]!r}", wanted=wanted)
    return text
