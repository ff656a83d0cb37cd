"""Encryption at rest: AES-256-GCM under a data key, and the files that keys lie in.

A sealed value is `version (1) || key id (8) || nonce (12) || ciphertext || tag (16)`. The caller's context
(what the value is, and whose) is authenticated with it, so that a value cannot be moved to another row.
Nonces are random; one key seals at most 2^32 values (NIST SP 800-38D, section 8.3), far beyond what a store
holds. Which data key, and what that is itself encrypted under: `stores/data_keys.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ambergate.core.errors import SettingsError
from ambergate.stores.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

KEY_SIZE: Final = 32  # bytes: AES-256
_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8
_NONCE_SIZE: Final = 12
_HEAD: Final = 1 + _ID_SIZE + _NONCE_SIZE


class Sealer:
    """Seals values under one key, and opens those that were sealed under it or an older one. Redacted.

    Args:
        key: 32 bytes.
        older: keys that open and do not seal.
        token_bytes: randomness for nonces.
    """

    __slots__ = ("_ciphers", "_token_bytes", "key_id")

    def __init__(
        self, key: bytes, *, older: Iterable[bytes] = (), token_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self.key_id = key_id(key)
        self._ciphers = {key_id(each): AESGCM(each) for each in (key, *older)}
        self._token_bytes = token_bytes

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Encrypt `plain`, bound to `context`."""
        nonce = self._token_bytes(_NONCE_SIZE)
        head = _VERSION + self.key_id + nonce
        return head + self._ciphers[self.key_id].encrypt(nonce, plain, head + context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """What was sealed under one of these keys and this context.

        Raises:
            SettingsError: sealed under another key, for another context, or changed since.
        """
        head = sealed[:_HEAD]
        cipher = self._ciphers.get(sealed_under(sealed))
        if cipher is None:
            raise SettingsError(
                "a stored value is sealed under another key-encryption key",
                seen=sealed_under(sealed).hex(),
                wanted=", ".join(each.hex() for each in self._ciphers),
                hint="give the key that this database was made with",
            )
        try:
            return cipher.decrypt(head[1 + _ID_SIZE :], sealed[_HEAD:], head + context.encode())
        except InvalidTag as exc:
            raise SettingsError("a stored value was changed, or is not what it stands for", seen=context) from exc


def key_id(key: bytes) -> bytes:
    """Names a key in what is sealed under it; tells nothing of it.

    Raises:
        SettingsError: no key of 32 bytes.
    """
    if len(key) != KEY_SIZE:
        raise SettingsError("the key-encryption key has another length", seen=f"{len(key)} bytes", wanted=f"{KEY_SIZE}")
    return hashlib.sha256(b"ambergate key-encryption key id\x00" + key).digest()[:_ID_SIZE]


def sealed_under(sealed: bytes) -> bytes:
    """The id of the key that a value says it is sealed under.

    Raises:
        SettingsError: it is not a sealed value.
    """
    if len(sealed) < _HEAD or sealed[:1] != _VERSION:
        raise SettingsError("a stored value is not one that was sealed here", seen=f"{len(sealed)} bytes")
    return sealed[1 : 1 + _ID_SIZE]


def load_or_create_key(path: Path, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """The key-encryption key in this file (64 hex digits); made, mode 0600, when the file is not there.

    Raises:
        SettingsError: unreadable, not a key, or not private (`stores/private_files.py`).
    """
    try:
        with contextlib.suppress(FileExistsError):
            _create(path, token_bytes(KEY_SIZE))
        return _load(path)
    except OSError as exc:
        raise SettingsError("the key file cannot be used", seen=f"{path}: {exc.strerror}") from exc


def check_key_file(path: Path) -> None:
    """Returns if `load_or_create_key` would find a key here, or could make one; makes nothing.

    Raises:
        SettingsError: as `load_or_create_key`.
    """
    try:
        if path.exists():
            _load(path)
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise SettingsError(
                "the key file is not there and cannot be made",
                seen=str(path),
                wanted="a folder that can be written to",
                hint="put the key there, or let the service write there once",
            )
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
    return parse_key(read_private(path, 4 * KEY_SIZE, "the key file"), str(path))


def parse_key(text: bytes, place: str) -> bytes:
    """The key that 64 hex digits say.

    Raises:
        SettingsError: they say none; the text itself is not repeated.
    """
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        raise SettingsError("the key file does not hold a key", seen=place, wanted="64 hex digits") from None
    if len(key) != KEY_SIZE:
        raise SettingsError(
            "the key file does not hold a key", seen=f"{place}: {len(key)} bytes", wanted="64 hex digits"
        )
    return key
