"""The key broker's configuration: one TOML file, read strictly. Secrets are named by file, never written here.

    [listen]
    host = "0.0.0.0"                    # default 127.0.0.1
    port = 9443
    certificate = "tls/cert.pem"
    key = "tls/key.pem"

    [store]
    database = "broker.sqlite"          # or "postgresql://amber@db.example/broker?passfile=/etc/amber/pgpass"
    key_encryption_key = "broker.kek"   # made at first start, mode 0600

    [audit]
    checkpoint = "broker.checkpoint"    # the default: beside the database and named like it; better on another disk

    [[issuers]]
    issuer = "https://attest.example:8443"
    jwks_url = "https://attest.example:8443/certs"   # or jwks_file = "keys.json"
    cacerts = "ca.pem"                               # default: the system's roots
    insecure_accept_simulated = false                # the default

Paths are relative to the file's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ambergate.core.errors import SettingsError
from ambergate.services.keybroker.fetch import KeySetFile, KeySetUrl
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.server import TlsFiles
from ambergate.services.web.settings import AuditTable, Listen, checkpoint_place, database_place, load_toml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class StoreTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: the file or PostgreSQL URL where keys are kept, and the file of the key that encrypts them."""

    database: str
    key_encryption_key: str


class IssuerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[issuers]]`: one issuer that is believed."""

    issuer: str
    jwks_url: str | None = None
    jwks_file: str | None = None
    cacerts: str | None = None
    insecure_accept_simulated: bool = False


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: Listen
    store: StoreTable
    issuers: list[IssuerTable]
    audit: AuditTable = AuditTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The key broker's configuration, its paths resolved."""

    host: str
    port: int
    tls: TlsFiles
    database: Path | str
    key_encryption_key: Path
    checkpoint: Path
    trust: TrustedIssuers


def load(path: Path) -> Config:
    """Read the configuration. Nothing is fetched or made yet.

    Raises:
        SettingsError: unreadable, unknown or missing members, or values that cannot be used.
    """
    file = load_toml(path, _File)
    folder = path.resolve().parent
    if not 0 <= file.listen.port <= 0xFFFF:
        raise SettingsError("listen.port is no port", seen=file.listen.port, wanted="0 to 65535")
    return Config(
        host=file.listen.host,
        port=file.listen.port,
        tls=TlsFiles(certificate=folder / file.listen.certificate, key=folder / file.listen.key),
        database=database_place(file.store.database, folder),
        key_encryption_key=folder / file.store.key_encryption_key,
        checkpoint=checkpoint_place(file.audit, file.store.database, folder),
        trust=_trust(file.issuers, folder),
    )


def _trust(tables: Sequence[IssuerTable], folder: Path) -> TrustedIssuers:
    if not tables:
        raise SettingsError("no issuer is trusted", wanted="one [[issuers]] table at least")
    names = [table.issuer for table in tables]
    for name in names:
        if not name or names.count(name) > 1:
            raise SettingsError("issuers.issuer must be named, and once", seen=repr(name))
    return TrustedIssuers([_issuer(table, folder) for table in tables])


def _issuer(table: IssuerTable, folder: Path) -> TrustedIssuer:
    if (table.jwks_url is None) == (table.jwks_file is None):
        wanted = "either jwks_url or jwks_file"
        raise SettingsError("an issuer's keys come from one place", seen=table.issuer, wanted=wanted)
    fetch: KeySetFile | KeySetUrl
    if table.jwks_url is not None:
        cacerts = None if table.cacerts is None else folder / table.cacerts
        fetch = KeySetUrl(_https(table.jwks_url), cacerts=cacerts)
    else:
        assert table.jwks_file is not None
        if table.cacerts is not None:
            raise SettingsError("cacerts means nothing for a jwks_file", seen=table.issuer, hint="leave it out")
        fetch = KeySetFile(folder / table.jwks_file)
    return TrustedIssuer(issuer=table.issuer, keys=IssuerKeys(fetch), accept_simulated=table.insecure_accept_simulated)


def _https(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(c.isspace() for c in url):
        raise SettingsError("issuers.jwks_url is not usable", seen=url, wanted="https://host[:port]/path")
    return url
