"""Passwords as hashes that cost memory and time to guess at: argon2id (RFC 9106), as PHC strings."""

from __future__ import annotations

import re
import threading
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from ambergate.core.errors import Malformed, SettingsError, Unavailable

# RFC 9106, section 4, second recommended option: t=3, m=64 MiB, p=4, 16 bytes of salt, 32 of tag.
PARAMETERS: Final = argon2.profiles.RFC_9106_LOW_MEMORY
AT_ONCE: Final = 2  # that are computed at a time in one process: 64 MiB each, and strangers may ask for them
WAIT_SECONDS: Final = 5.0  # for one's turn
MIN_PASSWORD: Final = 9  # characters; the Key Broker Service's own minimum
MAX_PASSWORD: Final = 256  # characters; ours
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Passwords:
    """Makes and checks hashes. Safe to share between threads.

    Args:
        parameters: what a hash costs.
    """

    def __init__(self, parameters: argon2.Parameters = PARAMETERS) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(parameters)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys: str | None = None

    def hash(self, password: str) -> str:
        """What is kept of a password.

        Raises:
            Malformed: (`weak-password`) too short, too long, or with control characters in it. It is not repeated.
            Unavailable: too many are hashed at once.
        """
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD or _CONTROL.search(password):
            wanted = f"{MIN_PASSWORD} to {MAX_PASSWORD} characters, no control characters"
            raise Malformed("the password cannot be taken", code="weak-password", wanted=wanted)
        with _Turn(self._turns):
            return self._hasher.hash(_octets(password))

    def holds(self, password: str, kept: str | None) -> bool:
        """Whether this is the password. For no hash at all it takes as long, so that nobody learns which names exist.

        Raises:
            SettingsError: what is kept is no hash.
            Unavailable: too many are hashed at once.
        """
        if len(password) > MAX_PASSWORD:
            return False
        with _Turn(self._turns):
            if kept is None and self._nobodys is None:
                self._nobodys = self._hasher.hash("a password that nobody has")
            try:
                self._hasher.verify(kept or self._nobodys or "", _octets(password))
            except VerifyMismatchError:
                return False
            except (InvalidHashError, VerificationError) as exc:
                raise SettingsError("a stored password hash is not what was written") from exc
        return kept is not None


class _Turn:
    """One of the few computations at a time."""

    def __init__(self, turns: threading.BoundedSemaphore) -> None:
        self._turns = turns

    def __enter__(self) -> None:
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("too many are logging in", code="login-queue", wanted=f"a turn within {WAIT_SECONDS} s")

    def __exit__(self, *_: object) -> None:
        self._turns.release()


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
