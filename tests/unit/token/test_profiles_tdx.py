"""The claims of a TD against the bytes of its report, at the offsets of Intel's table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream
from tests.unit.token.judged import ALL, Laboratory, issuance

from ambergate.core.appraise.appraisal import Appraisal
from ambergate.core.measurements import TdAttributes
from ambergate.core.quote.layout import TeeType
from ambergate.core.quote.td_report import TdReport, read_td_report
from ambergate.core.token.profiles import v1_claims

if TYPE_CHECKING:
    from ambergate.core.verify.verdict import VerifiedQuote

RAW = stream("a TD")(584)
# Claim -> where its bytes are: TD Quote Body 1.0, Intel "TDX DCAP Quoting Library API", appendix A.3.2.
OFFSETS = {
    "tdx_tee_tcb_svn": (0, 16),
    "tdx_mrseam": (16, 48),
    "tdx_mrsignerseam": (64, 48),
    "tdx_seam_attributes": (112, 8),
    "tdx_td_attributes": (120, 8),
    "tdx_xfam": (128, 8),
    "tdx_mrtd": (136, 48),
    "tdx_mrconfigid": (184, 48),
    "tdx_mrowner": (232, 48),
    "tdx_mrownerconfig": (280, 48),
    "tdx_rtmr0": (328, 48),
    "tdx_rtmr1": (376, 48),
    "tdx_rtmr2": (424, 48),
    "tdx_rtmr3": (472, 48),
    "tdx_report_data": (520, 64),
}
FLAGS = {"debug": 0, "septve_disable": 28, "migratable": 29, "protection_keys": 30, "key_locker": 31, "perfmon": 63}


@pytest.fixture(scope="module")
def verified() -> VerifiedQuote:
    return Laboratory.open().appraisal().verified


def report() -> TdReport:
    return read_td_report(RAW)


def claims_of(verified: VerifiedQuote, body: TdReport) -> dict[str, object]:
    """The claims of this TD, as if it had been proven."""
    header = replace(verified.quote.header, version=4, tee=TeeType.TDX)
    proven = replace(verified, quote=replace(verified.quote, header=header, body=body))
    return v1_claims(Appraisal(verified=proven, policy=ALL), issuance())


def test_a_tds_claims_are_the_quotes_bytes(verified: VerifiedQuote) -> None:
    claims = claims_of(verified, report())
    for name, (offset, size) in OFFSETS.items():
        assert claims[name] == RAW[offset : offset + size].hex(), name
    assert claims["tdx_seamsvn"] == RAW[0] + 256 * RAW[1]
    assert claims["attester_type"] == "TDX"


def test_the_module_version_as_samples_have_it(verified: VerifiedQuote) -> None:
    """Wire protocol 4.3: 04000600.. gives 4, 0d0104.. gives 269."""
    for head, number in (("0400", 4), ("0d01", 269)):
        body = read_td_report(bytes.fromhex(head) + RAW[2:])
        assert claims_of(verified, body)["tdx_seamsvn"] == number


@pytest.mark.parametrize("name", FLAGS)
def test_each_attribute_is_its_bit(verified: VerifiedQuote, name: str) -> None:
    attributes = TdAttributes((1 << FLAGS[name]).to_bytes(8, "little"))
    claims = claims_of(verified, replace(report(), td_attributes=attributes))
    assert {flag: claims[f"tdx_td_attributes_{flag}"] for flag in FLAGS} == {flag: flag == name for flag in FLAGS}
    assert claims["tdx_is_debuggable"] is (name == "debug")
    assert claims["tdx_is_migratable"] is (name == "migratable")
    assert claims["dbgstat"] == ("enabled" if name == "debug" else "disabled")


def test_a_td_has_no_claims_of_an_enclave(verified: VerifiedQuote) -> None:
    claims = claims_of(verified, report())
    assert not [name for name in claims if name.startswith("sgx_")]
    assert claims["tdx_pcesvn"] == verified.platform.pce_svn
    expected = {*OFFSETS, "tdx_seamsvn", "tdx_is_debuggable", "tdx_is_migratable", "tdx_pcesvn", "tdx_collateral"}
    assert {name for name in claims if name.startswith("tdx_")} == expected | {f"tdx_td_attributes_{f}" for f in FLAGS}
