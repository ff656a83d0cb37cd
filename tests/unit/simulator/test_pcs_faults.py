"""Each fault of the collateral service, as it arrives; what a client makes of it is in tests/integration/pcs."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from tests.unit.simulator.pcs_client import (
    AT,
    IDENTITY,
    PCK_CRL,
    PLATFORM,
    ROOT_CRL,
    TCB,
    get,
    inner,
    serving,
    signed_by,
)

from ambergate.core.errors import SettingsError
from ambergate.simulator.pcs import FAULTS, Armed, Dialect, Document

if TYPE_CHECKING:
    from ambergate.simulator.pki import Entity

PKI = PLATFORM.state.pki
STATEMENTS = [
    (TCB, "tcbInfo", "TCB-Info-Issuer-Chain"),
    (IDENTITY, "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain"),
]
CRLS = [PCK_CRL, ROOT_CRL]
ISSUERS = [(PCK_CRL, PKI.pck_ca), (ROOT_CRL, PKI.root)]
TARGETS = {Document.TCB: TCB, Document.IDENTITY: IDENTITY, Document.PCK_CRL: PCK_CRL, Document.ROOT_CRL: ROOT_CRL}


@pytest.mark.parametrize("status", [404, 410, 429, 460, 461, 462, 500, 502, 503, 504])
@pytest.mark.parametrize("target", [*TARGETS.values(), "/sgx/certification/v4/fmspcs", "/sgx/certification/v4/pckcert"])
def test_statuses(status: int, target: str) -> None:
    with serving(f"http-{status}") as server:
        reply = get(server, target)
    assert reply.status == status
    assert reply.headers["Retry-After"] == ("1" if status == 429 else None)
    assert "TCB-Info-Issuer-Chain" not in reply.headers


def test_slow_sends_the_right_bytes_one_by_one() -> None:
    with serving("slow:1", drip=0.001) as server:
        assert get(server, ROOT_CRL).body == get(server, ROOT_CRL).body


def test_truncated_ends_before_its_length() -> None:
    with serving("truncated") as server, pytest.raises(IncompleteRead) as caught:
        get(server, TCB)
    assert len(caught.value.partial) > 0
    assert caught.value.expected is not None


@pytest.mark.parametrize("target", TARGETS.values())
def test_wrong_content_type_changes_nothing_else(target: str) -> None:
    with serving("wrong-content-type:1") as server:
        wrong, right = get(server, target), get(server, target)
    assert (wrong.status, wrong.body, wrong.headers["Content-Type"]) == (200, right.body, "text/html")


@pytest.mark.parametrize("target", [*CRLS, "/sgx/certification/v4/pckcrl?ca=platform"])
@pytest.mark.parametrize("dialect", Dialect)
def test_hex_crl_is_hex_of_the_der(target: str, dialect: Dialect) -> None:
    with serving("hex-crl", dialect=dialect) as server:
        body = get(server, target).body
    x509.load_der_x509_crl(bytes.fromhex(body.decode("ascii")))


@pytest.mark.parametrize("target", [TCB, IDENTITY])
def test_not_json_is_somebody_elses_page(target: str) -> None:
    with serving("not-json") as server:
        reply = get(server, target)
    assert (reply.status, reply.body[:9]) == (200, b"<!DOCTYPE")


@pytest.mark.parametrize("target", TARGETS.values())
def test_oversized_is_the_document_and_megabytes_more(target: str) -> None:
    with serving("oversized:1") as server:
        large, right = get(server, target), get(server, target)
    assert len(large.body) == 8 << 20
    assert large.body.rstrip() == right.body.rstrip()


def test_packed_unpacks_to_much_more_than_is_sent() -> None:
    with serving("packed") as server:
        reply = get(server, TCB)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(reply.body) < 1 << 17
    assert len(gzip.decompress(reply.body)) == 16 << 20


def test_redirect_leads_to_the_document() -> None:
    with serving("redirect:1") as server:
        reply = get(server, TCB)
        assert (reply.status, reply.body) == (302, b"")
        assert get(server, reply.headers["Location"]).status == 200


@pytest.mark.parametrize(("target", "member", "header"), STATEMENTS)
def test_stale_statements_are_properly_signed(target: str, member: str, header: str) -> None:
    with serving("stale") as server:
        reply = get(server, target)
    text, signature = inner(reply.body, member)
    chain = reply.chain(header)
    signed_by(chain[0], text, signature)
    assert chain[1] == PKI.root.certificate
    assert json.loads(text)["nextUpdate"] == "2026-02-28T12:30:15Z"


@pytest.mark.parametrize(("target", "issuer"), ISSUERS)
def test_stale_lists_are_properly_signed(target: str, issuer: Entity) -> None:
    with serving("stale") as server:
        crl = x509.load_der_x509_crl(get(server, target).body)
    assert crl.is_signature_valid(issuer.key.public_key())
    assert crl.next_update_utc is not None
    assert crl.next_update_utc < AT


@pytest.mark.parametrize(("target", "member", "header"), STATEMENTS)
def test_wrong_chain_holds_in_itself_and_ends_at_one_other_root(target: str, member: str, header: str) -> None:
    with serving("wrong-chain") as server:
        reply = get(server, target)
        root_crl = x509.load_der_x509_crl(get(server, ROOT_CRL).body)
        pck_crl = get(server, PCK_CRL)
    text, signature = inner(reply.body, member)
    signer, root = reply.chain(header)
    signed_by(signer, text, signature)
    signer.verify_directly_issued_by(root)
    assert root.subject == PKI.root.certificate.subject
    assert root.public_key() != PKI.root.certificate.public_key()
    assert root_crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    issuer, other_root = pck_crl.chain("SGX-PCK-CRL-Issuer-Chain")
    assert other_root == root
    assert x509.load_der_x509_crl(pck_crl.body).is_signature_valid(issuer.public_key())  # type: ignore[arg-type]


@pytest.mark.parametrize(("target", "member", "header"), STATEMENTS)
def test_wrong_signature_comes_with_the_right_chain(target: str, member: str, header: str) -> None:
    with serving("wrong-signature") as server:
        reply = get(server, target)
    chain = reply.chain(header)
    assert chain == [PKI.tcb_signing.certificate, PKI.root.certificate]
    with pytest.raises(InvalidSignature):
        signed_by(chain[0], *inner(reply.body, member))


@pytest.mark.parametrize(("target", "issuer"), ISSUERS)
def test_wrong_signature_of_lists_names_the_right_issuer(target: str, issuer: Entity) -> None:
    with serving("wrong-signature") as server:
        crl = x509.load_der_x509_crl(get(server, target).body)
    assert crl.issuer == issuer.certificate.subject
    assert not crl.is_signature_valid(issuer.key.public_key())


def test_wrong_fmspc_is_properly_signed() -> None:
    with serving("wrong-fmspc") as server:
        reply = get(server, TCB)
        identity = get(server, IDENTITY)
    text, signature = inner(reply.body, "tcbInfo")
    signed_by(reply.chain("TCB-Info-Issuer-Chain")[0], text, signature)
    assert json.loads(text)["fmspc"] == b"other.".hex()
    assert identity.status == 200


@pytest.mark.parametrize(("target", "member", "header"), STATEMENTS)
def test_rollback_is_an_older_number_properly_signed_and_in_date(target: str, member: str, header: str) -> None:
    with serving("rollback") as server:
        reply = get(server, target)
    text, signature = inner(reply.body, member)
    signed_by(reply.chain(header)[0], text, signature)
    said = json.loads(text)
    assert said["tcbEvaluationDataNumber"] == 16
    assert said["nextUpdate"] > "2026-03-30"


def test_a_bounded_fault_ends_and_the_next_one_follows() -> None:
    with serving("http-503:2", "http-429:1") as server:
        assert [get(server, TCB).status for _ in range(4)] == [503, 503, 429, 200]


def test_a_bounded_fault_meets_so_many_requests_whoever_is_first() -> None:
    with serving("http-503:20") as server, ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: get(server, TCB).status, range(64)))
    assert (statuses.count(503), statuses.count(200)) == (20, 44)


def test_an_aimed_fault_meets_one_kind_of_document() -> None:
    with serving("http-503:1@identity") as server:
        statuses = [get(server, target).status for target in (TCB, IDENTITY, PCK_CRL, IDENTITY)]
    assert statuses == [200, 503, 200, 200]


def test_an_address_that_nothing_is_at_meets_no_fault() -> None:
    with serving("http-503:1") as server:
        assert [get(server, target).status for target in ("/nowhere", TCB)] == [404, 503]


@pytest.mark.parametrize(
    "text",
    [
        *("", "no-such", "http-503:", "http-503:0", "http-503:-1", "http-503:x", "http-503:²", "http-503:1000000000"),
        *("http-503@", "http-503@nothing", "hex-crl@tcb", "http-503@tcb:2"),
    ],
)
def test_what_is_no_fault_is_our_error(text: str) -> None:
    with pytest.raises(SettingsError):
        Armed.parse(text)


@pytest.mark.parametrize(
    ("name", "document"),
    [(fault.name, document) for fault in FAULTS.values() for document in TARGETS if document not in fault.documents],
)
def test_a_fault_leaves_alone_what_it_does_not_concern(name: str, document: Document) -> None:
    with serving(name) as server:
        reply = get(server, TARGETS[document])
    assert reply.status == 200
    if document in (Document.PCK_CRL, Document.ROOT_CRL):
        assert x509.load_der_x509_crl(reply.body).issuer in (
            PKI.pck_ca.certificate.subject,
            PKI.root.certificate.subject,
        )
    else:
        assert next(iter(json.loads(reply.body).values()))["tcbEvaluationDataNumber"] == 17
