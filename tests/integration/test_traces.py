"""Traces as a collector gets them: real spans by OTLP over HTTP from real services, decoded from protobuf."""

from __future__ import annotations

import gzip
import http.server
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scripts.whole import whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{PARENT}-00f067aa0ba902b7-01"


class Collector:
    """What came."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}
        self.url = ""

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that takes traces at /v1/traces."""
    found = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                found.resource |= {pair.key: pair.value.string_value for pair in each.resource.attributes}
                found.spans += [span for scope in each.scope_spans for span in scope.spans]
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("accept", [False, True])
def test_a_request_is_a_trace_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: bool) -> None:  # noqa: FBT001
    """The service ends within the block: what waited is sent by then."""
    more = f"[traces]\nenabled = true\naccept_traceparent = {str(accept).lower()}\n"
    with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        with whole(tmp_path, more) as system:
            headers = {"x-api-key": system.api_key, "traceparent": TRACEPARENT}
            with system.client(system.attestation, **headers) as client:
                quote = (tmp_path / "quote").read_text()
                answer = client.post("/appraisal/v1/attest", json={"quote": quote})
                refused = client.post("/appraisal/v1/attest", json={"quote": "AAAA"})
    assert (answer.status_code, refused.status_code) == (200, 400)
    (root, other) = found.named("POST /appraisal/v1/attest")
    trace = root.trace_id.hex()
    assert answer.headers["trace-id"] == trace, "the name of the request everywhere"
    assert (trace == PARENT) is accept, "a stranger names a trace only where that was configured"
    assert root.parent_span_id.hex() == ("00f067aa0ba902b7" if accept else "")
    children = {span.name: span for span in found.spans if span.parent_span_id == root.span_id}
    assert set(children) == {"verify", "policies", "sign", "audit"}
    told = {pair.key: pair.value.string_value or pair.value.int_value for pair in other.attributes}
    assert told == {
        "http.request.method": "POST",
        "http.route": "/appraisal/v1/attest",
        "http.response.status_code": 400,
        "error.type": refused.json()["code"],
    }
    assert found.resource["service.name"] in {"ambergate-attestation", "ambergate-keybroker"}
    secret = (system.api_key, quote[:60], answer.json()["token"][:60])
    assert not [each for each in secret if each in str(found.spans)]


def test_without_traces_nothing_is_loaded() -> None:
    modules = "ambergate.services.attestation.app, ambergate.services.keybroker.app"
    program = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
