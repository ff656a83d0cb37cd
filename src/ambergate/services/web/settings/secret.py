"""A secret among the settings: it comes from a file or from the environment, and shows itself to nobody."""

from __future__ import annotations

import hmac
import os
import stat
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

REDACTED: Final = "(secret)"
MAX_VALUE: Final = 64 * 1024  # bytes of one value in a file; our limit
_OTHERS: Final = 0o007  # a group is allowed: that is how Kubernetes hands a secret to who does not run as root


class SecretText:
    """A secret as text. Only `reveal` gives it. No dataclass: msgspec would make those from tables.

    Args:
        value: the secret.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and hmac.compare_digest(self._value.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        """The secret."""
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__


def value_in(path: Path, *, name: str, secret: bool) -> str:
    """The text of this file, without the end of its last line.

    Args:
        path: the file.
        name: of the setting, for errors.
        secret: whether it must be closed to others than owner and group.

    Raises:
        SettingsError: unreadable, open to others, too long, empty or not text. What is in it is not repeated.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_VALUE + 1)
    except OSError as exc:
        raise SettingsError(f"the file of {name} cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if secret and mode & _OTHERS:
        raise SettingsError(
            f"the file of {name} is open to others",
            seen=f"{path}: mode {mode:04o}",
            wanted="0640 or less",
            hint=f"chmod o= {path}",
        )
    if len(data) > MAX_VALUE:
        raise SettingsError(f"the file of {name} is too long", seen=str(path), wanted=f"at most {MAX_VALUE} bytes")
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as exc:
        raise SettingsError(f"the file of {name} is not text", seen=str(path), wanted="UTF-8") from exc
    if not text:
        raise SettingsError(f"the file of {name} is empty", seen=str(path))
    return text
