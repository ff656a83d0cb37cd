"""`amber run`: a program with the amber files at `/dev/amber`, for it alone."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import threading
from typing import NoReturn

import click

from ambergate.cli._client import Choice, client_options, say
from ambergate.cli._common import now, reports_errors
from ambergate.cli._late import LateSession
from ambergate.cli._run_options import Start, start_options
from ambergate.client.settings import with_token_cache
from ambergate.devices import delivery
from ambergate.devices.launch import NotStarted
from ambergate.devices.model import Tree


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@client_options
@start_options
@click.argument("program", nargs=-1, required=True, metavar="PROGRAM [ARGS]...", type=click.UNPROCESSED)
@reports_errors
def command(*, chosen: Choice, start: Start, program: tuple[str, ...]) -> None:
    """Run PROGRAM with the files at /dev/amber, for it alone; exit as it does.

    Signals are handed on. A program that a signal ended gives 128 and the signal's number.

    Each open of /dev/amber/token that is read is a fresh attestation, unless AMBER_TOKEN_CACHE=SECONDS lets a token be
    given again for so long.
    """
    way = start.way
    try:
        code = delivery.run(_job(chosen, start, program), way)
    except NotStarted as error:
        say(f"{error.message}: {error.seen}")
        code = error.exit_code
    leave(code)


def leave(code: int) -> NoReturn:
    """End at once: the program has ended, and threads of ours that still fetch or import do so for nobody.

    An interpreter that is taken down around them may wait for what one of them holds; and one that comes back to it
    from foreign code may not stand that, and the process aborts: 134 instead of the program's own code.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _job(chosen: Choice, start: Start, program: tuple[str, ...]) -> delivery.Job:
    settings = with_token_cache(chosen.settings(), os.environ)
    if shutil.which(program[0]) is None:
        raise NotStarted(program[0], errno.EACCES if os.path.lexists(program[0]) else errno.ENOENT)
    late = LateSession(settings, chosen.source(program[0]))
    return delivery.Job(
        program=program,
        environ=os.environ,
        tree=Tree(late, settings, now=now),
        born=int(now().timestamp() * 1e9),
        user_namespace=os.geteuid() != 0,
        on_started=lambda: threading.Thread(target=late.warm, name="warm", daemon=True).start(),
        say=say,
        warm=late.warm,
        require=start.require,
        secret_to=start.destinations,
    )
