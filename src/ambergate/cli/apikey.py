"""`amber apikey`: who may ask the attestation service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.stores.api_keys import ApiKey

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
config_option: Callable[[Any], Any] = click.option(
    "--config", type=_FILE, required=True, help="The service's TOML file."
)


@click.group()
def group() -> None:
    """API keys of the attestation service."""


@group.command()
@config_option
@click.option("--label", required=True, help="Whose key it is, in words.")
@json_option
@reports_errors
def create(config: Path, *, label: str, as_json: bool) -> None:
    """Make a key. It is shown this once and kept as a hash."""
    from ambergate.services.attestation.app import open_api_keys

    with open_api_keys(_database(config)) as keys:
        key, text = keys.create(label, at=now())
    if as_json:
        echo_json({**_shown(key), "key": text})
    else:
        click.echo(text)
        click.echo(f"key {key.id} for {label!r}; it will not be shown again", err=True)


@group.command("list")
@config_option
@json_option
@reports_errors
def list_keys(config: Path, *, as_json: bool) -> None:
    """Show the keys' ids and labels; never the keys."""
    from ambergate.services.attestation.app import open_api_keys

    with open_api_keys(_database(config)) as keys:
        known = keys.all()
    if as_json:
        echo_json([_shown(key) for key in known])
        return
    for key in known:
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "good"
        click.echo(f"{key.id}  {key.created_at:%Y-%m-%d %H:%M:%S}Z  {state:18}  {key.label}")
    if not known:
        click.echo("no keys; `amber apikey create` makes one")


@group.command()
@config_option
@click.option("--id", "key_id", required=True, help="The key's id, as `list` shows it.")
@json_option
@reports_errors
def revoke(config: Path, *, key_id: str, as_json: bool) -> None:
    """End a key at once and for good."""
    from ambergate.services.attestation.app import open_api_keys

    try:
        identity = UUID(key_id)
    except ValueError as exc:
        raise SettingsError("--id is no key id", seen=key_id, wanted="a UUID") from exc
    with open_api_keys(_database(config)) as keys:
        keys.revoke(identity, at=now())
    if as_json:
        echo_json({"id": str(identity), "revoked": True})
    else:
        click.echo(f"{identity} is revoked")


def _database(config: Path) -> Path | str:
    from ambergate.services.attestation.config import load

    return load(config).database


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "id": str(key.id),
        "label": key.label,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
