"""`amber keybroker`: serve secrets to approved enclaves, and manage what it holds."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID, uuid4

import click

from ambergate.cli._broker_users import group as users
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._serve import Reloading, serve_reloading, survive_hangup
from ambergate.cli._services import (
    check_config_command,
    keybroker_config,
    keybroker_service,
    print_config_option,
    print_settings,
    serve_config_option,
)
from ambergate.core.errors import Malformed, MalformedPolicy, SettingsError
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.resource_policy import MAX_POLICY_SIZE, ResourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager, ExitStack

    from starlette.applications import Starlette

    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.keys import Keys
    from ambergate.services.keybroker.trust import TrustedIssuers
    from ambergate.stores.secrets import StoredSecret

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

config_option: Callable[[Any], Any] = click.option(
    "--config", type=_FILE, required=True, help="The broker's TOML file."
)
policy_option: Callable[[Any], Any] = click.option(
    "--policy", "policy_file", type=_FILE, required=True, help="Who may have the key: a TOML file."
)
id_option: Callable[[Any], Any] = click.option("--id", "key_id", help="The key's UUID; a fresh one when not given.")
label_option: Callable[[Any], Any] = click.option("--label", default="", help="Words for people; not secret.")


@click.group()
def group() -> None:
    """The key broker: secrets for enclaves that their owners approve."""


group.add_command(check_config_command(keybroker_service))


@group.command()
@serve_config_option
@print_config_option
@json_option
@reports_errors
def serve(config: Path | None, *, print_config: bool, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    if print_config:
        print_settings(keybroker_service(), config, as_json=as_json)
        return
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.config import FIXED
    from ambergate.services.web.server import bound_socket

    survive_hangup()
    settings = keybroker_config(config)
    _log_to_stderr()
    with open_state(settings, now=now) as state:
        listener = bound_socket(settings.host, settings.port)
        host, port = listener.getsockname()[:2]

        def announce() -> None:
            if as_json:
                echo_json({"listening": {"host": host, "port": port}})
            else:
                click.echo(f"key broker listening on https://{host}:{port}/kbs/v1/")
            sys.stdout.flush()

        site = Reloading(
            settings, FIXED, load=lambda: keybroker_config(config), tls=lambda config: config.tls, make=_maker(state)
        )
        serve_reloading(site, listener, on_start=announce)


def _maker(state: State) -> Callable[[Config, ExitStack], Starlette]:
    """Applications on one state, which hand on the issuers' keys that they have."""
    from ambergate.services.keybroker.app import create_app

    before: TrustedIssuers | None = None

    def make(config: Config, _stack: ExitStack) -> Starlette:
        nonlocal before
        if before is not None:
            config.trust.take_over(before)
        before = config.trust
        return create_app(state, config.trust, now=now, token_lifetime=config.token_lifetime)

    return make


group.add_command(users, "user")


@group.group()
def key() -> None:
    """The keys the broker holds."""


@key.command("import")
@config_option
@policy_option
@id_option
@label_option
@click.option("--file", "source", type=click.File("rb"), default="-", help="The secret; standard input when not given.")
@json_option
@reports_errors
def import_key(
    config: Path,
    *,
    policy_file: Path,
    key_id: str | None,
    label: str,
    source: BinaryIO,
    as_json: bool,
) -> None:
    """Keep a secret read from a file or from standard input, byte for byte. Never from the command line."""
    secret = source.read(MAX_SECRET_SIZE + 1)
    _add(config, secret, policy_file, key_id=key_id, label=label, as_json=as_json)


@key.command()
@config_option
@policy_option
@id_option
@label_option
@click.option("--bytes", "size", type=click.IntRange(16, 64), default=32, show_default=True, help="Its length.")
@json_option
@reports_errors
def generate(config: Path, *, policy_file: Path, key_id: str | None, label: str, size: int, as_json: bool) -> None:
    """Make a random key that nobody but an approved enclave will see."""
    _add(config, secrets.token_bytes(size), policy_file, key_id=key_id, label=label, as_json=as_json)


@key.command("list")
@config_option
@json_option
@reports_errors
def list_keys(config: Path, *, as_json: bool) -> None:
    """Show the keys' ids, sizes and policies; never the keys."""
    with _opened(config) as state:
        stored = state.secrets.all()
    if as_json:
        echo_json([_shown(one) for one in stored])
        return
    for one in stored:
        click.echo(f"{one.id}  {one.size:5} bytes  {one.created_at:%Y-%m-%d %H:%M:%S}Z  {one.label}")
        click.echo("\n".join(f"    {line}" for line in _words(one.policy)))
    if not stored:
        click.echo("no keys; `amber keybroker key generate` or `import` makes one")


@key.command("set-policy")
@config_option
@policy_option
@click.option("--id", "key_id", required=True, help="The key's UUID.")
@json_option
@reports_errors
def set_policy(config: Path, *, policy_file: Path, key_id: str, as_json: bool) -> None:
    """Put a key under another policy, from its next release on."""
    policy = _policy(policy_file)
    identity = _identity(key_id)
    with _opened(config) as state:
        _keys(state).set_policy(identity, policy, at=now())
    _tell({"id": str(identity), "policy": policy.to_mapping()}, f"{identity} is under the new policy", as_json=as_json)


@key.command()
@config_option
@click.option("--id", "key_id", required=True, help="The key's UUID.")
@json_option
@reports_errors
def delete(config: Path, *, key_id: str, as_json: bool) -> None:
    """Forget a key. Nothing brings it back."""
    identity = _identity(key_id)
    with _opened(config) as state:
        _keys(state).remove(identity, at=now())
    _tell({"id": str(identity), "deleted": True}, f"{identity} is deleted", as_json=as_json)


@group.group()
def policy() -> None:
    """Release policies."""


@policy.command()
@click.argument("file", type=_FILE)
@json_option
@reports_errors
def check(file: Path, *, as_json: bool) -> None:
    """Load a policy as the broker would, and say what it asks, defaults written out."""
    found = _policy(file)
    _tell({"policy": found.to_mapping()}, "\n".join(_words(found)), as_json=as_json)


def _add(config: Path, secret: bytes, policy_file: Path, *, key_id: str | None, label: str, as_json: bool) -> None:
    identity = uuid4() if key_id is None else _identity(key_id)
    found = _policy(policy_file)
    with _opened(config) as state:
        _keys(state).add(identity, secret, found, at=now(), label=label)
    _tell({"id": str(identity), "bytes": len(secret), "policy": found.to_mapping()}, str(identity), as_json=as_json)


def _opened(config: Path) -> AbstractContextManager[State]:
    """What the broker of this configuration keeps, whether it runs or not."""
    from ambergate.services.keybroker.app import open_state

    return open_state(keybroker_config(config), now=now)


def _keys(state: State) -> Keys:
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.keys import Keys
    from ambergate.services.keybroker.ports import LOCAL

    return Keys(store=state.secrets, journal=AuditTrail(state.audit, lambda: (None, None)), by=LOCAL)


def _policy(file: Path) -> ResourcePolicy:
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(MAX_POLICY_SIZE + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise MalformedPolicy("the policy file cannot be read", seen=f"{file}: {exc}") from exc
    return ResourcePolicy.from_toml(text)


def _identity(text: str) -> UUID:
    from ambergate.services.keybroker.wire import parse_key_id

    try:
        return parse_key_id(text)
    except Malformed as exc:
        raise SettingsError("--id is no key id", seen=exc.seen, wanted=exc.wanted) from exc


def _shown(stored: StoredSecret) -> dict[str, object]:
    return {
        "id": str(stored.id),
        "label": stored.label,
        "bytes": stored.size,
        "created_at": stored.created_at.isoformat(),
        "policy": stored.policy.to_mapping(),
    }


def _words(found: ResourcePolicy) -> list[str]:
    """The policy, one member a line."""
    return list(_lines(found.to_mapping(), ""))


def _lines(members: Mapping[str, object], path: str) -> Iterator[str]:
    for name, value in members.items():
        items = value if isinstance(value, list) else [value]
        if isinstance(items[0], dict):
            for index, item in enumerate(items):
                yield from _lines(item, f"{path}{name}[{index}]." if isinstance(value, list) else f"{path}{name}.")
        else:
            told = (str(item).lower() if isinstance(item, bool) else str(item) for item in items)
            yield f"{path}{name} = {', '.join(told)}"


def _tell(document: dict[str, object], words: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(document)
    else:
        click.echo(words)


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
