"""`verify_quote`: one pure call from bytes to a proven quote, by numbered steps (see `steps.STEPS`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ambergate.core.collateral.pck import RawPlatform, cut_pck_extension
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.quote.layout import PCK_CERT_CHAIN
from ambergate.core.quote.parts import SGX, TD_15, QuoteParts, cut_quote
from ambergate.core.quote.report import cut_enclave_report
from ambergate.core.quote.td_report import TEE_TCB_SVN, TEE_TCB_SVN_2, read_td_report
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.chain import check_pck_revocation, prove_issuers, prove_lists, prove_pck, read_pck_chain
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.qe import match_qe_identity, prove_qe_report
from ambergate.core.verify.signatures import is_signed_raw, point_key
from ambergate.core.verify.statements import Endorsements, prove_statements
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.tdx import match_module
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import Dated, VerifiedQuote, Window, worded

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate, KnownCertificates
    from ambergate.core.collateral.tcb_info import TcbInfo
    from ambergate.core.quote.layout import Quote
    from ambergate.core.verify.verdict import TcbVerdict


class Claim(NamedTuple):
    """A quote cut up by steps 1.1 to 2.1: what its signatures are checked with. Nothing of it is proven."""

    parts: QuoteParts
    attestation_key: EllipticCurvePublicKey
    root: Certificate
    intermediate: Certificate
    pck: Certificate
    pck_leads: bool  # it stands first in the chain, as Intel has it


def verify_quote(
    quote: Quote, collateral: Collateral, *, at: datetime, anchor: TrustAnchor | None = None
) -> VerifiedQuote:
    """Prove that a quote is genuine at an instant, and say what Intel says of its platform.

    1. The quote brings its PCK certificate chain; its attestation key is a key.
    2. The PCK chain ends at the anchor's key; nobody in it is revoked.
    3. Intel signed the TCB info.
    4. Intel signed the QE identity.
    5. All of these hold at this instant.
    6. The TCB info speaks of this platform, and of its TDX module.
    7. The platform's key signed the QE report, that report names the attestation key, the QE is Intel's.
    8. The attestation key signed header and report.
    9. A TCB level covers the platform, one the TDX module, one the QE; none is revoked.

    Refuses only what no policy could accept. Debug enclaves, an old TCB, unknown measurements are reported, and are
    for `appraise` to judge. Freshness (REPORTDATA) is the caller's business too.

    Args:
        quote: what somebody claims.
        collateral: Intel's statements; all of them are checked, but for the CRL issuer chain: the quote's own is.
        at: the instant that certificates, lists and statements must be valid at; aware.
        anchor: the root that vouches; Intel's when not given.

    Raises:
        NotGenuine: with the failing step and the records of all before it.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    anchor = anchor or TrustAnchor.intel()
    trail = Trail()
    raw = encode_quote(quote)
    claim = _certified(trail, raw, anchor)
    root, intermediate = claim.root, claim.intermediate
    lists = prove_lists(trail, root, intermediate, collateral.root_ca_crl, collateral.pck_crl)
    check_pck_revocation(trail, claim.pck, lists.pck)
    platform = read_platform(trail, claim.pck)
    endorsements = prove_statements(trail, collateral, root, lists, anchor)
    dates = endorsements.dates_with(pck_dates(claim.pck))
    trail.check_dates(dates, at)
    verdict = judge(trail, claim, platform, endorsements)
    return VerifiedQuote(
        quote=parse_quote(raw),  # what was proven, whatever somebody put into a quote of his own making
        at=at,
        anchor=anchor,
        tcb=verdict,
        platform=platform.typed(),
        collateral=collateral,
        dates=dates,
        notes=tuple(trail.notes),
    )


def prove_certified(quote: Quote, anchor: TrustAnchor) -> None:
    """Prove that the anchor's holder certified the platform which a quote names: steps 1.1 to 2.5.

    For whoever is about to fetch collateral: without this, any sender chooses what is asked for. Proves nothing of the
    quote itself, and neither that the certificates hold now nor that none of them is revoked.

    Args:
        quote: what somebody claims.
        anchor: the root that vouches.

    Raises:
        NotGenuine: as `verify_quote` would, whatever the collateral.
    """
    _certified(Trail(), encode_quote(quote), anchor)


def _certified(trail: Trail, raw: bytes, anchor: TrustAnchor) -> Claim:
    claim = read_claim(trail, trail.read("1.1.quote_format", cut_quote, raw), anchor)
    prove_issuers(trail, claim.root, claim.intermediate, anchor)
    prove_pck(trail, claim.pck, claim.intermediate)
    return claim


def read_claim(trail: Trail, parts: QuoteParts, known: KnownCertificates) -> Claim:
    """Steps 1.1 to 2.1: the quote brings a key and a chain of three certificates.

    Args:
        trail: where the steps are recorded.
        parts: what somebody claims.
        known: certificates read before, by their DER.

    Raises:
        NotGenuine: at the first step that fails.
    """
    trail.passed(
        "1.1.quote_format",
        "{} quote, version {}, {} bytes of padding behind it",
        *(parts.kind.tee.name, parts.version, len(parts.trailing)),
    )
    kind, data = parts.certification_kind, parts.certification_data
    if kind != PCK_CERT_CHAIN:
        raise trail.failed(
            "1.2.certification_data",
            "the quote does not bring its PCK certificate chain",
            seen=f"certification data type {kind}",
            wanted=PCK_CERT_CHAIN,
        )
    trail.passed("1.2.certification_data", "type {}, {} bytes", kind, len(data))
    key = read_attestation_key(trail, parts.attestation_key)
    return Claim(parts, key, *read_pck_chain(trail, data, known))


def read_attestation_key(trail: Trail, point: bytes) -> EllipticCurvePublicKey:
    """Step 1.3: the attestation key is a key.

    Raises:
        NotGenuine: it is not.
    """
    try:
        key = point_key(point)
    except ValueError as exc:
        raise trail.failed(
            "1.3.attestation_key", "the attestation key is not a point of P-256", seen=point.hex()
        ) from exc
    trail.passed("1.3.attestation_key", "x starts with {}…", point[:8])
    return key


def read_platform(trail: Trail, pck: Certificate) -> RawPlatform:
    """Step 2.12: which platform the PCK certificate speaks of.

    Raises:
        NotGenuine: it does not say.
    """
    if pck.sgx_extension is None:
        raise trail.failed(
            "2.12.pck_extension", "the PCK certificate has no SGX extension", wanted="1.2.840.113741.1.13.1"
        )
    platform = trail.read("2.12.pck_extension", cut_pck_extension, pck.sgx_extension)
    trail.passed("2.12.pck_extension", "FMSPC {}, PCE {} SVN {}", platform.fmspc, platform.pce_id, platform.pce_svn)
    return platform


def pck_dates(pck: Certificate) -> Dated:
    """When the PCK certificate says that it holds; the chain's other two stand among the endorsements' dates."""
    return Dated("5.3.pck_chain_dates", pck.common_name, Window(pck.not_before, pck.not_after))


def judge(trail: Trail, claim: Claim, platform: RawPlatform, endorsements: Endorsements) -> TcbVerdict:
    """Steps 6 to 9: platform, quoting enclave, signature and TCB, by endorsements and a PCK certificate proven before.

    Raises:
        NotGenuine: at the first step that fails.
    """
    parts, info = claim.parts, endorsements.tcb_info
    tee = parts.kind.tee.name
    _match_platform(trail, tee, platform, info)
    if parts.kind is not SGX:
        match_module(trail, read_td_report(parts.body), info)
    prove_qe_report(trail, parts, claim.pck)
    qe_report = cut_enclave_report(parts.qe_report)
    match_qe_identity(trail, tee, qe_report, endorsements.qe_identity)
    prove_signature(trail, claim)
    tcb = PlatformTcb(
        components=platform.components,
        pce_svn=platform.pce_svn,
        qe_isv_svn=qe_report.isv_svn,
        tee_tcb_svn=None if parts.kind is SGX else parts.body[TEE_TCB_SVN],
        tee_tcb_svn2=parts.body[TEE_TCB_SVN_2] if parts.kind is TD_15 else None,
    )
    return evaluate_tcb(trail, tcb, info, endorsements.qe_identity)


def prove_signature(trail: Trail, claim: Claim) -> None:
    """Step 8.1: the attestation key signed header and report.

    Raises:
        NotGenuine: it did not.
    """
    parts = claim.parts
    if not is_signed_raw(claim.attestation_key, parts.signature, parts.signed):
        raise trail.failed("8.1.quote_signature", "the quote is not signed by its attestation key")
    trail.passed("8.1.quote_signature", "header and report are as the quoting enclave signed them")


def _match_platform(trail: Trail, tee: str, platform: RawPlatform, info: TcbInfo) -> None:
    comparisons = (
        ("6.1.tcb_info_tee", "the TCB info is of another kind of TEE", info.tee, tee),
        ("6.2.fmspc", "the TCB info is of another platform", info.fmspc.value, platform.fmspc),
        ("6.3.pce_id", "the TCB info is of another PCE", info.pce_id.value, platform.pce_id),
    )
    for step, message, seen, wanted in comparisons:
        if seen != wanted:
            raise trail.failed(step, message, seen=worded(seen), wanted=worded(wanted))
        trail.passed(step, "{}", seen)
