"""Keys in HashiCorp Vault, or OpenBao, over its HTTP API: in the KV engine, version 2, or in the transit engine.

KV keeps what it is given: keys are made here, and written as one secret each. Transit makes keys of its own, marked
exportable so that it hands them out; it has neither AES-192 nor opaque secrets.

The token is read from its file for every request: an agent beside the broker renews it there. Roots are read when their
file has changed. Names of keys that are adopted stay below the mount: `..` in a path would lead to another engine.
"""

from __future__ import annotations

import binascii
import json
import os
import ssl
import stat
import threading
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from ambergate.core.errors import Malformed, NotFound, SettingsError, TimedOut, Unavailable
from ambergate.keymanagers.builtin import generated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.material import KeyKind

MAX_ANSWER: Final = 256 * 1024  # bytes; an opaque secret of 64 KiB takes 88 in base64
MAX_TOKEN: Final = 4096  # bytes; service tokens have about 100, batch tokens some hundred
_OTHERS: Final = 0o007  # a group is allowed: agents write their tokens for one
_OK: Final = frozenset({200, 204})
_REFUSED: Final = frozenset({401, 403})
MAX_PARTS: Final = 16  # of a path in KV; our limit
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


class VaultKv:
    """Keys in the KV engine, version 2: `MOUNT/data/PREFIX/KEY-ID/VERSION`, member `key`, in base64.

    Fits `services.keybroker.ports.KeyManager`. Safe to use from several threads.
    """

    def __init__(self, place: VaultPlace, prefix: str, token_bytes: Callable[[int], bytes]) -> None:
        self._api = VaultApi(place)
        self._prefix = prefix
        self._token_bytes = token_bytes

    def create(self, name: str, kind: KeyKind) -> bytes:
        """Make a key here, and write it there. Raises as `VaultApi.ask`."""
        return self.keep(name, kind, generated(kind, self._token_bytes))

    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        """Write a key; one that is there already is not overwritten. Raises as `VaultApi.ask`."""
        path = f"{self._prefix}/{name}"
        told = {"key": b64encode(material).decode(), "kind": str(kind)}
        answer = self._api.ask("POST", self._path("data", path), {"options": {"cas": 0}, "data": told})
        return _reference(path, version=answer.get("version", 1))

    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        """Take a secret that is there already, by its path in the engine; its member `key` is the key, in base64.

        It stays there when the broker's is destroyed.

        Raises:
            Malformed: (`malformed-key-name`) no path below the mount.
            SettingsError: it is no key of this kind.
            others: as `VaultApi.ask`.
        """
        _refuse_path(known_as, parts=MAX_PARTS)
        data = self._api.ask("GET", self._path("data", known_as))
        metadata = data.get("metadata")
        version = metadata.get("version") if isinstance(metadata, dict) else None
        _canonical(kind, _member(data))
        return _reference(known_as, version=version, adopted=True)

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> bytes:
        """The key. Raises as `adopt`."""
        del workload_key
        known = json.loads(reference)
        data = self._api.ask("GET", f"{self._path('data', known['path'])}?version={int(known['version'])}")
        return _canonical(kind, _member(data))

    def destroy(self, reference: bytes) -> None:
        """Destroy the secret with all its versions; not an adopted one. Raises as `VaultApi.ask`."""
        known = json.loads(reference)
        if not known["adopted"]:
            _gone_is_well(lambda: self._api.ask("DELETE", self._path("metadata", known["path"])))

    def check(self) -> None:
        """Ask the server something. Raises as `VaultApi.ask`."""
        self._api.check()

    def _path(self, what: str, path: str) -> str:
        return f"{quote(self._api.place.mount)}/{what}/{quote(path)}"


_TRANSIT_TYPES: Final = {
    "AES 128": "aes128-gcm96",
    "AES 256": "aes256-gcm96",
    "RSA 2048": "rsa-2048",
    "RSA 3072": "rsa-3072",
    "RSA 4096": "rsa-4096",
    "EC secp256r1": "ecdsa-p256",
    "EC secp384r1": "ecdsa-p384",
    "EC secp521r1": "ecdsa-p521",
}


class VaultTransit:
    """Keys of the transit engine, made there and exportable: `PREFIX-KEY-ID-VERSION`.

    Fits `services.keybroker.ports.KeyManager`. Safe to use from several threads. Keys are not imported: that takes
    another wrapping, and KV is for keys that come from elsewhere.
    """

    def __init__(self, place: VaultPlace, prefix: str) -> None:
        self._api = VaultApi(place)
        self._prefix = prefix

    def create(self, name: str, kind: KeyKind) -> bytes:
        """Make a key there. Raises `Malformed` for a kind that transit has not; others as `VaultApi.ask`."""
        known = f"{self._prefix}-{name.replace('/', '-')}"
        body: dict[str, object] = {"type": _transit_type(kind), "exportable": True}
        self._api.ask("POST", self._path("keys", known), body)
        return _reference(known, version=1)

    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        """Nothing: `Malformed`."""
        del name, material
        wanted = "a key that is made there, or another key manager"
        raise Malformed("transit takes no keys from here", code="malformed-key-kind", seen=kind, wanted=wanted)

    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        """Take the latest version of a key that is there already, and stays there when the broker's is destroyed.

        Raises:
            Malformed: (`malformed-key-name`) no name of a key.
            SettingsError: it is of another kind, or not exportable.
            others: as `VaultApi.ask`.
        """
        _refuse_path(known_as, parts=1)
        data = self._api.ask("GET", self._path("keys", known_as))
        if data.get("type") != _transit_type(kind):
            raise SettingsError("transit's key is of another kind", seen=data.get("type"), wanted=_transit_type(kind))
        version = data.get("latest_version")
        if not isinstance(version, int):
            raise _unreadable("latest_version")
        reference = _reference(known_as, version=version, adopted=True)
        self._exported(reference, kind)
        return reference

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> bytes:
        """The key. Raises as `adopt`."""
        del workload_key
        return self._exported(reference, kind)

    def destroy(self, reference: bytes) -> None:
        """Destroy the key with all its versions; not an adopted one. Raises as `VaultApi.ask`."""
        known = json.loads(reference)
        if known["adopted"]:
            return
        path = self._path("keys", known["path"])
        if _gone_is_well(lambda: self._api.ask("POST", f"{path}/config", {"deletion_allowed": True})):
            _gone_is_well(lambda: self._api.ask("DELETE", path))

    def check(self) -> None:
        """Ask the server something. Raises as `VaultApi.ask`."""
        self._api.check()

    def _exported(self, reference: bytes, kind: KeyKind) -> bytes:
        known = json.loads(reference)
        use = "signing-key" if kind.algorithm == "EC" else "encryption-key"
        version = str(int(known["version"]))
        data = self._api.ask("GET", f"{self._path('export', use)}/{quote(known['path'], safe='')}/{version}")
        keys = data.get("keys")
        text = keys.get(version) if isinstance(keys, dict) else None
        if not isinstance(text, str):
            raise _unreadable(f"keys.{version}")
        return _canonical(kind, _decoded(text) if kind.algorithm == "AES" else text.encode())

    def _path(self, what: str, name: str) -> str:
        return f"{quote(self._api.place.mount)}/{what}/{quote(name, safe='')}"


def _refuse_path(name: str, *, parts: int) -> None:
    """A name leads nowhere else than it says: the client of HTTP takes `..` for the folder above, as any does."""
    found = name.split("/")
    if len(found) > parts or any(part in {"", ".", ".."} for part in found):
        wanted = f"{parts} parts at most, none of them empty, . or .."
        raise Malformed("this names no key in Vault", code="malformed-key-name", seen=name[:64], wanted=wanted)


def _transit_type(kind: KeyKind) -> str:
    found = _TRANSIT_TYPES.get(str(kind))
    if found is None:
        wanted = ", ".join(_TRANSIT_TYPES)
        raise Malformed("transit has no such keys", code="malformed-key-kind", seen=kind, wanted=wanted)
    return found


def _reference(path: str, *, version: object, adopted: bool = False) -> bytes:
    if not isinstance(version, int):
        raise _unreadable("version")
    return json.dumps({"path": path, "version": version, "adopted": adopted}).encode()


def _gone_is_well(ask: Callable[[], object]) -> bool:
    """Whether it was there."""
    try:
        ask()
    except NotFound:
        return False
    return True


def _member(data: dict[str, Any]) -> bytes:
    """The key in a secret of KV. A secret that was deleted has no data."""
    secret = data.get("data")
    if secret is None:
        raise NotFound("Vault has not this key", code="key-gone", seen="a deleted secret")
    text = secret.get("key") if isinstance(secret, dict) else None
    if not isinstance(text, str):
        raise SettingsError("the secret in Vault has no key", seen="no member `key` of text")
    return _decoded(text)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError("the key in Vault is not base64") from None  # without what it is


def _canonical(kind: KeyKind, material: bytes) -> bytes:
    try:
        return kind.canonical(material)
    except Malformed as exc:
        raise SettingsError("the key in Vault is of another kind", seen=exc.message, wanted=kind) from exc


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


def _unreadable(member: str) -> Unavailable:
    return Unavailable("Vault's answer lacks what it should have", seen=f"no {member}")
