"""Encryption at rest: AES-256-GCM under one key-encryption key that lives in a file of its own.

A sealed value is `version (1) || key id (8) || nonce (12) || ciphertext || tag (16)`. The caller's context
(what the value is, and whose) is authenticated with it, so that a value cannot be moved to another row.
Nonces are random; one key seals at most 2^32 values (NIST SP 800-38D, section 8.3), far beyond what a store
holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_SIZE: Final = 32  # bytes: AES-256
_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8
_NONCE_SIZE: Final = 12
_HEAD: Final = 1 + _ID_SIZE + _NONCE_SIZE


class Sealer:
    """Seals and opens values under one key.

    Args:
        key: 32 bytes.
        token_bytes: randomness for nonces.
    """

    __slots__ = ("_cipher", "_key_id", "_token_bytes")

    def __init__(self, key: bytes, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        if len(key) != KEY_SIZE:
            raise SettingsError(
                "the key-encryption key has another length", seen=f"{len(key)} bytes", wanted=f"{KEY_SIZE}"
            )
        self._cipher = AESGCM(key)
        self._key_id = hashlib.sha256(b"ambergate key-encryption key id\x00" + key).digest()[:_ID_SIZE]
        self._token_bytes = token_bytes

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Encrypt `plain`, bound to `context`."""
        nonce = self._token_bytes(_NONCE_SIZE)
        head = _VERSION + self._key_id + nonce
        return head + self._cipher.encrypt(nonce, plain, head + context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """What was sealed under this key and this context.

        Raises:
            SettingsError: sealed under another key, for another context, or changed since.
        """
        head = sealed[:_HEAD]
        if len(head) != _HEAD or head[:1] != _VERSION:
            raise SettingsError("a stored value is not one that was sealed here", seen=f"{len(sealed)} bytes")
        if head[1 : 1 + _ID_SIZE] != self._key_id:
            raise SettingsError(
                "a stored value is sealed under another key-encryption key",
                seen=head[1 : 1 + _ID_SIZE].hex(),
                wanted=self._key_id.hex(),
                hint="give the key file that this database was made with",
            )
        try:
            return self._cipher.decrypt(head[1 + _ID_SIZE :], sealed[_HEAD:], head + context.encode())
        except InvalidTag as exc:
            raise SettingsError("a stored value was changed, or is not what it stands for", seen=context) from exc


def load_or_create_key(path: Path, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """The key-encryption key in this file (64 hex digits); made, mode 0600, when the file is not there.

    Raises:
        SettingsError: unreadable, not a key, or open to anybody but its owner.
    """
    try:
        with contextlib.suppress(FileExistsError):
            _create(path, token_bytes(KEY_SIZE))
        return _load(path)
    except OSError as exc:
        raise SettingsError("the key file cannot be used", seen=f"{path}: {exc.strerror}") from exc


def _create(path: Path, key: bytes) -> None:
    """Write the key aside, then link it into place: whoever comes second finds a whole file."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()


def _load(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(4 * KEY_SIZE)
    if mode & 0o077:
        raise SettingsError(
            "the key file is open to others",
            seen=f"{path}: mode {mode:04o}",
            wanted="0600",
            hint=f"chmod 600 {path}",
        )
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError as exc:
        raise SettingsError("the key file does not hold a key", seen=str(path), wanted="64 hex digits") from exc
    if len(key) != KEY_SIZE:
        raise SettingsError(
            "the key file does not hold a key", seen=f"{path}: {len(key)} bytes", wanted="64 hex digits"
        )
    return key
