"""Metrics on a port of their own: told to who asks, bounded whatever comes in, and slow peers hold nobody up."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route
from tests.unit.web.site import ERRORS, Site, echo, raising

from ambergate.services.web import metrics_server
from ambergate.services.web.application import build
from ambergate.services.web.certificates import Certificates
from ambergate.services.web.metrics import MAX_CODES, Metrics
from ambergate.services.web.metrics_server import serving_metrics
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, bound_socket, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ambergate.services.web.selfsigned import ServerCertificate


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values, these in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


@contextmanager
def told(metrics: Metrics, tls: TlsFiles | None = None) -> Iterator[int]:
    """The metrics' port."""
    listener = bound_socket("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    with serving_metrics(metrics.text, listener, None if tls is None else Certificates(tls)):
        yield port


@pytest.fixture(scope="module")
def counted(tls_files: TlsFiles) -> Iterator[tuple[Site, Metrics]]:
    metrics = Metrics("tests")
    routes = [Route(f"/error/{name}", raising(error)) for name, error in ERRORS.items()]
    routes += [Route("/echo", echo, methods=["POST"]), Route("/things/{id}", raising(ERRORS["key"]))]
    with running(build(routes, metrics=metrics), tls_files) as port:
        yield Site(port=port, ca=tls_files.certificate.with_name("ca.pem")), metrics


def test_requests_are_counted_by_route_and_status(counted: tuple[Site, Metrics]) -> None:
    site, metrics = counted
    with site.client() as client:
        client.post("/echo", content=b"x")
        client.get("/echo")
        for name in ("a", "b", "../../etc"):
            client.get(f"/things/{name}")
        client.get("/error/bug")
        client.request("TRACE", "/echo")
        client.get("/error/welcome")
        client.get("/error/key")  # on the same connection: answered once the ones before are counted
    found = samples(metrics)
    name = "ambergate_http_requests_total"
    assert found[name, "POST", "/echo", "200"] == 1
    assert found[name, "GET", "/echo", "405"] == 1
    assert found[name, "GET", "/things/{id}", "401"] == 2
    assert found[name, "GET", "other", "404"] == 1
    assert found[name, "GET", "/error/bug", "500"] == 1
    assert found[name, "other", "/echo", "405"] == 1
    assert found["ambergate_http_errors_total", "not-welcome"] == 1
    assert found["ambergate_http_request_seconds_count", "/things/{id}"] == 2
    assert found["ambergate_http_request_seconds_bucket", "+Inf", "/echo"] == 3
    assert 0 <= found["ambergate_http_requests_in_flight",] <= 1


def test_labels_are_few_whatever_comes_in() -> None:
    metrics = Metrics("tests")
    for number in range(2 * MAX_CODES):
        metrics.refused(f"code-{number}")
    codes = {key[1] for key in samples(metrics) if key[0] == "ambergate_http_errors_total"}
    assert len(codes) == MAX_CODES + 1
    assert samples(metrics)["ambergate_http_errors_total", "other"] == MAX_CODES


def test_plain_http_tells_the_metrics_and_nothing_else() -> None:
    with told(Metrics("tests")) as port, httpx.Client(trust_env=False) as client:
        answer = client.get(f"http://127.0.0.1:{port}/metrics?x=1")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'ambergate_build{service="tests"' in answer.text
        assert client.get(f"http://127.0.0.1:{port}/").status_code == 404
        assert client.post(f"http://127.0.0.1:{port}/metrics").status_code == 501
        assert answer.headers["server"] == "ambergate"


def test_tls(tls_files: TlsFiles) -> None:
    with told(Metrics("tests"), tls_files) as port:
        context = ssl.create_default_context(cafile=str(tls_files.certificate.with_name("ca.pem")))
        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.get(f"https://127.0.0.1:{port}/metrics").status_code == 200
        with httpx.Client(trust_env=False) as client, pytest.raises(httpx.HTTPError):
            client.get(f"http://127.0.0.1:{port}/metrics")


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = [make_server_certificate(["127.0.0.1"], datetime.now(UTC)) for _ in range(2)]
    files = TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")

    def put(pair: ServerCertificate) -> None:
        files.certificate.write_text(pair.cert_pem)
        files.key.write_text(pair.key_pem)

    def status(trusted: ServerCertificate) -> int:
        context = ssl.create_default_context(cadata=trusted.ca_pem)
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"https://127.0.0.1:{port}/metrics").status_code

    put(made[0])
    with told(Metrics("tests"), files) as port:
        assert status(made[0]) == 200
        files.key.write_text(made[1].key_pem)  # half of the new pair
        assert [status(made[0]), status(made[0])] == [200, 200]
        assert caplog.text.count("is not taken") == 1
        put(made[1])
        assert status(made[1]) == 200
        with pytest.raises(httpx.ConnectError):
            status(made[0])


def test_slow_peers_are_let_go_and_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.3)
    with told(Metrics("tests")) as port, ExitStack() as stack:
        address = ("127.0.0.1", port)
        slow = [
            stack.enter_context(socket.create_connection(address, timeout=30))
            for _ in range(metrics_server.MAX_CONNECTIONS)
        ]
        for each in slow:
            each.sendall(b"GET /metr")
        with socket.create_connection(address, timeout=30) as one_more:
            assert one_more.recv(1) == b"", "closed at once"
        for each in slow:
            assert each.recv(1) == b"", "and these when their time is over"
        with httpx.Client(trust_env=False) as client:
            while True:
                try:
                    assert client.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
                    break
                except httpx.HTTPError:  # its slot is free a moment after the peer has seen the end
                    continue


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n", b"GET " + b"a" * 70_000, b"\x00" * 10])
def test_garbage_is_no_harm(sent: bytes) -> None:
    with told(Metrics("tests")) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
