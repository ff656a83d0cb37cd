"""Simulated TDs: byte-true quotes that an independent verifier accepts under the simulated root, and under no other."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.oracle import ask

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import DOCUMENTED, TcbStatus, read_tcb_info
from ambergate.core.errors import SettingsError
from ambergate.core.measurements import ReportData, Rtmr
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.quote.layout import TeeType
from ambergate.core.quote.td_report import TdReport
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.evidence import SimulatedTdEvidenceSource
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import MODULE_ISV_SVN, TDX_MODULE, TdIdentity, measure_td, module_svn

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ambergate.core.measurements import TeeTcbSvn

RTMR = Rtmr(b"\1" * 48)
TD = replace(TdIdentity.of_image([b"image"]), rtmrs=(RTMR, RTMR, Rtmr(b"\2" * 48), RTMR))
DATA = bytes(range(64))
VERSIONS = pytest.mark.parametrize(("version", "extended"), [(4, False), (5, False), (5, True)])


def td_of(raw: bytes) -> TdReport:
    body = parse_quote(raw).body
    assert isinstance(body, TdReport)
    return body


@VERSIONS
def test_a_quote_parses_and_encodes_to_the_same_bytes(
    platform: SimulatedPlatform, version: int, *, extended: bool
) -> None:
    raw = platform.td_quote(TD, DATA, version=version, extended=extended)
    quote, body = parse_quote(raw), td_of(raw)
    assert encode_quote(quote) == raw
    assert (quote.header.version, quote.tee, quote.header.reserved) == (version, TeeType.TDX, bytes(4))
    assert (quote.qe_report.isv_prod_id, quote.certification.kind) == (2, 5)
    assert (body.mr_td, body.rtmrs, body.report_data.value) == (TD.mr_td, TD.rtmrs, DATA)
    assert (body.sept_ve_disable, body.debug) == (True, False)
    assert (body.tee_tcb_svn2 is not None) is extended


@VERSIONS
@pytest.mark.parametrize("ca", ["platform", "processor"])
@pytest.mark.parametrize("status", [each for each in DOCUMENTED.values() if each is not TcbStatus.REVOKED])
def test_two_verifiers_agree_under_the_simulated_root(
    platform: SimulatedPlatform,
    processor_platform: SimulatedPlatform,
    at: datetime,
    status: TcbStatus,
    ca: str,
    version: int,
    *,
    extended: bool,
) -> None:
    chosen = platform if ca == "platform" else processor_platform
    raw = chosen.td_quote(TD, DATA, version=version, extended=extended)
    collateral = chosen.td_collateral(at=at, status=status)
    ours = Verifier(anchor=TrustAnchor.from_pem(chosen.root_pem)).verify(raw, collateral, at=at)
    theirs = ask(raw, collateral, at=at, root_pem=chosen.root_pem)
    assert (theirs.status, theirs.refusal) == (ours.tcb_status.value, None)
    assert ours.tcb_status is status
    assert sorted(theirs.advisory_ids) == sorted(ours.advisory_ids)


@VERSIONS
def test_it_is_refused_under_intels_root(
    platform: SimulatedPlatform, at: datetime, version: int, *, extended: bool
) -> None:
    raw = platform.td_quote(TD, DATA, version=version, extended=extended)
    assert ask(raw, platform.td_collateral(at=at), at=at, root_pem=None).status is None


def test_a_revoked_level_is_refused(platform: SimulatedPlatform, at: datetime) -> None:
    collateral = platform.td_collateral(at=at, status=TcbStatus.REVOKED)
    assert "Revoked" in str(ask(platform.td_quote(TD, DATA), collateral, at=at, root_pem=platform.root_pem).refusal)


@pytest.mark.parametrize(
    ("running", "status"), [(module_svn(), TcbStatus.TD_RELAUNCH_ADVISED), (None, TcbStatus.OUT_OF_DATE)]
)
def test_a_td_from_before_the_modules_update_is_to_be_launched_again(
    platform: SimulatedPlatform, at: datetime, running: TeeTcbSvn | None, status: TcbStatus
) -> None:
    """Only a report of version 1.5 tells what runs today."""
    module = replace(TDX_MODULE, tee_tcb_svn=module_svn(MODULE_ISV_SVN - 1), running=running)
    report = module.tdreport(TD, ReportData(DATA), extended=True)
    raw = encode_quote(platform.td_quoting_enclave.quote(report, version=5))
    collateral = platform.td_collateral(at=at)
    ours = Verifier(anchor=TrustAnchor.from_pem(platform.root_pem)).verify(raw, collateral, at=at)
    assert ours.tcb_status is status
    assert ask(raw, collateral, at=at, root_pem=platform.root_pem).status == status.value


def test_the_collateral_is_of_tdx(platform: SimulatedPlatform, at: datetime) -> None:
    collateral = platform.td_collateral(at=at)
    info, identity = read_tcb_info(collateral.tcb_info), read_qe_identity(collateral.qe_identity)
    assert (info.tee, identity.kind, identity.isv_prod_id) == ("TDX", "TD_QE", 2)
    (module,) = info.tdx_module_identities
    assert (module.id, module.levels[0].isv_svn) == ("TDX_01", td_of(platform.td_quote(TD, DATA)).tee_tcb_svn.value[0])
    assert info.levels[0].tdx_components[0] == module.levels[0].isv_svn


def test_collateral_is_kept_beside_that_of_enclaves(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    sgx = platform.save_collateral(tmp_path, at=at, status=TcbStatus.OUT_OF_DATE)
    path = tmp_path / platform.td_collateral_path
    assert path == sgx.with_name(f"tdx-{platform.fmspc.hex()}-platform.json")
    expected = platform.td_collateral(at=at, status=TcbStatus.OUT_OF_DATE)
    assert Collateral.from_json(path.read_text()).tcb_info == expected.tcb_info


def test_the_td_quoting_enclave_has_a_key_of_its_own_and_keeps_it(tmp_path: Path, platform: SimulatedPlatform) -> None:
    platform.save(tmp_path)
    again = SimulatedPlatform.load(tmp_path)
    keys = [parse_quote(each.td_quote(TD, DATA)).attestation_key for each in (platform, again)]
    assert keys[0] == keys[1]
    assert keys[0] != parse_quote(platform.quote(EnclaveIdentity.of_program([b"program"]), DATA)).attestation_key


def test_the_evidence_source_quotes_its_td(platform: SimulatedPlatform) -> None:
    source = SimulatedTdEvidenceSource(platform, TD)
    assert source.tee == "TDX"
    assert td_of(source.quote(DATA)).mr_td == TD.mr_td
    with pytest.raises(SettingsError, match="another length"):
        source.quote(bytes(63))


@pytest.mark.parametrize(("version", "extended"), [(3, False), (6, False), (4, True), (3, True)])
def test_a_version_that_cannot_hold_the_report_is_refused(
    platform: SimulatedPlatform, version: int, *, extended: bool
) -> None:
    with pytest.raises(SettingsError, match="no quote of this version"):
        platform.td_quote(TD, DATA, version=version, extended=extended)


def test_mrtd_is_the_build_log_of_the_image(tmp_path: Path) -> None:
    """Written out for one file of three bytes: one page of lengths, one of the file."""
    log = hashlib.sha384()
    pages = [struct.pack("<QQ", 1, 3).ljust(4096, b"\0"), b"abc".ljust(4096, b"\0")]
    for number, page in enumerate(pages):
        log.update(b"MEM.PAGE.ADD".ljust(16, b"\0") + (number * 4096).to_bytes(8, "little") + bytes(104))
        for start in range(0, 4096, 256):
            log.update(b"MR.EXTEND".ljust(16, b"\0") + (number * 4096 + start).to_bytes(8, "little") + bytes(104))
            log.update(page[start : start + 256])
    (tmp_path / "image").write_bytes(b"abc")
    assert measure_td([tmp_path / "image"]).value == log.digest()
    assert measure_td([b"ab", b"c"]) != measure_td([b"abc"])


@pytest.mark.parametrize(
    ("debug", "sept_ve_disable", "octets"),
    [(False, True, "0000001000000000"), (True, True, "0100001000000000"), (False, False, "00" * 8)],
)
def test_attributes(octets: str, *, debug: bool, sept_ve_disable: bool) -> None:
    assert replace(TD, debug=debug, sept_ve_disable=sept_ve_disable).attributes.hex() == octets
