"""`explain`: a verdict in words. Who vouched for what, until when, and what keeps the TCB status from being better.

Says nothing that the verifier has not proven or the anchor's holder has not stated, and says which of the two it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, overload

from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import TcbStatus, read_tcb_info
from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.verify.gaps import (
    PLATFORM,
    QUOTING_ENCLAVE,
    TDX_MODULE,
    Statements,
    best_of,
    higher_levels,
    improvements,
    read_labels,
)
from ambergate.core.verify.path import path_of
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.tcb import PlatformTcb, merge_qe
from ambergate.core.verify.tdx import merge_module
from ambergate.core.verify.telling import tell, tell_refusal
from ambergate.core.verify.verdict import CheckRecord

if TYPE_CHECKING:
    from ambergate.core.verify.gaps import HigherLevel, Improvement
    from ambergate.core.verify.path import Link
    from ambergate.core.verify.verdict import Dated, TcbVerdict, VerifiedQuote, Window

FORMAT_STEP: Final = "1.1.quote_format"
RELAUNCH: Final = (TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
_HARDENING: Final = (TcbStatus.SW_HARDENING_NEEDED, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED)
_CONFIGURATION: Final = (
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One rule by which the status came about: what it found, and what it made of it."""

    rule: str  # PLATFORM, TDX_MODULE, "relaunch" or QUOTING_ENCLAVE
    found: TcbStatus  # of this part alone
    gives: TcbStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbExplanation:
    """Where the TCB status comes from, and what would better it. All of it is the anchor's holder's statement."""

    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]
    evaluation_data_number: int  # of the TCB info
    qe_evaluation_data_number: int  # of the QE identity; the two need not match
    merges: tuple[Merge, ...]
    limited_by: tuple[str, ...]  # the parts that are not up to date
    not_covered: tuple[HigherLevel, ...]
    next_better: Improvement | None  # fewest raises for any better status; None: nothing published is better
    best: Improvement | None
    needs: tuple[str, ...]  # what the status asks for besides raises


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a quote is genuine, and what that is worth."""

    at: datetime
    anchor: str
    genuine_hardware: bool  # the anchor is Intel's: any other root is a software platform's
    tee: str
    path: tuple[Link, ...]
    window: Window
    ends_first: Dated
    dates: tuple[Dated, ...]  # in the order in which they end
    tcb: TcbExplanation
    not_proven: tuple[str, ...]

    def text(self) -> str:
        """For people, on many lines."""
        return tell(self)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready members."""
        return _members(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a quote is not genuine: the first step that did not hold."""

    step: str
    code: str
    would_prove: str | None  # None: a step of another party than the verifier
    source: str | None
    message: str
    seen: str | None
    wanted: str | None
    remedy: str | None
    held: tuple[str, ...]  # the steps before it, which held
    not_looked_at: tuple[str, ...]  # the steps after it, about which nothing is known

    def text(self) -> str:
        """For people, on many lines."""
        return tell_refusal(self)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready members."""
        return _members(self)


@overload
def explain(verdict: VerifiedQuote) -> Explanation: ...
@overload
def explain(verdict: NotGenuine | MalformedEvidence) -> Refusal: ...
def explain(verdict: VerifiedQuote | NotGenuine | MalformedEvidence) -> Explanation | Refusal:
    """Put a verdict into words. Judges nothing: what it says follows from the verdict alone.

    Reads the proven statements of the verdict's collateral again, for the names of components and for levels that the
    platform does not reach, and judges platforms with raised SVNs by the verifier's own rules. Takes milliseconds.

    Args:
        verdict: what `verify_quote` returned, or what it or `parse_quote` raised.
    """
    if isinstance(verdict, NotGenuine | MalformedEvidence):
        return _refusal(verdict)
    return Explanation(
        at=verdict.at,
        anchor=verdict.anchor.name,
        genuine_hardware=verdict.anchor.is_intel,
        tee=verdict.tee.name,
        path=path_of(verdict),
        window=verdict.window,
        ends_first=verdict.earliest_expiry,
        dates=tuple(sorted(verdict.dates, key=lambda each: each.window.not_after)),
        tcb=_tcb(verdict),
        not_proven=_not_proven(verdict),
    )


def _tcb(verdict: VerifiedQuote) -> TcbExplanation:
    text = verdict.collateral.tcb_info
    identity = read_qe_identity(verdict.collateral.qe_identity)
    statements = Statements(info=read_tcb_info(text), identity=identity, labels=read_labels(text))
    platform, tcb = PlatformTcb.of(verdict.quote, verdict.platform), verdict.tcb
    better = improvements(platform, tcb, statements)
    merges = _merges(tcb)
    return TcbExplanation(
        status=tcb.status,
        date=tcb.date,
        advisory_ids=tcb.advisory_ids,
        evaluation_data_number=tcb.evaluation_data_number,
        qe_evaluation_data_number=identity.evaluation_data_number,
        merges=merges,
        limited_by=tuple(
            merge.rule for merge in merges if merge.rule != "relaunch" and merge.found is not TcbStatus.UP_TO_DATE
        ),
        not_covered=higher_levels(platform, tcb, statements),
        next_better=better[0] if better else None,
        best=best_of(better),
        needs=_needs(verdict),
    )


def _merges(tcb: TcbVerdict) -> tuple[Merge, ...]:
    """The rules in the verifier's order: platform level, TDX module, relaunch, quoting enclave."""
    status = tcb.level.status
    found = [Merge(rule=PLATFORM, found=status, gives=status)]
    if tcb.module_level is not None:
        status = merge_module(status, tcb.module_level)
        found.append(Merge(rule=TDX_MODULE, found=tcb.module_level.status, gives=status))
    if tcb.status in RELAUNCH:
        found.append(Merge(rule="relaunch", found=status, gives=tcb.status))
        status = tcb.status
    qe = tcb.qe_level.status
    found.append(Merge(rule=QUOTING_ENCLAVE, found=qe, gives=merge_qe(status, qe)))
    return tuple(found)


def _needs(verdict: VerifiedQuote) -> tuple[str, ...]:
    """What a status asks for that no newer version brings."""
    # Those of the platform's level: a module's or quoting enclave's advisories ask for its update.
    status, advisories = verdict.tcb_status, ", ".join(verdict.tcb.level.advisory_ids) or "none is named"
    found = []
    if status in RELAUNCH:
        found.append("launch the TD again: its TDX module was out of date at launch, and the host's is current today")
    if status in _CONFIGURATION:
        smt = {None: "", True: "; SMT is on, says the PCK certificate", False: "; SMT is off, says the PCK certificate"}
        found.append(
            "settings of the platform (BIOS, e.g. SMT) must be as the advisories say, or be known to be safe as they "
            f"are{smt[verdict.platform.smt_enabled]} (advisories: {advisories})"
        )
    if status in _HARDENING:
        found.append(
            "the enclave's own code must be hardened as the advisories say; no update of the platform replaces that, "
            f"and a quote cannot prove it (advisories: {advisories})"
        )
    return tuple(found)


def _not_proven(verdict: VerifiedQuote) -> tuple[str, ...]:
    """What a reader could take for proven, and is not."""
    found = [
        "freshness: REPORTDATA is the reporter's own choice; compare it with your nonce",
        "that this program is welcome: a policy says which measurements, statuses and attributes it takes",
        f"what runs there after {verdict.at.isoformat()}",
    ]
    if not verdict.anchor.is_intel:
        found.insert(
            0, f"any hardware: {verdict.anchor.name} is not Intel's root, and whoever holds it can forge all of it"
        )
    if verdict.report.debug:
        found.append("any secrecy: it runs under debug, and its host can read and change it")
    if verdict.quote.trailing:
        found.append(f"the {len(verdict.quote.trailing)} bytes behind the signature data: nobody signed them")
    return tuple(found)


def _refusal(error: NotGenuine | MalformedEvidence) -> Refusal:
    step = error.step if isinstance(error, NotGenuine) else FORMAT_STEP
    checks = error.checks if isinstance(error, NotGenuine) else ()
    held = tuple(record.id for record in checks if isinstance(record, CheckRecord) and record.id != step)
    known = BY_ID.get(step)
    order = list(BY_ID)
    return Refusal(
        step=step,
        code=error.code,
        would_prove=known.proves if known else None,
        source=known.source if known else None,
        message=error.message,
        seen=error.seen,
        wanted=error.wanted,
        remedy=error.hint or (known.remedy if known else None),
        held=tuple(dict.fromkeys(held)),
        not_looked_at=tuple(each for each in order[order.index(step) + 1 :] if each not in held) if known else (),
    )


def _members(value: object) -> dict[str, object]:
    return {name: _plain(getattr(value, name)) for name in _names(value)}


def _names(value: object) -> tuple[str, ...]:
    """Of the members of a dataclass or a named tuple; of anything else none."""
    named = getattr(value, "_fields", ())
    return tuple(field.name for field in fields(value)) if is_dataclass(value) else named


def _plain(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if _names(value):
        return _members(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
