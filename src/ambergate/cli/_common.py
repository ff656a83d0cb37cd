"""What all commands share: the clock, exit codes, and how errors are told to people and to machines."""

from __future__ import annotations

import functools
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

from ambergate.cli._telling import (
    EXIT_ERROR,
    EXIT_NOT_GENUINE,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    describe,
    exit_code,
    now,
)
from ambergate.core.errors import AmberError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXIT_ERROR",
    "EXIT_NOT_GENUINE",
    "EXIT_OK",
    "EXIT_REFUSED",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "describe",
    "echo_json",
    "exit_code",
    "fail",
    "instant",
    "json_option",
    "now",
    "reports_errors",
]

P = ParamSpec("P")
R = TypeVar("R")


def instant(text: str | None) -> datetime:
    """What `--at` says; now when it says nothing. Without a time zone, UTC."""
    if text is None:
        return now()
    try:
        given = datetime.fromisoformat(text)
    except ValueError as exc:
        message = f"{text!r} is not an ISO 8601 instant, e.g. 2026-01-31T12:00:00Z"
        raise click.BadParameter(message, param_hint="--at") from exc
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def echo_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def fail(error: AmberError, *, as_json: bool) -> NoReturn:
    """Tell the error and exit with its code: JSON on standard output, or words on standard error."""
    if as_json:
        echo_json({"error": error.as_dict()})
    else:
        click.echo(describe(error), err=True)
    sys.exit(exit_code(error))


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Map our errors to exit codes; a command with an `as_json` option tells them as JSON."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AmberError as error:
            fail(error, as_json=bool(kwargs.get("as_json")))

    return wrapped


json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document for machines."
)
