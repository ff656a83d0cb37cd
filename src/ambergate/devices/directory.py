"""The amber files as plain files in a private directory, fetched before the program starts.

For machines without FUSE. What a program reads is as fresh as its start, and it cannot write settings; everything
else is the same: a token or secret that cannot be had stops the start, and no file is ever empty instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError, SettingsError
from ambergate.devices.nodes import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.devices.model import Tree

# In memory where there is such a place: a secret should not reach a disk.
IN_MEMORY: Final = (Path("/dev/shm"),)  # noqa: S108 - a private directory is made in it
_MODE: Final = 0o400


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """An empty directory that only this user can enter; gone afterwards, with all that is in it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = (*((Path(runtime),) if runtime else ()), *IN_MEMORY)
    place = next((place for place in places if os.access(place, os.W_OK | os.X_OK)), None)
    # Without symbolic links: the shim compares paths as text, and a program finds itself there as the kernel names it.
    directory = Path(tempfile.mkdtemp(prefix="amber-", dir=place)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def fill(tree: Tree, directory: Path) -> dict[str, bytes]:
    """Fetch what the settings allow and write the files, `status` last; what they hold.

    Raises:
        AmberError: a token or a secret could not be had.
        SettingsError: a file cannot be written; it is not there then.
    """
    contents: dict[str, bytes] = {}
    for name in (*(name for name in FILES if name != "status"), "status"):
        if name == "secret" and not tree.settings.wants_secret:
            continue
        contents[name] = content(tree, name)
        _write(directory / name, contents[name])
    return contents


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - from a descriptor
                file.write(content)
        except OSError:
            path.unlink()
            raise
    except OSError as exc:
        raise SettingsError(
            "a file cannot be written", code="settings-directory", seen=f"{path}: {exc.strerror}"
        ) from exc


def content(tree: Tree, name: str) -> bytes:
    """What an open of this file reads as.

    Raises:
        AmberError: it could not be had; `status` says so too.
    """
    handle = tree.open(name, os.O_RDONLY)
    try:
        read = b""
        while chunk := tree.read(handle, 1 << 16, len(read)):
            read += chunk
    except OSError as error:
        if isinstance(error.__cause__, AmberError):
            raise error.__cause__ from error
        raise
    finally:
        tree.release(handle)
    return read


def staging() -> Path:
    """An empty directory for a moment, to mount on; whoever asked removes it."""
    return Path(tempfile.mkdtemp(prefix="amber-"))
