"""Requests to HashiCorp Vault, or OpenBao, over its HTTP API: which server, as whom, and what its answers mean.

The token is read from its file for every request: an agent beside the broker renews it there. Roots are read when their
file has changed.
"""

from __future__ import annotations

import json
import os
import ssl
import stat
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from ambergate.core.errors import NotFound, SettingsError, TimedOut, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

MAX_ANSWER: Final = 256 * 1024  # bytes; an opaque secret of 64 KiB takes 88 in base64
MAX_TOKEN: Final = 4096  # bytes; service tokens have about 100, batch tokens some hundred
_OTHERS: Final = 0o007  # a group is allowed: agents write their tokens for one
_OK: Final = frozenset({200, 204})
_REFUSED: Final = frozenset({401, 403})
# Health answers of a server that serves: active, standby, performance standby, recovery.
_SERVING: Final = frozenset({200, 429, 472, 473})


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPlace:
    """Which server and engine, and how the broker shows who it is.

    Attributes:
        url: `https://host[:port]`.
        mount: where the engine is mounted.
        token_file: a file that holds the token, closed to others than its owner and group.
        namespace: of Vault Enterprise; None: none.
        cacerts: PEM roots for the server's certificate; the system's when None.
        timeout: seconds to connect, for each piece of an answer's head, and for its body as a whole.
    """

    url: str
    mount: str
    token_file: Path
    namespace: str | None
    cacerts: Path | None
    timeout: float


class VaultApi:
    """Requests to one server: bounded in size and time, TLS verified, its errors told apart. Thread-safe."""

    def __init__(self, place: VaultPlace) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._tls: tuple[object, ssl.SSLContext] | None = None  # with what its roots were read from

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        """The `data` of an answer.

        Args:
            method: of HTTP.
            path: below `/v1/`, its parts quoted.
            body: sent as JSON.

        Raises:
            NotFound: (`key-gone`) 404.
            Unavailable: (`key-manager-refused`) 401 or 403; or no answer that can be used.
            SettingsError: any other 4xx: what was asked is not what the server does; or the token's file is unusable.
            TimedOut: not in time.
        """
        headers = {"x-vault-token": self._token(), "x-vault-request": "true", "accept-encoding": "identity"}
        if self.place.namespace is not None:
            headers["x-vault-namespace"] = self.place.namespace
        status, data = self._send(method, path, headers, body)
        where = f"{method} {self.place.url}/v1/{path}: {status}"
        if status in _OK:
            return _data(data, where)
        if status in _REFUSED:
            hint = "does the token hold, and its policy allow this path?"
            raise Unavailable("Vault refuses the broker", code="key-manager-refused", seen=where, hint=hint)
        if status == httpx.codes.NOT_FOUND:
            raise NotFound("Vault has not this key", code="key-gone", seen=where)
        if 400 <= status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
            raise SettingsError("Vault does not do this", seen=f"{where}: {_errors(data)}")
        raise Unavailable("Vault does not serve", code="key-manager-unavailable", seen=where)

    def check(self) -> None:
        """Whether the server serves, and knows the token. Raises as `ask`."""
        status, _ = self._send("GET", "sys/health", {"accept-encoding": "identity"}, None)
        if status not in _SERVING:
            seen = f"{self.place.url}: {status}"
            hint = "503 is a sealed server, 501 one that was never set up"
            raise Unavailable("Vault does not serve", code="key-manager-unavailable", seen=seen, hint=hint)
        self.ask("GET", "auth/token/lookup-self")

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, object] | None
    ) -> tuple[int, bytes]:
        url = f"{self.place.url}/v1/{path}"
        deadline = time.monotonic() + self.place.timeout
        pieces: list[bytes] = []
        size = 0
        try:
            with (
                httpx.Client(verify=self._context(), trust_env=False, timeout=self.place.timeout) as client,
                client.stream(method, url, headers=headers, json=body) as response,
            ):
                for piece in response.iter_raw(16 * 1024):
                    size += len(piece)
                    if size > MAX_ANSWER:
                        raise Unavailable("Vault's answer is too long", seen=url, wanted=f"<= {MAX_ANSWER} bytes")
                    if time.monotonic() > deadline:
                        raise TimedOut("Vault did not answer in time", seen=url)
                    pieces.append(piece)
                return response.status_code, b"".join(pieces)
        except httpx.TimeoutException as exc:
            raise TimedOut("Vault did not answer in time", seen=url) from exc
        except httpx.HTTPError as exc:
            seen = f"{url}: {str(exc) or type(exc).__name__}"
            hint = "is it running, and is its certificate under cacerts?"
            code = "key-manager-unavailable"
            raise Unavailable("Vault does not answer", code=code, seen=seen, hint=hint) from exc

    def _context(self) -> ssl.SSLContext:
        """One for all requests, until the file of roots is another: to read them takes longer than a request."""
        with self._lock:
            read = self._roots_as_they_are()
            if self._tls is None or self._tls[0] != read:
                self._tls = (read, self._made())
            return self._tls[1]

    def _roots_as_they_are(self) -> object:
        """What changes when the file of roots does."""
        if self.place.cacerts is None:
            return None
        try:
            found = self.place.cacerts.stat()
        except OSError:  # `_made` says so
            return time.monotonic()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _made(self) -> ssl.SSLContext:
        roots = self.place.cacerts
        try:
            context = ssl.create_default_context(cafile=None if roots is None else str(roots))
        except (OSError, ssl.SSLError) as exc:
            raise SettingsError("the roots for Vault cannot be used", seen=f"{roots}: {exc.strerror or exc}") from exc
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _token(self) -> str:
        """The token. What is in the file is never told."""
        mode = 0
        try:
            with self.place.token_file.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                token = file.read(MAX_TOKEN + 1).decode("ascii").strip()
        except OSError as exc:
            seen = f"{self.place.token_file}: {exc.strerror}"
            raise SettingsError("the file of Vault's token cannot be read", seen=seen) from exc
        except UnicodeDecodeError:
            token = ""
        if mode & _OTHERS:
            seen, hint = f"{self.place.token_file}: mode {mode:04o}", f"chmod o= {self.place.token_file}"
            wanted = "0640 or less"
            raise SettingsError("the file of Vault's token is open to others", seen=seen, wanted=wanted, hint=hint)
        if not token or len(token) > MAX_TOKEN or not token.isprintable() or " " in token:
            raise SettingsError("the file does not hold a token of Vault", seen=self.place.token_file)
        return token


def _data(answer: bytes, where: str) -> dict[str, Any]:
    """The member `data`; nothing where there is none, as after a deletion."""
    if not answer:
        return {}
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as exc:
        raise Unavailable("Vault's answer cannot be read", seen=where) from exc
    data = document.get("data") if isinstance(document, dict) else None
    return data if isinstance(data, dict) else {}


def _errors(answer: bytes) -> str:
    """What a server says is wrong. It does not repeat what was sent."""
    try:
        errors = json.loads(answer)["errors"]
        return "; ".join(str(each) for each in errors)[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"
