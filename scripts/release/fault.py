"""Why a release is none."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SECONDS: Final = 600  # no program that is run here takes a tenth of it
_LINES: Final = 15  # of what a program said, from its end


class Fault(AmberError):
    """What was built is not what may be released."""

    CODE = "release"


def run(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], wanted: str, exit_code: int = 0) -> str:
    """Run a program, and give what it printed.

    Args:
        command: its words.
        cwd: where.
        environ: all of its environment.
        wanted: what it is to do, for the error.
        exit_code: how it is to end.

    Raises:
        Fault: it ended otherwise.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, env=dict(environ), capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Fault(f"{command[0]} did not run", seen=exc, wanted=wanted) from exc
    if done.returncode != exit_code:
        said = (done.stdout + done.stderr).strip().splitlines()[-_LINES:]
        raise Fault(
            f"`{' '.join(command)}` ended with {done.returncode}", seen="\n".join(said) or "no word", wanted=wanted
        )
    return done.stdout
