"""What a platform's TCB status will be once another set of statements counts, without seeing the platform again.

Intel publishes a TCB recovery first in its early set; the standard set follows, months later. All that a status
depends on besides these statements is a `PlatformTcb`, so a kind of platform can be judged under either.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotGenuine
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.gaps import BETTER_FIRST, Statements, best_of, improvements, read_labels
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import TcbVerdict

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.measurements import Fmspc, PceId
    from ambergate.core.verify.endorsements import VerifiedCollateral
    from ambergate.core.verify.gaps import Gap
    from ambergate.core.verify.verdict import VerifiedQuote


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformKind:
    """What machines that stand at the same security versions have in common. Names none of them, nor what they run."""

    tee: str  # "SGX" or "TDX"
    fmspc: Fmspc
    ca: str  # "processor" or "platform"
    pce_id: PceId
    tcb: PlatformTcb
    anchor: bytes  # SHA-256 of the root's key, x || y

    @classmethod
    def of(cls, verified: VerifiedQuote) -> Self:
        """The kind of platform that a proven quote comes from."""
        platform = verified.platform
        return cls(
            tee=verified.tee.name,
            fmspc=platform.fmspc,
            # As in `needs_of`: only what the Platform CA certified has an instance id (PCK Certificate Profile, 1.3.5).
            ca="processor" if platform.platform_instance_id is None else "platform",
            pce_id=platform.pce_id,
            tcb=PlatformTcb.of(verified.quote, platform),
            anchor=hashlib.sha256(verified.anchor.key).digest(),
        )


class Change(enum.Enum):
    """How the later word about a platform compares with today's."""

    WORSE = "worse"
    SAME = "same"
    BETTER = "better"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one set of statements says of a platform."""

    status: TcbStatus | None  # None: evidence of this platform is refused under this set
    date: datetime | None  # of the level that gave the status
    advisory_ids: tuple[str, ...]
    evaluation_data_number: int
    refused_at: str | None  # the verification step
    reason: str | None  # why it is refused

    @property
    def severity(self) -> int:
        """A number that is the higher, the worse the word is."""
        return len(BETTER_FIRST) if self.status is None else BETTER_FIRST.index(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The word of two sets about one platform."""

    standard: Outlook
    early: Outlook
    advisories_gained: tuple[str, ...]  # of the early set, and not of the standard one
    behind: tuple[Gap, ...]  # what to raise for the best status that the early set has; empty: it is reached, or none

    @property
    def change(self) -> Change:
        """Worse: a worse status, or the same with advisories that are not there today."""
        now, then = self.standard.severity, self.early.severity
        if then != now:
            return Change.WORSE if then > now else Change.BETTER
        return Change.WORSE if self.advisories_gained else Change.SAME


def forecast(tcb: PlatformTcb, standard: VerifiedCollateral, early: VerifiedCollateral) -> Forecast:
    """Which status a platform has under the standard set, and which it will have when the early set is the standard.

    Proves nothing about a platform: `tcb` is taken as it is. Says nothing about revocation of its PCK certificate, and
    supposes that the platform is not updated meanwhile.

    Args:
        tcb: what the status depends on, from a quote that was verified.
        standard: the statements that count today.
        early: those that will count.

    Raises:
        ValueError: the two are not about one platform family and TEE, or `tcb` is of the other TEE.
    """
    tee = "SGX" if tcb.tee_tcb_svn is None else "TDX"
    families = {(each.tcb_info.tee, each.tcb_info.fmspc) for each in (standard, early)}
    if families != {(tee, standard.tcb_info.fmspc)}:
        msg = f"one family of {tee} is needed, not {families}"
        raise ValueError(msg)
    now, then = _verdict(tcb, standard), _verdict(tcb, early)
    today, later = _outlook(now, standard), _outlook(then, early)
    return Forecast(
        standard=today,
        early=later,
        advisories_gained=tuple(each for each in later.advisory_ids if each not in today.advisory_ids),
        behind=_behind(tcb, then, early),
    )


def _verdict(tcb: PlatformTcb, statements: VerifiedCollateral) -> TcbVerdict | NotGenuine:
    try:
        return evaluate_tcb(Trail(), tcb, statements.tcb_info, statements.qe_identity)
    except NotGenuine as exc:
        return exc


def _outlook(verdict: TcbVerdict | NotGenuine, statements: VerifiedCollateral) -> Outlook:
    number = statements.tcb_info.evaluation_data_number
    if isinstance(verdict, NotGenuine):
        return Outlook(
            status=None,
            date=None,
            advisory_ids=(),
            evaluation_data_number=number,
            refused_at=verdict.step,
            reason=": ".join(filter(None, (verdict.message, verdict.seen))),
        )
    return Outlook(
        status=verdict.status,
        date=verdict.date,
        advisory_ids=verdict.advisory_ids,
        evaluation_data_number=number,
        refused_at=None,
        reason=None,
    )


def _behind(tcb: PlatformTcb, verdict: TcbVerdict | NotGenuine, statements: VerifiedCollateral) -> tuple[Gap, ...]:
    info, identity = statements.tcb_info, statements.qe_identity
    if isinstance(verdict, NotGenuine):
        # Whatever is not refused is better than this: the search begins at the lowest level, as if that was matched.
        verdict = TcbVerdict(
            status=TcbStatus.REVOKED,
            date=info.levels[-1].date,
            advisory_ids=(),
            evaluation_data_number=info.evaluation_data_number,
            level=info.levels[-1],
            qe_level=identity.levels[-1],
            module_level=None,
        )
    labels = read_labels(statements.collateral.tcb_info)
    best = best_of(improvements(tcb, verdict, Statements(info=info, identity=identity, labels=labels)))
    return () if best is None else best.raises
