"""What the settings name, looked at before a service needs it: there, readable, closed to others, what it should be?

Each function returns if it is, and raises `SettingsError` if not. Nothing is made, written or fetched.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from sqlalchemy import make_url

from ambergate.core.errors import SettingsError
from ambergate.services.web.tls import TlsFiles, server_context
from ambergate.stores.engine import Server
from ambergate.stores.private_files import check_private

if TYPE_CHECKING:
    from datetime import datetime

MAX_PEM: Final = 1024 * 1024  # bytes; bundles of all public roots have a quarter of it
_OTHERS: Final = 0o007
_GROUP_AND_OTHERS: Final = 0o077
_SQLITE: Final = b"SQLite format 3\x00"  # how a database begins (sqlite.org/fileformat.html, 1.2); a new one is empty


def check_tls(files: TlsFiles, at: datetime, table: str = "listen") -> None:
    """Certificate and key of a table belong together, the certificate is good now, and the key is closed to others.

    Raises:
        SettingsError: it is not so.
    """
    server_context(files)
    check_closed(files.key, f"{table}.key", _OTHERS)
    try:
        certificate = x509.load_pem_x509_certificates(read_bounded(files.certificate, f"{table}.certificate"))[0]
    except ValueError as exc:
        raise SettingsError(f"{table}.certificate cannot be read", seen=f"{files.certificate}: {exc}") from exc
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise SettingsError(
            f"{table}.certificate is not good now",
            seen=f"{files.certificate}: {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}",
            wanted=str(at),
            hint="clients will not connect: renew it",
        )


def check_database(place: Path | str | Server) -> None:
    """A file is an SQLite database or can be made; the files that a URL names are there. Nobody is connected to.

    Raises:
        SettingsError: it is not so.
    """
    if isinstance(place, Server):
        place = place.url
    if isinstance(place, str):
        query = make_url(place).query
        for name in ("passfile", "sslrootcert", "sslcert", "sslkey"):
            if isinstance(file := query.get(name), str):
                read_bounded(Path(file), f"{name} of store.database")
        # libpq ignores a passfile that is open, to a group too, and refuses a key that is not private.
        if isinstance(file := query.get("passfile"), str):
            check_closed(Path(file), "passfile of store.database", _GROUP_AND_OTHERS)
        if isinstance(file := query.get("sslkey"), str):
            check_private(Path(file), Path(file).stat(), "sslkey of store.database")
        return
    check_writable(place, "store.database")
    if place.exists():
        with place.open("rb") as file_:
            head = file_.read(len(_SQLITE))
        if head not in {b"", _SQLITE}:
            raise SettingsError("store.database is no SQLite database", seen=str(place), hint="name another file")


def check_writable(path: Path, name: str) -> None:
    """A file that can be read and written, or made.

    Raises:
        SettingsError: it is not so.
    """
    if path.exists():
        if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            raise SettingsError(f"{name} cannot be written", seen=str(path), wanted="a file of the service's user")
    elif not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"{name} cannot be made", seen=str(path), hint="does its folder exist, and who owns it?")


def check_folder(path: Path, name: str) -> None:
    """A folder that can be read.

    Raises:
        SettingsError: it is not so.
    """
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        raise SettingsError(f"{name} is no folder that can be read", seen=str(path))


def check_roots(path: Path, name: str) -> None:
    """A file of PEM certificates that OpenSSL takes as roots.

    Raises:
        SettingsError: it is not so.
    """
    try:
        found = read_bounded(path, name).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError) as exc:
        raise SettingsError(f"{name} cannot be used", seen=f"{path}: {exc}", wanted="PEM certificates") from exc


def check_closed(path: Path, name: str, mask: int) -> None:
    """A file that those in `mask` can do nothing with.

    Raises:
        SettingsError: it is not so.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        raise SettingsError(f"{name} cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if mode & mask:
        raise SettingsError(
            f"{name} is open to others",
            seen=f"{path}: mode {mode:04o}",
            wanted=f"{mode & ~mask:04o}",
            hint=f"chmod {mode & ~mask:o} {path}",
        )


def read_bounded(path: Path, name: str, limit: int = MAX_PEM) -> bytes:
    """A file's bytes.

    Raises:
        SettingsError: it cannot be read, or is longer than `limit`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise SettingsError(f"{name} cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if len(data) > limit:
        raise SettingsError(f"{name} is too long", seen=str(path), wanted=f"at most {limit} bytes")
    return data
