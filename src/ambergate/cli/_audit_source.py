"""Where an audit log is read from: a service's configuration, or a copy of its database and the log's key."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._services import either_config
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from ambergate.stores.checkpoints import CheckpointKey
    from ambergate.stores.key_encryption import KeyPlace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MAX_KEY = 1024  # characters of a key's file

config_option: Callable[[Any], Any] = click.option("--config", type=_FILE, help="The service's TOML file.")
database_option: Callable[[Any], Any] = click.option(
    "--database", type=_FILE, help="A copy of the service's SQLite database, instead of --config."
)
key_option: Callable[[Any], Any] = click.option(
    "--key", "key_text", metavar="KEY", help="The log's key, or @FILE; `amber audit show --key` tells it."
)


@dataclass(frozen=True, slots=True)
class Source:
    """A database with an audit log, the log's key where it is known, and the pin."""

    engine: Engine
    key: CheckpointKey | None
    pin: Path | None

    @property
    def known_key(self) -> CheckpointKey:
        """The key.

        Raises:
            SettingsError: it is not known.
        """
        if self.key is None:
            raise SettingsError("the log's key is not known", wanted="--key, or --config")
        return self.key


def read_key(text: str) -> CheckpointKey:
    """The key that `--key` says.

    Raises:
        SettingsError: its file cannot be read.
        Malformed: no key.
    """
    from ambergate.stores.checkpoints import CheckpointKey

    if text.startswith("@"):
        try:
            with Path(text[1:]).open(encoding="utf-8") as file:
                text = file.read(MAX_KEY)
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError("the log's key cannot be read", seen=f"{text[1:]}: {exc}") from exc
    return CheckpointKey.from_text(text)


@contextlib.contextmanager
def opened(config: Path | None, database: Path | None, key_text: str | None = None) -> Iterator[Source]:
    """The log that the options name. A copy of a database is left at the schema that it has.

    Raises:
        SettingsError: they name none, or two; there is no database yet.
        Unavailable: the database does not answer.
    """
    from ambergate.stores.engine import open_database, open_engine

    if (config is None) == (database is None):
        raise SettingsError("the audit log is in one place", wanted="--config FILE, or --database FILE")
    given = None if key_text is None else read_key(key_text)
    if config is None:
        assert database is not None
        engine = open_engine(database)
        with contextlib.closing(_Disposed(engine)):
            yield Source(engine, given, None)
        return
    settings = either_config(config)
    if isinstance(settings.database, Path) and not settings.database.exists():
        raise SettingsError("the service has no database yet", seen=settings.database, hint="start it once")
    engine = open_database(settings.database)
    with contextlib.closing(_Disposed(engine)):
        yield Source(engine, given or _own_key(engine, settings.key_encryption_key), settings.checkpoint)


@dataclass(frozen=True, slots=True)
class _Disposed:
    engine: Engine

    def close(self) -> None:
        self.engine.dispose()


def _own_key(engine: Engine, place: KeyPlace) -> CheckpointKey:
    from ambergate.stores.audit_key import checkpoint_key
    from ambergate.stores.data_keys import open_sealer
    from ambergate.stores.key_encryption import open_kek
    from ambergate.stores.signing_keys import SigningMaterialStore

    if isinstance(place, Path) and not place.exists():
        raise SettingsError("the service's key-encryption key is not there", seen=place, hint="--key goes without")
    found = checkpoint_key(SigningMaterialStore(engine, open_sealer(engine, open_kek(place))))
    if found is None:
        raise SettingsError("there is no audit log in this database yet", hint="start the service once")
    return found
