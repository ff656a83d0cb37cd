"""Who vouched for what: the links between the trust anchor and a proven report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.verify.chain import PCK_NAME
from ambergate.core.verify.verdict import Window

if TYPE_CHECKING:
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.verify.verdict import VerifiedQuote

# Whose word a link is.
YOURS: Final = "the caller"
HOLDER: Final = "the anchor's holder"
THE_PLATFORM: Final = "the platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One thing that vouches for another."""

    by: str  # what vouches
    of: str  # what is vouched for
    says: str  # what is thereby proven
    word_of: str  # whose statement it is: YOURS, HOLDER or THE_PLATFORM
    steps: tuple[str, ...]
    serial: str | None = None  # of the certificate vouched for, in hex
    window: Window | None = None  # for how long it says that it holds


def path_of(verdict: VerifiedQuote) -> tuple[Link, ...]:
    """The links of a proven quote: from the anchor to the PCK, the two signed statements, then down to the report."""
    return (*_certificates(verdict), *_statements(verdict), *_evidence(verdict))


def _certificates(verdict: VerifiedQuote) -> tuple[Link, ...]:
    chain = read_pem_chain(verdict.quote.certification.data)
    root = next(each for each in chain if each.self_issued)
    pck = next(each for each in chain if PCK_NAME in each.common_name)
    ca = next(each for each in chain if each is not root and each is not pck)
    anchor, platform = verdict.anchor, verdict.platform
    components = " ".join(map(str, platform.components))
    return (
        Link(
            by="you",
            of=anchor.name,
            says=f"the key {anchor.key.hex()[:16]}… is taken for the root of trust; nothing proves it",
            word_of=YOURS,
            steps=(),
        ),
        _certificate(
            anchor.name,
            root,
            "it holds the anchor's key and signed itself",
            ("2.2.pck_chain_anchor", "2.3.root_signature"),
        ),
        _certificate(
            root.common_name,
            ca,
            "it may certify platforms, and the root's revocation list does not name it",
            ("2.4.intermediate_signature", "2.7.root_crl_signature", "2.10.intermediate_revoked"),
        ),
        _certificate(
            ca.common_name,
            pck,
            f"its key is that of a platform of FMSPC {platform.fmspc} whose TCB was SGX components {components}, "
            f"PCE SVN {platform.pce_svn}, and the CA's revocation list does not name it",
            ("2.5.pck_signature", "2.9.pck_crl_signature", "2.11.pck_revoked", "2.12.pck_extension"),
        ),
    )


def _certificate(by: str, of: Certificate, says: str, steps: tuple[str, ...]) -> Link:
    window = Window(of.not_before, of.not_after)
    return Link(
        by=by, of=of.common_name, says=says, word_of=HOLDER, steps=steps, serial=f"{of.serial:x}", window=window
    )


def _statements(verdict: VerifiedQuote) -> tuple[Link, ...]:
    collateral, tcb = verdict.collateral, verdict.tcb
    windows = {each.step: each.window for each in verdict.dates}
    versions = f"which security versions of FMSPC {verdict.platform.fmspc} have which status"
    return (
        *_statement(
            collateral.tcb_info_issuer_chain,
            "TCB info",
            f"{versions} (evaluation {tcb.evaluation_data_number}); this platform's level is {tcb.level.status.value}",
            ("3.2.tcb_chain_anchor", "3.3.tcb_chain_signature", "3.4.tcb_signing_revoked", "3.5.tcb_info_signature"),
            windows["5.1.tcb_info_dates"],
        ),
        *_statement(
            collateral.qe_identity_issuer_chain,
            "QE identity",
            f"what its quoting enclave looks like, and which status its versions have; this one's is "
            f"{tcb.qe_level.status.value}",
            ("4.2.qe_chain_anchor", "4.3.qe_chain_signature", "4.4.qe_signing_revoked", "4.5.qe_identity_signature"),
            windows["5.2.qe_identity_dates"],
        ),
    )


def _statement(pem: str, what: str, says: str, steps: tuple[str, ...], window: Window) -> tuple[Link, Link]:
    """The certificate that may sign a statement, and the statement; its signature is the last step."""
    chain = read_pem_chain(pem.encode("utf-8", "replace"))
    root = next(each for each in chain if each.self_issued)
    signer = next(each for each in chain if not each.self_issued)
    may = f"its key may sign the {what}, and the root's revocation list does not name it"
    return (
        _certificate(root.common_name, signer, may, steps[:-1]),
        Link(by=signer.common_name, of=what, says=says, word_of=HOLDER, steps=steps[-1:], window=window),
    )


def _evidence(verdict: VerifiedQuote) -> tuple[Link, ...]:
    quote, report = verdict.quote, verdict.report
    qe = quote.qe_report
    if isinstance(report, EnclaveReport):
        subject, says = (
            "the enclave's report",
            f"an enclave of MRENCLAVE {report.mr_enclave}, MRSIGNER {report.mr_signer}",
        )
    else:
        subject = "the TD's report"
        says = f"a TD of MRTD {report.mr_td}, under the TDX module of SVNs {report.tee_tcb_svn}"
    return (
        Link(
            by="PCK",
            of="the quoting enclave's report",
            says=f"an enclave of MRSIGNER {qe.mr_signer}, product {qe.isv_prod_id}, ISVSVN {qe.isv_svn} runs on the "
            "platform; it is the quoting enclave that the QE identity describes",
            word_of=THE_PLATFORM,
            steps=("7.1.qe_report_signature", "7.6.qe_mrsigner", "7.7.qe_isvprodid"),
        ),
        Link(
            by="the quoting enclave's report",
            of="the attestation key",
            says=f"the key {quote.attestation_key.hex()[:16]}… is the quoting enclave's own",
            word_of=THE_PLATFORM,
            steps=("7.2.attestation_key_binding",),
        ),
        Link(
            by="the attestation key",
            of=subject,
            says=f"{says}, ran on the same platform and chose REPORTDATA {report.report_data.hex()[:16]}…",
            word_of=THE_PLATFORM,
            steps=("8.1.quote_signature",),
        ),
    )
