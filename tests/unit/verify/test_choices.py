"""Where verifiers differ about quotes, chains and dates: which way ours goes. Each test fails if it goes the other way.

The reasons are in docs/adr: 0006 (anchors, dates), 0009 and 0010 (lengths), 0013 (grace), 0016 (who judges),
0017 (encodings), 0018 (chains). Choices about TDX levels (0011) are in test_tdx.py, about grace in
appraise/test_grace.py, about statements (0019) in test_choices_statements.py.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.simulator.stream import stream
from tests.vectors.conftest import ABSENT, vectors

from ambergate.core.appraise.appraisal import appraise
from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedEvidence, NotGenuine, NotWelcome
from ambergate.core.measurements import Measurement384, ReportData
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_TRAILING
from ambergate.core.verify import TrustAnchor, VerifiedQuote, verify_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.keys import P256_ORDER, public_octets
from ambergate.simulator.period import Period
from ambergate.simulator.pki import (
    CA_LIFETIME,
    Entity,
    pck_template,
    pem_chain,
    root_template,
    self_signed,
    sign_certificate,
)
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.quoting import binding, certification_data, sign_quote

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.layout import Quote

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("choices"))
PKI = PLATFORM.state.pki
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)
RAW = PLATFORM.quote(SPECIMEN, bytes(64))
QUOTE = parse_quote(RAW)
UP = TcbStatus.UP_TO_DATE


def prove(quote: Quote, collateral: Collateral = COLLATERAL, *, at: datetime = AT) -> VerifiedQuote:
    return verify_quote(parse_quote(encode_quote(quote)), collateral, at=at, anchor=ANCHOR)


def refused_at(quote: Quote, collateral: Collateral = COLLATERAL, *, at: datetime = AT) -> str:
    with pytest.raises(NotGenuine) as caught:
        prove(quote, collateral, at=at)
    return caught.value.step


def with_chain(data: bytes | str) -> Quote:
    octets = data.encode() if isinstance(data, str) else data
    return replace(QUOTE, certification=replace(QUOTE.certification, data=octets))


def other_root() -> Entity:
    """Another certificate of the same root: its key and name, another serial and other dates, as Intel has two."""
    template = replace(root_template(AT, stream("again")), period=Period.around(AT, after=CA_LIFETIME))
    return self_signed(template, PKI.root.key)


class TestAnchorsAreKeys:
    """ADR 0006. QVL compares certificates' signatures, its wrapper keys; dcap-qvl does not look at a quote's root."""

    def test_another_root_certificate_of_the_same_key_in_the_quote(self) -> None:
        assert prove(with_chain(pem_chain(PKI.pck, PKI.pck_ca, other_root()))).tcb_status is UP

    def test_another_root_certificate_of_the_same_key_in_the_collateral(self) -> None:
        chain = pem_chain(PKI.tcb_signing, other_root())
        mixed = replace(COLLATERAL, tcb_info_issuer_chain=chain, qe_identity_issuer_chain=chain)
        assert prove(QUOTE, mixed).tcb_status is UP

    def test_the_anchor_may_be_read_from_either(self) -> None:
        anchor = TrustAnchor.from_pem(other_root().pem)
        assert verify_quote(QUOTE, COLLATERAL, at=AT, anchor=anchor).tcb_status is UP

    def test_both_of_intels_certificates_are_in_the_field_and_mixed(self) -> None:
        genuine = [vector for vector in vectors() if vector.ours["outcome"] == "genuine"]
        if not genuine:
            pytest.skip(ABSENT)
        ends = set()
        for vector in genuine:
            quote, collateral = parse_quote(vector.raw), vector.collateral
            chains = (quote.certification.data, collateral.tcb_info_issuer_chain.encode())
            roots = [each for chain in chains for each in read_pem_chain(chain) if each.self_issued]
            verify_quote(quote, collateral, at=vector.at)
            ends.add(tuple(root.not_after.year for root in roots))
        assert {(2033, 2049), (2049, 2049)} <= ends


class TestChains:
    """ADR 0018. Exactly three certificates, as in QVL; dcap-qvl takes two, twice the same, or a damaged root."""

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_their_order_is_free(self, order: tuple[int, ...]) -> None:
        entities = (PKI.pck, PKI.pck_ca, PKI.root)
        assert prove(with_chain(pem_chain(*(entities[index] for index in order)))).tcb_status is UP

    @pytest.mark.parametrize(
        "entities",
        [
            (PKI.pck, PKI.pck_ca),
            (PKI.pck, PKI.root),
            (PKI.pck,),
            (PKI.pck, PKI.pck, PKI.pck_ca, PKI.root),
            (PKI.pck, PKI.pck_ca, PKI.root, PKI.root),
        ],
    )
    def test_their_number_is_not(self, entities: tuple[Entity, ...]) -> None:
        assert refused_at(with_chain(pem_chain(*entities))) == "2.1.pck_chain_format"

    def test_a_root_that_did_not_sign_itself_is_refused_though_its_key_is_the_anchors(self) -> None:
        template, stranger = root_template(AT, stream("unsigned")), PKI.pck_ca.key
        certificate = sign_certificate(template, PKI.root.key, issuer=None, signer=stranger)
        unsigned = Entity(certificate=certificate, key=PKI.root.key)
        assert refused_at(with_chain(pem_chain(PKI.pck, PKI.pck_ca, unsigned))) == "2.3.root_signature"

    @pytest.mark.parametrize(
        "change",
        [
            lambda pem: b"text before\n" + pem,
            lambda pem: pem + b"text after",
            lambda pem: pem.replace(b"\n", b"\r\n"),
            lambda pem: pem + b"\0",
            lambda pem: pem.rstrip(b"\n\0"),
            lambda pem: pem.replace(b"-----END CERTIFICATE-----\n", b"-----END CERTIFICATE-----\nbetween\n"),
        ],
    )
    def test_text_around_the_blocks_is_tolerated(self, change: Any) -> None:  # noqa: ANN401  one of many lambdas
        chain = pem_chain(PKI.pck, PKI.pck_ca, PKI.root).encode()
        assert prove(with_chain(change(chain))).tcb_status is UP

    def test_another_marker_among_the_blocks_is_not(self) -> None:
        chain = pem_chain(PKI.pck, PKI.pck_ca, PKI.root) + "-----BEGIN X509 CRL-----\n"
        assert refused_at(with_chain(chain)) == "2.1.pck_chain_format"

    def test_a_ca_by_name_alone_issues_nothing(self) -> None:
        """Besides the reference, which goes by names: RFC 5280, 6.1.4 (k)."""
        template = replace(pck_template(PLATFORM.state.hardware, AT, stream("ca")), sgx_extension=None)
        named = PKI.root.issue(replace(template, name="Simulated SGX PCK Platform CA"), PKI.pck_ca.key)
        assert refused_at(with_chain(pem_chain(PKI.pck, named, PKI.root))) == "2.1.pck_chain_format"

    def test_the_bundles_crl_issuer_chain_is_not_relied_upon(self) -> None:
        """The issuer of the PCK's revocation list is the one in the quote; the bundle's chain is for fetchers."""
        assert prove(QUOTE, replace(COLLATERAL, pck_crl_issuer_chain="")).tcb_status is UP

    def test_the_certificates_not_before_counts(self) -> None:
        """RFC 5280, 6.1.3; Intel's library looks at notAfter alone."""
        begins = max(each.window.not_before for each in prove(QUOTE).dates if each.step == "5.3.pck_chain_dates")
        before = PLATFORM.collateral(at=begins)
        assert prove(QUOTE, before, at=begins).tcb_status is UP
        assert refused_at(QUOTE, before, at=begins - SECOND) == "5.3.pck_chain_dates"


class TestDates:
    """ADR 0006, 0013. QVL returns expiry as a flag beside success, and takes an issueDate that lies in the future."""

    @pytest.mark.parametrize(
        ("part", "step"),
        [
            ("tcb_info", "5.1.tcb_info_dates"),
            ("qe_identity", "5.2.qe_identity_dates"),
            ("root_crl", "5.4.root_crl_dates"),
            ("pck_crl", "5.5.pck_crl_dates"),
        ],
    )
    def test_a_statement_counts_from_its_first_to_its_last_second(self, part: str, step: str) -> None:
        published = PLATFORM.publication(at=AT)
        hour = Period.around(AT, after=timedelta(hours=1), before=timedelta(0))
        collateral = replace(published, **{part: replace(getattr(published, part), period=hour)}).collateral()
        for inside in (hour.start, hour.end):
            assert prove(QUOTE, collateral, at=inside).tcb_status is UP
        for outside in (hour.start - SECOND, hour.end + SECOND):
            assert refused_at(QUOTE, collateral, at=outside) == step


class TestWhoJudges:
    """ADR 0016. dcap-qvl refuses these itself; QVL and ours leave them to a policy, and our default policy refuses."""

    @pytest.mark.parametrize(
        ("td", "rule"),
        [
            ({"debug": True}, "debug"),
            ({"sept_ve_disable": False}, "sept_ve_disable"),
            ({"mr_service_td": Measurement384(b"\1" * 48)}, "mr_service_td"),
        ],
    )
    def test_verify_reports_what_the_default_policy_refuses_of_a_td(self, td: dict[str, Any], rule: str) -> None:
        raw = PLATFORM.td_quote(replace(TD_SPECIMEN, **td), bytes(64), version=5, extended=True)
        verified = prove(parse_quote(raw), PLATFORM.td_collateral(at=AT))
        with pytest.raises(NotWelcome) as caught:
            appraise(verified, AppraisalPolicy(), at=AT)
        assert [each["rule"] for each in caught.value.mismatches] == [rule]

    def test_verify_reports_debug_of_an_enclave_and_the_default_policy_refuses(self) -> None:
        verified = prove(parse_quote(PLATFORM.quote(replace(SPECIMEN, debug=True), bytes(64))))
        assert verified.report.debug
        with pytest.raises(NotWelcome, match="debug"):
            appraise(verified, AppraisalPolicy(), at=AT)

    def test_bits_of_td_attributes_that_no_module_defines_yet_are_reported(self) -> None:
        """But for those of TUD, which the policy takes for debug: what another bit means, a later module says."""
        report = PLATFORM.td_report(TD_SPECIMEN, bytes(64))
        attributes = bytes((0, 0x80, 0, report.td_attributes.value[3], 0x40, 0, 0, 0))
        report = replace(report, td_attributes=type(report.td_attributes)(attributes))
        verified = prove(PLATFORM.td_quoting_enclave.quote(report), PLATFORM.td_collateral(at=AT))
        appraise(verified, AppraisalPolicy(), at=AT)


class TestEncodings:
    """ADR 0009, 0010, 0017. One attestation has many encodings: no byte string and no digest of one names it."""

    @pytest.mark.parametrize("signature", ["signature", "qe_report_signature"])
    def test_the_other_s_is_a_signature_too(self, signature: str) -> None:
        octets: bytes = getattr(QUOTE, signature)
        other = octets[:32] + (P256_ORDER - int.from_bytes(octets[32:], "big")).to_bytes(32, "big")
        change: dict[str, Any] = {signature: other}
        first, second = prove(QUOTE), prove(replace(QUOTE, **change))
        assert (first.report, first.tcb, first.platform) == (second.report, second.tcb, second.platform)
        assert first.digests.quote != second.digests.quote

    def test_padding_is_bounded_and_is_no_part_of_what_is_proven(self) -> None:
        padded = prove(replace(QUOTE, trailing=bytes(MAX_TRAILING)))
        assert (padded.report, padded.tcb) == (prove(QUOTE).report, prove(QUOTE).tcb)
        with pytest.raises(MalformedEvidence):
            prove(replace(QUOTE, trailing=bytes(MAX_TRAILING + 1)))

    @pytest.mark.parametrize("size", [0, 31, 33, 1000])
    def test_the_length_of_the_qe_authentication_data_is_free(self, size: int) -> None:
        """dcap-qvl wants 32 bytes."""
        enclave = replace(PLATFORM.quoting_enclave, auth_data=bytes(size))
        assert prove(enclave.quote(PLATFORM.report(SPECIMEN, bytes(64)))).tcb_status is UP

    def test_the_upper_half_of_the_qes_report_data_is_free(self) -> None:
        enclave = PLATFORM.quoting_enclave
        bound = binding(public_octets(enclave.attestation_key), enclave.auth_data).value[:32]
        report = enclave.processor.ereport(enclave.identity, ReportData(bound + b"\xff" * 32))
        quote = replace(QUOTE, qe_report=report, qe_report_signature=enclave.certify(report))
        assert prove(quote).tcb_status is UP

    @pytest.mark.parametrize("version", [3, 4, 5])
    def test_enclaves_are_quoted_in_every_version(self, version: int) -> None:
        quote = PLATFORM.quoting_enclave.quote(PLATFORM.report(SPECIMEN, bytes(64)), version=version)
        assert prove(quote).tcb_status is UP

    @pytest.mark.parametrize("version", [4, 5])
    def test_the_outer_certification_data_has_its_type(self, version: int) -> None:
        """No signature covers it; dcap-qvl does not look at it, QVL does."""
        raw = encode_quote(PLATFORM.quoting_enclave.quote(PLATFORM.report(SPECIMEN, bytes(64)), version=version))
        place = (48 if version == 4 else 54) + 384 + 4 + 64 + 64
        assert raw[place : place + 2] == b"\x06\0"
        with pytest.raises(MalformedEvidence, match="outer certification data type"):
            parse_quote(raw[:place] + b"\x05" + raw[place + 1 :])

    def test_slack_inside_the_signature_data_is_refused(self) -> None:
        """QVL and dcap-qvl take it."""
        size = int.from_bytes(RAW[432:436], "little")
        with pytest.raises(MalformedEvidence):
            parse_quote(RAW[:432] + (size + 8).to_bytes(4, "little") + RAW[436 : 436 + size] + bytes(8))

    def test_the_svns_in_the_header_are_not_believed(self) -> None:
        """They are signed, and the PCK certificate and the QE report say the same with authority."""
        header = replace(QUOTE.header, reserved=b"\xff\xff\xff\xff", user_data=b"\x01" * 20)
        quote = sign_quote(replace(QUOTE, header=header), PLATFORM.quoting_enclave.attestation_key)
        assert prove(quote).tcb == prove(QUOTE).tcb
        assert refused_at(replace(QUOTE, header=header)) == "8.1.quote_signature"

    def test_the_c_string_terminator_is_no_part_of_the_chain(self) -> None:
        assert QUOTE.certification.data.endswith(b"\0")
        chain = certification_data(pem_chain(PKI.pck, PKI.pck_ca, PKI.root))
        assert prove(with_chain(chain.rstrip(b"\0"))).platform == prove(with_chain(chain)).platform
