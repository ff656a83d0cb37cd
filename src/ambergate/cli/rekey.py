"""`amber rekey`: puts a service's database under another key-encryption key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._services import either_config, version_keys_of
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyEncryptionKey
    from ambergate.stores.rekey import Rekeyed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--config", type=_FILE, required=True, help="The TOML file of the attestation service or key broker.")
@click.option(
    "--to",
    metavar="KEY",
    help="The new key: a file (made when it is not there), env:NAME or pkcs11:...; not given: the same key, and only a "
    "fresh data key under it.",
)
@json_option
@reports_errors
def command(config: Path, *, to: str | None, as_json: bool) -> None:
    """Seal all that is secret in a database anew, in one transaction. Then name the new key in the configuration.

    A key broker's version keys are in a database of their own, which is second: cut off between the two, run it again.
    """
    from ambergate.stores.key_encryption import key_place, open_kek

    settings = either_config(config)
    if isinstance(settings.database, Path) and not settings.database.exists():
        raise SettingsError("the service has no database yet", seen=settings.database, hint="start it once")
    old = open_kek(settings.key_encryption_key)
    place = settings.key_encryption_key if to is None else key_place(to, Path.cwd())
    new = old if to is None else open_kek(place, create=True)
    done = _rekeyed(settings.database, old, new)
    beside = version_keys_of(settings)
    if beside is not None:
        more = _rekeyed(beside, old, new).resealed
        done.resealed.update({table: count + more[table] for table, count in done.resealed.items()})
    if as_json:
        told = {"key_encryption_key": str(place), "kek": done.kek, "data_key": done.data_key, "fresh": done.fresh}
        echo_json({**told, "resealed": done.resealed})
        return
    counts = ", ".join(f"{count} of {table}" for table, count in done.resealed.items())
    click.echo(f"under key {done.kek} ({place}), {'fresh ' if done.fresh else ''}data key {done.data_key}")
    click.echo(f"sealed anew: {counts}")
    if to is not None:
        click.echo(f"now set key_encryption_key to {place} and start the service again; backups need the key before")


def _rekeyed(database: Path | str | Server, old: KeyEncryptionKey, new: KeyEncryptionKey) -> Rekeyed:
    from ambergate.stores.engine import open_database
    from ambergate.stores.rekey import rekey

    engine = open_database(database)
    try:
        return rekey(engine, old, new)
    finally:
        engine.dispose()
