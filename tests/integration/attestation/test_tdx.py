"""A TD at the real attestation service: nonce, quote, attest, token, check."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.integration.attestation.scene import AT, ISSUER, b64, bound

from ambergate.core.measurements import Rtmr
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.td_report import TdReport
from ambergate.simulator.evidence import SimulatedTdEvidenceSource
from ambergate.simulator.faults import FAULTS
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service

RTMRS: Final = (Rtmr(b"\x00" * 48), Rtmr(b"\x01" * 48), Rtmr(b"\x02" * 48), Rtmr(b"\x03" * 48))
TD: Final = replace(TdIdentity.of_image([b"a virtual machine"]), rtmrs=RTMRS)
KEY: Final = b"a public key"


def td_bound(nonce: dict[str, str], data: bytes) -> bytes:
    """REPORTDATA of a TD: wire protocol, section 2."""
    return hashlib.sha512(b64decode(nonce["val"]) + b64decode(nonce["iat"]) + data).digest()


def evidence(service: Service, nonce: dict[str, str], data: bytes = KEY, *, td: TdIdentity = TD) -> dict[str, Any]:
    quote = SimulatedTdEvidenceSource(service.platform, td).quote(td_bound(nonce, data))
    return {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(data)}


def test_from_nonce_to_the_claims_of_a_td(service: Service) -> None:
    nonce = service.nonce()
    body = evidence(service, nonce)
    claims = service.claims(service.attest(body))
    assert (claims.issuer, claims.simulated, claims.attester_type) == (ISSUER, True, "TDX")
    assert (claims.tcb_status, claims.advisory_ids, claims.debug) == ("UpToDate", (), False)
    assert (claims.nonce, claims.held_data, claims.mr_enclave) == (nonce, KEY, None)
    assert {name: value for name, value in claims.raw.items() if name.startswith(("tdx_", "sgx_"))} == {
        **said_of(parse_quote(b64decode(body["quote"])).body),
        "tdx_report_data": td_bound(nonce, KEY).hex(),
        "tdx_pcesvn": service.platform.state.hardware.pce_svn,
        "tdx_collateral": claims.raw["tdx_collateral"],
    }


def said_of(body: object) -> dict[str, object]:
    """The claims of wire protocol 4.3, from the report and from what this file chose."""
    assert isinstance(body, TdReport)
    return {
        "tdx_tee_tcb_svn": body.tee_tcb_svn.hex(),
        "tdx_mrseam": body.mr_seam.hex(),
        "tdx_mrsignerseam": "00" * 48,
        "tdx_seam_attributes": "00" * 8,
        "tdx_td_attributes": "0000001000000000",
        "tdx_xfam": body.xfam.hex(),
        "tdx_mrtd": TD.mr_td.hex(),
        **{f"tdx_{name}": "00" * 48 for name in ("mrconfigid", "mrowner", "mrownerconfig")},
        **{f"tdx_rtmr{index}": f"{index:02x}" * 48 for index in range(4)},
        "tdx_seamsvn": body.tee_tcb_svn.value[0] + 256 * body.tee_tcb_svn.value[1],
        "tdx_td_attributes_septve_disable": True,
        **{
            f"tdx_td_attributes_{name}": False
            for name in ("debug", "migratable", "protection_keys", "key_locker", "perfmon")
        },
        "tdx_is_debuggable": False,
        "tdx_is_migratable": False,
    }


@pytest.mark.parametrize(("version", "extended"), [(5, False), (5, True)])
def test_version_5_is_spoken_too(service: Service, version: int, *, extended: bool) -> None:
    nonce = service.nonce()
    quote = service.platform.td_quote(TD, td_bound(nonce, KEY), version=version, extended=extended)
    claims = service.claims(service.attest({**evidence(service, nonce), "quote": b64(quote)}))
    assert (claims.attester_type, claims.raw["tdx_mrtd"]) == ("TDX", TD.mr_td.hex())


def test_a_debug_td_is_not_welcome(service: Service) -> None:
    """The evidence is genuine; the default policy refuses it, as it refuses an enclave under debug."""
    told = service.attest(evidence(service, service.nonce(), td=replace(TD, debug=True))).json()
    assert told["code"] == "not-welcome"
    assert told["mismatches"] == [{"rule": "debug", "seen": "True", "wanted": "False"}]


def refused(service: Service, body: object, step: str) -> None:
    answer = service.attest(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["step"] == step, answer.text
    assert "token" not in answer.json()


def test_a_replay_is_refused(service: Service) -> None:
    """The old quote beside a new nonce, and the old request after its nonce has aged."""
    body = evidence(service, service.nonce())
    service.claims(service.attest(body))
    refused(service, {**body, "verifier_nonce": service.nonce()}, "10.2.report_data")
    service.clock.instant = AT + timedelta(seconds=121)
    refused(service, body, "10.1.nonce")


def test_other_data_or_an_enclaves_hash_is_refused(service: Service) -> None:
    nonce = service.nonce()
    refused(service, {**evidence(service, nonce), "runtime_data": b64(b"another key")}, "10.2.report_data")
    half = service.platform.td_quote(TD, bound(nonce, KEY))
    refused(service, {**evidence(service, nonce), "quote": b64(half)}, "10.2.report_data")


def test_a_lie_of_a_td_is_refused_with_its_step(service: Service) -> None:
    nonce = service.nonce()
    fault = FAULTS["td-body-tampered"]
    raw, _ = fault.apply(service.platform, AT, td=TD, report_data=td_bound(nonce, KEY))
    refused(service, {**evidence(service, nonce), "quote": b64(raw)}, "8.1.quote_signature")
