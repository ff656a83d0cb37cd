"""Byte strings whose width is part of their type, and a cursor that never reads past the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from ambergate.core.errors import Malformed


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Octets:
    """Exactly `WIDTH` bytes, compared by type and value, printed as lower-case hex."""

    WIDTH: ClassVar[int]
    value: bytes

    def __init__(self, value: bytes) -> None:
        """Take exactly `WIDTH` bytes.

        Raises:
            ValueError: the value has another length.
        """
        if len(value) != self.WIDTH:
            msg = f"{type(self).__name__} is {self.WIDTH} bytes, got {len(value)}"
            raise ValueError(msg)
        object.__setattr__(self, "value", value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read exactly `2 * WIDTH` hex digits.

        Raises:
            ValueError: other characters or another length.
        """
        if len(text) != 2 * cls.WIDTH:
            msg = f"{cls.__name__} is {2 * cls.WIDTH} hex digits, got {len(text)}"
            raise ValueError(msg)
        if not text.isalnum():  # bytes.fromhex() would skip white space
            msg = f"{cls.__name__} has characters that are not hex digits"
            raise ValueError(msg)
        return cls(bytes.fromhex(text))

    def hex(self) -> str:
        """The value as lower-case hex, without prefix."""
        return self.value.hex()

    def __str__(self) -> str:
        return self.value.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value.hex()})"


class Cursor:
    """Reads a byte string from front to back and refuses to read past its end.

    Args:
        data: the bytes to read.
        error: the class raised on any violation, so that only our own errors leave a parser.
        what: the name of the structure, for messages.
    """

    __slots__ = ("_data", "_error", "_position", "_what")

    def __init__(self, data: bytes, *, error: type[Malformed], what: str) -> None:
        self._data = data
        self._error = error
        self._what = what
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def take(self, size: int, field: str) -> bytes:
        """The next `size` bytes.

        Raises:
            Malformed: (the class given) fewer bytes are left.
        """
        end = self._position + size
        if end > len(self._data):
            message = f"{self._what} ends inside {field}"
            raise self._error(
                message,
                seen=f"{self.remaining} bytes left",
                wanted=f"{size} bytes at offset {self._position}",
            )
        piece = self._data[self._position : end]
        self._position = end
        return piece

    def integer(self, size: int, field: str) -> int:
        """The next `size` bytes as an unsigned little-endian integer."""
        return int.from_bytes(self.take(size, field), "little")

    def finish(self) -> None:
        """Refuse bytes that nobody read.

        Raises:
            Malformed: (the class given) bytes are left.
        """
        if self.remaining:
            message = f"{self._what} is followed by bytes that belong to nothing"
            raise self._error(message, seen=f"{self.remaining} bytes after offset {self._position}", wanted="none")
