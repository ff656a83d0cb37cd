"""The files below `/dev/amber` as a FUSE file system, by mfusepy on libfuse3.

Everything is read past the kernel's cache (direct I/O, size 0), so that a read is always asked here. A read that has
to fetch something works in a thread of its own, while the thread that libfuse lent waits and looks every moment
whether the reader gave up or the file system is being unmounted: then it lets go at once.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import logging
import os
import stat
import threading
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ambergate.core.errors import Unavailable
from ambergate.devices.nodes import FILES, FUSE_DEVICE, os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from ambergate.devices.model import Tree

T = TypeVar("T")

LIBRARIES: Final = ("libfuse3.so.4", "libfuse3.so.3")  # sonames, newest first
MAX_THREADS: Final = 64  # requests answered at once; each read that waits for a service takes one
MAX_FETCHES: Final = 256  # threads that fetch, those included whose reader gave up; further readers wait
# Ends of opens that the kernel may tell at once. By itself it tells 12, and behind some hundred busy readers the others
# pile up, each with what was read (fs/fuse/dev.c: background requests).
MAX_ENDS: Final = 4096
IDLE_THREADS: Final = 8  # threads kept when nothing is asked
LOOK: Final = 0.05  # seconds between two looks at whether the reader gave up
_NAMES_LAST: Final = 3600  # seconds the kernel may remember names and modes: they never change
_MAX_THREADS_SINCE: Final = 312  # libfuse 3.12 took the options of that name
_RENEW: Final = "/renew"  # the one file whose writes may wait for a service
_DIRECTORY_MODE: Final = stat.S_IFDIR | 0o555

_LOG = logging.getLogger(__name__)


def why_not(device: Path = FUSE_DEVICE) -> str | None:
    """Why there can be no FUSE here, with what brings it; None when there can."""
    if not os.path.exists(device):  # noqa: PTH110 - Path.exists raises where a parent may not be entered
        return f"{device} is not there (load the kernel module fuse, or give it to the container)"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this user (mode 0666 is usual)"
    if library() is None:
        return "libfuse3 is not installed (Debian package fuse3 brings it, and fusermount3 to mount without root)"
    if importlib.util.find_spec("mfusepy") is None:
        return "the Python package mfusepy is not installed (pip install 'ambergate[fuse]')"
    return None


def library() -> tuple[str, ctypes.CDLL] | None:
    """libfuse3 and the name it was found by."""
    for name in LIBRARIES:
        try:
            return name, ctypes.CDLL(name)
        except OSError:
            continue
    return None


class Files:
    """The operations that libfuse calls, in mfusepy's form; each raises `OSError` for its errno.

    Args:
        tree: the files.
        libfuse: the library that runs this file system.
        born: their times, in nanoseconds since the epoch.
        on_ready: called once the kernel has been told that somebody answers.
    """

    use_ns: Final = True  # mfusepy: times are nanoseconds

    def __init__(self, tree: Tree, libfuse: ctypes.CDLL, *, born: int, on_ready: Callable[[], None]) -> None:
        self._tree = tree
        self._libfuse = libfuse
        self._on_ready = on_ready
        self._session: int | None = None
        self._free = threading.BoundedSemaphore(MAX_FETCHES)
        common = {"st_uid": os.getuid(), "st_gid": os.getgid(), "st_size": 0}
        common |= dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), born)
        self._root = {**common, "st_mode": _DIRECTORY_MODE, "st_nlink": 2}
        self._stats = {name: {**common, "st_mode": stat.S_IFREG | mode, "st_nlink": 1} for name, mode in FILES.items()}

    def init_with_config(self, conn: Any, _config: object) -> None:  # noqa: ANN401 - a ctypes structure
        """The file system begins."""
        if conn is not None:
            conn.max_background = MAX_ENDS
        self._libfuse.fuse_get_context.restype = ctypes.POINTER(ctypes.c_void_p)
        self._libfuse.fuse_get_session.restype = ctypes.c_void_p
        fuse = self._libfuse.fuse_get_context()[0]  # the first member of struct fuse_context
        self._session = self._libfuse.fuse_get_session(ctypes.c_void_p(fuse))
        self._on_ready()

    def getattr(self, path: str, _fi: object = None) -> Mapping[str, int]:
        """What a file or the directory is."""
        return self._root if path == "/" else self._stat(path)

    def readdir(self, _path: str, _fh: object) -> Iterable[str]:
        """The names below the directory."""
        return (".", "..", *FILES)

    def open(self, path: str, fi: Any) -> int:  # noqa: ANN401 - a ctypes structure that mfusepy makes at run time
        """A file is opened."""
        fi.fh = self._tree.open(path[1:], fi.flags)
        fi.direct_io = 1
        if fi.flags & os.O_ACCMODE == os.O_RDONLY and hasattr(fi, "noflush"):
            fi.noflush = 1  # saves a round trip at each close: there is nothing to commit
        return 0

    def read(self, _path: str, size: int, offset: int, fi: Any) -> bytes:  # noqa: ANN401
        """Bytes are asked for."""
        handle = fi.fh
        if self._tree.ready(handle):
            return self._tree.read(handle, size, offset)
        return self._patiently(lambda: self._tree.read(handle, size, offset))

    def write(self, path: str, data: bytes, offset: int, fi: Any) -> int:  # noqa: ANN401
        """Bytes come."""
        handle = fi.fh
        if path != _RENEW:
            return self._tree.write(handle, data, offset)
        return self._patiently(lambda: self._tree.write(handle, data, offset))

    def truncate(self, path: str, length: int, fi: Any = None) -> int:  # noqa: ANN401
        """A file is emptied, by its name or by an open of it."""
        self._tree.truncate(path[1:], length, None if fi is None else fi.fh)
        return 0

    def create(self, path: str, _mode: int, _fi: object) -> int:
        """There are no other files."""
        self._tree.create(path[1:])

    def unlink(self, path: str) -> int:
        """These files stay."""
        self._tree.remove(path[1:])

    def rename(self, path: str, new: str, _flags: int = 0) -> int:
        """These files keep their names."""
        self._tree.rename(path[1:], new[1:])

    def flush(self, _path: str, fi: Any) -> int:  # noqa: ANN401
        """One descriptor is closed."""
        self._tree.flush(fi.fh)
        return 0

    def release(self, _path: str, fi: Any) -> int:  # noqa: ANN401
        """The last descriptor is closed."""
        self._tree.release(fi.fh)
        return 0

    def _stat(self, path: str) -> Mapping[str, int]:
        try:
            return self._stats[path[1:]]
        except KeyError as exc:
            raise os_error(errno.ENOENT, path) from exc

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do work that may wait for a service, and let go when nobody waits for it any more.

        What was begun goes on: the reader may come back to the same open and find it done.
        """
        while not self._free.acquire(timeout=LOOK):
            self._require_waiting()
        future: Future[T] = Future()
        try:
            threading.Thread(target=_work, args=(future, work, self._free), name="amber", daemon=True).start()
        except RuntimeError as exc:  # the system gives no thread
            self._free.release()
            raise os_error(errno.EAGAIN, "read") from exc
        while not wait_for((future,), timeout=LOOK).done:
            self._require_waiting()
        return future.result()

    def _require_waiting(self) -> None:
        """Somebody still waits for an answer. Raises `OSError` where not."""
        if self._libfuse.fuse_interrupted():
            raise os_error(errno.EINTR, "read")
        if self._session and self._libfuse.fuse_session_exited(ctypes.c_void_p(self._session)):
            raise os_error(errno.EIO, "read")


def serve(
    tree: Tree, mountpoint: str, *, born: int, on_ready: Callable[[], None], options: Mapping[str, object] | None = None
) -> None:
    """Answer the kernel until the file system is unmounted, or SIGINT, SIGTERM or SIGHUP end it.

    Changes the working directory to `/` (libfuse does), so every path in use must be absolute.

    Args:
        tree: the files.
        mountpoint: a directory, or `/dev/fd/N` for a file system that is mounted already.
        born: the files' times, in nanoseconds since the epoch.
        on_ready: called when reads will be answered.
        options: more mount options.

    Raises:
        Unavailable: there is no FUSE here, or it could not be mounted.
    """
    found = library()
    if found is None or importlib.util.find_spec("mfusepy") is None:
        raise Unavailable("there is no FUSE here", code="no-fuse", seen=why_not())
    name, libfuse = found
    mfusepy = _mfusepy(name)
    kept: dict[str, object] = {"fsname": "amber", "attr_timeout": _NAMES_LAST, "entry_timeout": _NAMES_LAST}
    if libfuse.fuse_version() >= _MAX_THREADS_SINCE:
        kept |= {"max_threads": MAX_THREADS, "max_idle_threads": IDLE_THREADS}
    answered = threading.Event()

    def ready() -> None:
        answered.set()
        on_ready()

    files = Files(tree, libfuse, born=born, on_ready=ready)
    try:
        _with_truncate_by_open(mfusepy.FUSE)(files, mountpoint, raw_fi=True, foreground=True, **kept, **(options or {}))
    except RuntimeError as exc:  # mfusepy's way to give libfuse's exit code
        if answered.is_set():
            return  # a signal ended it, which libfuse counts as a failure
        raise Unavailable(
            "the file system could not be mounted",
            code="no-fuse",
            seen=f"libfuse ended with {exc}",
            hint="libfuse said more above; without root it needs the Debian package fuse3",
        ) from exc


def _mfusepy(name: str) -> Any:  # noqa: ANN401 - an untyped module
    """Load mfusepy on the library of this name; by itself it would take libfuse2 where both are there."""
    os.environ["FUSE_LIBRARY_PATH"] = name
    import mfusepy  # noqa: PLC0415 - it looks for its library when it is imported

    return mfusepy


def _with_truncate_by_open(kind: Any) -> Any:  # noqa: ANN401 - a class of an untyped module
    """The class with ftruncate(2) told by its open; mfusepy itself would pass the name alone."""

    def truncate(self: Any, path: bytes, length: int, fip: Any) -> int:  # noqa: ANN401
        result: int = self.operations.truncate(os.fsdecode(path), length, fip.contents if fip else None)
        return result

    return type("Fuse", (kind,), {"truncate_fuse_3": truncate})


def _work(future: Future[T], work: Callable[[], T], free: threading.Semaphore) -> None:
    try:
        result = work()
    except OSError as error:
        future.set_exception(error)
    except BaseException as error:
        # A fault of ours: the waiting reader must not wait for ever, and the log must have it.
        _LOG.exception("a file of /dev/amber failed")
        future.set_exception(os_error(errno.EIO, type(error).__name__))
        raise
    else:
        future.set_result(result)
    finally:
        free.release()
