"""One rule, one function: it looks at the facts about evidence and at a policy, and says what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ambergate.core.collateral.tcb_info import TcbStatus

if TYPE_CHECKING:
    from ambergate.core.appraise.facts import Facts
    from ambergate.core.appraise.policy import AppraisalPolicy

Mismatch = dict[str, str]


class Rule(Protocol):
    """Looks at one thing."""

    def __call__(self, facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
        """What does not fit, or None."""
        ...


def _unless(fits: bool, rule: str, seen: object, wanted: object) -> Mismatch | None:  # noqa: FBT001
    """Words are made where something does not fit only: most things do."""
    return None if fits else {"rule": rule, "seen": str(seen), "wanted": _words(wanted)}


def _words(wanted: object) -> str:
    if not isinstance(wanted, frozenset):
        return str(wanted)
    return " or ".join(sorted(each.value if isinstance(each, TcbStatus) else str(each) for each in wanted))


def debug(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The enclave's memory is closed to its host, or the policy says in so many words that it need not be."""
    return _unless(not facts.under_debug or policy.dangerously_allow_debug, "debug", facts.under_debug, "False")


def tcb_status(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The platform's TCB status is one that the policy lists."""
    wanted = policy.tcb_statuses
    return _unless(facts.tcb_status in wanted, "tcb_status", facts.tcb_status.value, wanted)


def mr_enclave(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program is one that the policy names, if it names any."""
    allowed = policy.mr_enclave
    if allowed is None:
        return None
    seen = facts.enclave.mr_enclave if facts.enclave else None
    return _unless(seen in allowed, "mr_enclave", seen, allowed)


def mr_signer(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's signer is one that the policy names, if it names any."""
    allowed = policy.mr_signer
    if allowed is None:
        return None
    seen = facts.enclave.mr_signer if facts.enclave else None
    return _unless(seen in allowed, "mr_signer", seen, allowed)


def isv_prod_id(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The signer's product is one that the policy names, if it names any."""
    allowed = policy.isv_prod_id
    if allowed is None:
        return None
    seen = facts.enclave.isv_prod_id if facts.enclave else None
    return _unless(seen in allowed, "isv_prod_id", seen, allowed)


def isv_svn(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The program's security version is not older than the policy's minimum, if it has one."""
    minimum = policy.minimum_isv_svn
    if minimum is None:
        return None
    seen = facts.enclave.isv_svn if facts.enclave else None
    return _unless(seen is not None and seen >= minimum, "isv_svn", seen, f">= {minimum}")


def tcb_evaluation_data_number(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """TCB info and QE identity are not of an earlier TCB recovery than the policy's minimum, if it has one.

    Each has a number of its own, and the two need not match: an old one of either would hide what a newer one says.
    """
    minimum = policy.minimum_tcb_evaluation_data_number
    if minimum is None:
        return None
    numbers = facts.evaluation_numbers
    seen = "unknown" if numbers is None else f"TCB info {numbers[0]}, QE identity {numbers[1]}"
    fits = numbers is not None and min(numbers) >= minimum
    return _unless(fits, "tcb_evaluation_data_number", seen, f">= {minimum}")


def sept_ve_disable(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """The host cannot make a TD handle #VE for pages that it takes away, or the policy says that it may."""
    fits = facts.td is None or facts.td.sept_ve_disable or policy.dangerously_allow_sept_ve
    return _unless(fits, "sept_ve_disable", seen="False", wanted="True")


def mr_service_td(facts: Facts, policy: AppraisalPolicy, /) -> Mismatch | None:
    """No service TD is bound to the TD (it could migrate or read it), or the policy says that one may be."""
    bound = facts.td.mr_service_td if facts.td else None
    fits = bound is None or not any(bound.value) or policy.dangerously_allow_service_td
    return _unless(fits, "mr_service_td", bound, "zero")


# Who an enclave is; the other rules are about the platform, and what its host may do to it.
IDENTITY_RULES: Final[tuple[Rule, ...]] = (mr_enclave, mr_signer, isv_prod_id, isv_svn)
RULES: Final[tuple[Rule, ...]] = (
    debug,
    tcb_status,
    *IDENTITY_RULES,
    tcb_evaluation_data_number,
    sept_ve_disable,
    mr_service_td,
)
