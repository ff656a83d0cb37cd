"""Choosing how a program gets the amber files, and running it with them.

    fuse       the tree itself, at `/dev/amber` for the program alone: a read is fresh
    shim       a preloaded library and an agent: a read is fresh; not for static, Go and set-uid programs
    prefetch   files fetched before the start, then this process becomes the program: as fresh as the start
    directory  files fetched before the start, this process stays and removes them afterwards

What a job requires, and what it hands over, is had before the program starts; without it, it does not start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import directory, fuse, launch, namespace, reach
from ambergate.devices.becoming import (
    AMBER_DIR,
    REQUIRABLE,
    Job,
    become_by_prefetch,
    become_by_shim,
    given_place,
    kept,
    take,
)
from ambergate.devices.nodes import DIRECTORY

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

__all__ = ["REQUIRABLE", "WAYS", "Job", "run"]

WAYS: Final = ("auto", "fuse", "shim", "prefetch", "directory")
_UNMOUNT_SECONDS: Final = 1.0  # that the file system's thread has to end after the program did
_READY_SECONDS: Final = 10.0  # until the kernel has been answered for the first time


def run(job: Job, way: str) -> int:
    """Run the program with the files at `/dev/amber` for it alone; its exit code, 128+n for signal n.

    Args:
        job: the program.
        way: one of `WAYS`; `auto` takes the first that works here, and says so.

    Raises:
        SettingsError: the program cannot be started, or not be handed what it should.
        Unavailable: the chosen way does not work here.
        AmberError: a token or a secret that the job or the way needs could not be had.
    """
    job.secret_to.check(job.program)
    if way == "auto":
        return _by_first(job)
    if way == "fuse":
        reason = fuse.why_not(job.device)
        if reason is not None:
            raise Unavailable(
                "there is no FUSE here", code="no-fuse", seen=reason, hint="--delivery shim or directory needs none"
            )
        try:
            return _by_fuse(job)
        except _NotHere as error:
            raise error.error from error
    ways = {"shim": _by_shim, "prefetch": _by_prefetch, "directory": _by_directory}
    if way not in ways:
        raise SettingsError("this delivery is not known", seen=way, wanted=", ".join(WAYS))
    return ways[way](job)


def _by_first(job: Job) -> int:
    reason = fuse.why_not(job.device)
    if reason is None:
        try:
            return _by_fuse(job, say=f"delivery fuse: {DIRECTORY} is mounted for this program, each read is fresh")
        except _NotHere as error:
            reason = f"{error.error.message} ({error.error.seen})"
    reasons = [f"no FUSE here: {reason}"]
    no_shim = _why_no_shim(job)
    if no_shim is None:
        job.say(f"{reasons[0]}; delivery shim: each read is fresh")
        return _by_shim(job)
    reasons.append(f"no shim: {no_shim}")
    if given_place() is not None:
        job.say(f"{'; '.join(reasons)}; delivery prefetch, as fresh as the start")
        return _by_prefetch(job)
    job.say(f"{'; '.join(reasons)}; delivering by files in a directory, as fresh as the start")
    return _by_directory(job)


class _NotHere(Exception):
    """FUSE, which seemed to be there, is not; nothing was fetched and nothing started."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(error.message)
        self.error = error


def _by_fuse(job: Job, say: str | None = None) -> int:
    with launch.watched_signals() as mask:
        try:
            child, server = _served(job, mask)
        except Unavailable as error:
            raise _NotHere(error) from error
        if say is not None:
            job.say(say)
        _started(job, child, {})
        code = launch.outcome(child.pid)
        server.end(code)
    return code


def _served(job: Job, mask: set[signal.Signals]) -> tuple[launch.Child, _Server]:
    """A child that sees the files, which are answered.

    Raises:
        Unavailable: that is not possible here.
    """
    staging = directory.staging()

    def setup() -> int:
        namespace.enter(user_namespace=job.user_namespace)
        descriptor, mount = namespace.fuse_mounter(job.device, others=not job.user_namespace)
        namespace.mount_amber(mount, staging)
        return descriptor

    try:
        child = launch.prepare(job.program, _environment(job, DIRECTORY), setup, mask)
    finally:
        staging.rmdir()
    assert child.descriptor is not None
    server = _Server(job, child.descriptor)
    try:
        server.start()
    except BaseException:
        child.abandon()
        raise
    return child, server


def _started(job: Job, child: launch.Child, had: Mapping[str, bytes]) -> None:
    """Have what the job requires, then let the child be the program.

    Args:
        job: the program.
        child: waits.
        had: contents that were fetched already.
    """
    try:
        child.go(job.program[0], take(job, had))
    except BaseException:
        child.abandon()
        raise
    job.on_started()


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


def _by_shim(job: Job) -> int:
    place = given_place()
    if place is not None:  # an enclave: its first process becomes the program
        become_by_shim(job, place)
    from ambergate.devices import shim_launch  # noqa: PLC0415 - an agent's imports, which the other ways do without

    reason = shim_launch.why_no_shim()  # before anything is fetched
    if reason is not None:
        raise Unavailable("there is no shim here", code="no-shim", seen=reason, hint="--delivery directory needs none")
    handed = take(job, {})
    handed.write_keys()
    environ, program = {**kept(job), **handed.environ()}, handed.command(job.program)
    return shim_launch.run_with_shim(job.tree, program, environment=environ, warm=job.warm)


def _why_no_shim(job: Job) -> str | None:
    """Why the shim would not do for this program."""
    from ambergate.devices import shim_launch  # noqa: PLC0415 - as above

    found = shutil.which(job.program[0])
    try:
        return shim_launch.why_no_shim() or (None if found is None else reach.why_not_preloaded(Path(found)))
    except OSError as exc:
        return f"{exc.filename}: {exc.strerror}"


def _by_prefetch(job: Job) -> NoReturn:
    given = given_place()
    if given is not None:
        become_by_prefetch(job, given)
    staging = directory.staging()
    try:
        namespace.enter(user_namespace=job.user_namespace)
        namespace.mount_amber(namespace.tmpfs_mounter(), staging)
    finally:
        staging.rmdir()
    become_by_prefetch(job, Path(DIRECTORY), seal=lambda: namespace.seal(DIRECTORY))


def _by_directory(job: Job) -> int:
    with directory.private_directory() as place, launch.watched_signals() as mask:
        child = _prepared(job, place, mask)  # before anything is fetched: see launch
        try:
            had = directory.fill(job.tree, place)
        except BaseException:
            child.abandon()
            raise
        _started(job, child, had)
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
    return {**kept(job), AMBER_DIR: place}
