"""`amber backup` and `amber restore`: a service's database as one file, checked on the way out and on the way in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._services import either_config, version_keys_of
from ambergate.core.errors import NotIntact, SettingsError

if TYPE_CHECKING:
    from ambergate.stores.checkpoints import Checkpoint, CheckpointKey
    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyPlace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_POSTGRES = (
    "pg_dump --format=custom with pg_restore, or point-in-time recovery; then `amber audit verify` says what it lacks"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What a backup is about: a database file, where its key-encryption key is, and the audit log's pin."""

    database: Path
    key_encryption_key: KeyPlace
    pin: Path
    version_keys: Path | str | Server | None  # of a key broker


@click.command()
@click.option("--config", type=_FILE, required=True, help="The TOML file of the attestation service or key broker.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to be made."
)
@click.option(
    "--version-keys",
    is_flag=True,
    help="Copy a broker's version keys instead. With this copy, keys that are destroyed later can still be read.",
)
@json_option
@reports_errors
def backup_command(config: Path, output: Path, *, version_keys: bool, as_json: bool) -> None:
    """Copy a service's database into one file, while the service runs. The key-encryption key is not in it."""
    from ambergate.stores.backup import copy_database

    site = _site(config)
    if version_keys:
        _copy_version_keys(site, output, as_json=as_json)
        return
    copy_database(site.database, output)
    try:
        told = _checked(output, site)
    except Exception:
        output.unlink()
        raise
    if as_json:
        echo_json({"file": str(output), **told})
    else:
        click.echo(f"{output}: schema {told['schema']}, {_entries(told)}")
        click.echo(
            f"without the key-encryption key it opens nothing: keep a copy of {site.key_encryption_key} elsewhere"
        )
        if site.version_keys is not None:
            click.echo(
                f"nor without the version keys, in {site.version_keys}: `amber backup --version-keys` copies them"
            )


@click.command()
@click.argument("backup", type=_FILE)
@click.option("--config", type=_FILE, required=True, help="The TOML file of the attestation service or key broker.")
@click.option(
    "--dangerously-accept-lost-records",
    "accept",
    is_flag=True,
    help="Go on where the audit log's checkpoint says that the backup lacks records.",
)
@json_option
@reports_errors
def restore_command(backup: Path, config: Path, *, accept: bool, as_json: bool) -> None:
    """Put a backup where the configuration has its database, which must not be there. Stop the service first."""
    from ambergate.stores.backup import copy_database

    site = _site(config)
    for suffix in ("", "-wal", "-shm"):
        leftover = site.database.with_name(site.database.name + suffix)
        if leftover.exists():
            hint = "stop the service, and put its database away: the file and those that end in -wal and -shm"
            raise SettingsError("there is a database already", seen=leftover, hint=hint)
    copy_database(backup, site.database)
    try:
        told = _checked(site.database, site)
        lost = _behind(site, told, accept=accept)
    except Exception:
        site.database.unlink()
        raise
    if as_json:
        echo_json({"file": str(site.database), "lost_records": lost, **told})
        return
    click.echo(f"{site.database}: schema {told['schema']}, {_entries(told)}")
    if lost:
        click.echo(f"WARNING: {lost} records of the audit log are lost; what says so is kept beside it")


def _copy_version_keys(site: Site, output: Path, *, as_json: bool) -> None:
    from ambergate.stores.backup import copy_database

    if not isinstance(site.version_keys, Path):
        raise SettingsError("this configuration has no file of version keys", seen=site.version_keys)
    copy_database(site.version_keys, output)
    if as_json:
        echo_json({"file": str(output)})
    else:
        click.echo(f"{output}: the version keys. Keys that are destroyed from now on can be read with this copy:")
        click.echo("keep it apart from copies of the database, and no longer than that may be so")


def _site(config: Path) -> Site:
    """The files of this configuration, of either service.

    Raises:
        SettingsError: it does not load, or names a PostgreSQL database.
    """
    settings = either_config(config)
    if not isinstance(settings.database, Path):
        raise SettingsError("a PostgreSQL database is backed up by its own tools", hint=_POSTGRES)
    version_keys = version_keys_of(settings)
    return Site(settings.database, settings.key_encryption_key, settings.checkpoint, version_keys)


def _checked(database: Path, site: Site) -> dict[str, object]:
    """What this file holds, once it is known that a service could start with it.

    Raises:
        SettingsError: it could not.
        NotIntact: its audit log does not verify.
    """
    from ambergate.stores.audit_key import checkpoint_key
    from ambergate.stores.backup import check_state, opened
    from ambergate.stores.data_keys import open_sealer
    from ambergate.stores.key_encryption import open_kek
    from ambergate.stores.signing_keys import SigningMaterialStore

    kek = open_kek(site.key_encryption_key)
    if isinstance(site.version_keys, Path) and not site.version_keys.exists():
        raise SettingsError("the version keys are not there", seen=site.version_keys, hint="put them back first")
    schema, destroyed = check_state(database, kek, site.version_keys)
    told: dict[str, object] = {
        "schema": schema,
        "destroyed_since": destroyed,
        "audit_entries": None,
        "audit_root": None,
    }
    with opened(database) as engine:
        key = checkpoint_key(SigningMaterialStore(engine, open_sealer(engine, kek)))
    if key is not None:
        told["audit_entries"], told["audit_root"] = _audit(database, key)
    return told


def _audit(database: Path, key: CheckpointKey) -> tuple[int, str]:
    from ambergate.stores.audit_check import check_whole
    from ambergate.stores.backup import opened
    from ambergate.stores.transactions import reading

    with opened(database) as engine, reading(engine) as connection:
        finding = check_whole(connection, key)
    if not finding.intact:
        raise NotIntact("its audit log is not the one that was written", seen="; ".join(finding.faults))
    return finding.size, finding.root.hex()


def _behind(site: Site, told: dict[str, object], *, accept: bool) -> int:
    """How many records the backup lacks, by the pin; then the pin is put away, if that is accepted.

    Raises:
        NotIntact: some, and that is not accepted; or the pin is of another log.
    """
    pinned = _pinned(site)
    entries = told["audit_entries"]
    if pinned is None or not isinstance(entries, int) or pinned.size <= entries:
        return 0
    lost = pinned.size - entries
    if not accept:
        raise NotIntact(
            "the backup lacks records of the audit log",
            code="log-truncated",
            seen=f"{entries} entries",
            wanted=f"{pinned.size} at {pinned.at:%Y-%m-%d %H:%M:%S}Z, by {site.pin}",
            hint="look for a newer backup; --dangerously-accept-lost-records goes on without them",
        )
    site.pin.rename(site.pin.with_name(f"{site.pin.name}.lost-{entries}-{pinned.size}"))
    return lost


def _pinned(site: Site) -> Checkpoint | None:
    from ambergate.stores.audit import read_pin
    from ambergate.stores.audit_key import checkpoint_key
    from ambergate.stores.backup import opened
    from ambergate.stores.data_keys import open_sealer
    from ambergate.stores.key_encryption import open_kek
    from ambergate.stores.signing_keys import SigningMaterialStore

    note = read_pin(site.pin)
    if note is None:
        return None
    with opened(site.database) as engine:
        sealer = open_sealer(engine, open_kek(site.key_encryption_key))
        key = checkpoint_key(SigningMaterialStore(engine, sealer))
    return None if key is None else key.opened(note)


def _entries(told: dict[str, object]) -> str:
    entries = told["audit_entries"]
    return "no audit log" if entries is None else f"{entries} records in its audit log, which verifies"
