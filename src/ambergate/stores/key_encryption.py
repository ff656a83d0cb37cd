"""The key-encryption key (KEK): what a database's data keys are encrypted under, and where that key is.

`[store] key_encryption_key` names it in one of four ways:

    "state.kek"                a file of 64 hex digits, owner only; made at the first start
    "env:AMBER_KEK"            64 hex digits in this variable of the environment
    "pkcs11:token=...;..."     a key that stays in a hardware security module (`stores/pkcs11_key.py`)
    "shares:broker.shares"     a key in shares that people hold (`stores/shares.py`); a key broker gathers them

A KEK encrypts data keys and nothing else (`stores/data_keys.py`), so it is asked once at a start.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ambergate.core.errors import SettingsError
from ambergate.stores.pkcs11_uri import Pkcs11Uri
from ambergate.stores.sealing import Sealer, check_key_file, key_id, load_or_create_key, parse_key
from ambergate.stores.shares import ShareSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ENVIRONMENT: Final = "env:"
_SHARES: Final = "shares:"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What a data key is bound to under its KEK. Changing this makes every database unreadable.
CONTEXT: Final = "ambergate data key"


class KeyEncryptionKey(Protocol):
    """Encrypts data keys. Redacted."""

    @property
    def id(self) -> str:
        """16 hex digits that name the key, wherever it is found; they tell nothing of it."""
        ...

    @property
    def local(self) -> bytes | None:
        """The key itself, where this process has it: databases of the time before data keys are sealed under it."""
        ...

    def wrap(self, data_key: bytes) -> bytes:
        """The data key, encrypted and authenticated. Raises `Unavailable`, `SettingsError`."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key again. Raises `SettingsError` if it is not one that this key wrapped; `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class EnvironmentKey:
    """A variable of the environment that holds the key."""

    name: str

    def __str__(self) -> str:
        return _ENVIRONMENT + self.name


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that is nowhere: people hold shares of it. The file says how many."""

    file: Path

    def __str__(self) -> str:
        return f"{_SHARES}{self.file}"


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that was brought together from shares, in this process. Redacted."""

    key: bytes = field(repr=False)
    set_id: str
    failures: int

    def __str__(self) -> str:
        return f"a key from shares {self.set_id}"


KeyPlace = Path | EnvironmentKey | Pkcs11Uri | SharedKey | HeldKey


class LocalKey:
    """A KEK that this process knows. Redacted.

    Args:
        key: 32 bytes.
        token_bytes: randomness for nonces.

    Raises:
        SettingsError: it has another length.
    """

    __slots__ = ("_sealer", "id", "local")

    def __init__(self, key: bytes, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._sealer = Sealer(key, token_bytes=token_bytes)
        self.id = key_id(key).hex()
        self.local: bytes | None = key

    def wrap(self, data_key: bytes) -> bytes:
        """The data key, encrypted."""
        return self._sealer.seal(data_key, context=CONTEXT)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key again.

        Raises:
            SettingsError: not one that this key wrapped.
        """
        return self._sealer.open(wrapped, context=CONTEXT)

    def __repr__(self) -> str:
        return f"LocalKey({self.id})"


def key_place(text: str, folder: Path) -> KeyPlace:
    """Where a KEK is; files are relative to the folder.

    Raises:
        SettingsError: neither a file, nor a variable, nor a PKCS#11 URI that can be used.
    """
    if text.startswith("pkcs11:"):
        return Pkcs11Uri.parse(text)
    if text.startswith(_ENVIRONMENT):
        name = text.removeprefix(_ENVIRONMENT)
        if not _VARIABLE.fullmatch(name):
            raise SettingsError("key_encryption_key names no variable", seen=text[:160], wanted="env:NAME")
        return EnvironmentKey(name)
    if text.startswith(_SHARES) and text != _SHARES and "\0" not in text:
        return SharedKey(folder / text.removeprefix(_SHARES))
    if not text or "\0" in text:
        raise SettingsError("key_encryption_key names no file", seen=repr(text[:160]))
    return folder / text


def check_key(place: KeyPlace, *, environ: Mapping[str, str] = os.environ) -> None:
    """Returns if a KEK is in this place, or its file can be made. A module of PKCS#11 is not asked.

    Raises:
        SettingsError: it is not there, is not one, or is open to others.
    """
    if isinstance(place, EnvironmentKey):
        open_kek(place, environ=environ)
    elif isinstance(place, SharedKey):
        ShareSet.load(place.file)
    elif isinstance(place, Path):
        check_key_file(place)


def open_kek(
    place: KeyPlace,
    *,
    create: bool = False,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    environ: Mapping[str, str] = os.environ,
) -> KeyEncryptionKey:
    """The KEK in this place.

    Args:
        place: from `key_place`.
        create: make the file if it is not there. Other places never get a key from us.
        token_bytes: randomness for keys and nonces.
        environ: the environment.

    Raises:
        SettingsError: it is not there, is not one, or is open to others.
        Unavailable: the module that keeps it does not answer.
    """
    if isinstance(place, Pkcs11Uri):
        try:
            from ambergate.stores.pkcs11_key import Pkcs11Key  # noqa: PLC0415  an extra, for who uses it
        except ImportError as exc:
            hint = "pip install 'ambergate[pkcs11]'"
            raise SettingsError("PKCS#11 needs a library that is not installed", seen=str(exc), hint=hint) from exc
        return Pkcs11Key(place, token_bytes=token_bytes)
    if isinstance(place, SharedKey):
        hint = "a key broker that is sealed is opened by `amber keybroker unseal`; its commands go over HTTP then"
        raise SettingsError("the key-encryption key is in shares", seen=place, hint=hint)
    if isinstance(place, HeldKey):
        return LocalKey(place.key, token_bytes=token_bytes)
    if isinstance(place, EnvironmentKey):
        text = environ.get(place.name)
        if text is None:
            raise SettingsError("the key-encryption key is not in the environment", wanted=f"{place.name} to be set")
        return LocalKey(parse_key(text.encode(errors="replace"), str(place)), token_bytes=token_bytes)
    if not create and not place.exists():
        raise SettingsError("the key-encryption key is not there", seen=place, hint="put it back first")
    return LocalKey(load_or_create_key(place, token_bytes=token_bytes), token_bytes=token_bytes)
