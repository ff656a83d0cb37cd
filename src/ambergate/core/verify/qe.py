"""The quoting enclave: steps 7.1 to 7.7. The platform's key vouches for it, and it is Intel's.

Source: QVL VerifyQuote 14 to 17 and `EnclaveReportVerifier`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from ambergate.core.quote.report import REPORT_DATA
from ambergate.core.verify.signatures import is_signed_raw
from ambergate.core.verify.verdict import worded

if TYPE_CHECKING:
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.collateral.qe_identity import QeIdentity
    from ambergate.core.quote.parts import QuoteParts
    from ambergate.core.quote.report import RawReport
    from ambergate.core.verify.trail import Trail

# Which identity speaks of the quoting enclave of which TEE.
IDENTITY_OF: Final = {"SGX": "QE", "TDX": "TD_QE"}


def prove_qe_report(trail: Trail, quote: QuoteParts, pck: Certificate) -> None:
    """Steps 7.1 and 7.2: the platform's key signed the QE report, and that report names this attestation key.

    The upper half of the QE's REPORTDATA is not looked at, as in the reference.

    Raises:
        NotGenuine: at the first step that fails.
    """
    if not is_signed_raw(pck.public_key, quote.qe_report_signature, quote.qe_report):
        raise trail.failed("7.1.qe_report_signature", "the QE report is not signed by this platform's PCK key")
    trail.passed("7.1.qe_report_signature", "the key of {} (serial {:x}) signed it", pck.common_name, pck.serial)
    digest = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest()
    named = quote.qe_report[REPORT_DATA][:32]
    if named != digest:
        raise trail.failed(
            "7.2.attestation_key_binding",
            "the QE report does not name this attestation key",
            seen=named.hex(),
            wanted=digest.hex(),
        )
    trail.passed("7.2.attestation_key_binding", "REPORTDATA starts with {}…", digest[:8])


def match_qe_identity(trail: Trail, tee: str, report: RawReport, identity: QeIdentity) -> None:
    """Steps 7.3 to 7.7: the quoting enclave is the one that Intel's identity describes. Its MRENCLAVE is not pinned.

    Masks are applied to the report alone: an identity with bits outside its mask can never match, as in the reference.

    Raises:
        NotGenuine: at the first step that fails.
    """
    misc = report.misc_select & identity.misc_select_mask
    attributes = masked(report.attributes, identity.attributes_mask)
    comparisons = (
        ("7.3.qe_identity_id", "the QE identity is of another enclave", identity.kind, IDENTITY_OF[tee]),
        ("7.4.qe_miscselect", "the quoting enclave's MISCSELECT differs", misc, identity.misc_select),
        ("7.5.qe_attributes", "the quoting enclave's ATTRIBUTES differ", attributes, identity.attributes),
        ("7.6.qe_mrsigner", "the quoting enclave's signer differs", report.mr_signer, identity.mr_signer.value),
        ("7.7.qe_isvprodid", "the quoting enclave's product differs", report.isv_prod_id, identity.isv_prod_id),
    )
    for step, message, seen, wanted in comparisons:
        if seen != wanted:
            raise trail.failed(step, message, seen=worded(seen), wanted=worded(wanted))
        trail.passed(step, "{}", seen)


def masked(value: bytes, mask: bytes) -> bytes:
    """The bits of `value` that `mask` has, both of one length."""
    both = int.from_bytes(value, "big") & int.from_bytes(mask, "big")
    return both.to_bytes(len(value), "big")
