"""`amber keybroker user` over HTTP: each function is the command of its name, about a running broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ambergate.cli._broker_place import read_password
from ambergate.cli._broker_users import named_permissions, say, shown_line
from ambergate.cli._common import echo_json
from ambergate.cli._http import ask
from ambergate.core.errors import NotFound

if TYPE_CHECKING:
    from typing import TextIO

    import httpx

_PATH = "/kbs/v1/users"


def create(
    client: httpx.Client,
    *,
    username: str,
    permissions: tuple[str, ...],
    password_file: TextIO | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Make a user."""
    named = named_permissions(permissions, everything=everything)
    body = {"username": username, "password": read_password(password_file, confirm=True), "permissions": list(named)}
    _tell(ask(client, "POST", _PATH, body=body)[0], as_json=as_json)


def list_users(client: httpx.Client, *, as_json: bool) -> None:
    """Show every user and what they may do."""
    found = ask(client, "GET", _PATH)[0]
    if as_json:
        echo_json(found)
        return
    for user in found:
        _tell(user, as_json=False)


def grant(
    client: httpx.Client, *, username: str, permissions: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Give a user these permissions in place of those they have."""
    named = named_permissions(permissions, everything=everything)
    _update(client, username, {"permissions": list(named)}, as_json=as_json)


def password(client: httpx.Client, *, username: str, password_file: TextIO | None, as_json: bool) -> None:
    """Set a user's password, and end their tokens."""
    _update(client, username, {"password": read_password(password_file, confirm=True)}, as_json=as_json)


def delete(client: httpx.Client, *, username: str, as_json: bool) -> None:
    """Forget a user, and with them their tokens."""
    identity = _found(client, username)["id"]
    ask(client, "DELETE", f"{_PATH}/{identity}")
    say({"id": identity, "deleted": True}, f"{username} is deleted", as_json=as_json)


def end_tokens(client: httpx.Client, *, username: str, as_json: bool) -> None:
    """End every bearer token that a user has: a change does, also one of nothing."""
    identity = _found(client, username)["id"]
    ask(client, "PUT", f"{_PATH}/{identity}", body={})
    say({"id": identity, "tokens_ended": True}, f"{username} has to log in again", as_json=as_json)


def _update(client: httpx.Client, username: str, body: dict[str, object], *, as_json: bool) -> None:
    identity = _found(client, username)["id"]
    _tell(ask(client, "PUT", f"{_PATH}/{identity}", body=body)[0], as_json=as_json)


def _found(client: httpx.Client, username: str) -> dict[str, Any]:
    found = ask(client, "GET", f"{_PATH}?username={quote(username, safe='')}")[0]
    if not found:
        raise NotFound("there is no user of this name", code="unknown-user", seen=username)
    return dict(found[0])


def _tell(user: dict[str, Any], *, as_json: bool) -> None:
    say(dict(user), shown_line(user), as_json=as_json)
