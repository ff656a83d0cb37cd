"""One rule, one function: it looks at a proven quote and a policy and says what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

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
    """The enclave's memory is closed to its host, or the policy says in so many words that it need not be."""
    fits = not verified.report.debug or policy.dangerously_allow_debug
    return _unless(fits, "debug", verified.report.debug, "False")


def tcb_status(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The platform's TCB status is one that the policy lists."""
    wanted = _any_of(frozenset(status.value for status in policy.tcb_statuses))
    return _unless(verified.tcb_status in policy.tcb_statuses, "tcb_status", verified.tcb_status.value, wanted)


def mr_enclave(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program is one that the policy names, if it names any."""
    allowed, seen = policy.mr_enclave, verified.report.mr_enclave
    return None if allowed is None else _unless(seen in allowed, "mr_enclave", seen, _any_of(allowed))


def mr_signer(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's signer is one that the policy names, if it names any."""
    allowed, seen = policy.mr_signer, verified.report.mr_signer
    return None if allowed is None else _unless(seen in allowed, "mr_signer", seen, _any_of(allowed))


def isv_prod_id(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The signer's product is one that the policy names, if it names any."""
    allowed, seen = policy.isv_prod_id, verified.report.isv_prod_id
    return None if allowed is None else _unless(seen in allowed, "isv_prod_id", seen, _any_of(allowed))


def isv_svn(verified: VerifiedQuote, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's security version is not older than the policy's minimum, if it has one."""
    minimum, seen = policy.minimum_isv_svn, verified.report.isv_svn
    return None if minimum is None else _unless(seen >= minimum, "isv_svn", seen, f">= {minimum}")


RULES: Final[tuple[Rule, ...]] = (debug, tcb_status, mr_enclave, mr_signer, isv_prod_id, isv_svn)
