"""Keys in HashiCorp Vault, or OpenBao, over its HTTP API: in the KV engine, version 2, or in the transit engine.

KV keeps what it is given: keys are made here, and written as one secret each. Transit makes keys of its own, marked
exportable so that it hands them out; it has neither AES-192 nor opaque secrets.

Names of keys that are adopted stay below the mount: `..` in a path would lead to another engine.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ambergate.core.errors import Malformed, NotFound, SettingsError, Unavailable
from ambergate.keymanagers.builtin import generated
from ambergate.keymanagers.vault_api import VaultApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.material import KeyKind
    from ambergate.keymanagers.vault_api import VaultPlace

MAX_PARTS: Final = 16  # of a path in KV; our limit


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


def _unreadable(member: str) -> Unavailable:
    return Unavailable("Vault's answer lacks what it should have", seen=f"no {member}")
