"""Keys in a KMIP server (OASIS KMIP 1.2), over mutual TLS.

AES keys and RSA key pairs are made by the server. EC keys and opaque secrets are made here and registered there, for
servers differ in what of these they make. The library neither compares the server's name with its certificate, nor
bounds an answer or its time, and writes what it receives into its debug log; all four are seen to here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import Malformed, NotFound, SettingsError, TimedOut, Unavailable
from ambergate.keymanagers.builtin import generated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.material import KeyKind

MAX_ANSWER: Final = 256 * 1024  # bytes; an opaque secret of 64 KiB and its attributes take 70
_MADE_THERE: Final = frozenset({"AES", "RSA"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KmipPlace:
    """Which server, and how the broker shows who it is.

    Attributes:
        host: its name or address, as in its certificate.
        port: 5696 by convention.
        certificate: the broker's own, PEM.
        key: the broker's own, PEM, without a password.
        cacerts: PEM roots for the server's certificate; the system's when None.
        timeout: seconds for one operation as a whole.
    """

    host: str
    port: int
    certificate: Path
    key: Path
    cacerts: Path | None
    timeout: float


class Kmip:
    """Fits `services.keybroker.ports.KeyManager`. Each operation has its own connection; safe to use from threads.

    Args:
        place: the server; asked at the first need.
        token_bytes: randomness for what is made here.
    """

    def __init__(self, place: KmipPlace, token_bytes: Callable[[int], bytes]) -> None:
        self._place = place
        self._token_bytes = token_bytes

    def create(self, name: str, kind: KeyKind) -> bytes:
        """Make a key; in the server, or here where the module's text says so.

        Raises:
            SettingsError: certificates cannot be used, or the server makes none of this kind.
            Unavailable: (`key-manager-refused`) it refuses the broker; or it does not answer.
            TimedOut: not in time.
        """
        if kind.algorithm not in _MADE_THERE:
            return self.keep(name, kind, generated(kind, self._token_bytes))
        from kmip import enums  # noqa: PLC0415  an extra, for who uses it

        use = enums.CryptographicUsageMask
        with self._client() as client:
            if kind.algorithm == "AES":
                aes = enums.CryptographicAlgorithm.AES
                uid = client.create(aes, kind.bits, name=name, cryptographic_usage_mask=[use.ENCRYPT, use.DECRYPT])
                return _reference(uid)
            public, private = client.create_key_pair(
                enums.CryptographicAlgorithm.RSA,
                kind.bits,
                public_name=f"{name}/public",
                public_usage_mask=[use.VERIFY, use.ENCRYPT],
                private_name=name,
                private_usage_mask=[use.SIGN, use.DECRYPT],
            )
            return _reference(private, public)

    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        """Register a key there. Raises as `create`."""
        with self._client() as client:
            return _reference(client.register(_object(name, kind, material)))

    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        """Take a key that is there already, by its unique identifier; it stays there when the broker's is destroyed.

        Raises:
            NotFound: (`key-gone`) there is none.
            SettingsError: it is no key of this kind.
            others: as `create`.
        """
        reference = _reference(known_as, adopted=True)
        self._taken(known_as, kind)
        return reference

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> bytes:
        """The key. Raises as `adopt`."""
        del workload_key
        return self._taken(json.loads(reference)["uids"][0], kind)

    def destroy(self, reference: bytes) -> None:
        """Destroy what the server has of it; not an adopted key. Raises as `create`."""
        known = json.loads(reference)
        if known["adopted"]:
            return
        for uid in known["uids"]:
            try:
                with self._client() as client:
                    _destroy(client, uid)
            except NotFound:
                continue

    def check(self) -> None:
        """Ask the server something. Raises as `create`."""
        with self._client() as client:
            client.locate(maximum_items=1)

    def _taken(self, uid: str, kind: KeyKind) -> bytes:
        with self._client() as client:
            value = bytes(client.get(uid).value)
        try:
            return kind.canonical(value)
        except Malformed as exc:
            raise SettingsError("the KMIP server's key is of another kind", seen=exc.message, wanted=kind) from exc

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        """A client on a connection of its own; what goes wrong is told in our words."""
        try:
            from kmip.pie.client import ProxyKmipClient  # noqa: PLC0415
            from kmip.services.kmip_protocol import KMIPProtocol  # noqa: PLC0415
        except ImportError as exc:
            hint = "pip install 'ambergate[kmip]'"
            raise SettingsError("KMIP needs a library that is not installed", seen=str(exc), hint=hint) from exc
        for name in ("kmip", KMIPProtocol.__module__):  # below it, keys are logged as they come
            logging.getLogger(name).setLevel(logging.WARNING)
        context = self._context()
        deadline = time.monotonic() + self._place.timeout
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self._connected(context))
                client = ProxyKmipClient(hostname=self._place.host, config_file=os.devnull)
                client.proxy.protocol = KMIPProtocol(_Bounded(connection, deadline))
                client._is_open = True  # noqa: SLF001  its `open` would not compare names
                yield client
            except (Malformed, NotFound, SettingsError, Unavailable):
                raise
            except Exception as exc:  # the library lets out whatever an answer makes it trip over
                raise _told(exc, self._place) from exc

    def _connected(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = socket.create_connection((self._place.host, self._place.port), self._place.timeout)
        try:
            return context.wrap_socket(plain, server_hostname=self._place.host)
        except BaseException:
            plain.close()
            raise

    def _context(self) -> ssl.SSLContext:
        try:
            roots = None if self._place.cacerts is None else str(self._place.cacerts)
            context = ssl.create_default_context(cafile=roots)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self._place.certificate, self._place.key, _no_password)
        except (OSError, ssl.SSLError) as exc:
            seen = f"{self._place.certificate}, {self._place.key}, {self._place.cacerts}: {exc.strerror or exc}"
            raise SettingsError("the certificates for the KMIP server cannot be used", seen=seen) from exc
        return context


class _Bounded:
    """A connection that gives so many bytes in so much time."""

    def __init__(self, connection: ssl.SSLSocket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = MAX_ANSWER

    def recv(self, size: int) -> bytes:
        """Bytes that came."""
        if size > self._left:
            raise Unavailable("the KMIP server's answer is too long", seen=f"> {MAX_ANSWER} bytes")
        self._wait()
        data = self._connection.recv(size)
        self._left -= len(data)
        return data

    def sendall(self, data: bytes) -> None:
        """Send bytes; what comes back is counted anew."""
        self._left = MAX_ANSWER
        self._wait()
        self._connection.sendall(data)

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _object(name: str, kind: KeyKind, material: bytes) -> Any:  # noqa: ANN401  the library's managed objects
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )
    from kmip import enums  # noqa: PLC0415
    from kmip.pie import objects  # noqa: PLC0415

    use = enums.CryptographicUsageMask
    match kind.algorithm:
        case "OPAQUE":
            return objects.OpaqueObject(material, enums.OpaqueDataType.NONE, name)
        case "AES":
            masks = [use.ENCRYPT, use.DECRYPT]
            return objects.SymmetricKey(enums.CryptographicAlgorithm.AES, kind.bits, material, masks, name)
        case _:
            key = load_der_private_key(material, None)
            assert hasattr(key, "key_size")
            pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            algorithm = enums.CryptographicAlgorithm[kind.algorithm]
            form, size = enums.KeyFormatType.PKCS_8, key.key_size
            return objects.PrivateKey(algorithm, size, pkcs8, form, [use.SIGN, use.DECRYPT], name)


def _destroy(client: Any, uid: str) -> None:  # noqa: ANN401  the library's client
    """Destroy an object; an active one is deactivated first, as the server demands."""
    from kmip import enums  # noqa: PLC0415
    from kmip.pie.exceptions import KmipOperationFailure  # noqa: PLC0415

    try:
        client.destroy(uid)
    except KmipOperationFailure as exc:
        if exc.reason is not enums.ResultReason.PERMISSION_DENIED:
            raise
        client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
        client.destroy(uid)


def _reference(*uids: str, adopted: bool = False) -> bytes:
    return json.dumps({"uids": uids, "adopted": adopted}).encode()


def _no_password() -> str:
    """Called for a key that has a password: nobody is there to ask."""
    raise ssl.SSLError(0, "the key has a password")


def _told(exc: Exception, place: KmipPlace) -> SettingsError | Unavailable | NotFound:
    """What the server or the library says, in our words."""
    from kmip import enums  # noqa: PLC0415
    from kmip.pie.exceptions import KmipOperationFailure  # noqa: PLC0415

    where = f"{place.host}:{place.port}"
    if isinstance(exc, KmipOperationFailure):
        reason = enums.ResultReason
        seen = f"{where}: {exc.reason.name}"
        if exc.reason is reason.ITEM_NOT_FOUND:
            return NotFound("the KMIP server has not this key", code="key-gone", seen=seen)
        if exc.reason in {reason.PERMISSION_DENIED, reason.AUTHENTICATION_NOT_SUCCESSFUL}:
            return Unavailable("the KMIP server refuses the broker", code="key-manager-refused", seen=seen)
        if exc.reason in {reason.OPERATION_NOT_SUPPORTED, reason.FEATURE_NOT_SUPPORTED, reason.INVALID_FIELD}:
            return SettingsError("the KMIP server does not do this", seen=f"{seen}: {str(exc)[:200]}")
        return Unavailable("the KMIP server fails", code="key-manager-unavailable", seen=seen)
    if isinstance(exc, TimeoutError):
        return TimedOut("the KMIP server did not answer in time", seen=where, wanted=f"{place.timeout} s")
    seen = f"{where}: {type(exc).__name__}"
    if isinstance(exc, ssl.SSLError):
        seen = f"{where}: {exc.reason or exc}"
    hint = "is it running, its certificate under cacerts, and the broker's known to it?"
    return Unavailable("the KMIP server does not answer", code="key-manager-unavailable", seen=seen, hint=hint)
