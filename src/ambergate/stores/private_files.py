"""Files that keys and PINs lie in: who else may read one, before what is in it counts as a secret.

A file is private if nobody but its owner can do anything with it (mode 0600 or less). One more form is taken, because
it is the only one that Kubernetes gives a process that is not root: root's file, that a group of this process may read,
and nobody else may read or change (0440 or 0640, owner root). libpq has the same rule for keys of its certificates.
Why: docs/adr/0051-a-keys-file-may-be-roots-for-our-group.md.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_BEYOND_OWNER: Final = 0o077
_BEYOND_GROUP_READ: Final = 0o037  # all of the others, and whatever the group could do but read
_ROOT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads: a user id and all group ids."""

    uid: int
    groups: frozenset[int]

    @classmethod
    def this_process(cls) -> Reader:
        """Those that the kernel goes by when this process opens a file."""
        return cls(uid=os.geteuid(), groups=frozenset({os.getegid(), *os.getgroups()}))


def is_private(found: os.stat_result, reader: Reader) -> bool:
    """Whether this file is as closed as one with a secret in it has to be.

    It says nothing about access lists, nor about the folders above: who owns one of those can put another file there.
    """
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _BEYOND_OWNER:
        return True
    given_by_root = found.st_uid == _ROOT and reader.uid != _ROOT
    return given_by_root and not mode & _BEYOND_GROUP_READ and found.st_gid in reader.groups


def check_private(path: Path, found: os.stat_result, what: str) -> None:
    """Returns if the file is private to this process.

    Args:
        path: for the error.
        found: of the file, best by `os.fstat` of what was opened.
        what: the file, in words.

    Raises:
        SettingsError: others can read or change it.
    """
    if is_private(found, Reader.this_process()):
        return
    raise SettingsError(
        f"{what} is open to others",
        seen=f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}, group {found.st_gid}",
        wanted="0600; or root's, 0440, with a group of this process",
        hint=f"chmod 600 {path}",
    )


def read_private(path: Path, limit: int, what: str) -> bytes:
    """The first bytes of a private file.

    Args:
        path: the file.
        limit: bytes that are read at most.
        what: the file, in words, for the error.

    Raises:
        SettingsError: others can read or change it.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        data = file.read(limit)
    check_private(path, found, what)
    return data
