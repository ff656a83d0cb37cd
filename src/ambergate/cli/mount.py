"""`amber mount`: the amber files in a directory, until a signal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ambergate.cli._client import Choice, client_options, say, session
from ambergate.cli._common import now, reports_errors
from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import fuse
from ambergate.devices.model import Tree


@click.command()
@client_options
@click.option(
    "--program",
    default=sys.executable,
    metavar="FILE",
    help="What the software platform measures; this interpreter when not given.",
)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@reports_errors
def command(*, chosen: Choice, program: str, directory: Path) -> None:
    """Keep the amber files mounted on DIR until SIGINT, SIGTERM or SIGHUP.

    Only this user can use them. Evidence is made for this process, or for --program on the software platform.
    """
    settings = chosen.settings()
    source = chosen.source(program)
    reason = fuse.why_not()
    if reason is not None:
        raise Unavailable("there is no FUSE here", code="no-fuse", seen=reason)
    if not directory.is_dir():
        raise SettingsError("the directory is not there", seen=directory)
    place = directory.resolve()
    fuse.serve(
        Tree(session(settings, source), settings, now=now),
        str(place),
        born=int(now().timestamp() * 1e9),
        on_ready=lambda: say(f"mounted on {place}"),
        options={"default_permissions": True},
    )
