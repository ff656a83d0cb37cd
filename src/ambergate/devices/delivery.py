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
import stat
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import directory, fuse, launch, namespace, reach
from ambergate.devices.handing import Destinations, Handed
from ambergate.devices.nodes import DIRECTORY

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence

    from ambergate.devices.model import Tree

WAYS: Final = ("auto", "fuse", "shim", "prefetch", "directory")
REQUIRABLE: Final = ("token", "secret")
AMBER_DIR: Final = "AMBER_DIR"  # tells the program where the files are
# Settings that the program has no need to know.
PRIVATE_VARIABLES: Final = ("AMBER_APIKEY", "AMBER_APIKEY_FILE")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
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
        require: what must be had before the program starts: of `REQUIRABLE`.
        secret_to: where the secret goes besides its file.
        warm: does what the first read would wait for.
    """

    program: Sequence[str]
    environ: Mapping[str, str]
    tree: Tree
    born: int
    user_namespace: bool
    device: Path = fuse.FUSE_DEVICE
    on_started: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda _line: None
    require: tuple[str, ...] = ()
    secret_to: Destinations = field(default_factory=Destinations)
    warm: Callable[[], None] | None = None


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
    if _given_place() is not None:
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
        child.go(job.program[0], _handed(job, had))
    except BaseException:
        child.abandon()
        raise
    job.on_started()


def _handed(job: Job, had: Mapping[str, bytes]) -> Handed:
    """What the program takes along.

    Raises:
        AmberError: something required could not be had: the program must not start.
    """
    wanted = (*job.require, *(("secret",) if job.secret_to else ()))
    contents = {**had, **{name: directory.content(job.tree, name) for name in dict.fromkeys(wanted) if name not in had}}
    return job.secret_to.hand(contents["secret"]) if job.secret_to else Handed()


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
    from ambergate.devices import shim_launch  # noqa: PLC0415 - an agent's imports, which the other ways do without

    reason = shim_launch.why_no_shim()  # before anything is fetched
    if reason is not None:
        raise Unavailable("there is no shim here", code="no-shim", seen=reason, hint="--delivery directory needs none")
    handed = _handed(job, {})
    handed.write_keys()
    environ, program = {**_kept(job), **handed.environ()}, handed.command(job.program)
    place = _given_place()
    if place is not None:  # an enclave: its first process becomes the program
        shim_launch.become_with_shim(job.tree, program, environment=environ, directory=place, warm=job.warm)
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
    given = _given_place()
    if given is None:
        staging = directory.staging()
        try:
            namespace.enter(user_namespace=job.user_namespace)
            namespace.mount_amber(namespace.tmpfs_mounter(), staging)
        finally:
            staging.rmdir()
    place = given or Path(DIRECTORY)
    handed = _handed(job, directory.fill(job.tree, place))
    if given is None:
        namespace.seal(DIRECTORY)
    handed.write_keys()
    launch.become(handed.command(job.program), {**_environment(job, str(place)), **handed.environ()})


def _given_place() -> Path | None:
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
    return {**_kept(job), AMBER_DIR: place}


def _kept(job: Job) -> dict[str, str]:
    return {name: value for name, value in job.environ.items() if name not in PRIVATE_VARIABLES}
