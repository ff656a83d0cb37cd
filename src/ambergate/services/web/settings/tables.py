"""The tables that every service has, and the rules for what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ambergate.core.errors import SettingsError
from ambergate.services.web.settings.secret import SecretText  # noqa: TC001  # msgspec reads the annotations
from ambergate.services.web.tls import TlsFiles
from ambergate.services.web.workers import MAX_WORKERS
from ambergate.stores.engine import Server, check_url

if TYPE_CHECKING:
    from pathlib import Path


class Listen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[listen]`: where the service accepts connections, and under which certificate."""

    host: Annotated[str, Meta(description="Address; `0.0.0.0` or `::` for all.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=0xFFFF, description="TCP port, 0 to 65535; 0 takes a free one.")]
    certificate: Annotated[str, Meta(description="File: the server's certificate chain, PEM.")]
    key: Annotated[str, Meta(description="File: its unencrypted private key, PEM.")]
    workers: Annotated[
        int, Meta(ge=1, le=MAX_WORKERS, description="Processes that serve, 1 to 64; `--workers` stands over it.")
    ] = 1

    def tls(self, folder: Path) -> TlsFiles:
        """The files of certificate and key."""
        return TlsFiles(certificate=folder / self.certificate, key=folder / self.key)


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: where state is kept, and the key that encrypts the secrets in it."""

    database: Annotated[
        str, Meta(description="File of an SQLite database, or `postgresql://user@host/database?passfile=FILE`.")
    ]
    password: Annotated[
        SecretText | None, Meta(description="Password of the PostgreSQL role, instead of a `passfile`.")
    ] = None
    key_encryption_key: Annotated[
        str,
        Meta(
            description="The key that encrypts secrets in the database: a file, made at first use with mode 0600; "
            "`env:NAME`; `pkcs11:...`; or, for a key broker, `shares:FILE` ([keys.md](keys.md))."
        ),
    ]

    def place(self, folder: Path) -> Path | str | Server:
        """The database: a file, relative to the configuration, or a server.

        Raises:
            SettingsError: the URL cannot be used, or there is a password for a file.
        """
        if "://" not in self.database:
            if self.password is not None:
                raise SettingsError("store.password is for PostgreSQL", seen=self.database, hint="leave it out")
            return folder / self.database
        check_url(self.database)
        return self.database if self.password is None else Server(self.database, self.password.reveal())


class Audit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[audit]`: the file outside the database that tells where the audit log stood."""

    checkpoint: Annotated[
        str | None,
        Meta(description="File, best on another disk; beside the database and named like it when not given."),
    ] = None

    def place(self, store: Store, folder: Path) -> Path:
        """The audit log's pin: beside a database file and named like it, unless it is given."""
        if self.checkpoint is not None:
            return folder / self.checkpoint
        database = store.database
        return folder / "audit.checkpoint" if "://" in database else (folder / database).with_suffix(".checkpoint")


def public_url(text: str, *, field: str) -> str:
    """A base URL as others will compare it: https, a host, no query, no trailing slash.

    Raises:
        SettingsError: anything else.
    """
    wanted = "https://host[:port][/path]"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise SettingsError(f"{field} is not a URL", seen=text, wanted=wanted) from exc
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if (
        parts.scheme != "https"
        or not parts.hostname
        or not plain
        or port == 0
        or any(c in text for c in "\"' \t\r\n\\")
    ):
        raise SettingsError(f"{field} is not a usable base URL", seen=text, wanted=wanted)
    return text.rstrip("/")
