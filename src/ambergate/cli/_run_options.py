"""What `amber run` is told of how a program starts: by which way, with what had before, with the secret where."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from ambergate.devices import delivery
from ambergate.devices.handing import FORMS, GRAMINE_KEYS, Destinations

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How the program starts, as the user's flags say."""

    delivery: str
    prefetch: bool
    require: tuple[str, ...]
    secret_to: tuple[str, ...]
    gramine_keys: Path

    @property
    def way(self) -> str:
        """The delivery.

        Raises:
            click.BadParameter: two were given.
        """
        if self.prefetch and self.delivery not in {"auto", "prefetch"}:
            message = f"is --delivery prefetch, not {self.delivery}"
            raise click.BadParameter(message, param_hint="--prefetch")
        return "prefetch" if self.prefetch else self.delivery

    @property
    def destinations(self) -> Destinations:
        """Where the secret goes. Raises as `Destinations.parse`."""
        return Destinations.parse(self.secret_to, keys_directory=self.gramine_keys)


def start_options(command: Callable[P, R]) -> Callable[..., R]:
    """The flags; the command gets them as one `Start` named `start`."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs["start"] = Start(**{field.name: kwargs.pop(field.name) for field in fields(Start)})  # type: ignore[arg-type]  # click made them so
        return command(*args, **kwargs)

    decorated: Any = wrapped
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators keep the type


def _required(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    for name in names:
        if name not in delivery.REQUIRABLE:
            message = f"{name!r} is none of {', '.join(delivery.REQUIRABLE)}"
            raise click.BadParameter(message)
    return names


_OPTIONS: Final = (
    click.option(
        "--delivery",
        type=click.Choice(delivery.WAYS),
        default="auto",
        show_default=True,
        help="How the program gets the files; auto takes the first that works here, and says so.",
    ),
    click.option("--prefetch", is_flag=True, help="As --delivery prefetch: fetch, then become the program."),
    click.option(
        "--require",
        metavar="token,secret",
        callback=_required,
        help="Do not start the program unless these could be had.",
    ),
    click.option(
        "--secret-to",
        multiple=True,
        metavar="PLACE",
        help=f"Hand the secret over as {FORMS} too; may be repeated.",
    ),
    click.option(
        "--gramine-keys",
        type=click.Path(file_okay=False, path_type=Path),
        default=GRAMINE_KEYS,
        show_default=True,
        help="Where gramine-key:NAME is.",
    ),
)
