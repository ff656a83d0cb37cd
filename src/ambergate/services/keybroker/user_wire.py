"""Bodies about users and tokens, as Intel's Key Broker Service has them. Unknown members are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ambergate.services.keybroker.wire import instant

if TYPE_CHECKING:
    from ambergate.stores.users import User


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kbs/v1/token`."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "TokenRequest(...)"


class UserRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kbs/v1/users`: all of it; `PUT /kbs/v1/users/{id}`: what is empty or not there stays as it is."""

    username: str | None = None
    password: str | None = None
    permissions: list[str] | None = None

    def __repr__(self) -> str:
        return "UserRequest(...)"


class PasswordRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /broker/v1/password`: ours; a user sets a password of their own."""

    old_password: str
    new_password: str

    def __repr__(self) -> str:
        return "PasswordRequest(...)"


class UserResponse(msgspec.Struct, frozen=True):
    """A user as told."""

    id: str
    created_at: str
    updated_at: str
    username: str
    permissions: list[str]

    @classmethod
    def of(cls, user: User) -> UserResponse:
        """The user on the wire, without anything of the password."""
        return cls(
            id=str(user.id),
            created_at=instant(user.created_at),
            updated_at=instant(user.updated_at),
            username=user.username,
            permissions=sorted(user.permissions),
        )
