"""A program to be run, and the two ways in which this very process becomes it: by the shim, or with what was fetched.

These are the ways inside an enclave, where the first process should be the program. They take little of the standard
library: `delivery`, which chooses among all ways, takes more.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.devices import directory, launch
from ambergate.devices.handing import Destinations, Handed
from ambergate.devices.nodes import DIRECTORY, FUSE_DEVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ambergate.devices.model import Tree

REQUIRABLE: Final = ("token", "secret")
AMBER_DIR: Final = "AMBER_DIR"  # tells the program where the files are
# Settings that the program has no need to know.
PRIVATE_VARIABLES: Final = ("AMBER_APIKEY", "AMBER_APIKEY_FILE")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A program to be run.

    Attributes:
        program: its name or path, and arguments.
        executable: its file, when it is to go by another name; the program's name when None.
        environ: the environment to start from.
        tree: the files.
        born: the files' times, in nanoseconds since the epoch.
        user_namespace: whether the mount takes a user namespace; without root it must.
        device: `/dev/fuse`.
        on_started: called when the program runs.
        say: told, in one line, what the user should know.
        require: what must be had before the program starts: of `REQUIRABLE`.
        secret_to: where the secret goes besides its file.
        warm: does what the first read would wait for.
    """

    program: Sequence[str]
    executable: str | None = None
    environ: Mapping[str, str]
    tree: Tree
    born: int
    user_namespace: bool
    device: Path = FUSE_DEVICE
    on_started: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda _line: None
    require: tuple[str, ...] = ()
    secret_to: Destinations = field(default_factory=Destinations)
    warm: Callable[[], None] | None = None


def become_by_shim(job: Job, place: Path) -> NoReturn:
    """Become the program, with an agent beside it, the files made in `place` when they are opened.

    Raises:
        SettingsError: the program cannot be started, or not be handed what it should.
        Unavailable: (`no-shim`) there is no library here.
        AmberError: something required could not be had.
    """
    from ambergate.devices import shim_launch  # noqa: PLC0415 - an agent's imports, which prefetching does without

    shim_launch.find_shim()  # before anything is fetched
    handed = take(job, {})
    handed.write_keys()
    shim_launch.become_with_shim(
        job.tree,
        handed.command(job.program),
        environment={**kept(job), **handed.environ()},
        directory=place,
        warm=job.warm,
        executable=job.executable,
    )


def become_by_prefetch(job: Job, place: Path, *, seal: Callable[[], None] = lambda: None) -> NoReturn:
    """Fetch the files into `place`, and become the program.

    Args:
        job: the program.
        place: an empty directory in memory.
        seal: called when all files are there.

    Raises:
        SettingsError: the program cannot be started, or not be handed what it should.
        AmberError: a token or a secret could not be had.
    """
    handed = take(job, directory.fill(job.tree, place))
    seal()
    handed.write_keys()
    environ = {**kept(job), AMBER_DIR: str(place), **handed.environ()}
    launch.become(handed.command(job.program), environ, executable=job.executable)


def take(job: Job, had: Mapping[str, bytes]) -> Handed:
    """What the program takes along.

    Args:
        job: the program.
        had: contents that were fetched already.

    Raises:
        AmberError: something required could not be had: the program must not start.
    """
    wanted = (*job.require, *(("secret",) if job.secret_to else ()))
    contents = {**had, **{name: directory.content(job.tree, name) for name in dict.fromkeys(wanted) if name not in had}}
    return job.secret_to.hand(contents["secret"]) if job.secret_to else Handed()


def kept(job: Job) -> dict[str, str]:
    """The environment, without what is none of the program's business."""
    return {name: value for name, value in job.environ.items() if name not in PRIVATE_VARIABLES}


def given_place() -> Path | None:
    """`/dev/amber` where it is an empty directory of ours already: a tmpfs by a Gramine manifest or a container.

    Nobody else may write there, who could stand in for the agent: a directory that is open to others is closed first,
    and one of another user than root is none.
    """
    try:
        found = os.lstat(DIRECTORY)
        usable = stat.S_ISDIR(found.st_mode) and found.st_uid in {0, os.geteuid()} and not os.listdir(DIRECTORY)  # noqa: PTH208
        if usable and found.st_mode & _OTHERS_WRITE:
            os.chmod(DIRECTORY, 0o700)  # noqa: PTH101 - nothing here needs more than strings
    except OSError:
        return None
    return Path(DIRECTORY) if usable and os.access(DIRECTORY, os.W_OK | os.X_OK) else None
