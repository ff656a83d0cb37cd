"""A program beside an agent, as `amber run` starts it: starter.py numbered|session|become PROGRAM [ARGS]...

`numbered`: tokens are counted; `userdata` says what else is to happen. `session`: the real client, its settings from
the environment, its evidence from the software platform. `become`: as `numbered`, and the starter becomes the program.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ambergate.client.loading import load
from ambergate.core.errors import NotGenuine, SettingsError, TimedOut, TooLarge, Unavailable
from ambergate.devices.launch import NotStarted
from ambergate.devices.model import Tree
from ambergate.devices.shim_launch import become_with_shim, run_with_shim

if TYPE_CHECKING:
    from ambergate.client.attempt import Attempt
    from ambergate.client.settings import Settings

FAILURES = {
    b"EACCES": NotGenuine("not genuine", step="8"),
    b"ETIMEDOUT": TimedOut("too late"),
    b"EHOSTUNREACH": Unavailable("no way", code="host-unreachable"),
    b"ECONNREFUSED": Unavailable("closed", code="connection-refused"),
    b"EINVAL": SettingsError("no setting"),
    b"E2BIG": TooLarge("too long"),
    b"EIO": Unavailable("broken", code="connection-broken"),
}
PATIENCE = 30


class Numbered:
    """Counts its tokens. Those asked for with the userdata `wait` say so, and come when one is asked for with `go`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._gate = threading.Event()

    def token(self, settings: Settings, _attempt: Attempt, /) -> str:
        if settings.userdata in FAILURES:
            raise FAILURES[settings.userdata]
        if settings.userdata == b"wait":
            with Path(os.environ["ANNOUNCE"]).open("w") as fifo:
                fifo.write("waiting\n")
            self._gate.wait(PATIENCE)
        if settings.userdata == b"go":
            self._gate.set()
        size = int(settings.userdata) if settings.userdata.isdigit() else 0
        return f"token {next(self._numbers)}".ljust(size, ".")

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        return self.token(settings, attempt).encode() + b"\n\0\xff"


def now() -> datetime:
    return datetime.now(UTC)


def main(kind: str, *program: str) -> int:
    settings = load(environ=os.environ).settings
    if kind == "session":
        from ambergate.cli._client import SimulatedProgram, measured_file  # noqa: PLC0415 - most need none
        from ambergate.cli._late import session  # noqa: PLC0415

        source = SimulatedProgram(Path(os.environ["AMBER_SIMULATOR"]), measured_file(program[0]))
        tree = Tree(session(settings, source), settings, now=now)
    else:
        tree = Tree(Numbered(), settings, now=now)
    environment = {**os.environ, "LD_PRELOAD": os.environ.get("PROGRAM_LD_PRELOAD", "")}
    try:
        if kind == "become":
            become_with_shim(tree, program, environment=environment, directory=Path(os.environ["PLACE"]))
        return run_with_shim(tree, program, environment=environment)
    except NotStarted as error:
        sys.stderr.write(f"{error.seen}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
