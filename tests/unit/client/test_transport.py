"""The transport against real TLS servers, honest and otherwise."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace

import pytest
import trustme
from tests.unit.client.conftest import HOST, TlsServer, plain

from ambergate.client.settings import Url
from ambergate.client.transport import (
    BROKEN,
    MAX_RESPONSE,
    NOT_TRUSTED,
    REFUSED,
    UNKNOWN_HOST,
    UNREACHABLE,
    Channel,
    Peer,
    Response,
    tls_context,
)
from ambergate.core.errors import SettingsError, TimedOut, TooLarge, Unavailable


def get(peer: Peer) -> Response:
    with Channel(peer) as channel:
        return channel.request("GET", "thing", headers={"Accept": "application/json"})


def failed(peer: Peer) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        get(peer)
    return caught.value


def test_it_connects_to_the_address_and_speaks_to_the_name(server: TlsServer) -> None:
    server.answer = lambda connection, _: connection.sendall(plain(b'{"a":1}', headers="Trace-Id: t1\r\n"))
    response = get(server.peer())
    assert (response.status, response.body) == (200, b'{"a":1}')
    assert response.headers["trace-id"] == "t1"
    assert server.names == [HOST]
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "GET /base/thing HTTP/1.1"
    assert f"Host: {HOST}:{server.port}" in head
    assert "Accept: application/json" in head


def test_the_next_address_is_tried_when_one_does_not_answer(server: TlsServer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))  # bound and not listening: refuses
        assert get(server.peer(addresses=("127.0.0.2", "::1", "127.0.0.1"))).status == 200


def test_without_an_address_the_resolver_is_asked(server: TlsServer) -> None:
    # `localhost` resolves everywhere; the certificate is for another name, so the connection is seen by its refusal.
    assert failed(server.peer(host="localhost", addresses=())).code == NOT_TRUSTED
    assert server.connections == 1


def test_a_name_without_address_is_unknown(server: TlsServer) -> None:
    error = failed(server.peer(host="nothing.invalid", addresses=()))
    assert error.code == UNKNOWN_HOST
    assert "endpoint_ip" in str(error.hint)


def test_another_name_is_not_trusted(server: TlsServer) -> None:
    error = failed(server.peer(host="other.example"))
    assert error.code == NOT_TRUSTED
    assert server.requests == []


def test_another_root_is_not_trusted(server: TlsServer) -> None:
    peer = replace(server.peer(), roots=trustme.CA().cert_pem.bytes().decode())
    assert failed(peer).code == NOT_TRUSTED
    assert server.requests == []


def test_the_systems_roots_do_not_trust_a_private_one(server: TlsServer) -> None:
    assert failed(replace(server.peer(), roots="")).code == NOT_TRUSTED


def test_roots_that_are_no_certificates_are_a_settings_error(server: TlsServer) -> None:
    roots = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"
    with pytest.raises(SettingsError, match="cacerts"):
        get(replace(server.peer(), roots=roots))


def test_certificate_name_and_version_of_tls_are_always_checked(server: TlsServer) -> None:
    assert tls_context(server.roots).minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls_context(server.roots).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(server.roots).check_hostname


def test_a_closed_port_refuses() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = Url(host=HOST, port=closed.getsockname()[1], path="/")
        assert failed(Peer(url=url, addresses=("127.0.0.1",), roots="", timeout=5)).code == REFUSED


def test_an_address_without_route_is_unreachable() -> None:
    url = Url(host=HOST, port=443, path="/")
    # The limited broadcast address (RFC 919) takes no TCP: the kernel refuses to try.
    assert failed(Peer(url=url, addresses=("255.255.255.255",), roots="", timeout=5)).code == UNREACHABLE


def test_a_silent_server_times_out_within_the_deadline(server: TlsServer) -> None:
    def wait(_connection: ssl.SSLSocket, _request: bytes) -> None:
        server.released.wait(10)

    server.answer = wait
    began = time.monotonic()
    with pytest.raises(TimedOut):
        get(server.peer(timeout=0.3))
    assert time.monotonic() - began < 3


def test_a_server_that_never_speaks_tls_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = Url(host=HOST, port=mute.getsockname()[1], path="/")
        with pytest.raises(TimedOut):
            get(Peer(url=url, addresses=("127.0.0.1",), roots="", timeout=0.3))


def test_a_dripping_server_does_not_stretch_the_deadline(server: TlsServer) -> None:
    def drip(connection: ssl.SSLSocket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not server.released.wait(0.05):
            connection.sendall(b" ")

    server.answer = drip
    began = time.monotonic()
    with pytest.raises(TimedOut):
        get(server.peer(timeout=0.4))
    assert time.monotonic() - began < 3


def cut(connection: ssl.SSLSocket, answer: bytes) -> None:
    """Send, and end the connection in good order."""
    connection.sendall(answer)
    connection.unwrap()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    ],
)
def test_a_truncated_or_broken_answer_is_no_answer(server: TlsServer, answer: bytes) -> None:
    server.answer = lambda connection, _request: cut(connection, answer)
    assert failed(server.peer()).code == BROKEN


def test_a_connection_cut_without_goodbye_is_no_end_of_an_answer(server: TlsServer) -> None:
    def tear(connection: ssl.SSLSocket, _request: bytes) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a": 1}')
        connection.shutdown(socket.SHUT_RDWR)

    server.answer = tear
    assert failed(server.peer()).code == BROKEN


@pytest.mark.parametrize("announced", [True, False])
def test_an_oversized_answer_is_refused(server: TlsServer, announced: bool) -> None:  # noqa: FBT001
    body = b" " * (MAX_RESPONSE + 1)
    chunked = (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    )
    server.answer = lambda connection, _request: connection.sendall(plain(body) if announced else chunked)
    with pytest.raises(TooLarge):
        get(server.peer())


def test_the_largest_answer_is_taken(server: TlsServer) -> None:
    server.answer = lambda connection, _request: connection.sendall(plain(b" " * MAX_RESPONSE))
    assert len(get(server.peer()).body) == MAX_RESPONSE


def test_a_redirect_is_not_followed(server: TlsServer) -> None:
    where = f"Location: https://{HOST}:{server.port}/elsewhere\r\n"
    server.answer = lambda connection, _request: connection.sendall(plain(b"", status="302 Found", headers=where))
    assert get(server.peer()).status == 302
    assert len(server.requests) == 1


def test_a_proxy_in_the_environment_is_not_used(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(server.peer()).status == 200


def test_two_requests_share_a_connection(server: TlsServer) -> None:
    with Channel(server.peer()) as channel:
        for _ in range(2):
            assert channel.request("POST", "x", headers={}, body=b"{}").status == 200
    assert server.connections == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize("told", [True, False])
def test_a_connection_closed_in_between_is_made_anew(server: TlsServer, told: bool) -> None:  # noqa: FBT001
    headers = "Connection: close\r\n" if told else ""
    server.answer = lambda connection, _request: cut(connection, plain(b"{}", headers=headers))
    with Channel(server.peer()) as channel:
        for _ in range(2):
            assert channel.request("POST", "x", headers={}, body=b"{}").status == 200
    assert server.connections == 2


def test_a_broken_answer_never_meets_the_next_request(server: TlsServer) -> None:
    with Channel(server.peer(timeout=5)) as channel:
        server.answer = lambda connection, _request: connection.sendall(plain(b" " * (MAX_RESPONSE + 1)))
        with pytest.raises(TooLarge):
            channel.request("GET", "a", headers={})
        server.answer = lambda connection, _request: connection.sendall(plain(b'{"b":1}'))
        assert channel.request("GET", "b", headers={}).body == b'{"b":1}'
