"""What a verdict says of itself, what the verifiers ask of their caller, and signatures that are no hex."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.simulator.stream import stream
from tests.unit.verify.test_tdx import level_of, module_of

from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
from ambergate.core.collateral.tcb_info import TcbInfo, TcbStatus
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import Fmspc, MrSigner, PceId
from ambergate.core.quote import EnclaveReport, parse_quote
from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING
from ambergate.core.verify import TrustAnchor, Verifier, explain, verify_collateral, verify_quote
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.tdx import module_level
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import CheckRecord, records_of
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("verdicts"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)
RAW = PLATFORM.quote(SPECIMEN, bytes(64))


def test_an_instant_without_time_zone_is_a_mistake_of_the_caller() -> None:
    naive = AT.replace(tzinfo=None)
    quote = parse_quote(RAW)
    with pytest.raises(ValueError, match="time zone"):
        verify_quote(quote, COLLATERAL, at=naive, anchor=ANCHOR)
    with pytest.raises(ValueError, match="time zone"):
        verify_collateral(COLLATERAL, at=naive, anchor=ANCHOR)
    with pytest.raises(ValueError, match="time zone"):
        Verifier(anchor=ANCHOR).verify(RAW, COLLATERAL, at=naive)


def test_a_quote_that_no_parser_made_is_held_to_what_parsers_take() -> None:
    quote = parse_quote(RAW)
    for wrong in (
        replace(quote, trailing=bytes(MAX_TRAILING + 1)),
        replace(quote, header=replace(quote.header, version=6)),
        replace(quote, certification=replace(quote.certification, kind=7)),
        replace(quote, certification=replace(quote.certification, data=bytes(MAX_QUOTE))),
    ):
        with pytest.raises(NotGenuine) as refusal:
            verify_quote(wrong, COLLATERAL, at=AT, anchor=ANCHOR)
        assert refusal.value.step == "1.1.quote_format"


def test_without_an_anchor_intels_counts() -> None:
    for refused in (
        lambda: verify_quote(parse_quote(RAW), COLLATERAL, at=AT),
        lambda: verify_collateral(COLLATERAL, at=AT),
        lambda: Verifier().verify(RAW, COLLATERAL, at=AT),
    ):
        with pytest.raises(NotGenuine) as refusal:
            refused()
        assert refusal.value.step == "2.2.pck_chain_anchor"
        assert "Intel SGX Root CA" in str(refusal.value.wanted)


def test_what_a_verdict_says() -> None:
    verified = verify_quote(parse_quote(RAW), COLLATERAL, at=AT, anchor=ANCHOR)
    level = verified.tcb.level
    assert verified.tcb_date == level.date
    assert verified.tcb_status is TcbStatus.UP_TO_DATE
    assert verified.tcb_evaluation_data_number == verified.tcb.evaluation_data_number
    assert verified.advisory_ids == verified.tcb.advisory_ids
    assert isinstance(verified.enclave, EnclaveReport)
    assert verified.enclave == verified.report
    assert verified.window.not_after == verified.earliest_expiry.window.not_after
    assert verified.window.not_before == max(each.window.not_before for each in verified.dates)
    first = next(each for each in verified.dates if each.window.not_after == verified.window.not_after)
    assert verified.earliest_expiry == first


def test_a_verdict_of_a_td_has_no_enclave() -> None:
    raw = PLATFORM.td_quote(TD_SPECIMEN, bytes(64))
    verified = verify_quote(parse_quote(raw), PLATFORM.td_collateral(at=AT), at=AT, anchor=ANCHOR)
    with pytest.raises(ValueError, match="of a TD"):
        _ = verified.enclave


def test_the_digests_are_of_what_was_given() -> None:
    digests = verify_quote(parse_quote(RAW), COLLATERAL, at=AT, anchor=ANCHOR).digests
    crl = hashlib.sha256(bytes.fromhex(COLLATERAL.root_ca_crl)).digest()
    assert digests.quote == hashlib.sha256(RAW).digest()
    assert (digests.qe_identity_crl, digests.tcb_info_crl) == (crl, crl)
    assert digests.tcb_info_chain == hashlib.sha256(COLLATERAL.tcb_info_issuer_chain.encode()).digest()
    assert digests.qe_identity_chain == hashlib.sha256(COLLATERAL.qe_identity_issuer_chain.encode()).digest()
    reply = f'{{"tcbInfo":{COLLATERAL.tcb_info},"signature":"{COLLATERAL.tcb_info_signature}"}}'
    assert digests.tcb_info == hashlib.sha256(reply.encode()).digest()
    reply = f'{{"enclaveIdentity":{COLLATERAL.qe_identity},"signature":"{COLLATERAL.qe_identity_signature}"}}'
    assert digests.qe_identity == hashlib.sha256(reply.encode()).digest()


@pytest.mark.parametrize("signature", ["", "0" * 127, "0" * 129, "g" * 128, " " * 128, "00 " * 42 + "00", "é" * 128])
@pytest.mark.parametrize(
    ("member", "step"),
    [
        ("tcb_info_signature", "3.5.tcb_info_signature"),
        ("qe_identity_signature", "4.5.qe_identity_signature"),
    ],
)
def test_a_statements_signature_is_128_hex_digits(member: str, step: str, signature: str) -> None:
    with pytest.raises(NotGenuine, match="not 128 hex digits") as refusal:
        verify_collateral(replace(COLLATERAL, **{member: signature}), at=AT, anchor=ANCHOR)
    assert refusal.value.step == step


@pytest.mark.parametrize("member", ["tcb_info_signature", "qe_identity_signature"])
def test_a_good_signature_in_another_spelling_is_none(member: str) -> None:
    """One text for one signature: white space would be read over."""
    signature = getattr(COLLATERAL, member)
    verify_collateral(replace(COLLATERAL, **{member: signature.upper()}), at=AT, anchor=ANCHOR)
    for spelt in (f" {signature}", f"{signature[:64]}\n{signature[64:]}"):
        with pytest.raises(NotGenuine, match="not 128 hex digits"):
            verify_collateral(replace(COLLATERAL, **{member: spelt}), at=AT, anchor=ANCHOR)


def test_a_statement_that_is_no_utf_8_is_none_of_the_signers() -> None:
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(replace(COLLATERAL, tcb_info=COLLATERAL.tcb_info + "\ud800"), at=AT, anchor=ANCHOR)
    assert refusal.value.step == "3.5.tcb_info_signature"


def test_intels_root_is_hardware() -> None:
    """Whether a word about hardware is worth anything depends on the anchor alone."""
    verified = verify_quote(parse_quote(RAW), COLLATERAL, at=AT, anchor=ANCHOR)
    told = explain(replace(verified, anchor=TrustAnchor.intel()))
    assert told.genuine_hardware
    assert not [each for each in told.not_proven if "any hardware" in each]
    forged = explain(verified)
    assert not forged.genuine_hardware
    assert "any hardware" in forged.not_proven[0]


INFO = TcbInfo(
    tee="TDX",
    version=3,
    issue_date=AT,
    next_update=AT + timedelta(days=30),
    fmspc=Fmspc(bytes(6)),
    pce_id=PceId(bytes(2)),
    evaluation_data_number=7,
    levels=(level_of((0, 0, 3)),),
    tdx_module_identities=(module_of((1, TcbStatus.UP_TO_DATE)),),
)
IDENTITY = QeIdentity(
    kind="TD_QE",
    issue_date=AT,
    next_update=AT + timedelta(days=30),
    evaluation_data_number=7,
    misc_select=0,
    misc_select_mask=0,
    attributes=bytes(16),
    attributes_mask=bytes(16),
    mr_signer=MrSigner(bytes(32)),
    isv_prod_id=1,
    levels=(QeLevel(isv_svn=1, status=TcbStatus.UP_TO_DATE, date=AT, advisory_ids=()),),
)


def test_a_platform_whose_module_nobody_describes_has_no_status() -> None:
    """Forecasts judge a platform by statements that no quote of it has met."""
    platform = PlatformTcb(
        components=(9,) * 16, pce_svn=9, qe_isv_svn=9, tee_tcb_svn=bytes((9, 1, 9, *(9,) * 13)), tee_tcb_svn2=None
    )
    assert evaluate_tcb(Trail(), platform, INFO, IDENTITY).status is TcbStatus.UP_TO_DATE
    unknown = replace(platform, tee_tcb_svn=bytes((9, 2, 9, *(9,) * 13)))
    with pytest.raises(NotGenuine, match="not described") as refusal:
        evaluate_tcb(Trail(), unknown, INFO, IDENTITY)
    assert refusal.value.step == "6.4.tdx_module_identity"
    assert refusal.value.seen == "version 2"


def test_a_module_of_version_0_is_recorded_like_any_other() -> None:
    trail = Trail()
    assert module_level(trail, 1, module_of(name="")) is None
    assert [record.id for record in records_of(trail.notes)] == ["9.2.tdx_module_level"]


def test_records_say_what_was_looked_at() -> None:
    """In hex and ISO 8601, for people: the words are not stable, the values are there."""
    raw = PLATFORM.td_quote(TD_SPECIMEN, bytes(64))
    verified = verify_quote(parse_quote(raw), PLATFORM.td_collateral(at=AT), at=AT, anchor=ANCHOR)
    said = {record.id: record.detail for record in verified.checks}
    assert said["1.1.quote_format"].startswith("TDX quote, version 4")
    assert said["6.4.tdx_module_identity"].startswith("TDX_0")
    assert verified.platform.fmspc.hex() in said["2.12.pck_extension"]
    assert verified.dates[0].window.not_after.isoformat() in said["5.1.tcb_info_dates"]
    assert verified.tcb_date.date().isoformat() in said["9.1.tcb_level"]
    with pytest.raises(NotGenuine) as refusal:
        verify_quote(parse_quote(RAW), COLLATERAL, at=AT)
    failed = refusal.value.checks[-1]
    assert isinstance(failed, CheckRecord)
    assert not failed.ok
    assert failed.detail == f"{refusal.value.message}: seen {refusal.value.seen}, wanted {refusal.value.wanted}"


def test_what_has_expired_and_what_is_not_valid_yet_are_told_apart() -> None:
    window = verify_collateral(COLLATERAL, at=AT, anchor=ANCHOR).window
    for at, words in (
        (window.not_before - timedelta(seconds=1), "is not valid yet"),
        (window.not_after + timedelta(seconds=1), "has expired"),
    ):
        with pytest.raises(NotGenuine, match=words) as refusal:
            verify_collateral(COLLATERAL, at=at, anchor=ANCHOR)
        assert refusal.value.seen == at.isoformat()
    for at in window:
        assert verify_collateral(COLLATERAL, at=at, anchor=ANCHOR).window == window
