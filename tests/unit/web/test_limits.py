"""Bodies and heads are bounded in size and time, and TLS in its versions and suites."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from starlette.routing import Route
from tests.unit.web.site import Site

from ambergate.core.errors import Malformed, SettingsError, Unavailable
from ambergate.services.web import protocol, server
from ambergate.services.web.application import build
from ambergate.services.web.bodies import WHOLE, decode, read_body
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.problems import json_response
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import GRACE, TlsFiles, bound_socket, running, server_context

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


def test_a_body_at_the_limit_is_read(site: Site) -> None:
    with site.client() as client:
        assert client.post("/echo", content=bytes(1000)).json() == {"size": 1000}


@pytest.mark.parametrize("size", [1001, 7000, 100_000])
def test_a_longer_body_is_413_and_the_connection_ends(site: Site, size: int) -> None:
    with site.client() as client:
        answer = client.post("/echo", content=bytes(size))
    assert answer.status_code == 413
    assert answer.json()["wanted"] == "at most 1000 bytes"
    assert answer.headers["connection"] == "close"


def test_a_chunked_body_is_counted_as_it_comes(site: Site) -> None:
    with site.client() as client:
        answer = client.post("/echo", content=(bytes(300) for _ in range(5)))
    assert answer.status_code == 413


def test_a_body_that_does_not_come_is_408(site: Site) -> None:
    with _connected(site) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_request_in_one_piece_is_known_to_be_whole_and_no_other(tls_files: TlsFiles) -> None:
    """No timer runs for what is here already; it does for what is not."""

    async def told(request: Request) -> Response:
        whole = WHOLE in request.scope
        return json_response([whole, len(await read_body(request))])

    head = b"POST /told HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"
    with running(build([Route("/told", told, methods=["POST"])]), tls_files) as port:
        here = Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))
        with _connected(here) as connection:
            connection.sendall(head + b"\r\nabc")
            assert _until(connection, b"]").endswith(b"[true,3]")
            connection.sendall(head + b"expect: 100-continue\r\n\r\n")
            assert _until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"abc")
            assert _until(connection, b"]").endswith(b"[false,3]")


def test_an_endless_head_is_400(site: Site) -> None:
    with site.client() as client:
        assert client.get("/healthz", headers={"x-fill": "a" * protocol.MAX_HEAD}).status_code == 400
        assert client.get("/healthz?" + "a" * protocol.MAX_HEAD).status_code == 400


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost:", b"GET /healthz HTTP/1.1\r\n\r\nGET /he"])
def test_a_head_that_does_not_come_is_hung_up_on(site: Site, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with _connected(site) as connection:
        connection.sendall(sent)
        while connection.recv(4096):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_with_the_suite_that_every_client_has(site: Site, version: ssl.TLSVersion) -> None:
    context = site.context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with _connected(site, context) as connection:
        name, _, _ = connection.cipher() or ("", "", 0)
    assert name.endswith("AES256-GCM-SHA384") or name == "TLS_AES_256_GCM_SHA384"


def test_older_tls_and_weak_suites_are_refused(site: Site, tls_files: TlsFiles) -> None:
    offered = {cipher["name"] for cipher in server_context(tls_files).get_ciphers()}
    assert all("GCM" in name or "CHACHA20" in name for name in offered)
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in offered)
    context = site.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-SHA256")
    with pytest.raises(ssl.SSLError), _connected(site, context):
        pass


def test_a_certificate_for_another_name_is_refused_by_its_clients(site: Site) -> None:
    with httpx.Client(verify=site.context(), trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(f"https://127.0.0.2:{site.port}/healthz")


def test_unusable_tls_files_are_told(tmp_path: Path, tls_files: TlsFiles) -> None:
    other = make_server_certificate(["localhost"], datetime.now(UTC))
    (tmp_path / "other.pem").write_text(other.key_pem)
    with pytest.raises(SettingsError, match="cannot be used"):
        server_context(TlsFiles(certificate=tls_files.certificate, key=tmp_path / "other.pem"))
    with pytest.raises(SettingsError, match="cannot be used"):
        server_context(TlsFiles(certificate=tls_files.certificate, key=tmp_path / "missing.pem"))


def test_a_taken_address_is_told() -> None:
    with bound_socket("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(Unavailable, match="cannot be listened on"):
            bound_socket("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("used", [True, False])
def test_an_idle_client_does_not_hold_up_the_end(tls_files: TlsFiles, *, used: bool) -> None:
    with contextlib.ExitStack() as afterwards:
        with running(build(health_routes(Readiness({}, now=lambda: datetime.now(UTC)))), tls_files) as port:
            site = Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))
            connection = afterwards.enter_context(_connected(site))
            if used:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            began = time.monotonic()
        assert time.monotonic() - began < GRACE / 2


def test_a_client_that_sends_half_a_request_does_not_either(
    tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE", 1)
    with contextlib.ExitStack() as afterwards:
        with running(build([Route("/slow", slow, methods=["POST"])]), tls_files) as port:
            site = Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))
            connection = afterwards.enter_context(_connected(site))
            connection.sendall(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")  # it waits for the body now
            began = time.monotonic()
        assert time.monotonic() - began < GRACE / 2


async def slow(request: Request) -> Response:
    return json_response(len(await read_body(request)))


class Shape(msgspec.Struct):
    name: str


@pytest.mark.parametrize("body", [b"", b"{", b'{"name":1}', b"\xff", b"[" * 100_000, b'{"name":"\xff"}'])
def test_whatever_the_bytes_only_malformed_leaves_decode(body: bytes) -> None:
    with pytest.raises(Malformed, match="not what is expected"):
        decode(body, Shape)


def _until(connection: ssl.SSLSocket, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        piece = connection.recv(4096)
        assert piece, read
        read += piece
    return read


def _connected(site: Site, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    try:
        return (context or site.context()).wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise
