"""Slow clients, silent ones and many of one address hold up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import time
from contextlib import ExitStack
from ipaddress import ip_network
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route
from tests.unit.web.site import Site

from ambergate.services.web import accepting, protocol, seats
from ambergate.services.web.addresses import Proxies
from ambergate.services.web.application import build
from ambergate.services.web.limits import Limits
from ambergate.services.web.live import Generation, Live
from ambergate.services.web.problems import json_response
from ambergate.services.web.seats import Seats
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import pytest
    from starlette.requests import Request

SLOW = 100
LARGE = 2 * 1024 * 1024  # bytes
PIPELINED = 24  # of those: more than the buffers of both sides


async def quick(request: Request) -> Response:
    del request
    return json_response("here")


async def large(request: Request) -> Response:
    del request
    return Response(bytes(LARGE))


async def patient(request: Request) -> Response:
    return json_response(len(await request.body()))


@contextlib.contextmanager
def house(tls: TlsFiles, limits: Limits | None = None) -> Iterator[Site]:
    app = build([Route("/quick", quick), Route("/large", large), Route("/patient", patient, methods=["POST"])])
    live = Live(Generation(app, tls, limits=limits or Limits()), clock=time.monotonic)
    with running(live, tls) as port:
        yield Site(port=port, ca=tls.certificate.with_name("ca.pem"))


def connected(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=20)


def secured(site: Site) -> ssl.SSLSocket:
    return site.context().wrap_socket(connected(site), server_hostname="localhost")


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it, after whatever it still sends."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_a_hundred_slow_clients_do_not_slow_down_the_others(tls_files: TlsFiles) -> None:
    """Some say nothing, some half a greeting, half a head, half a body."""
    kinds = (
        b"",
        b"GET /quick HTTP/1.1\r\nhost:",
        b"POST /patient HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nhalf",
    )
    with house(tls_files) as site, ExitStack() as held, site.client() as client:
        for number in range(SLOW):
            if number % 4 == 0:
                held.enter_context(connected(site)).sendall(b"\x16\x03\x01" if number % 8 else b"")
                continue
            held.enter_context(secured(site)).sendall(kinds[number % 4 - 1])
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert client.get("/quick").json() == "here"
            with site.client() as new:
                assert new.get("/quick").json() == "here"
            took.append(time.monotonic() - began)
    assert statistics.median(took) < 1, "the slow ones may take ten times as long"


def test_one_address_has_so_many_connections_and_no_more(tls_files: TlsFiles) -> None:
    with house(tls_files, Limits(connections=2)) as site, ExitStack() as held:
        first, _ = (held.enter_context(secured(site)) for _ in range(2))
        assert ended(held.enter_context(connected(site)))
        first.close()
        assert any(let_in(site) for _ in range(1000))


def let_in(site: Site) -> bool:
    try:
        with secured(site) as connection:
            connection.sendall(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def test_a_trusted_proxy_is_many_clients(tls_files: TlsFiles) -> None:
    limits = Limits(connections=1, proxies=Proxies([ip_network("127.0.0.1")]))
    with house(tls_files, limits) as site, ExitStack() as held:
        for _ in range(3):
            held.enter_context(secured(site))
        assert let_in(site)


def test_who_has_asked_for_nothing_longest_makes_room(tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(accepting, "HANDSHAKE_SECONDS", 60.0)  # longer than this test waits: only room is made
    with house(tls_files) as site, ExitStack() as held:
        silent = held.enter_context(connected(site))
        waiting = held.enter_context(secured(site))
        busy = held.enter_context(secured(site))
        busy.sendall(b"POST /patient HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert busy.recv(4096).startswith(b"HTTP/1.1 100 ")
        assert let_in(site)
        assert ended(silent)
        waiting.sendall(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n")
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200 "), "nobody needed its seat"
        assert all(let_in(site) for _ in range(3)), "those before leave, or it does"
        busy.sendall(b"abc")
        assert busy.recv(4096).startswith(b"HTTP/1.1 200 "), "who has a request stays"


def test_a_greeting_that_does_not_come_is_hung_up_on(tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_SECONDS", 0.2)
    with house(tls_files) as site, connected(site) as silent, connected(site) as half:
        half.sendall(b"\x16\x03\x01")
        assert ended(silent)
        assert ended(half)


def test_what_is_no_tls_is_hung_up_on(tls_files: TlsFiles) -> None:
    with house(tls_files) as site, connected(site) as plain:
        plain.sendall(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n")
        assert ended(plain)
        assert let_in(site)


def test_answers_that_nobody_takes_are_given_up(tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.2)
    with house(tls_files) as site, secured(site) as connection:
        connection.sendall(PIPELINED * b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert let_in(site), "and the others are answered meanwhile"
        came = 0
        with contextlib.suppress(OSError):
            while piece := connection.recv(1024 * 1024):
                came += len(piece)
        assert came < PIPELINED * LARGE


def test_more_headers_than_anybody_sends_are_400(tls_files: TlsFiles) -> None:
    with house(tls_files) as site, site.client() as client:
        many = {f"x-{number}": "1" for number in range(protocol.MAX_HEADERS)}
        assert client.get("/quick", headers=many).status_code == 400
        assert client.get("/quick").status_code == 200


def test_seats_are_given_back_once() -> None:
    async def story() -> None:
        house = Seats(lambda: Limits(connections=2), most=3)
        first, second = house.take("192.0.2.7"), house.take("192.0.2.7")
        assert not house.welcome("192.0.2.7")
        assert house.welcome("2001:db8::1")
        first.leave()
        first.leave()
        first.idle()
        assert house.welcome("192.0.2.7")
        house.take("192.0.2.7")
        house.take("2001:db8::1")
        assert not house.welcome("192.0.2.7")
        assert first not in house.idle
        second.busy()
        waiting = asyncio.create_task(house.room())
        await asyncio.sleep(0)
        second.leave()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(story())


def test_a_body_that_breaks_off_is_no_fault_of_ours(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), site.client() as client:
        with secured(site) as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        assert any("POST /echo 400" in (client.get("/healthz"), caplog.text)[1] for _ in range(1000))
    assert "unhandled" not in caplog.text
