"""What users of the broker may do, by the names that Intel's Key Broker Service has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

KEYS_CREATE: Final = "keys:create"
KEYS_SEARCH: Final = "keys:search"
KEYS_UPDATE: Final = "keys:update"
KEYS_DELETE: Final = "keys:delete"
KEYS_TRANSFER: Final = "keys:transfer"
POLICIES_CREATE: Final = "key-transfer-policies:create"
POLICIES_SEARCH: Final = "key-transfer-policies:search"
POLICIES_DELETE: Final = "key-transfer-policies:delete"
USERS_CREATE: Final = "users:create"
USERS_SEARCH: Final = "users:search"
USERS_UPDATE: Final = "users:update"
USERS_DELETE: Final = "users:delete"

# Every permission that a route asks for.
PERMISSIONS: Final = (
    *(KEYS_CREATE, KEYS_SEARCH, KEYS_UPDATE, KEYS_DELETE, KEYS_TRANSFER),
    *(POLICIES_CREATE, POLICIES_SEARCH, POLICIES_DELETE),
    *(USERS_CREATE, USERS_SEARCH, USERS_UPDATE, USERS_DELETE),
)
# Documented there, and asked for by no route: taken, and of no effect.
_IDLE: Final = frozenset({"key-transfer-policies:update"})
_UNDERSCORES: Final = "key_transfer_policies:"  # in the code there; in its requests and documentation, hyphens
_MAX_SEEN: Final = 64  # characters


def read_permissions(names: Iterable[str]) -> frozenset[str]:
    """Permissions as they are kept, from either spelling.

    Raises:
        Malformed: (`unknown-permission`) one of them is none, or there are none.
    """
    found = frozenset(_one(name) for name in names)
    if not found:
        raise Malformed("a user needs permissions", code="unknown-permission", wanted=", ".join(PERMISSIONS))
    return found


def _one(name: str) -> str:
    if name.startswith(_UNDERSCORES):
        name = name.replace(_UNDERSCORES, "key-transfer-policies:", 1)
    if name not in PERMISSIONS and name not in _IDLE:
        wanted = ", ".join(PERMISSIONS)
        raise Malformed("there is no such permission", code="unknown-permission", seen=name[:_MAX_SEEN], wanted=wanted)
    return name
