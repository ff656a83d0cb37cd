"""TCB info: what Intel says of every security version of one platform family.

Source: Intel PCS API v3 and v4, "Get TCB Info" (TcbInfo V2, V3); content rules of QVL `TcbInfo`, `TcbLevel`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral import documents
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import Fmspc, PceId

if TYPE_CHECKING:
    from datetime import datetime

COMPONENTS: Final = 16
_WHAT: Final = "tcbInfo"


class TcbStatus(enum.Enum):
    """What Intel says of a trusted computing base; the values are Intel's words."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbLevel:
    """One level: a platform covers it when every component and the PCE are at least this new."""

    components: tuple[int, ...]  # sixteen SGX TCB component SVNs
    pce_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]

    @property
    def rank(self) -> tuple[tuple[int, ...], int]:
        """What levels are ordered by: components, first to last, then the PCE."""
        return self.components, self.pce_svn


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """The document as types. Nothing of it is proven. `levels` are in descending rank, whatever the file's order."""

    tee: str  # "SGX" or "TDX"; version 2 speaks of SGX without saying so
    version: int
    issue_date: datetime
    next_update: datetime
    fmspc: Fmspc
    pce_id: PceId
    evaluation_data_number: int
    levels: tuple[TcbLevel, ...]


def read_tcb_info(text: str) -> TcbInfo:
    """The TCB info from the exact text that Intel signed.

    Raises:
        MalformedCollateral: not TCB info of version 2 or 3.
    """
    members = documents.load(text, _WHAT)
    version = documents.integer(members, "version", _WHAT, limit=0xFFFF)
    if version not in (2, 3):
        raise MalformedCollateral("the TCB info's version is not supported", seen=version, wanted="2 or 3")
    documents.integer(members, "tcbType", _WHAT, limit=0)
    read = _level_v2 if version == 2 else _level_v3
    levels = [read(documents.as_object(level, "a TCB level")) for level in documents.array(members, "tcbLevels", _WHAT)]
    levels.sort(key=lambda level: level.rank, reverse=True)
    for first, second in pairwise(levels):
        if first.rank == second.rank:
            raise MalformedCollateral("two TCB levels are equal", seen=f"{first.rank}", wanted="each level once")
    return TcbInfo(
        tee=_tee(members, version),
        version=version,
        issue_date=documents.instant(members, "issueDate", _WHAT),
        next_update=documents.instant(members, "nextUpdate", _WHAT),
        fmspc=Fmspc(documents.octets(members, "fmspc", _WHAT, width=Fmspc.WIDTH)),
        pce_id=PceId(documents.octets(members, "pceId", _WHAT, width=PceId.WIDTH)),
        evaluation_data_number=documents.integer(members, "tcbEvaluationDataNumber", _WHAT, limit=0xFFFFFFFF),
        levels=tuple(levels),
    )


def status(members: dict[str, object], what: str) -> TcbStatus:
    """The member `tcbStatus`, one of Intel's seven words.

    Raises:
        MalformedCollateral: another word.
    """
    word = documents.text(members, "tcbStatus", what)
    try:
        return TcbStatus(word)
    except ValueError as exc:
        known = ", ".join(s.value for s in TcbStatus)
        raise MalformedCollateral("the TCB status is unknown", seen=word[:64], wanted=known) from exc


def _tee(members: dict[str, object], version: int) -> str:
    if version == 2:
        return "SGX"
    tee = documents.text(members, "id", _WHAT)
    if tee not in ("SGX", "TDX"):
        raise MalformedCollateral("the TCB info's id is unknown", seen=tee[:64], wanted="SGX or TDX")
    return tee


def _level_v2(members: dict[str, object]) -> TcbLevel:
    tcb = documents.member(members, "tcb", "a TCB level")
    components = tuple(
        documents.integer(tcb, f"sgxtcbcomp{i:02}svn", "tcb", limit=0xFF) for i in range(1, COMPONENTS + 1)
    )
    return _level(members, tcb, components)


def _level_v3(members: dict[str, object]) -> TcbLevel:
    tcb = documents.member(members, "tcb", "a TCB level")
    return _level(members, tcb, _components(tcb, "sgxtcbcomponents"))


def _components(tcb: dict[str, object], name: str) -> tuple[int, ...]:
    entries = documents.array(tcb, name, "tcb")
    if len(entries) != COMPONENTS:
        raise MalformedCollateral(f"tcb.{name} has another length", seen=len(entries), wanted=COMPONENTS)
    return tuple(documents.integer(documents.as_object(entry, name), "svn", name, limit=0xFF) for entry in entries)


def _level(members: dict[str, object], tcb: dict[str, object], components: tuple[int, ...]) -> TcbLevel:
    return TcbLevel(
        components=components,
        pce_svn=documents.integer(tcb, "pcesvn", "tcb", limit=0xFFFF),
        status=status(members, "a TCB level"),
        date=documents.instant(members, "tcbDate", "a TCB level"),
        advisory_ids=documents.advisories(members, "a TCB level"),
    )
