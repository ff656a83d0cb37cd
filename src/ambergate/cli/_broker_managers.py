"""`amber keybroker managers`: the key managers of a configuration, and whether each answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ambergate.cli._broker_place import config_option
from ambergate.cli._common import EXIT_UNREACHABLE, describe, echo_json, json_option, reports_errors
from ambergate.cli._services import keybroker_config
from ambergate.core.errors import AmberError

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.keybroker.ports import KeyManager


@click.command()
@config_option
@json_option
@reports_errors
def managers(config: Path, *, as_json: bool) -> None:
    """Ask every key manager whether it answers, as the broker would. Ends with 5 when one does not."""
    import secrets

    named = keybroker_config(config).managers.made(secrets.token_bytes)
    errors = {name: _error(manager) for name, manager in named.items()}
    if as_json:
        told = [
            {
                "name": name,
                "kind": type(named[name]).__name__,
                "answers": error is None,
                "error": error and error.as_dict(),
            }
            for name, error in errors.items()
        ]
        echo_json(told)
    else:
        for name, error in errors.items():
            click.echo(f"{name}  {type(named[name]).__name__}  {'answers' if error is None else 'does not answer'}")
            if error is not None:
                click.echo(describe(error), err=True)
    if any(errors.values()):
        sys.exit(EXIT_UNREACHABLE)


def _error(manager: KeyManager) -> AmberError | None:
    try:
        manager.check()
    except AmberError as error:
        return error
    return None
