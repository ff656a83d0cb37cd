"""What a platform's TCB status will be once another set of statements counts, without seeing the platform again.

Intel publishes a TCB recovery first in its early set; the standard set follows, months later. All that a status
depends on besides these statements is a `PlatformTcb`, so a kind of platform can be judged under either.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotGenuine
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ambergate.core.collateral.qe_identity import QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TdxModuleLevel
    from ambergate.core.measurements import Fmspc, PceId
    from ambergate.core.verify.endorsements import VerifiedCollateral
    from ambergate.core.verify.verdict import VerifiedQuote

    L = TypeVar("L", TcbLevel, TdxModuleLevel, QeLevel)

# From best to worst: what lacks nothing, what software or settings make good, what a new launch makes good, what only
# an update makes good, what is not taken at all.
_SEVERITY: Final = {
    status: place
    for place, status in enumerate(
        (
            TcbStatus.UP_TO_DATE,
            TcbStatus.SW_HARDENING_NEEDED,
            TcbStatus.CONFIGURATION_NEEDED,
            TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
            TcbStatus.TD_RELAUNCH_ADVISED,
            TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
            TcbStatus.OUT_OF_DATE,
            TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
            TcbStatus.REVOKED,
        )
    )
}
_REFUSED: Final = len(_SEVERITY)


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
        return _REFUSED if self.status is None else _SEVERITY[self.status]


@dataclass(frozen=True, slots=True)
class Behind:
    """One security version that is too low for the best status that a set has to give."""

    what: str
    have: int
    need: int

    @property
    def by(self) -> int:
        """How many versions are missing."""
        return self.need - self.have


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The word of two sets about one platform."""

    standard: Outlook
    early: Outlook
    advisories_gained: tuple[str, ...]  # of the early set, and not of the standard one
    behind: tuple[Behind, ...]  # under the early set; empty: no update of the platform makes the status better

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
    now, then = _outlook(tcb, standard), _outlook(tcb, early)
    return Forecast(
        standard=now,
        early=then,
        advisories_gained=tuple(each for each in then.advisory_ids if each not in now.advisory_ids),
        behind=tuple(_behind(tcb, early)),
    )


def _outlook(tcb: PlatformTcb, statements: VerifiedCollateral) -> Outlook:
    number = statements.tcb_info.evaluation_data_number
    try:
        verdict = evaluate_tcb(Trail(), tcb, statements.tcb_info, statements.qe_identity)
    except NotGenuine as exc:
        reason = exc.message if exc.seen is None else f"{exc.message}: {exc.seen}"
        return Outlook(
            status=None,
            date=None,
            advisory_ids=(),
            evaluation_data_number=number,
            refused_at=exc.step,
            reason=reason,
        )
    return Outlook(
        status=verdict.status,
        date=verdict.date,
        advisory_ids=verdict.advisory_ids,
        evaluation_data_number=number,
        refused_at=None,
        reason=None,
    )


def _behind(tcb: PlatformTcb, statements: VerifiedCollateral) -> Iterator[Behind]:
    """What must be raised for the best status of a set: each version that is below its least demanding best level."""
    for what, have, need in _compared(tcb, statements):
        if have < need:
            yield Behind(what, have, need)


def _compared(tcb: PlatformTcb, statements: VerifiedCollateral) -> Iterator[tuple[str, int, int]]:
    info = statements.tcb_info
    best = _best(info.levels)
    for number, (have, need) in enumerate(zip(tcb.components, best.components, strict=True), start=1):
        yield f"SGX component {number}", have, need
    yield "PCE", tcb.pce_svn, best.pce_svn
    if tcb.tee_tcb_svn is not None:
        yield from _compared_td(tcb.tee_tcb_svn, info, best)
    yield "quoting enclave", tcb.qe_isv_svn, _best(statements.qe_identity.levels).isv_svn


def _compared_td(svn: bytes, info: TcbInfo, best: TcbLevel) -> Iterator[tuple[str, int, int]]:
    """Components 1 and 2 are the module's own versions, when it has levels of its own (see `tdx.tdx_levels`)."""
    module = info.module_of_version(svn[1])
    if module is not None and module.levels:
        yield "TDX module", svn[0], _best(module.levels).isv_svn
    first = 2 if svn[1] > 0 else 0
    for place in range(first, len(svn)):
        yield f"TDX component {place + 1}", svn[place], best.tdx_components[place]


def _best(levels: Sequence[L]) -> L:
    """The best status that there is, and of the levels that have it the last: levels descend."""
    return min(reversed(levels), key=lambda level: _SEVERITY[level.status])
