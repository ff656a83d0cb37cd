"""Every answer has the common shape: JSON errors, ids in lower case, lengths announced, nothing of ours told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route
from tests.unit.web.site import MISMATCHES, Site, nameless

from ambergate.services.web.application import build
from ambergate.services.web.problems import json_response
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def test_a_refused_quote_names_the_step(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/error/genuine")
    assert answer.status_code == 400
    assert nameless(answer) == {
        "error": "the signature is wrong (step 7.quote_signature)",
        "code": "not-genuine",
        "step": "7.quote_signature",
        "seen": "a",
        "wanted": "b",
        "hint": "c",
    }


def test_a_refusal_by_policy_lists_every_mismatch(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/error/welcome")
    assert answer.status_code == 400
    assert answer.json()["mismatches"] == MISMATCHES
    assert "debug: seen true, wanted false; tcb: seen Old, wanted New" in answer.json()["error"]


def test_a_bad_key_is_answered_as_a_gateway_does(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/error/key")
    assert answer.status_code == 401
    assert answer.json()["message"] == answer.json()["error"] == "no such key"


@pytest.mark.parametrize(("name", "status"), [("collateral", 503), ("away", 503)])
def test_what_is_away_is_503_without_addresses(site: Site, name: str, status: int) -> None:
    with site.client() as client:
        answer = client.get(f"/error/{name}")
    assert answer.status_code == status
    assert set(nameless(answer)) == {"error", "code"}


@pytest.mark.parametrize("name", ["settings", "base", "bug"])
def test_our_own_faults_are_opaque(site: Site, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="ambergate.web"), site.client() as client:
        answer = client.get(f"/error/{name}")
    assert answer.status_code == 500
    assert nameless(answer) == {"error": "internal error", "code": "internal"}
    assert "hidden" in caplog.text


def test_half_a_character_in_what_was_sent_is_told_as_an_escape(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/error/half")
    assert answer.status_code == 400
    assert b"\\ud800" in answer.content


def test_unknown_routes_are_404_in_json(site: Site) -> None:
    with site.client() as client:
        answers = [client.get(path) for path in ("/nothing", "/echo/", "/%00%0a")]
    assert [a.status_code for a in answers] == [404, 404, 404]
    assert all(a.json()["error"] == "there is nothing here" for a in answers)


def test_other_methods_are_405_and_say_which_are_allowed(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/echo")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["code"] == "http-405"


def test_the_methods_of_a_path_are_named_whatever_route_has_them(tls_files: TlsFiles) -> None:
    def answer(request: Request) -> Response:
        return json_response(request.method)

    routes = [Route("/a/{b}", answer, methods=[method]) for method in ("GET", "PUT", "DELETE")]
    with running(build(routes), tls_files) as port:
        site = Site(port=port, ca=tls_files.certificate.with_name("ca.pem"))
        with site.client() as client:
            refused = client.post("/a/1")
            assert client.put("/a/1").json() == "PUT"
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")


def test_every_answer_has_ids_in_lower_case_and_no_quotes_and_a_length(site: Site) -> None:
    with site.client() as client:
        answers = [client.get(p, headers={"Request-Id": "a b/c_d.e-1"}) for p in ("/healthz", "/x", "/error/bug")]
    for answer in answers:
        names = [name.decode() for name, _ in answer.headers.raw]
        assert {"trace-id", "request-id"} <= set(names)
        assert "etag" not in names
        assert "content-length" in names
        assert not any(quote in value for _, value in answer.headers.raw for quote in (b"'", b'"'))
        assert answer.headers["request-id"] == "a b/c_d.e-1"
    assert len({answer.headers["trace-id"] for answer in answers}) == 3


def test_an_empty_request_id_is_none(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/healthz", headers={"request-id": ""})
    assert answer.status_code == 200
    assert "request-id" not in answer.headers


@pytest.mark.parametrize("given", ["a\tb", "x" * 129, "é", '"', "a;b"])
def test_a_malformed_request_id_is_refused_and_not_echoed(site: Site, given: str) -> None:
    with site.client() as client:
        answer = client.get("/healthz", headers={b"request-id": given.encode()})
    assert answer.status_code == 400
    assert "request-id" not in answer.headers
    assert "request-id" in answer.json()["error"]


def test_the_access_log_names_no_header_and_no_query(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ambergate.access"), site.client() as client:
        client.get("/healthz?token=geheim%0a", headers={"x-api-key": "geheim"})
        client.get("/healthz")  # on the same connection: answered once the first is logged
    assert "GET /healthz 200" in caplog.text
    assert "geheim" not in caplog.text
