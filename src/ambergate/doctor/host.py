"""A host as it is looked at: files below a root directory, sockets in it, an environment, who asks, and the time.

All of it is an argument, so that a test can be any host.
"""

from __future__ import annotations

import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

MAX_READ: Final = 1024 * 1024  # bytes of one file; /proc/cpuinfo of 256 processors has about 400 KiB
CONNECT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an address answered.

    Attributes:
        status: of HTTP; None: there was no answer.
        said: why not.
        verified: whether the server's certificate was looked at and held.
    """

    status: int | None
    said: str = ""
    verified: bool = True


class Ask(Protocol):
    """Asks an address over HTTP. Never raises."""

    def __call__(self, url: str, headers: Mapping[str, str], *, insecure_any_certificate: bool) -> Answer:
        """The answer, within a few seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host.

    Attributes:
        root: where its file system begins.
        environ: the environment of who asks.
        uid: who asks.
        gids: their groups.
        at: the instant on its clock, aware.
        ask: how addresses are asked; None: nothing is asked.
        built: when this program's own files were made; None: unknown.
    """

    root: Path
    environ: Mapping[str, str]
    uid: int
    gids: frozenset[int]
    at: datetime
    ask: Ask | None = None
    built: datetime | None = None

    def path(self, name: str) -> Path:
        """A name on that host as a path on this one."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """A file's text; None where it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(MAX_READ).decode("utf-8", "replace")
        except OSError:
            return None

    def exists(self, name: str) -> bool:
        """Whether there is such a name, whatever it is."""
        return self._stat(name) is not None

    def first(self, *names: str) -> str | None:
        """The first of some names that is there."""
        return next((name for name in names if self.exists(name)), None)

    def glob(self, folder: str, pattern: str) -> list[str]:
        """Names in a folder."""
        try:
            return sorted(f"/{each.relative_to(self.root)}" for each in self.path(folder).glob(pattern))
        except OSError:
            return []

    def is_device(self, name: str) -> bool:
        """Whether it is a character device."""
        found = self._stat(name)
        return found is not None and stat.S_ISCHR(found.st_mode)

    def may_use(self, name: str) -> bool:
        """Whether who asks may read and write it, by owner, group and mode."""
        found = self._stat(name)
        if found is None:
            return False
        if self.uid == 0:
            return True
        if found.st_uid == self.uid:
            return found.st_mode & 0o600 == 0o600
        if found.st_gid in self.gids:
            return found.st_mode & 0o060 == 0o060
        return found.st_mode & 0o006 == 0o006

    def answers(self, name: str) -> str | None:
        """Why a UNIX socket takes no connection; None: it takes one."""
        found = self._stat(name)
        if found is None:
            return "there is no such socket"
        if not stat.S_ISSOCK(found.st_mode):
            return "it is no socket"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
                tried.settimeout(CONNECT_SECONDS)
                tried.connect(str(self.path(name)))
        except OSError as exc:
            return exc.strerror or str(exc)
        return None

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return self.path(name).stat()
        except OSError:
            return None
