"""Starting one program in surroundings of its own, and standing in for it: signals in, exit code out.

The child is forked before this process has threads or heavy imports, prepares its surroundings, hands over a
descriptor, waits until it is told that everything is served, and becomes the program.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.core.errors import AmberError, SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_WATCHED: Final = frozenset({*FORWARDED, signal.SIGCHLD})
# <asm-generic/siginfo.h>: sent by the kernel. A terminal's Ctrl-C reaches the whole process group, the program too.
_SI_KERNEL: Final = 0x80
EXIT_NOT_EXECUTABLE: Final = 126  # POSIX shells, section 2.8.2
EXIT_NOT_FOUND: Final = 127
EXIT_SIGNAL: Final = 128  # plus the signal's number
_MAX_REPORT: Final = 16 * 1024  # bytes of the child's report
_GO: Final = b"go"


class NotStarted(SettingsError):
    """The program could not be started.

    Args:
        error: what exec said.
        exit_code: what a shell would exit with.
    """

    CODE = "settings-program"

    def __init__(self, program: str, error: int) -> None:
        super().__init__("the program cannot be started", seen=f"{program}: {os.strerror(error)}")
        self.exit_code = EXIT_NOT_FOUND if error == errno.ENOENT else EXIT_NOT_EXECUTABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program that waits to be started, or runs."""

    pid: int
    channel: socket.socket
    descriptor: int | None  # what it handed over

    def go(self, program: str) -> None:
        """Let it become the program.

        Raises:
            NotStarted: it could not.
        """
        with self.channel:
            self.channel.send(_GO)
            report = _received(self.channel.recv(_MAX_REPORT))
        if report is not None:  # nothing more is said by a child that became the program
            self.abandon()
            raise NotStarted(program, int(str(report.get("errno", errno.EIO))))

    def abandon(self) -> None:
        """Let it end without having been the program."""
        self.channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@contextlib.contextmanager
def watched_signals() -> Iterator[set[signal.Signals]]:
    """Keep the signals of interest for `outcome`; yields the mask that the program is to have."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        yield {signal.Signals(number) for number in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare(
    program: Sequence[str],
    environ: Mapping[str, str],
    setup: Callable[[], int | None],
    mask: set[signal.Signals],
) -> Child:
    """Fork a child that prepares itself and waits.

    Args:
        program: its name or path, and arguments.
        environ: its environment.
        setup: run in the child; a descriptor that it returns is handed over.
        mask: its signal mask.

    Raises:
        AmberError: as `setup` raised it in the child.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(program, environ, setup, mask, theirs)
    theirs.close()
    data, descriptors, _, _ = socket.recv_fds(ours, _MAX_REPORT, 1)
    report = _received(data) or {"message": "the child ended before it was ready"}
    child = Child(pid=pid, channel=ours, descriptor=descriptors[0] if descriptors else None)
    if "message" in report:
        child.abandon()
        parts = {name: str(report[name]) for name in ("code", "seen", "hint") if report.get(name)}
        raise Unavailable(str(report["message"]), **parts)
    return child


def outcome(pid: int) -> int:
    """Hand signals on to the program until it ends; the exit code that stands for how it ended.

    To be called in the main thread, inside `watched_signals`.
    """
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return EXIT_SIGNAL - code if code < 0 else code
        arrived = signal.sigwaitinfo(_WATCHED)
        if arrived.si_signo != signal.SIGCHLD and arrived.si_code != _SI_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, arrived.si_signo)


def _become(
    program: Sequence[str],
    environ: Mapping[str, str],
    setup: Callable[[], int | None],
    mask: set[signal.Signals],
    channel: socket.socket,
) -> NoReturn:
    """The child's whole life until it is the program. Never returns into the parent's code."""
    try:
        descriptor = setup()
        if descriptor is None:
            _report(channel, {"ready": True})
        else:
            socket.send_fds(channel, [json.dumps({"ready": True}).encode()], [descriptor])
            os.close(descriptor)
        if channel.recv(len(_GO)) == _GO:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            # Python ignores these two, and an ignored signal stays ignored in the program.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            os.execvpe(program[0], list(program), dict(environ))  # noqa: S606 - the user's own program, no shell
    except AmberError as error:
        _report(channel, error.as_dict())
    except OSError as error:
        _report(channel, {"message": f"the child failed: {error}", "errno": error.errno})
    except Exception as error:  # noqa: BLE001 - a fault of ours: told by the parent, since this process just ends
        _report(channel, {"message": f"the child failed: {type(error).__name__}: {error}"})
    finally:
        os._exit(EXIT_NOT_EXECUTABLE)  # not sys.exit: the parent's handlers and buffers are not ours to run


def _report(channel: socket.socket, report: Mapping[str, object]) -> None:
    channel.send(json.dumps(report).encode())


def _received(data: bytes) -> dict[str, object] | None:
    """What the child said; None when it said nothing more."""
    report = json.loads(data) if data else None
    return report if isinstance(report, dict) else None
