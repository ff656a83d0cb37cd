"""Writing what was made: a file or a directory under its name as a whole, or what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """A file, new or replaced.

    Raises:
        SettingsError: it cannot be written; what was there is there still, and nothing beside it.
    """
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - from a descriptor
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise cannot_write(path, exc) from exc


@contextlib.contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A fresh directory to be filled, which takes the target's place when nothing went wrong.

    Raises:
        SettingsError: it cannot be made, filled or put there; what was there is there still.
    """
    try:
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as exc:
        raise cannot_write(target, exc) from exc
    old = fresh.with_name(f"{fresh.name}.old")
    try:
        yield fresh
        fresh.chmod(0o755)  # mkdtemp gives nobody else a look; these files are no secret
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as exc:
        if old.exists() and not target.exists():
            old.rename(target)
        raise cannot_write(target, exc) from exc
    finally:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def cannot_write(path: Path, error: OSError) -> SettingsError:
    """The error for what cannot be written."""
    hint = "make room there, or give another place" if error.errno in {errno.ENOSPC, errno.EDQUOT} else None
    seen = f"{path}: {error.strerror}"
    return SettingsError("the output cannot be written", code="settings-output", seen=seen, hint=hint)
