"""The key managers that the configuration names, beside the built-in one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError
from ambergate.keymanagers.builtin import BuiltIn
from ambergate.keymanagers.kmip import Kmip, KmipPlace
from ambergate.keymanagers.pkcs11 import Pkcs11, TokenPlace
from ambergate.keymanagers.vault import VaultKv, VaultTransit
from ambergate.keymanagers.vault_api import VaultPlace
from ambergate.services.keybroker.keyring import BUILT_IN
from ambergate.stores.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ambergate.services.keybroker.ports import KeyManager
    from ambergate.services.keybroker.tables import KmipServer, Tables, Token, Vault

_NAME: Final = re.compile("[a-z0-9][a-z0-9-]{0,62}")
_URL: Final = re.compile(r"https://[A-Za-z0-9.:\[\]-]{1,250}")
_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Managers:
    """The key managers that are named; made by `managers`. Nothing is asked before it is needed."""

    rows: tuple[Token | KmipServer | Vault, ...]
    folder: Path

    def made(self, token_bytes: Callable[[int], bytes]) -> dict[str, KeyManager]:
        """All of them by name, with the built-in one."""
        outside = {row.name: _made(row, self.folder, token_bytes) for row in self.rows}
        return {BUILT_IN: BuiltIn(token_bytes), **outside}


def managers(tables: Tables, folder: Path) -> Managers:
    """What the tables name, its paths relative to the folder.

    Raises:
        SettingsError: a name that is taken or cannot be used, an address that is none.
    """
    rows: tuple[Token | KmipServer | Vault, ...] = (*tables.pkcs11, *tables.kmip, *tables.vault)
    names = [BUILT_IN, *(row.name for row in rows)]
    for row in rows:
        if not _NAME.fullmatch(row.name) or names.count(row.name) > 1:
            wanted = f"a name of its own: small letters, digits and hyphens, not {BUILT_IN}"
            raise SettingsError("a key manager's name cannot be used", seen=repr(row.name[:64]), wanted=wanted)
        _made(row, folder, bytes)  # what cannot be used is told now
    return Managers(rows, folder)


def _made(row: Token | KmipServer | Vault, folder: Path, token_bytes: Callable[[int], bytes]) -> KeyManager:
    from ambergate.services.keybroker.tables import KmipServer, Token  # noqa: PLC0415  the tables import settings

    if isinstance(row, Token):
        place = TokenPlace(
            module=folder / row.module, token=row.token, pin_file=folder / row.pin_file, oaep=row.oaep_hash
        )
        return Pkcs11(place, token_bytes, read_private)
    if isinstance(row, KmipServer):
        server = KmipPlace(
            host=row.host,
            port=row.port,
            certificate=folder / row.certificate,
            key=folder / row.key,
            cacerts=None if row.cacerts is None else folder / row.cacerts,
            timeout=row.timeout_seconds,
        )
        return Kmip(server, token_bytes)
    vault, prefix = _vault(row, folder), row.prefix
    if row.engine == "transit":
        return VaultTransit(vault, prefix)
    return VaultKv(vault, prefix, token_bytes)


def _vault(row: Vault, folder: Path) -> VaultPlace:
    if not _URL.fullmatch(row.url.rstrip("/")):
        raise SettingsError("vault.url is not usable", seen=row.url[:160], wanted="https://host[:port]")
    for name, value in (("mount", row.mount), ("prefix", row.prefix)):
        if not _PATH.fullmatch(value):
            raise SettingsError(f"vault.{name} is not usable", seen=repr(value[:64]), wanted="letters, digits, - _ /")
    return VaultPlace(
        url=row.url.rstrip("/"),
        mount=row.mount,
        token_file=folder / row.token_file,
        namespace=row.namespace,
        cacerts=None if row.cacerts is None else folder / row.cacerts,
        timeout=row.timeout_seconds,
    )
