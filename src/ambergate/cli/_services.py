"""The services' configurations as commands read them: the file that is named, and the environment over it."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from ambergate.cli._common import EXIT_ERROR, describe, echo_json, json_option, now, reports_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ambergate.core.errors import SettingsError
    from ambergate.services.attestation.config import Config as AttestationConfig
    from ambergate.services.keybroker.config import Config as KeyBrokerConfig
    from ambergate.services.web.settings.effective import Effective
    from ambergate.services.web.settings.problems import Problems
    from ambergate.services.web.settings.reading import Settings
    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyPlace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NOTHING = "the environment alone"

serve_config_option: Callable[[Any], Any] = click.option(
    "--config", type=_FILE, help="The service's TOML file; when not given, the environment says all."
)
print_config_option: Callable[[Any], Any] = click.option(
    "--print-config", is_flag=True, help="Print the settings in force, and where each is from; secrets redacted."
)


def attestation_config(path: Path | None) -> AttestationConfig:
    """The attestation service's configuration.

    Raises:
        SettingsError: it does not load.
    """
    from ambergate.services.attestation.config import load

    return load(path, os.environ)


def keybroker_config(path: Path | None) -> KeyBrokerConfig:
    """The key broker's configuration.

    Raises:
        SettingsError: it does not load.
    """
    from ambergate.services.keybroker.config import load

    return load(path, os.environ)


class ServiceFiles(Protocol):
    """What both configurations name."""

    @property
    def database(self) -> Path | str | Server:
        """A file, or a PostgreSQL server."""

    @property
    def key_encryption_key(self) -> KeyPlace:
        """Where the key is that the database's secrets are sealed under."""

    @property
    def checkpoint(self) -> Path:
        """The audit log's pin."""


def either_config(path: Path) -> ServiceFiles:
    """The configuration in this file, of whichever service it is: a key broker's names whose tokens it believes.

    Raises:
        SettingsError: it does not load.
    """
    try:
        broker = "issuers" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        broker = False  # whoever loads it strictly says what is the matter
    broker = broker or any(name.startswith("AMBER_KEYBROKER__ISSUERS") for name in os.environ)
    return keybroker_config(path) if broker else attestation_config(path)


def version_keys_of(settings: ServiceFiles) -> Path | str | Server | None:
    """Where a key broker has its version keys, if that is not its database."""
    found: Path | str | Server | None = getattr(settings, "version_keys", None)
    return found


@dataclass(frozen=True, slots=True)
class Service:
    """How one service's configuration is read, made and looked at.

    Attributes:
        read: file and environment -> its settings.
        check: settings, now -> all problems with their values and with the files that they name.
    """

    read: Callable[[Path | None], Settings[Any]]
    check: Callable[[Settings[Any], datetime, Problems], None]


def attestation_service() -> Service:
    """The attestation service."""
    from ambergate.services.attestation.check import check_named
    from ambergate.services.attestation.config import SERVICE, configured
    from ambergate.services.attestation.tables import Tables
    from ambergate.services.web.settings.reading import read

    return Service(
        lambda path: read(path, os.environ, Tables, SERVICE),
        lambda settings, at, problems: check_named(configured(settings), at, problems),
    )


def keybroker_service() -> Service:
    """The key broker."""
    from ambergate.services.keybroker.check import check_named
    from ambergate.services.keybroker.config import SERVICE, configured
    from ambergate.services.keybroker.tables import Tables
    from ambergate.services.web.settings.reading import read

    return Service(
        lambda path: read(path, os.environ, Tables, SERVICE),
        lambda settings, at, problems: check_named(configured(settings), at, problems),
    )


def check_config_command(service: Callable[[], Service]) -> click.Command:
    """`check-config` of a service."""

    @click.command("check-config")
    @click.argument("file", type=_FILE, required=False)
    @print_config_option
    @json_option
    @reports_errors
    def check_config(file: Path | None, *, print_config: bool, as_json: bool) -> None:
        """Read the configuration and every file that it names, and tell all that is wrong. Starts and fetches nothing.

        FILE is the service's TOML file; settings of the environment stand over it.
        """
        settings, problems = _checked(service(), file)
        shown = None if settings is None or not print_config else _effective(settings)
        if as_json:
            told = {} if shown is None else {"settings": [one._asdict() for one in shown]}
            found = [problem.as_dict() for problem in problems]
            echo_json({"file": None if file is None else str(file), **told, "problems": found})
        else:
            if shown is not None:
                click.echo(settings_text(shown))
            for problem in problems:
                click.echo(describe(problem), err=True)
            if not problems:
                click.echo(f"{file or _NOTHING}: nothing is wrong", err=shown is not None)
        sys.exit(EXIT_ERROR if problems else 0)

    return check_config


def print_settings(service: Service, path: Path | None, *, as_json: bool) -> None:
    """Print the settings in force, as `--print-config` asks."""
    shown = _effective(service.read(path))
    if as_json:
        echo_json({"file": None if path is None else str(path), "settings": [one._asdict() for one in shown]})
    else:
        click.echo(settings_text(shown))


def settings_text(shown: Sequence[Effective]) -> str:
    """Settings in force, one a line, their values as TOML has them."""
    lines = [(f"{one.name} = {_toml(one.value)}", one.source) for one in shown if one.value is not None]
    width = min(max((len(line) for line, _ in lines), default=0), 60)
    return "\n".join(f"{line:{width}}  # {source}" for line, source in lines)


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _effective(settings: Settings[Any]) -> list[Effective]:
    from ambergate.services.web.settings.effective import effective

    return effective(settings)


def _checked(service: Service, file: Path | None) -> tuple[Settings[Any] | None, list[SettingsError]]:
    from ambergate.services.web.settings.problems import Problems

    problems = Problems()
    settings = problems.attempt(service.read, file)
    if not problems.found:
        problems.attempt(service.check, settings, now(), problems)
    return settings, problems.found
