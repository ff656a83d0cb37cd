"""What `amber manifest convert` and `amber gsc build` may be told of the launcher, which a native Gramine has not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _places(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    from ambergate.core.errors import SettingsError
    from ambergate.devices.handing import Destinations

    try:
        Destinations.parse(texts)
    except SettingsError as exc:
        message = f"{exc.message}: {exc.seen}; wanted: {exc.wanted}"
        raise click.BadParameter(message) from exc
    return texts


secret_to_option: Callable[[Any], Any] = click.option(
    "--secret-to",
    multiple=True,
    callback=_places,
    metavar="PLACE",
    help="Have the launcher hand the secret over there too, measured: gramine-key:NAME, env:NAME or file:PATH.",
)


def refuse_without_launcher(delivery: str, given: Mapping[str, object]) -> None:
    """By `native` nothing of ours is started, and nothing would heed these options.

    Args:
        delivery: the way.
        given: the launcher's options by their names, with what was given for them.

    Raises:
        click.UsageError: one was given.
    """
    told = [name for name, value in given.items() if value]
    if delivery == "native" and told:
        message = f"{' and '.join(told)}: for the launcher, and --delivery native has none"
        raise click.UsageError(message)


def epoch() -> int:
    """All times of what is built: SOURCE_DATE_EPOCH (reproducible-builds.org), or the earliest that archives hold."""
    from ambergate.core.errors import SettingsError
    from ambergate.graminize.agent import BORN

    text = os.environ.get("SOURCE_DATE_EPOCH") or str(BORN)
    if not text.isdecimal() or len(text) > 11:
        raise SettingsError(
            "SOURCE_DATE_EPOCH is no time", seen=text[:40], wanted="seconds since 1970, such as 1700000000"
        )
    return int(text)
