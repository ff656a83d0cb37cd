"""The files below `/dev/amber`, and the errno that stands for each kind of failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import (
    AmberError,
    NotAuthorised,
    NotGenuine,
    Refusal,
    SettingsError,
    TimedOut,
    TokenRejected,
    TooLarge,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FUSE_DEVICE: Final = Path("/dev/fuse")
DIRECTORY: Final = "/dev/amber"
MAX_CONTENT: Final = 64 * 1024  # bytes that a file gives or takes; E2BIG beyond

READ_ONLY: Final = 0o444
READ_WRITE: Final = 0o644  # written by the owner only; the API key reads back masked

# Files whose content is a setting, by the setting's name.
SETTING_FILES: Final = (
    "endpoint_url",
    "endpoint_ip",
    "endpoint_apikey",
    "kbs_url",
    "kbs_ip",
    "kbs_keyid",
    "userdata",
)
FILES: Final[Mapping[str, int]] = {
    "token": READ_ONLY,
    "secret": READ_ONLY,
    "status": READ_ONLY,
    **dict.fromkeys(SETTING_FILES, READ_WRITE),
    "renew": READ_WRITE,
    "cacerts": READ_ONLY,
}

# First match counts, so children stand before their parents.
_ERRNOS: Final[tuple[tuple[type[AmberError], int], ...]] = (
    (SettingsError, errno.EINVAL),
    (NotAuthorised, errno.EACCES),
    (NotGenuine, errno.EACCES),
    (Refusal, errno.EACCES),
    (TokenRejected, errno.EACCES),
    (TimedOut, errno.ETIMEDOUT),
    (TooLarge, errno.E2BIG),
)
# By the code of `Unavailable`, as `ambergate.client.transport` and `ambergate.attester.detect` set it.
_UNAVAILABLE: Final[Mapping[str, int]] = {
    "connection-refused": errno.ECONNREFUSED,
    "host-unreachable": errno.EHOSTUNREACH,
    "unknown-host": errno.EHOSTUNREACH,
    "no-evidence-source": errno.ENODEV,
}


def errno_of(error: AmberError) -> int:
    """The errno of a read or write that failed with this error; EIO for all that has none of its own."""
    if isinstance(error, Unavailable) and error.code in _UNAVAILABLE:
        return _UNAVAILABLE[error.code]
    return next((number for kind, number in _ERRNOS if isinstance(error, kind)), errno.EIO)


def os_error(number: int, what: str) -> OSError:
    """The error that the file system gives, with the file it is about."""
    return OSError(number, os.strerror(number), what)
