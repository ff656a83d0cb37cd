"""One rule, one function: it looks at a proven quote and a policy and says what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ambergate.core.collateral import qe_identity
from ambergate.core.quote.report import EnclaveReport

if TYPE_CHECKING:
    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.verify.verdict import VerifiedQuote

Mismatch = dict[str, str]


class Rule(Protocol):
    """Looks at one thing."""

    def __call__(self, verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
        """What does not fit, or None."""
        ...


def _unless(fits: bool, rule: str, seen: object, wanted: object) -> Mismatch | None:  # noqa: FBT001
    return None if fits else {"rule": rule, "seen": str(seen), "wanted": str(wanted)}


def _any_of(values: object) -> str:
    assert isinstance(values, frozenset)
    return " or ".join(sorted(str(value) for value in values))


def debug(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The enclave's memory is closed to its host, or the policy says in so many words that it need not be.

    Of a TD every bit of the group TUD ("TD under debug", bits 0 to 7 of ATTRIBUTES) counts, those included that no
    module defines yet: Intel TDX Module ABI Specification, "ATTRIBUTES".
    """
    report = verified.report
    under_debug = report.debug if isinstance(report, EnclaveReport) else report.td_attributes.value[0] != 0
    return _unless(not under_debug or policy.dangerously_allow_debug, "debug", under_debug, "False")


def tcb_status(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The platform's TCB status is one that the policy lists."""
    wanted = _any_of(frozenset(status.value for status in policy.tcb_statuses))
    return _unless(verified.tcb_status in policy.tcb_statuses, "tcb_status", verified.tcb_status.value, wanted)


def mr_enclave(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program is one that the policy names, if it names any."""
    allowed = policy.mr_enclave
    if allowed is None:
        return None
    seen = verified.report.mr_enclave if isinstance(verified.report, EnclaveReport) else None
    return _unless(seen in allowed, "mr_enclave", seen, _any_of(allowed))


def mr_signer(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's signer is one that the policy names, if it names any."""
    allowed = policy.mr_signer
    if allowed is None:
        return None
    seen = verified.report.mr_signer if isinstance(verified.report, EnclaveReport) else None
    return _unless(seen in allowed, "mr_signer", seen, _any_of(allowed))


def isv_prod_id(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The signer's product is one that the policy names, if it names any."""
    allowed = policy.isv_prod_id
    if allowed is None:
        return None
    seen = verified.report.isv_prod_id if isinstance(verified.report, EnclaveReport) else None
    return _unless(seen in allowed, "isv_prod_id", seen, _any_of(allowed))


def isv_svn(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's security version is not older than the policy's minimum, if it has one."""
    minimum = policy.minimum_isv_svn
    if minimum is None:
        return None
    seen = verified.report.isv_svn if isinstance(verified.report, EnclaveReport) else None
    return _unless(seen is not None and seen >= minimum, "isv_svn", seen, f">= {minimum}")


def tcb_evaluation_data_number(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """TCB info and QE identity are not of an earlier TCB recovery than the policy's minimum, if it has one.

    Each has a number of its own, and the two need not match: an old one of either would hide what a newer one says.
    """
    minimum = policy.minimum_tcb_evaluation_data_number
    if minimum is None:
        return None
    of_info = verified.tcb_evaluation_data_number
    of_qe = qe_identity.read_qe_identity(verified.collateral.qe_identity).evaluation_data_number
    seen = f"TCB info {of_info}, QE identity {of_qe}"
    return _unless(min(of_info, of_qe) >= minimum, "tcb_evaluation_data_number", seen, f">= {minimum}")


def sept_ve_disable(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The host cannot make a TD handle #VE for pages that it takes away, or the policy says that it may."""
    report = verified.report
    fits = isinstance(report, EnclaveReport) or report.sept_ve_disable or policy.dangerously_allow_sept_ve
    return _unless(fits, "sept_ve_disable", seen="False", wanted="True")


def mr_service_td(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """No service TD is bound to the TD (it could migrate or read it), or the policy says that one may be."""
    report = verified.report
    bound = None if isinstance(report, EnclaveReport) else report.mr_service_td
    fits = bound is None or not any(bound.value) or policy.dangerously_allow_service_td
    return _unless(fits, "mr_service_td", bound, "zero")


RULES: Final[tuple[Rule, ...]] = (
    debug,
    tcb_status,
    mr_enclave,
    mr_signer,
    isv_prod_id,
    isv_svn,
    tcb_evaluation_data_number,
    sept_ve_disable,
    mr_service_td,
)
