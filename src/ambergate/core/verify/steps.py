"""The numbered steps of a verification: id, error code, what each proves, where it comes from, what to do.

Order and content follow Intel's quote verification library (QVL, `AttestationLibrary`) and the wrapper around it
(QvE, `qve.cpp`): signatures, trust and revocation before dates, the PCK chain before TCB info before QE identity
before the quote. The ids are stable; tokens, errors, tests and documentation use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `code` is the error code when it fails; `source` names the document and section it follows."""

    id: str
    code: str
    proves: str
    source: str
    remedy: str
    tdx_only: bool = False


_FETCH = "fetch the collateral again from Intel's PCS or your PCCS"
_FORGED = "do not trust this evidence; ask its sender for a new quote"
_PLATFORM = "re-provision the platform's PCK certificate (PCS `pckcert`) and quote again"
_CHAIN = "send the PCK certificate chain that the quoting enclave's provider returned, unchanged"

STEPS: Final[tuple[Step, ...]] = (
    Step(
        "1.1.quote_format",
        "malformed-evidence",
        "the bytes are a quote",
        "QVL Quote::parse, Quote::validate",
        "send the raw quote as the quoting enclave returned it",
    ),
    Step(
        "1.2.certification_data",
        "certification-data-unsupported",
        "the quote brings its PCK certificate chain (type 5)",
        "QvE wrapper step 2; DCAP API A.4",
        "configure the quote provider (QCNL) to embed the PCK certificate chain",
    ),
    Step(
        "1.3.attestation_key",
        "attestation-key-invalid",
        "the attestation key is a point of P-256",
        "QVL VerifyQuote 18",
        _FORGED,
    ),
    Step(
        "2.1.pck_chain_format",
        "pck-chain-malformed",
        "the chain is three X.509 certificates: root, intermediate, PCK",
        "QVL VerifyPCKCertificate 1-7",
        _CHAIN,
    ),
    Step(
        "2.2.pck_chain_anchor",
        "pck-chain-untrusted",
        "the chain's root holds the trust anchor's key",
        "QvE wrapper step 4; QVL 12",
        "verify with the root that this platform was provisioned under (`--anchor`)",
    ),
    Step("2.3.root_signature", "root-invalid", "the root signed itself", "QVL VerifyPCKCertificate 8", _CHAIN),
    Step(
        "2.4.intermediate_signature",
        "intermediate-invalid",
        "the root signed the intermediate CA",
        "QVL VerifyPCKCertificate 9",
        _CHAIN,
    ),
    Step(
        "2.5.pck_signature",
        "pck-invalid",
        "the intermediate CA signed the PCK certificate",
        "QVL VerifyPCKCertificate 10",
        _CHAIN,
    ),
    Step(
        "2.6.root_crl_format",
        "root-crl-malformed",
        "the root CA's revocation list parses",
        "QVL VerifyPCKCertificate 4",
        _FETCH,
    ),
    Step(
        "2.7.root_crl_signature",
        "root-crl-invalid",
        "the root CA issued and signed its revocation list",
        "QVL VerifyPCKCertificate 13",
        _FETCH,
    ),
    Step(
        "2.8.pck_crl_format",
        "pck-crl-malformed",
        "the PCK revocation list parses",
        "QVL VerifyPCKCertificate 4",
        _FETCH,
    ),
    Step(
        "2.9.pck_crl_signature",
        "pck-crl-invalid",
        "the PCK's own issuer issued and signed its revocation list",
        "QVL VerifyPCKCertificate 14",
        "fetch the revocation list of the CA that issued this PCK certificate (processor or platform)",
    ),
    Step(
        "2.10.intermediate_revoked",
        "intermediate-revoked",
        "the root CA has not revoked the intermediate CA",
        "QVL VerifyPCKCertificate 15",
        _PLATFORM,
    ),
    Step(
        "2.11.pck_revoked",
        "pck-revoked",
        "the intermediate CA has not revoked this platform",
        "QVL VerifyPCKCertificate 16",
        "this platform's key is revoked: take it out of service",
    ),
    Step(
        "2.12.pck_extension",
        "pck-extension-malformed",
        "the PCK certificate describes its platform (SGX extension)",
        "PCK Certificate Profile 1.3.5",
        _CHAIN,
    ),
    Step(
        "3.1.tcb_chain_format",
        "tcb-chain-malformed",
        "the TCB info's chain is a root and a TCB signing certificate",
        "QVL VerifyTCBInfo 1-3",
        _FETCH,
    ),
    Step(
        "3.2.tcb_chain_anchor",
        "tcb-chain-untrusted",
        "its root holds the trust anchor's key",
        "QVL VerifyTCBInfo 7",
        _FETCH,
    ),
    Step(
        "3.3.tcb_chain_signature",
        "tcb-chain-invalid",
        "the root signed the TCB signing certificate",
        "QVL VerifyTCBInfo 4",
        _FETCH,
    ),
    Step(
        "3.4.tcb_signing_revoked",
        "tcb-signing-revoked",
        "the root CA has not revoked the TCB signing certificate",
        "QVL VerifyTCBInfo 6",
        _FETCH,
    ),
    Step(
        "3.5.tcb_info_signature",
        "tcb-info-invalid",
        "the TCB signing key signed this TCB info, to the byte",
        "QVL VerifyTCBInfo 8; PCS API v4",
        _FETCH,
    ),
    Step(
        "3.6.tcb_info_format",
        "tcb-info-malformed",
        "the TCB info parses and holds together",
        "QVL TcbInfo::parse; PCS API v3, v4",
        _FETCH,
    ),
    Step(
        "4.1.qe_chain_format",
        "qe-chain-malformed",
        "the QE identity's chain is a root and a TCB signing certificate",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "4.2.qe_chain_anchor",
        "qe-chain-untrusted",
        "its root holds the trust anchor's key",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "4.3.qe_chain_signature",
        "qe-chain-invalid",
        "the root signed the TCB signing certificate",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "4.4.qe_signing_revoked",
        "qe-signing-revoked",
        "the root CA has not revoked the TCB signing certificate",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "4.5.qe_identity_signature",
        "qe-identity-invalid",
        "the TCB signing key signed this QE identity, to the byte",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "4.6.qe_identity_format",
        "qe-identity-malformed",
        "the QE identity parses and holds together",
        "QVL EnclaveIdentityV2; PCS API v4",
        _FETCH,
    ),
    Step(
        "5.1.tcb_info_dates",
        "tcb-info-expired",
        "the TCB info is current: issued, and not past its next update",
        "QVL VerifyTCBInfo 11; issueDate besides",
        _FETCH,
    ),
    Step(
        "5.2.qe_identity_dates",
        "qe-identity-expired",
        "the QE identity is current",
        "QVL VerifyEnclaveIdentity; issueDate besides",
        _FETCH,
    ),
    Step(
        "5.3.pck_chain_dates",
        "pck-chain-expired",
        "all three certificates are valid at this instant",
        "QVL VerifyPCKCertificate 17; notBefore besides (RFC 5280 6.1.3)",
        _PLATFORM,
    ),
    Step(
        "5.4.root_crl_dates",
        "root-crl-expired",
        "the root CA's revocation list is current",
        "QVL VerifyPCKCertificate 18",
        _FETCH,
    ),
    Step(
        "5.5.pck_crl_dates",
        "pck-crl-expired",
        "the PCK revocation list is current",
        "QVL VerifyPCKCertificate 18",
        _FETCH,
    ),
    Step(
        "5.6.tcb_chain_dates",
        "tcb-chain-expired",
        "root and TCB signing certificate are valid at this instant",
        "QVL VerifyTCBInfo 9",
        _FETCH,
    ),
    Step(
        "5.7.qe_chain_dates",
        "qe-chain-expired",
        "root and TCB signing certificate are valid at this instant",
        "QVL VerifyEnclaveIdentity",
        _FETCH,
    ),
    Step(
        "6.1.tcb_info_tee",
        "tcb-info-mismatch",
        "the TCB info speaks of the quote's kind of TEE",
        "QVL VerifyQuote 10",
        _FETCH,
    ),
    Step(
        "6.2.fmspc",
        "fmspc-mismatch",
        "the TCB info speaks of this platform's FMSPC",
        "QVL VerifyQuote 11",
        "fetch the TCB info of the FMSPC in the PCK certificate",
    ),
    Step(
        "6.3.pce_id",
        "pce-id-mismatch",
        "the TCB info speaks of this platform's PCE",
        "QVL VerifyQuote 11",
        "fetch the TCB info of the FMSPC in the PCK certificate",
    ),
    Step(
        "6.4.tdx_module_identity",
        "tdx-module-unknown",
        "the TCB info describes the TDX module of this version",
        "QVL VerifyQuote 13; TCB info v3, tdxModuleIdentities",
        _FETCH,
        tdx_only=True,
    ),
    Step(
        "6.5.tdx_module_signer",
        "tdx-module-signer-mismatch",
        "the TDX module was signed by the key that the TCB info names",
        "QVL VerifyQuote 13",
        _FORGED,
        tdx_only=True,
    ),
    Step(
        "6.6.tdx_module_attributes",
        "tdx-module-attributes-mismatch",
        "the TDX module's attributes are zero, as the TCB info says",
        "QVL VerifyQuote 13",
        _FORGED,
        tdx_only=True,
    ),
    Step(
        "7.1.qe_report_signature",
        "qe-report-invalid",
        "the platform's PCK key signed the QE report",
        "QVL VerifyQuote 14",
        _FORGED,
    ),
    Step(
        "7.2.attestation_key_binding",
        "attestation-key-unbound",
        "the QE report names this attestation key and authentication data",
        "QVL VerifyQuote 15",
        _FORGED,
    ),
    Step(
        "7.3.qe_identity_id",
        "qe-identity-mismatch",
        "the QE identity is of the right kind of quoting enclave",
        "QVL VerifyQuote 16",
        _FETCH,
    ),
    Step(
        "7.4.qe_miscselect",
        "qe-miscselect-mismatch",
        "the quoting enclave's MISCSELECT is Intel's",
        "QVL EnclaveReportVerifier 1",
        _FORGED,
    ),
    Step(
        "7.5.qe_attributes",
        "qe-attributes-mismatch",
        "the quoting enclave's ATTRIBUTES are Intel's, debug among them",
        "QVL EnclaveReportVerifier 2",
        _FORGED,
    ),
    Step(
        "7.6.qe_mrsigner",
        "qe-mrsigner-mismatch",
        "the quoting enclave was signed by Intel's key",
        "QVL EnclaveReportVerifier 3",
        _FORGED,
    ),
    Step(
        "7.7.qe_isvprodid",
        "qe-isvprodid-mismatch",
        "the quoting enclave is the product that quotes",
        "QVL EnclaveReportVerifier 4",
        _FORGED,
    ),
    Step(
        "8.1.quote_signature",
        "quote-signature-invalid",
        "the attestation key signed header and report",
        "QVL VerifyQuote 19",
        _FORGED,
    ),
    Step(
        "9.1.tcb_level",
        "tcb-not-supported",
        "a TCB level of the TCB info covers this platform",
        "QVL checkTcbLevel",
        "the platform is older than every level that Intel lists: update BIOS and microcode, or take it out of service",
    ),
    Step(
        "9.2.tdx_module_level",
        "tdx-module-not-supported",
        "a level of the TDX module's identity covers this module",
        "QVL VerifyQuote 13, 20",
        "update the TDX module on the platform",
        tdx_only=True,
    ),
    Step(
        "9.3.qe_tcb_level",
        "qe-tcb-not-supported",
        "a level of the QE identity covers this quoting enclave",
        "QVL EnclaveReportVerifier 5",
        "update the quoting enclave (SGX PSW / DCAP) on the platform",
    ),
    Step(
        "9.4.tcb_not_revoked",
        "tcb-revoked",
        "neither the platform's TCB level nor the quoting enclave's is revoked",
        "QVL VerifyQuote 20",
        "update the platform: Intel has revoked this level",
    ),
)

BY_ID: Final = {step.id: step for step in STEPS}
