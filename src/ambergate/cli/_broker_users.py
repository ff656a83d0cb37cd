"""`amber keybroker user`: who may manage the broker; on its own machine, or over HTTP as one of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TextIO

import click

from ambergate.cli._broker_place import FILE, also_remote, read_password
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config
from ambergate.core.errors import NotFound, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.users import Users
    from ambergate.stores.users import User

_place = also_remote("ambergate.cli._broker_remote_users")
name_argument: Callable[[Any], Any] = click.argument("username")
password_option: Callable[[Any], Any] = click.option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    help="Its first line is the password; - is standard input. Asked for when not given.",
)
permission_option: Callable[[Any], Any] = click.option(
    "--permission", "permissions", multiple=True, metavar="NAME", help="As keys:create; once for each."
)
all_option: Callable[[Any], Any] = click.option("--all-permissions", "everything", is_flag=True, help="All there are.")


@click.group()
def group() -> None:
    """Users, who manage keys over HTTP."""


@group.command()
@name_argument
@permission_option
@all_option
@password_option
@_place
@json_option
@reports_errors
def create(  # one for each option
    username: str,
    permissions: tuple[str, ...],
    password_file: TextIO | None,
    config: Path,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Make a user. The first one is made so: nobody else could."""
    named = named_permissions(permissions, everything=everything)
    password = read_password(password_file, confirm=True)
    with _opened(config) as (_, users):
        user = users.create(username, password, named, by=_operator(), at=now())
    _tell(user, as_json=as_json)


@group.command("list")
@_place
@json_option
@reports_errors
def list_users(config: Path, *, as_json: bool) -> None:
    """Show every user and what they may do."""
    with _opened(config) as (_, users):
        found = users.store.all()
    if as_json:
        echo_json([_shown(user) for user in found])
        return
    for user in found:
        _tell(user, as_json=False)
    if not found:
        click.echo("no users; `amber keybroker user create` makes one")


@group.command()
@name_argument
@permission_option
@all_option
@_place
@json_option
@reports_errors
def grant(username: str, permissions: tuple[str, ...], config: Path, *, everything: bool, as_json: bool) -> None:
    """Give a user these permissions in place of those they have."""
    _update(config, username, as_json=as_json, permissions=named_permissions(permissions, everything=everything))


@group.command()
@name_argument
@password_option
@_place
@json_option
@reports_errors
def password(username: str, password_file: TextIO | None, config: Path, *, as_json: bool) -> None:
    """Set a user's password, and end their tokens."""
    _update(config, username, as_json=as_json, password=read_password(password_file, confirm=True))


@group.command()
@name_argument
@_place
@json_option
@reports_errors
def delete(username: str, config: Path, *, as_json: bool) -> None:
    """Forget a user, and with them their tokens."""
    with _opened(config) as (_, users):
        user = _found(users, username)
        users.remove(user.id, by=_operator(), at=now())
    say({"id": str(user.id), "deleted": True}, f"{username} is deleted", as_json=as_json)


@group.command("end-tokens")
@name_argument
@_place
@json_option
@reports_errors
def end_tokens(username: str, config: Path, *, as_json: bool) -> None:
    """End every bearer token that a user has."""
    with _opened(config) as (_, users):
        user = _found(users, username)
        users.end_tokens(user.id, by=_operator(), at=now())
    say({"id": str(user.id), "tokens_ended": True}, f"{username} has to log in again", as_json=as_json)


@group.command()
@click.argument("username", required=False)
@click.option("--address", help="The address that failed logins came from.")
@click.option("--config", type=FILE, required=True, help="The broker's TOML file.")
@json_option
@reports_errors
def unlock(username: str | None, address: str | None, config: Path, *, as_json: bool) -> None:
    """Let a user log in again at once after too many failures, or an address."""
    from ambergate.services.keybroker.login import address_key, user_key

    keys = [*([user_key(username)] if username else []), *([address_key(address)] if address else [])]
    if not keys:
        raise SettingsError("nobody is named", wanted="a user, --address, or both")
    with _opened(config) as (state, _):
        were = [state.failures.forget(key) for key in keys]
    words = "they may log in" if any(were) else "no failures were counted"
    say({"failures_forgotten": any(were)}, words, as_json=as_json)


def _update(config: Path, username: str, *, as_json: bool, **change: Any) -> None:  # noqa: ANN401  as `Users.update` takes it
    with _opened(config) as (_, users):
        user = users.update(_found(users, username).id, by=_operator(), at=now(), **change)
    _tell(user, as_json=as_json)


@contextlib.contextmanager
def _opened(config: Path) -> Iterator[tuple[State, Users]]:
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.passwords import Passwords
    from ambergate.services.keybroker.users import Users

    with open_state(keybroker_config(config), now=now) as state:
        trail = AuditTrail(state.audit, lambda: (None, None))
        yield state, Users(store=state.users, passwords=Passwords(), journal=trail)


def _operator() -> Any:  # noqa: ANN401  # the type is imported when it is needed
    from ambergate.services.keybroker.users import OPERATOR

    return OPERATOR


def _found(users: Users, username: str) -> User:
    user = users.store.named(username)
    if user is None:
        hint = "amber keybroker user list shows them"
        raise NotFound("there is no user of this name", code="unknown-user", seen=username, hint=hint)
    return user


def named_permissions(named: tuple[str, ...], *, everything: bool) -> tuple[str, ...]:
    """The permissions that the options give.

    Raises:
        SettingsError: none, or both.
    """
    from ambergate.services.keybroker.permissions import PERMISSIONS

    if everything == bool(named):
        wanted = f"--all-permissions, or --permission of {', '.join(PERMISSIONS)}"
        raise SettingsError("a user needs permissions", wanted=wanted)
    return PERMISSIONS if everything else named


def _shown(user: User) -> dict[str, object]:
    return {
        "id": str(user.id),
        "username": user.username,
        "permissions": sorted(user.permissions),
        "created_at": user.created_at.isoformat(),
        "updated_at": user.updated_at.isoformat(),
    }


def _tell(user: User, *, as_json: bool) -> None:
    say(_shown(user), shown_line(_shown(user)), as_json=as_json)


def shown_line(user: Mapping[str, Any]) -> str:
    """A user for people."""
    return f"{user['id']}  {user['username']}  {' '.join(user['permissions'])}"


def say(document: Mapping[str, object], words: str, *, as_json: bool) -> None:
    """The result, for machines or for people."""
    if as_json:
        echo_json(document)
    else:
        click.echo(words)
