"""The binding: what came with a quote is what the enclave or TD put into its REPORTDATA. Wire protocol, section 2."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, MalformedToken, NotGenuine
from ambergate.core.quote.layout import TeeType
from ambergate.core.token.jose import load_object
from ambergate.services.attestation.evidence import Rule

if TYPE_CHECKING:
    from ambergate.core.verify.verdict import VerifiedQuote
    from ambergate.services.attestation.evidence import Evidence

STEP: Final = "10.2.report_data"
HALF: Final = 32  # bytes of REPORTDATA
_USER_DATA: Final = "user-data"  # the member of Azure's runtime JSON that the TD chooses


def check_binding(verified: VerifiedQuote, evidence: Evidence, fresh: bytes) -> bool:
    """REPORTDATA binds this nonce and data, by the request's rule. Without nonce and data there is nothing to check.

    Proves that the enclave or TD chose this data when it made its report.

    Args:
        verified: the quote, proven.
        evidence: the request.
        fresh: the octets of its nonce; empty: it has none.

    Returns:
        Whether it was Azure's rule that held: then the user data is bound too.

    Raises:
        Malformed: the runtime data of a TD on Azure is not JSON.
        NotGenuine: REPORTDATA binds something else.
    """
    data = evidence.runtime_data or b""
    if evidence.rule is Rule.FIRST_HALF:
        _wanted_tee(verified, TeeType.SGX)
        if data:
            _compare(verified.report_data[:HALF], hashlib.sha256(data).digest())
        return False
    if evidence.rule is Rule.AZURE_TD or (evidence.rule is Rule.EITHER and _looks_like_azure(verified, data)):
        _check_azure(verified, evidence, fresh)
        return True
    if fresh or data:
        sgx = verified.tee is TeeType.SGX
        bound = fresh + data
        _compare(
            verified.report_data,
            hashlib.sha256(bound).digest() + bytes(HALF) if sgx else hashlib.sha512(bound).digest(),
        )
    return False


def _looks_like_azure(verified: VerifiedQuote, data: bytes) -> bool:
    """A TD whose REPORTDATA is SHA-256 of the data and zeros: by the other rule no TD gets there."""
    wanted = hashlib.sha256(data).digest() + bytes(HALF)
    return bool(data) and verified.tee is TeeType.TDX and verified.report_data == wanted


def _check_azure(verified: VerifiedQuote, evidence: Evidence, fresh: bytes) -> None:
    """The paravisor's rule: REPORTDATA is SHA-256 of the runtime JSON and zeros; in it the TD chose `user-data`."""
    _wanted_tee(verified, TeeType.TDX)
    runtime = evidence.runtime_data or b""
    _compare(verified.report_data, hashlib.sha256(runtime).digest() + bytes(HALF))
    told = _runtime_json(runtime).get(_USER_DATA)
    bound = fresh + (evidence.user_data or b"")
    if not bound:
        return
    wanted = hashlib.sha512(bound).hexdigest()
    if not isinstance(told, str) or not hmac.compare_digest(told.lower().encode(), wanted.encode()):
        raise NotGenuine(
            "the runtime data does not bind this nonce and user data",
            step=STEP,
            code="report-data-mismatch",
            seen=told if isinstance(told, str) else "no user-data",
            wanted=wanted,
            hint="put SHA-512 of val, iat and user data, as bytes, in this order, into user-data",
        )


def _wanted_tee(verified: VerifiedQuote, tee: TeeType) -> None:
    if verified.tee is not tee:
        raise NotGenuine(
            f"evidence is bound here as {tee.name} does",
            step=STEP,
            code="report-data-mismatch",
            seen=verified.tee.name,
            wanted=tee.name,
            hint="/appraisal/v1/attest takes both kinds",
        )


def _runtime_json(data: bytes) -> dict[str, object]:
    try:
        return load_object(data, "the runtime data")
    except MalformedToken as exc:
        raise Malformed(exc.message, code="malformed-request", seen=exc.seen, wanted="Azure's runtime JSON") from exc


def _compare(seen: bytes, wanted: bytes) -> None:
    if not hmac.compare_digest(seen, wanted):
        raise NotGenuine(
            "REPORTDATA does not bind this nonce and runtime data",
            step=STEP,
            code="report-data-mismatch",
            seen=seen.hex(),
            wanted=wanted.hex(),
            hint="quote the hash of val, iat and runtime data, as bytes, in this order; is this a replay?",
        )
