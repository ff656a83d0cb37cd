"""Databases through SQLAlchemy Core: SQLite in a file, or PostgreSQL by URL; durable at every commit.

SQLite: readable by its owner alone. Write-ahead logging lets readers go on beside one writer; `synchronous=FULL` makes
every commit survive a power cut.

PostgreSQL: `postgresql://user@host/database?passfile=FILE`. Passwords stay out of URLs (libpq's `passfile`, or
`Server`), and connections to other machines are encrypted and checked against the server's name (`sslmode=verify-full`)
unless the URL says `insecure_sslmode=...`. Commits are durable as far as the server's `fsync` is on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.schema import prepare
from ambergate.stores.transactions import POSTGRES, begin_postgres, begin_sqlite, reading, writing

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["MAX_URL", "Server", "check_url", "open_database", "open_engine", "reading", "writing"]

BUSY_MS: Final = 5000  # milliseconds that a writer waits for another, and anybody for a server that does not answer
MIN_ROOM: Final = 1024 * 1024  # bytes; some hundred records and what SQLite writes ahead
POOL: Final = 10  # connections that a process keeps; as many again while there is need
MAX_URL: Final = 2048  # characters
_SCHEME: Final = "postgresql://"
# What a URL may say, by libpq's names; anything else (`options`, say) could turn off what this relies on.
_PARAMETERS: Final = frozenset(
    {"host", "port", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "insecure_sslmode"}
)
_STRICT: Final = "verify-full"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL database at a URL, and the role's password, which does not show itself."""

    url: str
    password: str

    def __repr__(self) -> str:
        return f"Server({self.url!r}, password=...)"

    __str__ = __repr__


def check_url(text: str) -> None:
    """Returns if a PostgreSQL URL can be used; connects to nothing.

    Raises:
        SettingsError: it cannot be.
    """
    _postgres(text)


def open_database(place: Path | str | Server) -> Engine:
    """The database in this file or at this URL, its tables made or brought up to this release.

    Call `dispose()` on it at the end.

    Raises:
        SettingsError: the file or URL cannot be used; the database is that of a newer release.
        Unavailable: the database does not answer.
    """
    engine = open_engine(place)
    try:
        prepare(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_engine(place: Path | str | Server) -> Engine:
    """As `open_database`, but whatever tables there are. A file is made, mode 0600, when it is not there.

    Raises:
        SettingsError: the file or URL cannot be used.
    """
    if isinstance(place, Server):
        return _open_postgres(place.url, place.password)
    return _open_postgres(place) if isinstance(place, str) else _open_sqlite(place)


def check_room(engine: Engine) -> None:
    """Whether a file has room to grow. Of a server nothing is known; there a write tells.

    A small write may still find its place in a file whose disk takes no record more.

    Raises:
        Unavailable: (`disk-full`) it has not.
    """
    if engine.dialect.name == POSTGRES or engine.url.database is None:
        return
    disk = os.statvfs(Path(engine.url.database).parent)
    left = disk.f_bavail * disk.f_frsize
    if left < MIN_ROOM:
        raise Unavailable(
            "the database's disk is full", code="disk-full", seen=f"{left} bytes", wanted=f">= {MIN_ROOM}"
        )


def _open_sqlite(path: Path) -> Engine:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise SettingsError(
            "the database cannot be opened", seen=f"{path}: {exc.strerror}", hint="does its folder exist?"
        ) from exc
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=POOL,
        max_overflow=POOL,
        pool_timeout=BUSY_MS / 1000,
        pool_use_lifo=True,  # who wrote last knows the pages; another connection reads them anew
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own connection
    connection.isolation_level = None  # transactions are begun by `begin_sqlite`, not by the driver's guess
    # secure_delete: what is destroyed is overwritten in the file, not only forgotten there.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        f"busy_timeout={BUSY_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _open_postgres(text: str, password: str | None = None) -> Engine:
    url = _postgres(text)
    if password is not None:
        url = url.set(password=password)
    seconds = max(BUSY_MS // 1000, 1)
    try:
        engine = create_engine(
            url,
            pool_size=POOL,
            max_overflow=POOL,
            pool_timeout=seconds,
            pool_pre_ping=True,  # a server that was restarted costs a new connection, not an error
            connect_args={
                "connect_timeout": seconds,
                "tcp_user_timeout": BUSY_MS,
                "options": f"-c lock_timeout={BUSY_MS} -c synchronous_commit=on",
            },
        )
    except (ImportError, NoSuchModuleError) as exc:
        raise SettingsError(
            "PostgreSQL needs a driver that is not installed", seen=str(exc), hint="pip install 'ambergate[postgres]'"
        ) from exc
    event.listen(engine, "begin", begin_postgres)
    return engine


def _postgres(text: str) -> URL:
    """The URL for the driver.

    Raises:
        SettingsError: it cannot be used; a password in it is not repeated.
    """
    wanted = f"{_SCHEME}user@host/database, or a file"
    if len(text) > MAX_URL or not text.startswith(_SCHEME):
        raise SettingsError("the database's URL cannot be used", seen=text.partition("://")[0][:32], wanted=wanted)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as exc:
        raise SettingsError("the database's URL cannot be read", wanted=wanted) from exc
    if url.password:
        raise SettingsError(
            "the database's URL holds a password",
            wanted="a file that holds it",
            hint="write it as host:port:database:user:password to a file of mode 0600, and ?passfile=FILE here; "
            "or name a file with the password alone: [store] password",
        )
    if not url.database:
        raise SettingsError("the database's URL names no database", wanted=wanted)
    unknown = sorted(url.query.keys() - _PARAMETERS)
    if unknown:
        raise SettingsError(
            "the database's URL has an unknown parameter", seen=unknown[0], wanted=", ".join(sorted(_PARAMETERS))
        )
    return url.set(drivername="postgresql+psycopg", query=_encrypted(url))


def _encrypted(url: URL) -> dict[str, str | tuple[str, ...]]:
    """The URL's parameters, with what its connection to another machine needs.

    Raises:
        SettingsError: they ask for less, and do not call it insecure.
    """
    query = dict(url.query)
    weaker = query.pop("insecure_sslmode", None)
    given = query.get("sslmode")
    if weaker is not None:
        if given is not None:
            raise SettingsError("the database's URL says sslmode twice", wanted="sslmode or insecure_sslmode")
        query["sslmode"] = weaker
    elif given not in {None, _STRICT} and not _on_this_machine(url):
        raise SettingsError(
            "the connection to the database would not be checked",
            seen=f"sslmode={given}",
            wanted=f"sslmode={_STRICT}, the default",
            hint=f"sslrootcert=FILE names the server's authority; insecure_sslmode={given} goes without",
        )
    elif given is None and not _on_this_machine(url):
        query["sslmode"] = _STRICT
    return query


def _on_this_machine(url: URL) -> bool:
    named = url.query.get("host", ())
    hosts = [*([url.host] if url.host else []), *([named] if isinstance(named, str) else named)]
    return all(host.startswith("/") or host in {"127.0.0.1", "::1", "localhost"} for host in hosts)
