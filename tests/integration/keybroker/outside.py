"""Key managers beside the broker: a token of SoftHSM, a KMIP server of PyKMIP, and a double of Vault."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.keymanagers.kmip_server import running_server
from tests.unit.keymanagers.vault_double import TOKEN, VaultDouble

from ambergate.keymanagers.kmip import Kmip
from ambergate.keymanagers.pkcs11 import Pkcs11, TokenPlace
from ambergate.keymanagers.vault import VaultKv, VaultTransit
from ambergate.keymanagers.vault_api import VaultPlace
from ambergate.services.web.server import TlsFiles, running
from ambergate.stores.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.softhsm import Token

    from ambergate.services.keybroker.ports import KeyManager

KINDS: Final = ("pkcs11", "kmip", "kv", "transit")


@contextmanager
def key_manager(kind: str, tls: TlsFiles, folder: Path, request: pytest.FixtureRequest) -> Iterator[KeyManager]:
    """One of these kinds, real where it can be; the test is skipped where its parts are not installed."""
    if kind == "kmip":
        pytest.importorskip("kmip", reason="PyKMIP is not installed")
        with running_server(folder) as server:
            yield Kmip(server, secrets.token_bytes)
    elif kind == "pkcs11":
        softhsm: Token = request.getfixturevalue("softhsm")
        pin, module = softhsm.folder / "pin", Path(softhsm.module)
        where = TokenPlace(module=module, token="amber", pin_file=pin, oaep="sha1")
        token = Pkcs11(where, secrets.token_bytes, read_private)
        yield token
        if token._session is not None:  # no test of this process may have used it
            token._session.close()
    else:
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        with running(VaultDouble().app(), tls) as port:
            place = VaultPlace(
                url=f"https://127.0.0.1:{port}",
                mount="secret" if kind == "kv" else "transit",
                token_file=folder / "token",
                namespace=None,
                cacerts=tls.certificate.with_name("ca.pem"),
                timeout=20,
            )
            yield VaultKv(place, "x", secrets.token_bytes) if kind == "kv" else VaultTransit(place, "x")
