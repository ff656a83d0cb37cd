"""A mount at `/dev/amber` that one program and its children see, and nobody else.

The steps, in a process that will become the program:

1. A mount namespace of its own; without root inside a user namespace of its own, in which uid and gid stay the same.
2. Every mount becomes private, so that nothing done here reaches the host.
3. A tmpfs takes the entries of `/dev` by bind mounts, and a directory `amber`: the real `/dev` is shared with the
   host and must not be written to. The amber files are mounted on that directory, the tmpfs over `/dev`.

The kernel ends the mounts when the last process of the namespace ends. Works without fusermount3.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_NAMESPACE: Final = "no-namespace"  # code of the error when the kernel refuses

# <sched.h>
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
# <sys/mount.h>
_MS_RDONLY: Final = 0x1
_MS_NOSUID: Final = 0x2
_MS_NODEV: Final = 0x4
_MS_NOEXEC: Final = 0x8
_MS_REMOUNT: Final = 0x20
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000
_MNT_DETACH: Final = 0x2

_DEV: Final = "/dev"
_AMBER: Final = "/dev/amber"

_TMPFS_SIZE: Final = 4 * 1024 * 1024  # bytes; twelve files of at most 64 KiB, and pages

_libc = ctypes.CDLL(None, use_errno=True)


def enter(*, user_namespace: bool) -> None:
    """Steps 1 and 2: this process alone sees what is mounted from now on.

    Args:
        user_namespace: whether to make one; needed without root. Afterwards the process may mount, and loses that
            when it becomes the program.

    Raises:
        Unavailable: (`no-namespace`) the kernel refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS | (_CLONE_NEWUSER if user_namespace else 0)
    _called("unshare", "a namespace of its own", flags)
    if user_namespace:
        _put("/proc/self/setgroups", "deny")  # user_namespaces(7): before an unprivileged gid_map
        _put("/proc/self/uid_map", f"{uid} {uid} 1")
        _put("/proc/self/gid_map", f"{gid} {gid} 1")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def fuse_mounter(device: Path, *, others: bool) -> tuple[int, Callable[[str], None]]:
    """A descriptor that serves a FUSE file system, and what mounts that.

    To be called after `enter`: the kernel wants opener and mounter in the same user namespace.

    Args:
        device: `/dev/fuse`.
        others: whether other users may read; for root's programs, which may become other users.

    Raises:
        Unavailable: (`no-namespace`) the device cannot be opened.
    """
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        raise _refused(f"open {device}", exc.errno or errno.EIO) from exc
    options = f"fd={descriptor},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},default_permissions"
    options += ",allow_other" if others else ""

    def mount(target: str) -> None:
        _mount("amber", target, "fuse", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)

    return descriptor, mount


def bind_mounter(directory: Path) -> Callable[[str], None]:
    """What mounts a directory that is there already, to be read only: its maker goes on to write."""

    def mount(target: str) -> None:
        _mount(str(directory), target, None, _MS_BIND)
        seal(target)

    return mount


def tmpfs_mounter() -> Callable[[str], None]:
    """What mounts an empty directory in memory, for this user only; gone with the namespace."""

    def mount(target: str) -> None:
        _mount("amber", target, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, f"mode=700,size={_TMPFS_SIZE}")

    return mount


def seal(target: str) -> None:
    """Nobody writes below this mount of ours any more, not even root (EROFS): a setting written there would do nothing.

    Raises:
        Unavailable: (`no-namespace`) the kernel refuses.
    """
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC  # in a user namespace the kernel takes none of these away again
    _mount("none", target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags)


def mount_amber(mount: Callable[[str], None], staging: Path) -> None:
    """Step 3: let `mount` put the amber files at `/dev/amber`.

    Args:
        mount: mounts them on the directory it is given.
        staging: an empty directory; nothing is left on it.

    Raises:
        Unavailable: (`no-namespace`) the kernel refuses.
    """
    if os.path.isdir(_AMBER):  # noqa: PTH112 - nothing here needs more than strings
        mount(_AMBER)
        return
    stage = str(staging)
    _mount("amber-dev", stage, "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755")
    for entry in os.scandir(_DEV):
        _carry(entry, f"{stage}/{entry.name}")
    os.mkdir(f"{stage}/amber", 0o755)  # noqa: PTH102
    mount(f"{stage}/amber")
    _mount(stage, _DEV, None, _MS_BIND | _MS_REC)
    _called("umount2", "detach the staging directory", stage.encode(), _MNT_DETACH)


def _carry(entry: os.DirEntry[str], target: str) -> None:
    """One entry of `/dev`: a link is copied, anything else bound."""
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)  # noqa: PTH115, PTH211
        return
    if entry.is_dir():
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        _mount(entry.path, target, None, _MS_BIND | _MS_REC)
    except Unavailable:
        if os.path.lexists(entry.path):  # else a device that was unplugged meanwhile
            raise


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _called("mount", f"mount on {target}", *texts, ctypes.c_ulong(flags), options.encode())


def _put(path: str, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise _refused(f"write {path}", exc.errno or errno.EIO) from exc


def _called(function: str, purpose: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        raise _refused(purpose, ctypes.get_errno())


def _refused(purpose: str, number: int) -> Unavailable:
    return Unavailable(
        "a mount for one program alone is not possible here",
        code=NO_NAMESPACE,
        seen=f"{purpose}: {os.strerror(number)}",
        hint="allow unprivileged user namespaces, or run as root with CAP_SYS_ADMIN",
    )
