"""A key-encryption key that stays in a PKCS#11 token, which encrypts and decrypts data keys and tells nobody its key.

The key is AES of 128 to 256 bits, sensitive and not extractable; another is refused. A data key is encrypted by
CKM_AES_GCM, which SoftHSM 2.6, and tokens that follow PKCS#11 2.40 or later, have:

    version (1) || key id (8) || nonce (12) || ciphertext (32) || tag (16)

with all before the ciphertext, and what the value is, authenticated. Each call logs in, and out again: that happens at
a start, not at a request.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11 import exceptions as of

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.key_encryption import CONTEXT
from ambergate.stores.private_files import read_private
from ambergate.stores.sealing import KEY_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pkcs11 import Token

    from ambergate.stores.pkcs11_uri import Pkcs11Uri

MAX_PIN: Final = 256  # bytes; CK_ULONG allows more, no token does
_VERSION: Final = b"\x02"
_NONCE_SIZE: Final = 12
_TAG_BITS: Final = 128
_SIZE: Final = 1 + 8 + _NONCE_SIZE + KEY_SIZE + _TAG_BITS // 8
# A key's id is what it makes of this one block: the same wherever the key is, and useless for finding it.
_ID_BLOCK: Final = hashlib.sha256(b"ambergate key-encryption key id").digest()[:16]
# What modules say of a tag that does not fit: SoftHSM the second.
_DOES_NOT_OPEN: Final = (of.EncryptedDataInvalid, of.GeneralError, of.FunctionFailed, of.EncryptedDataLenRange)
_MAKE: Final = "pkcs11-tool --module M --token-label T --login --keygen --key-type AES:32 --label L --sensitive"


class Pkcs11Key:
    """The key that this URI names. Fits `key_encryption.KeyEncryptionKey`.

    Args:
        uri: the key.
        token_bytes: randomness for nonces.

    Raises:
        SettingsError: module, PIN or key cannot be used.
        Unavailable: the token is not there, or failed.
    """

    def __init__(self, uri: Pkcs11Uri, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._uri = uri
        self._token_bytes = token_bytes
        self.local: bytes | None = None
        with self._key() as key:
            block = key.encrypt(_ID_BLOCK, mechanism=Mechanism.AES_CBC, mechanism_param=bytes(16))
        self.id = bytes(block[:8]).hex()

    def wrap(self, data_key: bytes) -> bytes:
        """The data key, encrypted in the token.

        Raises:
            SettingsError: it has another length; the token does not do this.
            Unavailable: the token is not there, or failed.
        """
        if len(data_key) != KEY_SIZE:
            raise SettingsError("a data key has another length", seen=f"{len(data_key)} bytes", wanted=f"{KEY_SIZE}")
        nonce = self._token_bytes(_NONCE_SIZE)
        head = _VERSION + bytes.fromhex(self.id) + nonce
        with self._key() as key:
            return head + bytes(key.encrypt(data_key, **_gcm(nonce, head)))

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key, decrypted in the token.

        Raises:
            SettingsError: not one that this key wrapped.
            Unavailable: the token is not there, or failed.
        """
        head = wrapped[: _SIZE - KEY_SIZE - _TAG_BITS // 8]
        if len(wrapped) != _SIZE or head[:1] != _VERSION or head[1:9].hex() != self.id:
            hint = "give the key that this database was made with"
            raise SettingsError("a data key is wrapped by another key-encryption key", wanted=self.id, hint=hint)
        with self._key() as key:
            try:
                return bytes(key.decrypt(wrapped[len(head) :], **_gcm(head[9:], head)))
            except _DOES_NOT_OPEN as exc:
                raise SettingsError(
                    "a data key was changed, or wrapped by another key-encryption key", seen=type(exc).__name__
                ) from exc

    @contextlib.contextmanager
    def _key(self) -> Iterator[Any]:
        """The key, in a session of its own; what goes wrong with it is told in our words."""
        pin = self._pin()
        try:
            with _session(self._token(), pin) as session:
                yield self._found(session)
        except pkcs11.PKCS11Error as exc:
            raise _told(exc, self._uri) from exc

    def _token(self) -> Token:
        if not self._uri.module.is_file():
            raise SettingsError("the PKCS#11 module is not there", seen=self._uri.module)
        serial = None if self._uri.serial is None else self._uri.serial.encode()
        token: Token = _loaded(self._uri.module).get_token(token_label=self._uri.token, token_serial=serial)
        return token

    def _found(self, session: Any) -> Any:  # noqa: ANN401  the library's classes say by mixins what they can, which its types do not
        key = session.get_key(object_class=ObjectClass.SECRET_KEY, label=self._uri.label, id=self._uri.key_id)
        if key.key_type is not KeyType.AES:
            raise SettingsError("the key-encryption key is of another kind", seen=str(key.key_type), wanted="AES")
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
            hint = "make one that never leaves the token: " + _MAKE
            raise SettingsError("the key-encryption key can be taken out of its token", seen=str(self._uri), hint=hint)
        return key

    def _pin(self) -> str:
        try:
            data = read_private(self._uri.pin, MAX_PIN, "the PIN's file")
            return data.decode().removesuffix("\n")
        except OSError as exc:
            raise SettingsError("the PIN's file cannot be read", seen=f"{self._uri.pin}: {exc.strerror}") from exc
        except UnicodeDecodeError:
            raise SettingsError("the PIN's file does not hold a PIN", seen=self._uri.pin, wanted="UTF-8") from None

    def __repr__(self) -> str:
        return f"Pkcs11Key({self.id})"


def _session(token: Token, pin: str) -> Any:  # noqa: ANN401  as above
    """A session with what the user may do. A login is the process's: whoever else here has the token, shares theirs."""
    try:
        return token.open(user_pin=pin)
    except of.UserAlreadyLoggedIn:
        return token.open()


def _loaded(module: Path) -> Any:  # noqa: ANN401  as `_found`
    """The module, loaded on a thread of its own.

    One that is made with OpenSSL, as SoftHSM, leaves an error behind on the thread that loads it, which TLS on the same
    thread would take for its own.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(pkcs11.lib, str(module)).result()


def _gcm(nonce: bytes, head: bytes) -> dict[str, Any]:
    params = GCMParams(nonce, head + CONTEXT.encode(), _TAG_BITS)
    return {"mechanism": Mechanism.AES_GCM, "mechanism_param": params}


def _told(exc: Exception, uri: Pkcs11Uri) -> SettingsError | Unavailable:
    """What the module says, in our words. A wrong PIN is not tried again: tokens lock themselves after some."""
    seen = f"{type(exc).__name__} from {uri}"
    if isinstance(exc, of.PinIncorrect | of.PinInvalid | of.PinLenRange | of.PinLocked | of.PinExpired):
        hint = "look at pin-source before you try again: a token locks itself after some wrong PINs"
        return SettingsError("the token refuses its PIN", seen=seen, hint=hint)
    if isinstance(exc, of.NoSuchKey | of.MultipleObjectsReturned):
        return SettingsError("the token has no such key, or several", seen=seen, wanted="one", hint=_MAKE)
    if isinstance(exc, of.MultipleTokensReturned):
        return SettingsError("several tokens are called so", seen=seen, hint="name its serial too")
    if isinstance(exc, of.MechanismInvalid | of.MechanismParamInvalid | of.FunctionNotSupported):
        return SettingsError("the token's key does not do this", seen=seen, wanted="CKM_AES_GCM and CKM_AES_CBC")
    hint = "is the token there, and its module's daemon running?"
    return Unavailable("the token with the key-encryption key does not answer", seen=seen, hint=hint)
