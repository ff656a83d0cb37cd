"""What all commands share: the clock, exit codes, and how errors are told to people and to machines."""

from __future__ import annotations

import functools
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

from ambergate.core.errors import (
    AmberError,
    Malformed,
    NotAuthorised,
    NotGenuine,
    NotIntact,
    NotWelcome,
    ReleaseRefused,
    TokenRejected,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_NOT_GENUINE = 4
EXIT_UNREACHABLE = 5

_EXIT_CODES: tuple[tuple[type[AmberError], int], ...] = (
    (NotWelcome, EXIT_REFUSED),
    (ReleaseRefused, EXIT_REFUSED),
    (NotAuthorised, EXIT_REFUSED),
    (TokenRejected, EXIT_REFUSED),
    (NotGenuine, EXIT_NOT_GENUINE),
    (Malformed, EXIT_NOT_GENUINE),
    (NotIntact, EXIT_NOT_GENUINE),
    (Unavailable, EXIT_UNREACHABLE),
)


def now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


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


def exit_code(error: AmberError) -> int:
    """The exit code that stands for this kind of error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), EXIT_ERROR)


def echo_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def describe(error: AmberError) -> str:
    """The error for a person: what failed, what was seen, what was wanted, the next step."""
    lines = [f"error: {error.message}"]
    step = getattr(error, "step", None)
    for label, value in (("step", step), ("seen", error.seen), ("wanted", error.wanted)):
        if value is not None:
            lines.append(f"  {label + ':':8}{value}")
    lines.extend(
        f"  {m.get('rule', '')}: seen {m.get('seen', '')}, wanted {m.get('wanted', '')}"
        for m in getattr(error, "mismatches", ())
    )
    lines.extend(describe(problem) for problem in getattr(error, "problems", ()))
    if error.hint:
        lines.append(f"  next:   {error.hint}")
    return "\n".join(lines)


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
