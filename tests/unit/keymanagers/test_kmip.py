"""A KMIP server that keeps keys: a real one, PyKMIP's, over mutual TLS 1.2."""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.keymanagers.kmip_server import running_server

from ambergate.core.errors import NotFound, SettingsError, TimedOut, Unavailable
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import OPAQUE, KeyKind
from ambergate.keymanagers.kmip import MAX_ANSWER, Kmip, KmipPlace
from ambergate.services.web.selfsigned import make_server_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("kmip", reason="PyKMIP is not installed")

WORKLOAD: Final = rsa.generate_private_key(65537, 3072).public_key()
AES: Final = KeyKind.of("AES", bits=256)
KINDS: Final = (
    AES,
    KeyKind.of("AES", bits=128),
    KeyKind.of("RSA", bits=2048),
    KeyKind.of("EC", curve="secp256r1"),
    KeyKind.of("EC", curve="secp521r1"),
    OPAQUE,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmipPlace]:
    with running_server(tmp_path_factory.mktemp("kmip")) as place:
        yield place


@pytest.fixture
def server(place: KmipPlace) -> Kmip:
    return Kmip(place, secrets.token_bytes)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_key_of_each_kind_is_made_taken_and_destroyed(server: Kmip, kind: KeyKind) -> None:
    reference = server.create("a key", kind)
    key = server.take(reference, kind, WORKLOAD)
    assert kind.canonical(key) == key
    server.destroy(reference)
    with pytest.raises(NotFound) as caught:
        server.take(reference, kind, WORKLOAD)
    assert caught.value.code == "key-gone"
    server.destroy(reference)


@pytest.mark.parametrize("size", [1, MAX_SECRET_SIZE])
def test_an_opaque_secret_comes_back_as_it_went(server: Kmip, size: int) -> None:
    secret = secrets.token_bytes(size)
    assert server.take(server.keep("a secret", OPAQUE, secret), OPAQUE, WORKLOAD) == secret


def test_a_key_that_is_in_use_there_is_deactivated_first(server: Kmip) -> None:
    reference = server.create("a key", AES)
    with server._client() as client:
        client.activate(reference.decode().split('"')[3])
    server.destroy(reference)
    with pytest.raises(NotFound):
        server.take(reference, AES, WORKLOAD)


def test_a_key_that_is_there_already_is_adopted_and_stays(server: Kmip) -> None:
    own = server.create("the owner's", AES)
    uid = own.decode().split('"')[3]
    adopted = server.adopt(uid, AES)
    assert server.take(adopted, AES, WORKLOAD) == server.take(own, AES, WORKLOAD)
    server.destroy(adopted)
    assert server.take(own, AES, WORKLOAD)
    with pytest.raises(SettingsError, match="another kind"):
        server.adopt(uid, KeyKind.of("AES", bits=128))
    with pytest.raises(NotFound):
        server.adopt("no such key", AES)


def test_the_server_is_asked_whether_it_serves(server: Kmip) -> None:
    server.check()


def test_keys_do_not_reach_the_log(server: Kmip, caplog: pytest.LogCaptureFixture) -> None:
    """The library logs what it receives, one level below."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("kmip.services.kmip_protocol").setLevel(logging.DEBUG)
    key = server.take(server.create("a key", AES), AES, WORKLOAD)
    assert key.hex() not in caplog.text


def test_another_name_or_root_is_not_believed(place: KmipPlace, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(make_server_certificate(["127.0.0.1"], datetime.now(UTC)).ca_pem)
    for changed in (replace(place, cacerts=stranger), replace(place, host="localhost")):
        with pytest.raises(Unavailable) as caught:
            Kmip(changed, secrets.token_bytes).check()
        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.seen)


def test_certificates_that_cannot_be_used(place: KmipPlace, tmp_path: Path) -> None:
    for changed in (replace(place, key=tmp_path / "absent"), replace(place, cacerts=tmp_path / "absent")):
        with pytest.raises(SettingsError):
            Kmip(changed, secrets.token_bytes).check()


def test_nobody_there(place: KmipPlace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as caught:
            Kmip(replace(place, port=free.getsockname()[1]), secrets.token_bytes).check()
    assert caught.value.code == "key-manager-unavailable"


@contextmanager
def answering(place: KmipPlace, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[Kmip]:
    """A server that speaks TLS, and then says something of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place.certificate.with_name("server.pem"), place.key.with_name("server.key"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(65536)
                answer(secured)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Kmip(replace(place, port=listener.getsockname()[1], timeout=2), secrets.token_bytes)
        thread.join()


def test_an_answer_is_bounded_in_size(place: KmipPlace) -> None:
    head = struct.pack(">II", 0x42007B01, MAX_ANSWER)
    with answering(place, lambda it: it.sendall(head)) as server, pytest.raises(Unavailable, match="too long"):
        server.check()


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 8, b"\x42\0\x7b\1\0\0\0\x08" + b"x" * 8, b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=range(4)
)
def test_an_answer_that_is_none_is_our_error(place: KmipPlace, data: bytes) -> None:
    with answering(place, lambda it: it.sendall(data)) as server, pytest.raises(Unavailable):
        server.check()


def test_an_answer_is_bounded_in_time(place: KmipPlace) -> None:
    """As a whole: one byte now and then does not prolong it."""
    done = threading.Event()

    def trickle(connection: ssl.SSLSocket) -> None:
        connection.sendall(struct.pack(">II", 0x42007B01, 4096))
        while not done.wait(0.2):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with answering(place, trickle) as server:
        with pytest.raises(TimedOut):
            server.check()
        done.set()
