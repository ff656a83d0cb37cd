"""The corpus of bodies: each gets its status and its words; none gets a token, a stack trace, a 5xx, or much time."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.attestation.hostile_bodies import COMPOSITE, FLAT, NO_JSON, Case
from tests.integration.attestation.scene import ENCLAVE, Service, b64

if TYPE_CHECKING:
    import httpx

V1, V1_AZURE, OLD = "/appraisal/v1/attest", "/appraisal/v1/attest/azure/tdxvm", "/appraisal/v1/appraise"
V2, V2_AZURE, AZURE = "/appraisal/v2/attest", "/appraisal/v2/attest/azure", "/attest/SgxEnclave?api-version=2022-08-01"
EVERYWHERE: Final = (V1, V1_AZURE, OLD, V2, V2_AZURE, AZURE)
GROWTH: Final = 64 * 1024  # kibibytes that the process may grow by while it reads thousands of them
# What would tell of the inside.
TRACES: Final = ("Traceback", 'File "', ".py", "site-packages", "msgspec", "Error(")


def sent(service: Service, case: Case, path: str) -> httpx.Response:
    quote = b64(service.platform.quote(ENCLAVE, bytes(64))).encode()
    return service.attest(case.body.replace(b"QUOTE", quote), path=path)


def refused(answer: httpx.Response, case: Case) -> None:
    assert answer.status_code == case.status, answer.text
    told = answer.json()
    assert "token" not in told
    assert not [trace for trace in TRACES if trace in answer.text], answer.text
    assert len(answer.content) < 2048, "no more than a line of what was sent comes back"
    nested = told["error"]
    code, text = (nested["code"], nested["message"]) if isinstance(nested, dict) else (told["code"], answer.text)
    assert code == case.code, answer.text
    if isinstance(nested, str):
        assert case.words in text, answer.text


@pytest.mark.parametrize("name", NO_JSON)
def test_what_no_endpoint_reads(service: Service, name: str) -> None:
    for path in EVERYWHERE:
        refused(sent(service, NO_JSON[name], path), NO_JSON[name])


@pytest.mark.parametrize("path", [V1, OLD])
@pytest.mark.parametrize("name", FLAT)
def test_members_of_a_flat_body(service: Service, name: str, path: str) -> None:
    refused(sent(service, FLAT[name], path), FLAT[name])


@pytest.mark.parametrize("name", COMPOSITE)
def test_members_of_a_composite_body(service: Service, name: str) -> None:
    for path in (V2, V2_AZURE):
        refused(sent(service, COMPOSITE[name], path), COMPOSITE[name])


def test_an_honest_body_beside_them(service: Service) -> None:
    """Without this, a service that refuses everything would pass."""
    honest = Case(b'{"quote":"QUOTE"}', "")
    for path in (V1, OLD, V2, AZURE):
        assert sent(service, honest, path).status_code == 200
    nested = Case(b'{"sgx":{"quote":"QUOTE"}}', "")
    assert sent(service, nested, V2).status_code == 200


@pytest.mark.slow
def test_many_of_them_at_once_leave_nothing_behind(service: Service) -> None:
    """All of them, several times, from several senders: the service still answers, and has not grown."""
    cases = [*NO_JSON.values(), *FLAT.values(), *COMPOSITE.values()]

    def all_of_them(_: int) -> set[int]:
        return {sent(service, case, V2).status_code for case in cases}

    with ThreadPoolExecutor(2) as senders:
        set().union(*senders.map(all_of_them, range(2)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        statuses = set().union(*senders.map(all_of_them, range(4)))
    assert max(statuses) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH
    assert sent(service, Case(b'{"quote":"QUOTE"}', ""), V1).status_code == 200
