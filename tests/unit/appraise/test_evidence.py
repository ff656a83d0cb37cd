"""What policies read is what tokens tell, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.appraise.told import SGX, TDX
from tests.unit.simulator.stream import stream
from tests.unit.token.judged import ENCLAVE, REPORT_DATA, Laboratory, issuance

from ambergate.core.appraise.evidence import CLAIMS, evidence_claims
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote.layout import TeeType
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.quote.td_report import read_td_report
from ambergate.core.token.profiles import v1_claims


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory.open()


def test_the_claims_about_an_enclave(laboratory: Laboratory) -> None:
    claims = evidence_claims(laboratory.appraisal(status=TcbStatus.OUT_OF_DATE, debug=True).verified)
    assert claims["attester_type"] == "SGX"
    assert claims["attester_tcb_status"] == "OutOfDate"
    assert claims["sgx_mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert claims["sgx_mrsigner"] == ENCLAVE.mr_signer.hex()
    assert (claims["sgx_isvprodid"], claims["sgx_isvsvn"]) == (513, 65535)
    assert claims["sgx_report_data"] == REPORT_DATA.hex()
    assert claims["sgx_is_debuggable"] is True
    assert json.loads(json.dumps(claims)) == claims, "a policy's input is JSON"


def test_they_are_about_evidence_only(laboratory: Laboratory) -> None:
    claims = evidence_claims(laboratory.appraisal().verified)
    assert all(name.startswith(("attester_", "sgx_")) for name in claims)
    assert claims.keys().isdisjoint({"attester_held_data", "attester_runtime_data"})


def test_a_token_tells_all_of_them(laboratory: Laboratory) -> None:
    appraisal = laboratory.appraisal()
    told = v1_claims(appraisal, issuance(runtime_data=b"held"))
    assert evidence_claims(appraisal.verified).items() <= told.items()


def test_advisories_are_told_when_there_are_any(laboratory: Laboratory) -> None:
    verified = laboratory.appraisal().verified
    for ids in ((), ("INTEL-SA-00001",)):
        claims = evidence_claims(replace(verified, tcb=verified.tcb._replace(advisory_ids=ids)))
        assert claims.get("attester_advisory_ids") == (list(ids) or None)


def test_what_a_policy_may_read_is_what_there_is(laboratory: Laboratory) -> None:
    """Name for name and type for type: of an enclave, of a TD, and no more."""
    verified = laboratory.appraisal().verified
    header = replace(verified.quote.header, version=4, tee=TeeType.TDX)
    body = read_td_report(stream("a TD")(584))
    td = replace(verified, quote=replace(verified.quote, header=header, body=body))
    noted = replace(verified, tcb=verified.tcb._replace(advisory_ids=("INTEL-SA-00001",)))
    assert isinstance(verified.report, EnclaveReport)
    configured = replace(verified, quote=replace(verified.quote, body=replace(verified.report, config_id=b"\1" * 64)))
    there_are = evidence_claims(td) | evidence_claims(noted) | evidence_claims(configured)
    assert {name: type(value) for name, value in there_are.items()} == CLAIMS
    assert evidence_claims(td).keys() == TDX.keys(), "tests judge claims of this form"
    assert evidence_claims(verified).keys() == SGX.keys()
