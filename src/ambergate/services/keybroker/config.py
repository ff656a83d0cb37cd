"""The key broker's configuration: one TOML file, the environment over it, both read strictly.

Secrets are named by file, never written here. Every setting: `tables.py`, docs/configuration.md.

    [listen]
    host = "0.0.0.0"                    # default 127.0.0.1
    port = 9443
    certificate = "tls/cert.pem"
    key = "tls/key.pem"

    [store]
    database = "broker.sqlite"          # or "postgresql://amber@db.example/broker?passfile=/etc/amber/pgpass"
    key_encryption_key = "broker.kek"   # made at first start, mode 0600; or "env:NAME", or "pkcs11:..."
    version_keys = "broker.sqlite-keys" # the default beside a file; with PostgreSQL: the database itself

    [audit]
    checkpoint = "broker.checkpoint"    # the default: beside the database and named like it; better on another disk

    [users]
    token_minutes = 5                   # the default; 1 to 30

    [[issuers]]
    issuer = "https://attest.example:8443"
    jwks_url = "https://attest.example:8443/certs"   # or jwks_file = "keys.json"
    cacerts = "ca.pem"                               # default: the system's roots
    insecure_accept_simulated = false                # the default
    algorithms = ["PS384"]                           # default: PS384, RS256 and ES256
    signing_root = "root.pem"                        # a key counts only with a chain to it; left out: who serves counts
    crls = ["https://attest.example:8443/crl/root-ca-crl.der", "https://attest.example:8443/crl/ats-ca-crl.der"]

    [verifier]                          # for the background check; without it the broker takes tokens only
    url = "https://attest.example:8443/appraisal/v1/"
    api_key_file = "verifier.key"       # the broker's own; left out: the service asks for none
    cacerts = "ca.pem"                  # default: the system's roots
    timeout_seconds = 15                # the default, for each request

Paths are relative to the file's folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ambergate.client.settings import MAX_VALUE, ApiKey, parse, parse_url
from ambergate.client.transport import Peer, tls_context
from ambergate.core.errors import MalformedToken, SettingsError
from ambergate.core.token.certified import MAX_CRL, read_roots
from ambergate.core.token.jose import ALGORITHMS
from ambergate.services.keybroker.admin_place import AdminPlace
from ambergate.services.keybroker.background import AttestationClient
from ambergate.services.keybroker.fetch import BoundedFile, BoundedUrl, KeySetFile, KeySetUrl
from ambergate.services.keybroker.managers import Managers, managers
from ambergate.services.keybroker.pinned import SigningRoot
from ambergate.services.keybroker.tables import Tables
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.rates import Rate
from ambergate.services.web.settings.files import read_bounded
from ambergate.services.web.settings.problems import Problems
from ambergate.services.web.settings.reading import Settings, read
from ambergate.services.web.settings.sources import NO_ENVIRONMENT
from ambergate.stores.key_encryption import key_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ambergate.services.keybroker.tables import Issuer, Verifier
    from ambergate.services.web.limits import Limits
    from ambergate.services.web.settings.observing import Log, MetricsPlace, Traces
    from ambergate.services.web.tls import TlsFiles
    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyPlace

SERVICE: Final = "keybroker"
# What a process holds on to from its start to its end: field of `Config` -> setting.
FIXED: Final = {
    "host": "listen.host",
    "port": "listen.port",
    "workers": "listen.workers",
    "database": "[store] database or password",
    "key_encryption_key": "store.key_encryption_key",
    "version_keys": "[store] version_keys or version_keys_password",
    "managers": "[[pkcs11]], [[kmip]] and [[vault]]",
    "checkpoint": "audit.checkpoint",
    "metrics": "[metrics]",
    "traces": "[traces]",
    "admin": "[admin]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The key broker's configuration, its paths resolved."""

    host: str
    port: int
    workers: int
    limits: Limits
    tls: TlsFiles
    database: Path | str | Server
    key_encryption_key: KeyPlace
    version_keys: Path | str | Server | None  # None: in the database itself
    checkpoint: Path
    token_lifetime: timedelta
    log: Log
    metrics: MetricsPlace | None
    traces: Traces
    admin: AdminPlace | None
    transfer_rate: Rate
    dangerously_allow_unattested_transfer: bool
    trust: TrustedIssuers
    key_set_files: tuple[Path, ...]
    managers: Managers
    verifier: AttestationClient | None = None  # None: no background check


def load(path: Path | None, environ: Mapping[str, str] = NO_ENVIRONMENT) -> Config:
    """Read the configuration. Nothing is fetched or made yet.

    Args:
        path: the TOML file; None: the environment says all, and paths are relative to the working directory.
        environ: the environment; its settings stand over the file's.

    Raises:
        SettingsError: unreadable, unknown or missing members, or values that cannot be used; all of them are told.
    """
    return configured(read(path, environ, Tables, SERVICE))


def configured(settings: Settings[Tables]) -> Config:
    """The configuration that these settings make.

    Raises:
        SettingsError: values that cannot be used; all of them are told.
    """
    file, folder = settings.tables, settings.folder
    problems = Problems()
    config = Config(
        host=file.listen.host,
        port=file.listen.port,
        workers=file.listen.workers,
        limits=problems.attempt(file.limits.limits),
        tls=file.listen.tls(folder),
        database=problems.attempt(file.store.place, folder),
        key_encryption_key=problems.attempt(key_place, file.store.key_encryption_key, folder),
        version_keys=problems.attempt(file.store.version_keys_place, folder),
        checkpoint=file.audit.place(file.store, folder),
        token_lifetime=timedelta(minutes=file.users.token_minutes),
        log=file.log,
        traces=file.traces,
        metrics=problems.attempt(file.metrics.place, folder),
        admin=problems.attempt(_admin, file, folder),
        transfer_rate=Rate(file.transfer.per_second, file.transfer.burst),
        dangerously_allow_unattested_transfer=file.users.dangerously_allow_unattested_transfer,
        key_set_files=tuple(folder / one.jwks_file for one in file.issuers if one.jwks_file is not None),
        trust=problems.attempt(_trust, file.issuers, folder),
        managers=problems.attempt(managers, file, folder),
        verifier=None if file.verifier is None else problems.attempt(_verifier, file.verifier, folder),
    )
    problems.settle()
    return config


def _admin(file: Tables, folder: Path) -> AdminPlace | None:
    admin = file.admin
    if admin.port is not None and admin.port and admin.port == file.listen.port:
        raise SettingsError("admin.port is that of listen", seen=admin.port, wanted="another")
    return AdminPlace.of(socket=admin.socket, host=admin.host, port=admin.port, folder=folder)


def _trust(tables: Sequence[Issuer], folder: Path) -> TrustedIssuers:
    if not tables:
        raise SettingsError("no issuer is trusted", wanted="one [[issuers]] table at least")
    names = [table.issuer for table in tables]
    for name in names:
        if not name or names.count(name) > 1:
            raise SettingsError("issuers.issuer must be named, and once", seen=repr(name))
    return TrustedIssuers([_issuer(table, folder) for table in tables])


def _issuer(table: Issuer, folder: Path) -> TrustedIssuer:
    if (table.jwks_url is None) == (table.jwks_file is None):
        wanted = "either jwks_url or jwks_file"
        raise SettingsError("an issuer's keys come from one place", seen=table.issuer, wanted=wanted)
    if table.algorithms == []:
        raise SettingsError("issuers.algorithms allows nothing", seen=table.issuer, hint="leave it out for all")
    cacerts = None if table.cacerts is None else folder / table.cacerts
    addresses = [place for place in (table.jwks_url, *table.crls) if place is not None and "://" in place]
    if cacerts is not None and not addresses:
        raise SettingsError("cacerts means nothing for a jwks_file", seen=table.issuer, hint="leave it out")
    fetch: KeySetFile | KeySetUrl
    if table.jwks_url is not None:
        fetch = KeySetUrl(_https(table.jwks_url), cacerts=cacerts)
    else:
        assert table.jwks_file is not None
        fetch = KeySetFile(folder / table.jwks_file)
    keys = IssuerKeys(
        fetch,
        vouch=_signing_root(table, folder, cacerts),
        algorithms=table.algorithms or ALGORITHMS,
        max_stale=timedelta(hours=table.max_stale_hours),
    )
    return TrustedIssuer(
        issuer=table.issuer,
        keys=keys,
        accept_simulated=table.insecure_accept_simulated,
        source=None if table.jwks_url is None else (table.jwks_url, _what_it_hangs_on(table, folder)),
    )


def _what_it_hangs_on(table: Issuer, folder: Path) -> bytes:
    """A digest of all that a key set was judged by: what was held under other roots is not taken over."""
    files = [
        b"" if name is None else read_bounded(folder / name, f"issuers.{field}")
        for field, name in (("cacerts", table.cacerts), ("signing_root", table.signing_root))
    ]
    words = [*(table.algorithms or ()), "", *table.crls, "", str(table.insecure_ignore_revocation)]
    told = [hashlib.sha256(each).digest() for each in (*files, *(word.encode() for word in words))]
    return hashlib.sha256(b"".join(told)).digest()


def _signing_root(table: Issuer, folder: Path, cacerts: Path | None) -> SigningRoot | None:
    if table.signing_root is None:
        if table.crls or table.insecure_ignore_revocation:
            hint = "name signing_root"
            raise SettingsError("revocation means nothing without a signing root", seen=table.issuer, hint=hint)
        return None
    if bool(table.crls) == table.insecure_ignore_revocation:
        wanted = "crls, or insecure_ignore_revocation = true"
        raise SettingsError("a signing root wants revocation lists", seen=table.issuer, wanted=wanted)
    try:
        roots = read_roots(read_bounded(folder / table.signing_root, "issuers.signing_root"))
    except MalformedToken as exc:
        seen = f"{table.signing_root}: {exc.message}"
        raise SettingsError("issuers.signing_root cannot be used", seen=seen, wanted="PEM") from exc
    what = "a revocation list"
    lists: list[BoundedFile | BoundedUrl] = [
        BoundedUrl(_https(place), cacerts=cacerts, limit=MAX_CRL, what=what)
        if "://" in place
        else BoundedFile(folder / place, MAX_CRL, what)
        for place in table.crls
    ]
    return SigningRoot(roots, None if table.insecure_ignore_revocation else tuple(lists))


def _verifier(table: Verifier, folder: Path) -> AttestationClient:
    url = parse_url("verifier.url", table.url)
    if url is None:
        raise SettingsError("verifier.url is empty", wanted="https://host[:port]/appraisal/v1/")
    roots = "" if table.cacerts is None else _text(folder / table.cacerts, "verifier.cacerts")
    peer = Peer(url=url, addresses=(), roots=roots, timeout=table.timeout_seconds)
    tls_context(roots)  # what is no certificate stops the start
    if table.api_key_file is None:
        return AttestationClient(peer, None)
    key = parse("endpoint_apikey", _text(folder / table.api_key_file, "verifier.api_key_file").encode())
    if not isinstance(key, ApiKey):
        raise SettingsError("verifier.api_key_file is empty", seen=table.api_key_file)
    return AttestationClient(peer, key)


def _text(path: Path, field: str) -> str:
    """A small file's text. What is in it is never told."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_VALUE + 1).decode()
    except OSError as exc:
        raise SettingsError(f"{field} cannot be read", seen=f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{field} is not text", seen=path) from exc


def _https(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(c.isspace() for c in url):
        raise SettingsError("an address in [[issuers]] is not usable", seen=url, wanted="https://host[:port]/path")
    return url
