"""`amber umount`: take a mount of the amber files away, whether somebody serves it or not."""

from __future__ import annotations

from pathlib import Path

import click

from ambergate.cli._common import reports_errors
from ambergate.devices import mounting


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@reports_errors
def command(*, directory: Path) -> None:
    """Unmount the amber files from DIR. Programs that have them open keep them until they close them."""
    # Not resolved as a whole: a dead mount cannot be looked into, what leads to it can.
    place = directory.absolute()
    mounting.unmount(place.parent.resolve() / place.name)
