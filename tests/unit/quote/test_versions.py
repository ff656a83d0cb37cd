"""Versions 3, 4 and 5, SGX and TDX, as exact inverses; and what a descriptor may not say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence
from ambergate.core.measurements import (
    Measurement384,
    MrSeam,
    MrSignerSeam,
    MrTd,
    ReportData,
    Rtmr,
    TdAttributes,
    TeeTcbSvn,
)
from ambergate.core.quote import Quote, TdReport, TeeType, encode_quote, parse_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SGX = parse_quote(SimulatedPlatform.create(at=AT, random=stream("versions")).quote(SPECIMEN, bytes(64)))

m384 = st.binary(min_size=48, max_size=48)
octets8 = st.binary(min_size=8, max_size=8)
octets16 = st.binary(min_size=16, max_size=16)


@st.composite
def td_reports(draw: st.DrawFn) -> TdReport:
    report = TdReport(
        tee_tcb_svn=TeeTcbSvn(draw(octets16)),
        mr_seam=MrSeam(draw(m384)),
        mr_signer_seam=MrSignerSeam(draw(m384)),
        seam_attributes=draw(octets8),
        td_attributes=TdAttributes(draw(octets8)),
        xfam=draw(octets8),
        mr_td=MrTd(draw(m384)),
        mr_config_id=Measurement384(draw(m384)),
        mr_owner=Measurement384(draw(m384)),
        mr_owner_config=Measurement384(draw(m384)),
        rtmrs=(Rtmr(draw(m384)), Rtmr(draw(m384)), Rtmr(draw(m384)), Rtmr(draw(m384))),
        report_data=ReportData(draw(st.binary(min_size=64, max_size=64))),
    )
    if draw(st.booleans()):
        report = replace(report, tee_tcb_svn2=TeeTcbSvn(draw(octets16)), mr_service_td=Measurement384(draw(m384)))
    return report


def of_version(version: int, body: TdReport | None = None) -> Quote:
    """The specimen in another version's container, its signature no longer good."""
    tee = TeeType.SGX if body is None else TeeType.TDX
    return replace(SGX, header=replace(SGX.header, version=version, tee=tee), body=SGX.body if body is None else body)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_sgx_in_every_version(version: int) -> None:
    quote = of_version(version)
    assert parse_quote(encode_quote(quote)) == quote


@given(td_reports())
def test_tdx_in_version_5(report: TdReport) -> None:
    quote = of_version(5, report)
    assert parse_quote(encode_quote(quote)) == quote


@given(td_reports().filter(lambda report: report.tee_tcb_svn2 is None))
def test_tdx_in_version_4(report: TdReport) -> None:
    quote = of_version(4, report)
    assert parse_quote(encode_quote(quote)) == quote


@given(td_reports())
def test_the_attributes_mean_what_their_bits_say(report: TdReport) -> None:
    bits = int.from_bytes(report.td_attributes.value, "little")
    assert report.debug == bool(bits & 1)
    assert report.sept_ve_disable == bool(bits >> 28 & 1)


@pytest.mark.parametrize(
    ("version", "offset", "change", "words"),
    [
        (5, 48, b"\x02\x00", "descriptor is wrong"),  # a TD's body in an SGX quote
        (5, 48, b"\x04\x00", "descriptor is wrong"),
        (5, 50, b"\x81\x01\x00\x00", "descriptor is wrong"),  # 385 bytes
        (4, 564, b"\x05\x00", "outer certification data type"),
        (4, 566, b"\x00\x00\x00\x00", "ends inside"),
        (4, 4, b"\x82\x00\x00\x00", "TEE type is unknown"),
        (6, 0, b"", "version is not supported"),
    ],
)
def test_what_is_wrong_is_named(version: int, offset: int, change: bytes, words: str) -> None:
    raw = bytearray(encode_quote(of_version(version)))
    raw[offset : offset + len(change)] = change
    with pytest.raises(MalformedEvidence, match=words):
        parse_quote(bytes(raw))


def test_slack_inside_the_outer_certification_data_is_refused() -> None:
    raw = bytearray(encode_quote(of_version(4)))
    for offset, size in ((432, 4), (566, 4)):
        grown = int.from_bytes(raw[offset : offset + size], "little") + 1
        raw[offset : offset + size] = grown.to_bytes(size, "little")
    with pytest.raises(MalformedEvidence, match="belong to nothing"):
        parse_quote(bytes(raw) + b"\0")
