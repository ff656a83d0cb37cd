"""Loading a service's TOML file strictly: unknown keys, wrong types and missing values do not load."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

MAX_FILE: Final = 1024 * 1024  # bytes


class Listen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[listen]`: where the service accepts connections, and under which certificate."""

    host: str = "127.0.0.1"
    port: int
    certificate: str
    key: str


class AuditTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[audit]`: the file outside the database that tells where the audit log stood."""

    checkpoint: str | None = None


def load_toml(path: Path, kind: type[T]) -> T:
    """The file as `kind`, a msgspec struct with `forbid_unknown_fields`.

    Raises:
        SettingsError: unreadable, not TOML, or not of that shape; says where.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as exc:
        raise SettingsError("the configuration cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if len(text) > MAX_FILE:
        raise SettingsError("the configuration is too long", seen=str(path), wanted=f"at most {MAX_FILE} bytes")
    try:
        table = tomllib.loads(text.decode())
        return msgspec.convert(table, kind)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError("the configuration is not TOML", seen=f"{path}: {exc}") from exc
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as exc:
        raise SettingsError("the configuration is not of the expected shape", seen=f"{path}: {exc}") from exc


def database_place(text: str, folder: Path) -> Path | str:
    """Where `[store] database` is: a file beside the configuration, or a URL, which whoever opens it looks at."""
    return text if "://" in text else folder / text


def checkpoint_place(audit: AuditTable, database: str, folder: Path) -> Path:
    """The audit log's pin: beside a database file and named like it, unless `[audit] checkpoint` says otherwise."""
    if audit.checkpoint is not None:
        return folder / audit.checkpoint
    place = database_place(database, folder)
    return folder / "audit.checkpoint" if isinstance(place, str) else place.with_suffix(".checkpoint")


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
