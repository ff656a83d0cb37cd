"""Where the broker is managed, when that is not where enclaves ask: an address or a UNIX socket of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.errors import SettingsError
from ambergate.services.web.server import bound_socket, bound_unix_socket

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from starlette.types import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminPlace:
    """As the configuration names it: a UNIX socket, or an address."""

    unix: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def of(cls, *, socket: str | None, host: str, port: int | None, folder: Path) -> AdminPlace | None:
        """None: it names neither.

        Raises:
            SettingsError: it names both.
        """
        if socket is not None and port is not None:
            raise SettingsError("the broker is managed in one place", wanted="admin.socket or admin.port")
        if socket is not None:
            return cls(unix=folder / socket)
        return None if port is None else cls(host=host, port=port)

    def bind(self) -> tuple[socket.socket, Listening]:
        """A listener there, and how requests that come by it are known.

        Raises:
            Unavailable: it is taken, or not ours.
        """
        if self.unix is not None:
            return bound_unix_socket(self.unix), Listening(str(self.unix), None)
        listener = bound_socket(self.host, self.port)
        host, port = listener.getsockname()[:2]
        return listener, Listening(str(host), int(port))


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener as requests name it: a path without a port, or an address."""

    host: str
    port: int | None

    def got(self, scope: Scope) -> bool:
        """Whether this request came by it. An address is known by its port: it may be any of the machine's."""
        server = scope.get("server")
        if server is None:
            return False
        return bool(server[1] == self.port and (self.port is not None or server[0] == self.host))

    def words(self) -> str:
        """For people."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def told(self) -> dict[str, object]:
        """For the announcement."""
        return {"socket": self.host} if self.port is None else {"host": self.host, "port": self.port}
