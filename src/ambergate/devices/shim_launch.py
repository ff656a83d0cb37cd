"""Running a program with the shim: an agent beside it, the library before its own, the files at `/dev/amber`.

The agent is a child that is forked before this process has threads. It ends when a pipe does: outside Gramine the
starter holds the other end and outlives the program; inside, the starter becomes the program (`become_with_shim`),
which holds it then, with all its children.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import directory as directories
from ambergate.devices import launch
from ambergate.devices.agent import BACKLOG, WORKERS, Agent
from ambergate.devices.nodes import FILES
from ambergate.devices.shim_build import find_shim, shim_available, why_no_shim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ambergate.devices.model import Tree

__all__ = ["become_with_shim", "find_shim", "run_with_shim", "shim_available", "why_no_shim"]

AMBER_DIR: Final = "AMBER_DIR"  # the directory that the files are made in
AMBER_AGENT: Final = "AMBER_AGENT"  # the agent's socket
LD_PRELOAD: Final = "LD_PRELOAD"
# Settings that the program has no need to know.
PRIVATE_VARIABLES: Final = ("AMBER_APIKEY", "AMBER_APIKEY_FILE")
SOCKET: Final = ".agent"  # below the directory
MAX_SOCKET: Final = 107  # bytes; unix(7), sun_path without its end
# What a terminal or a supervisor sends to a whole group is for the program; the agent ends after it.
_NOT_FOR_THE_AGENT: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
# What mknod(2) says where it makes no sockets, or where the names are there already.
_NO_SOCKETS: Final = (errno.EEXIST, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


@dataclass(frozen=True, slots=True)
class _Started:
    """An agent that listens.

    Attributes:
        pid: its process.
        ends: the end of the pipe that keeps it.
    """

    pid: int
    ends: int


def run_with_shim(
    model: Tree,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    warm: Callable[[], None] | None = None,
) -> int:
    """Run a program with the files, by the shim; its exit code, 128+n for signal n.

    To be called while this process has one thread. A static program, and any other that the library is not loaded into,
    finds nothing at `/dev/amber`, or what it cannot open: never a token of another time.

    Args:
        model: the files.
        command: the program's name or path, and arguments.
        environment: the environment to start from.
        directory: where the files are made, in memory and private: a tmpfs; a new one when None.
        warm: done by the agent at its start, beside serving: what the first read would wait for.

    Raises:
        SettingsError: the program cannot be started, or the directory's path is too long.
        Unavailable: (`no-shim`) there is no library here.
    """
    library = find_shim()
    with contextlib.ExitStack() as stack:
        place = directory or stack.enter_context(directories.private_directory())
        agent = _start(model, place, warm, kept_by_program=False)
        stack.callback(_stop, agent)
        mask = stack.enter_context(launch.watched_signals())
        child = launch.prepare(command, _environment(environment, library, place), lambda: None, mask)
        try:
            child.go(command[0])
        except BaseException:
            child.abandon()
            raise
        return launch.outcome(child.pid)


def become_with_shim(
    model: Tree,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    warm: Callable[[], None] | None = None,
    executable: str | None = None,
) -> NoReturn:
    """Become the program, with an agent beside it: for enclaves, where the first process should be the program.

    Args: as `run_with_shim`; nobody empties the directory afterwards. `executable` is the program's file, when it goes
    by another name.

    Raises:
        SettingsError: the program cannot be started, or the directory's path is too long.
        Unavailable: (`no-shim`) there is no library here.
    """
    library = find_shim()
    agent = _start(model, directory, warm, kept_by_program=True)
    try:
        launch.become(command, _environment(environment, library, directory), executable=executable)
    except launch.NotStarted:
        _stop(agent)
        raise


def _start(model: Tree, place: Path, warm: Callable[[], None] | None, *, kept_by_program: bool) -> _Started:
    """Fork the agent; it listens when this returns."""
    path = os.fsencode(place / SOCKET)
    if len(path) > MAX_SOCKET:
        raise SettingsError("the directory's path is too long", seen=place, wanted=f"<= {MAX_SOCKET} bytes with socket")
    try:
        _occupy(place)
        listener = _listening(path)
    except OSError as exc:
        raise Unavailable("the shim's directory cannot be used", code="no-shim", seen=f"{place}: {exc}") from exc
    ends, kept = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(kept)
        _be_agent(model, listener, ends, warm)
    listener.close()
    os.close(ends)
    if kept_by_program:
        os.set_inheritable(kept, True)  # noqa: FBT003 - the standard library's
    return _Started(pid, kept)


def _listening(path: bytes) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - left by one that ended
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _occupy(place: Path) -> None:
    """Put what cannot be opened behind the files' names, for `ls`, and for programs without the library (ENXIO).

    A socket that nobody made by bind(2) is that for everybody, root too. Where the kernel makes none (Gramine), the
    names are not there: ENOENT.
    """
    for name, mode in FILES.items():
        try:
            os.mknod(place / name, stat.S_IFSOCK | mode)
        except OSError as exc:
            if exc.errno not in _NO_SOCKETS:
                raise


def _be_agent(model: Tree, listener: socket.socket, ends: int, warm: Callable[[], None] | None) -> NoReturn:
    """The agent's whole life. Never returns into the starter's code."""
    code = 1
    try:
        for number in _NOT_FOR_THE_AGENT:
            signal.signal(number, signal.SIG_IGN)
        agent = Agent(model, listener, ends, workers=WORKERS)
        if warm is not None:
            agent.later(warm)
        agent.run()
        code = 0
    except BaseException:  # noqa: BLE001 - told here, since this process just ends
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)  # not sys.exit: the starter's handlers and buffers are not ours to run


def _stop(agent: _Started) -> None:
    os.close(agent.ends)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(agent.pid, 0)


def _environment(environment: Mapping[str, str], library: Path, place: Path) -> dict[str, str]:
    """The program's environment: our library first, so that it stands before all that open files."""
    kept = {name: value for name, value in environment.items() if name not in PRIVATE_VARIABLES}
    others = kept.get(LD_PRELOAD, "")
    return {
        **kept,
        LD_PRELOAD: f"{library}:{others}" if others else str(library),
        AMBER_DIR: str(place),
        AMBER_AGENT: str(place / SOCKET),
    }
