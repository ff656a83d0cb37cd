"""`amber mount`: the amber files in a directory, until a signal, or in the background until `amber umount`."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._client import Choice, client_options, program_option, say
from ambergate.cli._common import now, reports_errors
from ambergate.cli._late import session
from ambergate.client.settings import with_token_cache
from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import fuse, mounting
from ambergate.devices.model import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.client.ports import EvidenceSource
    from ambergate.client.settings import Settings


@click.command()
@client_options
@program_option
@click.option("--daemon", is_flag=True, help="Return when the files are there; serve them in the background.")
@click.option("--allow-other", is_flag=True, help="Let other users in too, as far as the files' modes let them.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@reports_errors
def command(*, chosen: Choice, program: str, daemon: bool, allow_other: bool, directory: Path) -> None:
    """Keep the amber files mounted on DIR until SIGINT, SIGTERM or SIGHUP, or `amber umount DIR`.

    Only this user can use them, unless --allow-other: then everybody reads, and this user and root write. Evidence is
    made for this process, or for --program on the software platform. If this process is killed, the mount goes with it.
    """
    settings = with_token_cache(chosen.settings(), os.environ)
    source = chosen.source(program)
    reason = fuse.why_not()
    if reason is not None:
        raise Unavailable("there is no FUSE here", code="no-fuse", seen=reason)
    place = _place(directory)

    def serve(ready: Callable[[], None]) -> None:
        _serve(place, settings, source, allow_other=allow_other, ready=ready)

    if daemon:
        pid = mounting.in_background(serve)
        say(f"mounted on {place}, served by process {pid}")
    else:
        serve(lambda: say(f"mounted on {place}"))


def _place(directory: Path) -> Path:
    """The directory, without a dead mount of ours.

    Raises:
        SettingsError: it is not there.
    """
    place = directory.absolute()
    place = place.parent.resolve() / place.name
    if mounting.clear(place):
        say(f"took away a mount on {place} whose server was gone")
    if not place.is_dir():
        raise SettingsError("the directory is not there", seen=directory)
    return place.resolve()


def _serve(
    place: Path, settings: Settings, source: EvidenceSource, *, allow_other: bool, ready: Callable[[], None]
) -> None:
    def told() -> None:
        ready()
        _tell_systemd()

    options = {"default_permissions": True, **({"allow_other": True} if allow_other else {})}
    with mounting.guarded(place):
        fuse.serve(
            Tree(session(settings, source), settings, now=now),
            str(place),
            born=int(now().timestamp() * 1e9),
            on_ready=told,
            options=options,
        )


def _tell_systemd() -> None:
    """Say that the files are there, where a service manager wants to know: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect("\0" + address[1:] if address.startswith("@") else address)
        told.send(b"READY=1")
