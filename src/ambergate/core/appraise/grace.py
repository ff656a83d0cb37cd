"""The bounded grace: what a policy may take of statements that have run out, and of nothing else.

`verify_quote` never accepts expired collateral. A policy may say for how long after their end it still goes by Intel's
statements (TCB info, QE identity, revocation lists), as during an outage of whoever serves them. What that gives up:
for so long, a TCB recovery or a revocation that was published meanwhile is not seen. A certificate gets no grace: its
end is the end of its key.

    verified = verify_within_grace(
        lambda when: verifier.verify(raw, collateral, at=when), collateral, policy, at=now
    )
    appraisal = appraise(verified, policy, at=now)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.crl import read_crl
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import NotGenuine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.appraise.rules import Mismatch
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.verdict import Dated, VerifiedQuote

# The steps that look at the dates of statements, which are published again and again; the others are certificates'.
STATEMENTS: Final = frozenset(
    {"5.1.tcb_info_dates", "5.2.qe_identity_dates", "5.4.root_crl_dates", "5.5.pck_crl_dates"}
)
NONE: Final = timedelta(0)
MAX_GRACE: Final = timedelta(days=30)  # the time for which Intel publishes TCB info and QE identities (PCS API v4)
_LATEST: Final = datetime.max.replace(tzinfo=UTC) - MAX_GRACE


def collateral_grace(verified: VerifiedQuote, policy: AppraisalPolicy, at: datetime, /) -> Mismatch | None:
    """All that a verdict rests on holds at `at`, or is a statement that ended no longer ago than the policy's grace.

    A verdict that is used beyond its window must have been proven at the window's last instant: then nothing has been
    left unlooked-at that could have been looked at.
    """
    if at < verified.at:
        return _mismatch(f"proven at {verified.at.isoformat()}", f"an instant before {at.isoformat()}")
    if at <= verified.window.not_after:
        return None
    ended = [each for each in verified.dates if each.window.not_after < at]
    wrong = [each for each in ended if _beyond(each, policy.collateral_grace, at)]
    if wrong:
        seen = "; ".join(f"{e.what} ended {e.window.not_after.isoformat()} ({e.step})" for e in wrong)
        wanted = (
            f"at {at.isoformat()}: certificates that hold, statements that ended at most {policy.collateral_grace} ago"
        )
        return _mismatch(seen, wanted)
    if ended and verified.at < verified.window.not_after:
        return _mismatch(
            f"proven at {verified.at.isoformat()}",
            f"proven at {verified.window.not_after.isoformat()}, the last instant",
        )
    return None


def holds_until(verified: VerifiedQuote, policy: AppraisalPolicy) -> datetime:
    """The last instant at which `collateral_grace` does not refuse the verdict: no token may outlive it.

    With a grace of zero this is the end of the verdict's window.
    """
    if policy.collateral_grace == NONE:
        return verified.window.not_after
    return min(_last_instant(each, policy.collateral_grace) for each in verified.dates)


def verify_within_grace(
    prove: Callable[[datetime], VerifiedQuote], collateral: Collateral, policy: AppraisalPolicy, *, at: datetime
) -> VerifiedQuote:
    """A proof at `at`; or, where a statement has expired and the policy grants it grace, at the last instant before.

    The second proof is a whole one: every step, at an instant at which every date holds. What it returns, `appraise`
    with the same policy and `at` does not refuse for its age.

    Args:
        prove: verifies the quote with this collateral at the instant it is given.
        collateral: that collateral; the ends of its statements say which instant is the last.
        policy: its `collateral_grace` is the bound. Zero: only the first proof is tried.
        at: the instant of the appraisal; aware.

    Raises:
        NotGenuine: what the proof at `at` raised, where grace does not help.
    """
    try:
        return prove(at)
    except NotGenuine as exc:
        if exc.step not in STATEMENTS or policy.collateral_grace == NONE:
            raise
        verified = _before_the_end(prove, collateral, policy, at)
        if verified is None:
            raise
        return verified


def _before_the_end(
    prove: Callable[[datetime], VerifiedQuote], collateral: Collateral, policy: AppraisalPolicy, at: datetime
) -> VerifiedQuote | None:
    last = first_end(collateral)
    # Before the first end, the failed date is one that has not begun: no grace reaches into the future. The rule below
    # would refuse both cases too; here they do not cost a second proof.
    if not NONE < at - last <= policy.collateral_grace:
        return None
    try:
        verified = prove(last)
    except NotGenuine:
        return None
    return None if collateral_grace(verified, policy, at) else verified


def first_end(collateral: Collateral) -> datetime:
    """When the first of the statements ends, by their own word; the proof at that instant shows whether it is true.

    Raises:
        MalformedCollateral: one of them does not parse.
    """
    return min(
        read_tcb_info(collateral.tcb_info).next_update,
        read_qe_identity(collateral.qe_identity).next_update,
        read_crl(collateral.root_ca_crl).next_update,
        read_crl(collateral.pck_crl).next_update,
    )


def _last_instant(each: Dated, grace: timedelta) -> datetime:
    end = each.window.not_after
    # What ends where the calendar does needs no grace, and has none.
    return end + grace if each.step in STATEMENTS and end <= _LATEST else end


def _beyond(each: Dated, grace: timedelta, at: datetime) -> bool:
    return each.step not in STATEMENTS or at - each.window.not_after > grace


def _mismatch(seen: str, wanted: str) -> Mismatch:
    return {"rule": "collateral_grace", "seen": seen, "wanted": wanted}
