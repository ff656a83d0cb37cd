"""Choosing how a program gets the amber files, and running it with them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import directory, fuse, launch, namespace
from ambergate.devices.nodes import DIRECTORY

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ambergate.devices.model import Tree

WAYS: Final = ("auto", "fuse", "directory")
AMBER_DIR: Final = "AMBER_DIR"  # tells the program where the files are
# Settings that the program has no need to know.
PRIVATE_VARIABLES: Final = ("AMBER_APIKEY", "AMBER_APIKEY_FILE")
_UNMOUNT_SECONDS: Final = 1.0  # that the file system's thread has to end after the program did
_READY_SECONDS: Final = 10.0  # until the kernel has been answered for the first time


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A program to be run.

    Attributes:
        program: its name or path, and arguments.
        environ: the environment to start from.
        tree: the files.
        born: the files' times, in nanoseconds since the epoch.
        user_namespace: whether the mount takes a user namespace; without root it must.
        device: `/dev/fuse`.
        on_started: called when the program runs.
        say: told, in one line, what the user should know.
    """

    program: Sequence[str]
    environ: Mapping[str, str]
    tree: Tree
    born: int
    user_namespace: bool
    device: Path = fuse.FUSE_DEVICE
    on_started: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda _line: None


def run(job: Job, way: str) -> int:
    """Run the program with the files at `/dev/amber` for it alone; its exit code, 128+n for signal n.

    Args:
        job: the program.
        way: `fuse`; `directory`; or `auto`: the first that works here.

    Raises:
        SettingsError: the program cannot be started.
        Unavailable: the chosen way does not work here.
        AmberError: by `directory`: a token or a secret could not be had.
    """
    if way not in WAYS:
        raise SettingsError("this delivery is not known", seen=way, wanted=", ".join(WAYS))
    if way == "directory":
        return _by_directory(job)
    reason = fuse.why_not(job.device)
    if reason is None:
        try:
            return _by_fuse(job)
        except Unavailable as error:
            if way == "fuse":
                raise
            reason = f"{error.message} ({error.seen})"
    if way == "fuse":
        raise Unavailable("there is no FUSE here", code="no-fuse", seen=reason, hint="--delivery directory needs none")
    job.say(f"no FUSE here: {reason}; delivering by files in a directory, as fresh as the start")
    return _by_directory(job)


def _by_fuse(job: Job) -> int:
    staging = directory.staging()

    def setup() -> int:
        namespace.enter(user_namespace=job.user_namespace)
        descriptor, mount = namespace.fuse_mounter(job.device, others=not job.user_namespace)
        namespace.mount_amber(mount, staging)
        return descriptor

    with launch.watched_signals() as mask:
        try:
            child = launch.prepare(job.program, _environment(job, DIRECTORY), setup, mask)
        finally:
            staging.rmdir()
        assert child.descriptor is not None
        server = _Server(job, child.descriptor)
        try:
            server.start()
            child.go(job.program[0])
        except BaseException:
            child.abandon()
            raise
        job.on_started()
        code = launch.outcome(child.pid)
        server.end(code)
    return code


class _Server:
    """The file system's thread. The kernel ends it when the last process that sees the mount has ended."""

    def __init__(self, job: Job, descriptor: int) -> None:
        self._ready = threading.Event()
        self._failure: Unavailable | None = None
        self._thread = threading.Thread(target=self._serve, args=(job, descriptor), name="fuse", daemon=True)

    def start(self) -> None:
        """Return when reads will be answered.

        Raises:
            Unavailable: they will not.
        """
        self._thread.start()
        if not self._ready.wait(_READY_SECONDS) or self._failure is not None:
            raise self._failure or Unavailable("the file system did not start", code="no-fuse")

    def end(self, code: int) -> None:
        """Leave the process if the file system is still in use: by a program left behind, or a read on its way.

        The kernel tells those that nobody answers any more (ENOTCONN, ECONNABORTED).
        """
        self._thread.join(_UNMOUNT_SECONDS)
        if self._thread.is_alive():
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _serve(self, job: Job, descriptor: int) -> None:
        try:
            fuse.serve(job.tree, f"/dev/fd/{descriptor}", born=job.born, on_ready=self._ready.set)
        except Unavailable as error:
            self._failure = error
        except Exception as error:
            # A fault of ours or of mfusepy: a program must not be started whose reads nobody answers.
            self._failure = Unavailable(
                "the file system failed", code="no-fuse", seen=f"{type(error).__name__}: {error}"
            )
            raise
        finally:
            self._ready.set()


def _by_directory(job: Job) -> int:
    with directory.private_directory() as place, launch.watched_signals() as mask:
        child = _prepared(job, place, mask)  # before anything is fetched: see launch
        try:
            directory.fill(job.tree, place)
            child.go(job.program[0])
        except BaseException:
            child.abandon()
            raise
        job.on_started()
        return launch.outcome(child.pid)


def _prepared(job: Job, place: Path, mask: set[signal.Signals]) -> launch.Child:
    """The child, with the directory at `/dev/amber` where the kernel allows that; in any case named to it."""
    staging = directory.staging()

    def setup() -> None:
        namespace.enter(user_namespace=job.user_namespace)
        namespace.mount_amber(namespace.bind_mounter(place), staging)

    environ = _environment(job, str(place))
    try:
        return launch.prepare(job.program, environ, setup, mask)
    except Unavailable as error:
        job.say(
            f"{error.message} ({error.seen}): nothing is at {DIRECTORY}, the program finds the files by ${AMBER_DIR}"
        )
        return launch.prepare(job.program, environ, lambda: None, mask)
    finally:
        staging.rmdir()


def _environment(job: Job, place: str) -> dict[str, str]:
    kept = {name: value for name, value in job.environ.items() if name not in PRIVATE_VARIABLES}
    return {**kept, AMBER_DIR: place}
