"""The remembering verifier: what it remembers is never served where it does not hold."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream
from tests.unit.verify.test_tdx import REPORT

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.measurements import TeeTcbSvn
from ambergate.core.quote import TdReport, TeeType, encode_quote, parse_quote
from ambergate.core.verify import TrustAnchor, VerifiedQuote, Verifier, verify_quote
from ambergate.core.verify import memo as module
from ambergate.core.verify.cut import cut_for_memory
from ambergate.simulator.faults import FAULTS, SPECIMEN, TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.simulator.cpu import EnclaveIdentity

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("memo"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)
RAW = PLATFORM.quote(SPECIMEN, bytes(64))


@pytest.fixture
def warm() -> Verifier:
    """A verifier that has seen the platform."""
    verifier = Verifier(anchor=ANCHOR)
    verifier.verify(RAW, COLLATERAL, at=AT)
    return verifier


@pytest.fixture
def from_memory(warm: Verifier, monkeypatch: pytest.MonkeyPatch) -> Verifier:
    """The warm verifier, for which it is an error to verify from nothing: what comes now comes from memory."""

    def never(*_: object, **__: object) -> VerifiedQuote:
        msg = "verified from nothing"
        raise AssertionError(msg)

    monkeypatch.setattr(module, "verify_quote", never)
    monkeypatch.setattr(module, "cut_quote", never)  # nothing is proven of a quote that is not cut up
    return warm


def same(one: VerifiedQuote, other: VerifiedQuote) -> bool:
    return all(getattr(one, field.name) == getattr(other, field.name) for field in fields(VerifiedQuote))


def test_a_verdict_from_memory_is_the_verdict(warm: Verifier) -> None:
    report_data = bytes(range(64))
    raw = PLATFORM.quote(SPECIMEN, report_data)
    verified = warm.verify(raw, COLLATERAL, at=AT + timedelta(hours=1))
    fresh = verify_quote(parse_quote(raw), COLLATERAL, at=AT + timedelta(hours=1), anchor=ANCHOR)
    assert same(verified, fresh)
    assert verified.report.report_data.value == report_data
    assert verified.digests == fresh.digests
    with pytest.raises(AttributeError):
        _ = verified.nothing  # type: ignore[attr-defined]


def test_the_second_quote_of_a_platform_comes_from_memory(from_memory: Verifier) -> None:
    verified = from_memory.verify(PLATFORM.quote(SPECIMEN, bytes(range(64))), COLLATERAL, at=AT)
    assert verified.tcb_status is TcbStatus.UP_TO_DATE


def test_another_platform_under_the_same_collateral_costs_no_second_proof_of_it(
    warm: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        msg = "proven again"
        raise AssertionError(msg)

    raw = PLATFORM.sibling(at=AT, random=stream("sibling")).quote(SPECIMEN, bytes(64))
    fresh = verify_quote(parse_quote(raw), COLLATERAL, at=AT, anchor=ANCHOR)
    with monkeypatch.context() as patched:
        for name in ("prove_issuers", "prove_lists", "prove_statements", "verify_quote"):
            patched.setattr(module, name, never)
        verified = warm.verify(raw, COLLATERAL, at=AT)
    assert same(verified, fresh)
    assert verified.platform.ppid != PLATFORM.state.hardware.ppid


def test_a_chain_in_another_order_is_accepted_and_gives_the_same_verdict(warm: Verifier) -> None:
    quote = parse_quote(RAW)
    mark = b"-----END CERTIFICATE-----\n"
    pck, intermediate, root = (part + mark for part in quote.certification.data.split(mark)[:3])
    for order in ((root, intermediate, pck), (intermediate, pck, root), (pck, root, intermediate)):
        raw = encode_quote(replace(quote, certification=replace(quote.certification, data=b"".join(order))))
        fresh = verify_quote(parse_quote(raw), COLLATERAL, at=AT, anchor=ANCHOR)
        for verifier in (warm, Verifier(anchor=ANCHOR)):
            for _ in range(2):
                assert same(verifier.verify(raw, COLLATERAL, at=AT), fresh)


def test_two_pck_certificates_before_known_cas_are_refused(warm: Verifier) -> None:
    """What stands behind the first certificate is recognised; what stands before it is not."""
    quote = parse_quote(RAW)
    pck = quote.certification.data.partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
    for data in (pck + quote.certification.data, quote.certification.data[len(pck) :]):
        raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
        with pytest.raises(NotGenuine) as refusal:
            warm.verify(raw, COLLATERAL, at=AT)
        assert refusal.value.step == "2.1.pck_chain_format"


def test_a_revoked_sibling_is_refused_under_known_collateral(warm: Verifier) -> None:
    sibling = PLATFORM.sibling(at=AT, random=stream("revoked sibling"))
    publication = PLATFORM.publication(at=AT)
    revoking = replace(
        publication, pck_crl=publication.pck_crl.revoking(sibling.state.pki.pck.certificate)
    ).collateral()
    warm.verify(RAW, revoking, at=AT)  # the list is known now, and revokes somebody else
    with pytest.raises(NotGenuine) as refusal:
        warm.verify(sibling.quote(SPECIMEN, bytes(64)), revoking, at=AT)
    assert refusal.value.step == "2.11.pck_revoked"


def test_a_changed_byte_is_never_served_from_memory(warm: Verifier) -> None:
    """Every 5th byte, and all of the header and of the parts around the signature."""
    certification = len(RAW) - len(parse_quote(RAW).certification.data)
    for position in {*range(48), *range(430, 570), *range(48, certification, 5)}:
        changed = RAW[:position] + bytes((RAW[position] ^ 1,)) + RAW[position + 1 :]
        with pytest.raises((NotGenuine, MalformedEvidence)) as served:
            warm.verify(changed, COLLATERAL, at=AT)
        with pytest.raises(type(served.value)) as fresh:
            verify_quote(parse_quote(changed), COLLATERAL, at=AT, anchor=ANCHOR)
        assert served.value.as_dict() == fresh.value.as_dict()


def test_every_byte_of_chain_and_quoting_enclave_is_in_the_key(from_memory: Verifier) -> None:
    for position in range(500, len(RAW), 11):
        changed = RAW[:position] + bytes((RAW[position] ^ 1,)) + RAW[position + 1 :]
        with pytest.raises(AssertionError):
            from_memory.verify(changed, COLLATERAL, at=AT)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_no_fault_is_served_by_a_warm_verifier(warm: Verifier, name: str) -> None:
    fault = FAULTS[name]
    raw, collateral = fault.apply(PLATFORM, AT)
    for _ in range(2):
        if fault.expected_status is not None:
            assert warm.verify(raw, collateral, at=AT).tcb_status is fault.expected_status
            continue
        with pytest.raises((NotGenuine, MalformedEvidence)) as refusal:
            warm.verify(raw, collateral, at=AT)
        assert getattr(refusal.value, "step", "1.1.quote_format") == fault.expected_step


def test_outside_its_window_a_fact_is_not_served(warm: Verifier) -> None:
    window = warm.verify(RAW, COLLATERAL, at=AT).window
    for instant in (window.not_before, window.not_after):
        warm.verify(RAW, COLLATERAL, at=instant)
    for instant in (window.not_before - timedelta(seconds=1), window.not_after + timedelta(seconds=1)):
        with pytest.raises(NotGenuine):
            warm.verify(RAW, COLLATERAL, at=instant)


def test_a_revocation_takes_effect_with_its_list(warm: Verifier) -> None:
    _, revoking = FAULTS["pck-revoked"].apply(PLATFORM, AT)
    lists = replace(COLLATERAL, pck_crl=revoking.pck_crl)
    with pytest.raises(NotGenuine) as refusal:
        warm.verify(RAW, lists, at=AT)
    assert refusal.value.step == "2.11.pck_revoked"
    warm.verify(RAW, COLLATERAL, at=AT)


@pytest.mark.parametrize("member", [field.name for field in fields(COLLATERAL)])
def test_every_member_of_the_collateral_is_in_the_key(warm: Verifier, member: str) -> None:
    raised = []
    for verify in (warm.verify, Verifier(anchor=ANCHOR).verify):
        try:
            verify(RAW, replace(COLLATERAL, **{member: ""}), at=AT)
        except NotGenuine as refusal:
            raised.append(refusal.step)
    assert raised == ([] if member == "pck_crl_issuer_chain" else [raised[0]] * 2)


def test_one_anchors_facts_are_not_anothers() -> None:
    with pytest.raises(NotGenuine) as refusal:
        Verifier().verify(RAW, COLLATERAL, at=AT)
    assert refusal.value.step == "2.2.pck_chain_anchor"


def test_equal_collateral_is_the_same_collateral(from_memory: Verifier) -> None:
    verified = from_memory.verify(RAW, type(COLLATERAL).from_json(COLLATERAL.to_json()), at=AT)
    assert verified.tcb_status is TcbStatus.UP_TO_DATE


def test_padding_beyond_the_bound_is_not_served(warm: Verifier) -> None:
    assert warm.verify(RAW + bytes(4096), COLLATERAL, at=AT).quote.trailing == bytes(4096)
    with pytest.raises(MalformedEvidence):
        warm.verify(RAW + bytes(4097), COLLATERAL, at=AT)


def test_memory_is_bounded_and_forgets_what_was_used_longest_ago() -> None:
    verifier = Verifier(anchor=ANCHOR, max_platforms=2)
    platforms = [PLATFORM, *(PLATFORM.sibling(at=AT, random=stream(f"sibling {i}")) for i in range(2))]
    quotes = [platform.quote(SPECIMEN, bytes(64)) for platform in platforms]
    for index in (0, 1, 0, 2):
        verifier.verify(quotes[index], COLLATERAL, at=AT)
    cuts = [cut_for_memory(raw) for raw in quotes]
    assert [cut is not None and verifier._platforms.get(cut.digest) is not None for cut in cuts] == [True, False, True]


def test_a_remembered_platform_takes_about_a_kibibyte_beside_its_key() -> None:
    """OpenSSL's key is about 2.5 KiB more; `python -m bench.crowd` measures both."""
    verifier = Verifier(anchor=ANCHOR)
    quotes = [PLATFORM.sibling(at=AT, random=stream(f"crowd {i}")).quote(SPECIMEN, bytes(64)) for i in range(60)]
    for raw in quotes[:20]:
        verifier.verify(raw, COLLATERAL, at=AT)
    gc.collect()
    tracemalloc.start()
    try:
        for raw in quotes[20:]:
            verifier.verify(raw, COLLATERAL, at=AT)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 40 < 1280  # 1,020 to 1,060 as a dictionary grows


def test_threads_get_the_same_verdicts(warm: Verifier) -> None:
    quotes = [PLATFORM.quote(SPECIMEN, bytes([index]) * 64) for index in range(8)] * 8
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda raw: warm.verify(raw, COLLATERAL, at=AT), quotes))
    assert [v.report.report_data.value[0] for v in verdicts] == list(range(8)) * 8


def test_the_time_zone_must_be_said(warm: Verifier) -> None:
    with pytest.raises(ValueError, match="time zone"):
        warm.verify(RAW, COLLATERAL, at=AT.replace(tzinfo=None))


def td_digest(report: TdReport, version: int) -> bytes:
    quote = parse_quote(RAW)
    raw = encode_quote(replace(quote, header=replace(quote.header, version=version, tee=TeeType.TDX), body=report))
    cut = cut_for_memory(raw)
    assert cut is not None
    return cut.digest


def test_of_a_td_all_that_its_status_depends_on_is_in_the_key() -> None:
    long = replace(REPORT, tee_tcb_svn2=TeeTcbSvn(bytes(16)), mr_service_td=REPORT.mr_owner)
    for version, base in ((4, REPORT), (5, REPORT), (5, long)):
        changes: list[TdReport] = [
            replace(base, tee_tcb_svn=TeeTcbSvn(bytes(15) + b"\1")),
            replace(base, mr_signer_seam=type(base.mr_signer_seam)(bytes(47) + b"\1")),
            replace(base, seam_attributes=bytes(7) + b"\1"),
        ]
        if base is long:
            changes.append(replace(base, tee_tcb_svn2=TeeTcbSvn(bytes(15) + b"\1")))
        digests = {td_digest(report, version) for report in (base, *changes)}
        assert len(digests) == 1 + len(changes)
    assert len({td_digest(REPORT, 4), td_digest(REPORT, 5), td_digest(long, 5)}) == 3


def test_what_it_knows_is_known_for_this_collateral_and_this_instant_only(warm: Verifier) -> None:
    cut = cut_for_memory(PLATFORM.quote(SPECIMEN, bytes(range(64))))
    other = cut_for_memory(PLATFORM.sibling(at=AT, random=stream("unknown")).quote(SPECIMEN, bytes(64)))
    assert cut is not None
    assert other is not None
    assert warm.known(cut, COLLATERAL, at=AT) is not None
    assert warm.known(other, COLLATERAL, at=AT) is None
    assert warm.known(cut, COLLATERAL, at=AT + timedelta(days=31)) is None
    assert warm.known(cut, PLATFORM.collateral(at=AT + timedelta(days=1)), at=AT + timedelta(days=1)) is None


def test_a_quote_that_was_cut_already_is_the_same_quote(from_memory: Verifier) -> None:
    raw = PLATFORM.quote(SPECIMEN, bytes(range(64)))
    cut = cut_for_memory(raw)
    assert cut is not None
    found = from_memory.known(cut, COLLATERAL, at=AT)
    assert found is not None
    verified = from_memory.verify_known(found)
    quote = parse_quote(raw)
    assert (verified.report, verified.tee, verified.quote) == (quote.body, TeeType.SGX, quote)
    assert verified.quote_digest == hashlib.sha256(raw).digest()
    with pytest.raises(ValueError, match="time zone"):
        from_memory.known(cut, COLLATERAL, at=AT.replace(tzinfo=None))
    forged = cut_for_memory(raw[:400] + bytes((raw[400] ^ 1,)) + raw[401:])
    assert forged is not None
    found = from_memory.known(forged, COLLATERAL, at=AT)
    assert found is not None, "its platform is known, whoever made the report"
    with pytest.raises(AssertionError, match="verified from nothing"):  # a signature that does not hold is no memory's
        from_memory.verify_known(found)


def test_a_verdict_that_was_changed_is_what_it_was_changed_to(warm: Verifier) -> None:
    """Its report and digest are those of the other quote, not of the one that was remembered."""
    verified = warm.verify(RAW, COLLATERAL, at=AT)
    td = PLATFORM.td_quote(TD_SPECIMEN, bytes(64))
    changed = replace(verified, quote=parse_quote(td))
    assert (changed.report, changed.tee) == (parse_quote(td).body, TeeType.TDX)
    assert changed.quote_digest == hashlib.sha256(td).digest()
    assert changed.report_data == bytes(64)
    assert changed.kind is None, "nobody judged it"


def test_verdicts_are_of_one_kind_if_they_differ_in_report_data_and_machine_alone(warm: Verifier) -> None:
    def kind(platform: SimulatedPlatform, enclave: EnclaveIdentity, at: datetime = AT) -> object:
        quote = platform.quote(enclave, bytes(range(64)))
        return warm.verify(quote, COLLATERAL if at == AT else platform.collateral(at=at), at=at).kind

    usual = warm.verify(RAW, COLLATERAL, at=AT).kind
    assert usual is not None
    assert kind(PLATFORM, SPECIMEN) == usual
    assert kind(PLATFORM.sibling(at=AT, random=stream("of a kind")), SPECIMEN) == usual
    others = (replace(SPECIMEN, isv_svn=SPECIMEN.isv_svn + 1), replace(SPECIMEN, config_id=bytes(63) + b"\1"))
    later = kind(PLATFORM, SPECIMEN, AT + timedelta(days=1))
    assert len({usual, later, *(kind(PLATFORM, other) for other in others)}) == 4
    assert verify_quote(parse_quote(RAW), COLLATERAL, at=AT, anchor=ANCHOR).kind is None
