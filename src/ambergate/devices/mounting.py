"""A mount that lasts: served in the background, taken away when its server dies, taken away by name.

A FUSE mount whose server was killed answers every access with ENOTCONN until somebody unmounts it. So each server has a
guard: a process forked before it, that does nothing but wait for the server's end and unmount what died with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MNT_DETACH: Final = 0x2  # <sys/mount.h>
_DEAD: Final = (errno.ENOTCONN, errno.ECONNABORTED)  # what the kernel says for a server that is gone
_MOUNTS: Final = "/proc/self/mounts"
_KIND: Final = "fuse"
_NAME: Final = "amber"  # the source that our mounts show, `fsname`
_MAX_REPORT: Final = 16 * 1024  # bytes that a background process says of its start
_READY: Final = b"+"
_FAILED: Final = b"-"
_STATE_SECONDS: Final = 10  # that fusermount3 may take

_libc = ctypes.CDLL(None, use_errno=True)


def is_dead(place: Path) -> bool:
    """Whether a mount is there whose server is gone."""
    try:
        os.listdir(place)  # noqa: PTH208 - asks the server; stat may be answered from memory
    except OSError as error:
        return error.errno in _DEAD
    return False


def is_ours(place: Path) -> bool:
    """Whether amber files are mounted on exactly this directory, alive or dead."""
    return str(place) in _ours()


def unmount(place: Path) -> None:
    """Take a mount of the amber files away: for newcomers at once, for who has files open when they close them.

    Raises:
        SettingsError: no amber files are mounted there.
        Unavailable: the kernel, or fusermount3, refuses.
    """
    if not is_ours(place):
        raise SettingsError("no amber files are mounted there", seen=place)
    refusal = _detach(place)
    if refusal is not None:
        raise Unavailable(
            "the mount stays", code="unmount", seen=refusal, hint="unmount as the user who mounted it, or as root"
        )


def clear(place: Path) -> bool:
    """Take a dead mount of ours away, if there is one; whether there was."""
    return is_dead(place) and is_ours(place) and _detach(place) is None


@contextlib.contextmanager
def guarded(place: Path) -> Iterator[None]:
    """Have what is mounted on `place` inside the block unmounted, however this process ends.

    To be entered while this process has one thread, and no descriptor of /dev/fuse.
    """
    ends, kept = os.pipe2(os.O_CLOEXEC)
    guard = os.fork()
    if guard == 0:
        os.close(kept)
        _guard(ends, place)
    os.close(ends)
    try:
        yield
    finally:
        os.close(kept)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(guard, 0)


def in_background(work: Callable[[Callable[[], None]], None]) -> int:
    """Do work in a process of its own session, and return its id when it says that it is ready.

    Args:
        work: is given what it calls when it is ready; its errors before that are ours.

    Raises:
        Unavailable: it failed before it was ready; `seen` is what it said.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_background(work, theirs)
    theirs.close()
    with ours:
        told = ours.recv(_MAX_REPORT)
    if told[:1] == _READY:
        return pid
    os.waitpid(pid, 0)
    raise Unavailable(
        "the mount did not start", code="no-fuse", seen=told[1:].decode(errors="replace") or "it ended without a word"
    )


def _be_background(work: Callable[[Callable[[], None]], None], channel: socket.socket) -> None:
    """The background process' whole life. Never returns into the starter's code."""
    code = 1
    try:
        os.setsid()
        _no_terminal()

        def ready() -> None:
            channel.send(_READY)
            channel.close()

        work(ready)
        code = 0
    except BaseException as error:  # noqa: BLE001 - told by the starter, since this process just ends
        with contextlib.suppress(OSError):
            channel.send((_FAILED + f"{error}".encode())[:_MAX_REPORT])
    finally:
        os._exit(code)  # not sys.exit: the starter's handlers and buffers are not ours to run


def _no_terminal() -> None:
    """Let go of the starter's terminal and pipes: who waits for their end must not wait for us."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _guard(ends: int, place: Path) -> None:
    """The guard's whole life."""
    try:
        os.setsid()  # what ends the server's group, does not end this
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        os.chdir("/")
        _no_terminal()
        os.read(ends, 1)  # nothing is ever written: this is the server's end
        clear(place)
    finally:
        os._exit(0)


def _detach(place: Path) -> str | None:
    """Unmount lazily; why not, when not."""
    if _libc.umount2(os.fsencode(place), _MNT_DETACH) == 0:
        return None
    number = ctypes.get_errno()
    helper = shutil.which("fusermount3")
    if number != errno.EPERM or helper is None:
        return os.strerror(number)
    done = subprocess.run(  # noqa: S603 - libfuse's own helper, for users without root
        [helper, "-u", "-z", str(place)], capture_output=True, text=True, check=False, timeout=_STATE_SECONDS
    )
    return None if done.returncode == 0 else done.stderr.strip()


def _ours() -> set[str]:
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - not a file's path
        rows = [line.split() for line in file]
    return {_plain(row[1]) for row in rows if row[0] == _NAME and row[2].partition(".")[0] == _KIND}


def _plain(text: str) -> str:
    """A path as the kernel escapes it in its table (fs/proc_namespace.c: space, tab, newline, backslash)."""
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, char)
    return text
