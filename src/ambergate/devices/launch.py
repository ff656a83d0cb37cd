"""Starting one program in surroundings of its own, and standing in for it: signals in, exit code out.

The child is forked before this process has threads or heavy imports, prepares its surroundings, hands over a
descriptor, waits until it is told that everything is served, and becomes the program.

To its terminal the program is a job like any other: it stays in this process' group, and when the terminal stops it,
this process stops too, so that a shell sees the job stop and continues both. As the first process of a container this
one reaps whatever is left to it.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.core.errors import AmberError, SettingsError, Unavailable
from ambergate.devices.handing import Handed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGWINCH,
)
_WATCHED: Final = frozenset({*FORWARDED, signal.SIGCHLD})
# <asm-generic/siginfo.h>: sent by the kernel. A terminal's Ctrl-C reaches the whole process group, the program too.
_SI_KERNEL: Final = 0x80
_TERMINAL_STOPS: Final = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
EXIT_NOT_EXECUTABLE: Final = 126  # POSIX shells, section 2.8.2
EXIT_NOT_FOUND: Final = 127
EXIT_SIGNAL: Final = 128  # plus the signal's number
_MAX_REPORT: Final = 16 * 1024  # bytes of the child's report
_MAX_GO: Final = 192 * 1024  # bytes that let it go: a secret of 64 KiB in base64 leaves room


class NotStarted(SettingsError):
    """The program could not be started.

    Args:
        error: what exec said.
        exit_code: what a shell would exit with.
    """

    CODE = "settings-program"

    def __init__(self, program: str, error: int) -> None:
        super().__init__("the program cannot be started", seen=f"{program}: {os.strerror(error)}")
        self.number = error
        self.exit_code = EXIT_NOT_FOUND if error == errno.ENOENT else EXIT_NOT_EXECUTABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program that waits to be started, or runs."""

    pid: int
    channel: socket.socket
    descriptor: int | None  # what it handed over

    def go(self, program: str, handed: Handed | None = None) -> None:
        """Let it become the program.

        Args:
            program: its name, for messages.
            handed: what it takes along.

        Raises:
            NotStarted: it could not.
            SettingsError: it could not take along what it was handed.
        """
        with self.channel:
            self.channel.send(_packed(handed or Handed()))
            report = _received(self.channel.recv(_MAX_REPORT))
        if report is not None:  # nothing more is said by a child that became the program
            self.abandon()
            if "errno" not in report:
                raise SettingsError(str(report["message"]), **_parts(report))
            raise NotStarted(program, int(str(report["errno"] or errno.EIO)))

    def abandon(self) -> None:
        """Let it end without having been the program."""
        self.channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@contextlib.contextmanager
def watched_signals() -> Iterator[set[signal.Signals]]:
    """Keep the signals of interest for `outcome`; yields the mask that the program is to have.

    Those that are left at the end were for the program, and it has had them or is gone: a Ctrl-C that ended it is
    not to interrupt whoever started it, and take the place of its exit code.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        yield {signal.Signals(number) for number in before}
    finally:
        while signal.sigtimedwait(_WATCHED - before, 0) is not None:
            pass
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
        raise Unavailable(str(report["message"]), **_parts(report))
    return child


def outcome(pid: int) -> int:
    """Hand signals on to the program until it ends; the exit code that stands for how it ended.

    To be called in the main thread, inside `watched_signals`.
    """
    while True:
        code = _ended(pid)
        if code is not None:
            return code
        arrived = signal.sigwaitinfo(_WATCHED)
        if arrived.si_signo != signal.SIGCHLD and arrived.si_code != _SI_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, arrived.si_signo)


def become(program: Sequence[str], environ: Mapping[str, str], *, executable: str | None = None) -> NoReturn:
    """Become the program: this process, its descriptors that are inheritable, its surroundings.

    Args:
        program: its name or path, and arguments.
        environ: its environment.
        executable: its file, when it goes by another name.

    Raises:
        NotStarted: it could not be.
    """
    # Python ignores these two, and an ignored signal stays ignored in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(executable or program[0], list(program), dict(environ))  # noqa: S606 - the user's own program, no shell
    except OSError as exc:
        raise NotStarted(executable or program[0], exc.errno or errno.EIO) from exc


def _ended(pid: int) -> int | None:
    """Look at every child that changed; the exit code of this one if it ended, as a shell would give it."""
    while True:
        changed, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if changed == 0:
            return None
        if changed != pid:
            continue  # left to us by parents that ended: the first process of a container gets them all
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return EXIT_SIGNAL - code if code < 0 else code
        if os.WSTOPSIG(status) in _TERMINAL_STOPS or _foreground_job():
            os.kill(os.getpid(), signal.SIGSTOP)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # whoever continued us means the program


def _foreground_job() -> bool:
    """Whether somebody's shell has us in the foreground of a terminal, and will continue us."""
    if os.getsid(0) == os.getpid():
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


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
        told = channel.recv(_MAX_GO)
        if told:
            handed = _unpacked(told)
            handed.write_keys()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            become(handed.command(program), {**environ, **handed.environ()})
    except NotStarted as error:
        _report(channel, {"message": error.message, "errno": error.number})
    except AmberError as error:
        _report(channel, error.as_dict())
    except OSError as error:
        _report(channel, {"message": f"the child failed: {error}", "errno": error.errno})
    except Exception as error:  # noqa: BLE001 - a fault of ours: told by the parent, since this process just ends
        _report(channel, {"message": f"the child failed: {type(error).__name__}: {error}"})
    finally:
        os._exit(EXIT_NOT_EXECUTABLE)  # not sys.exit: the parent's handlers and buffers are not ours to run


def _packed(handed: Handed) -> bytes:
    names = {"variables": handed.variables, "keys": handed.keys, "arguments": handed.arguments}
    return json.dumps({**names, "secret": base64.b64encode(handed.secret).decode()}).encode()


def _unpacked(told: bytes) -> Handed:
    parts = json.loads(told)
    names = (tuple(parts[kind]) for kind in ("variables", "keys", "arguments"))
    return Handed(base64.b64decode(parts["secret"]), *names)


def _parts(report: Mapping[str, object]) -> dict[str, str]:
    return {name: str(report[name]) for name in ("code", "seen", "wanted", "hint") if report.get(name)}


def _report(channel: socket.socket, report: Mapping[str, object]) -> None:
    channel.send(json.dumps(report).encode())


def _received(data: bytes) -> dict[str, object] | None:
    """What the child said; None when it said nothing more."""
    report = json.loads(data) if data else None
    return report if isinstance(report, dict) else None
