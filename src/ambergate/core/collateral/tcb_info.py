"""TCB info: what Intel says of every security version of one platform family.

Source: Intel PCS API v3 and v4, "Get TCB Info" (TcbInfo V2, V3); content rules of QVL `TcbInfo`, `TcbLevel`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from operator import attrgetter, gt
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.collateral import documents
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import Fmspc, MrSignerSeam, PceId

if TYPE_CHECKING:
    from collections.abc import Callable

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
    # Of a TD that runs under an old TDX module while the platform has a new one; never in a document, only derived.
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"


# The seven words that Intel's documents may hold.
DOCUMENTED: Final = {
    status.value: status
    for status in TcbStatus
    if status not in (TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
}


# TCB info as Intel writes it: these members in this order, with nothing between them. Numbers and texts that are longer
# than Intel's, or made of other characters, are left to `read_any`.
PLAIN_INSTANT: Final = '"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"'
PLAIN_NUMBER: Final = "(0|[1-9][0-9]{0,3})"
# What ends a level: its date, status and advisories, and whether another level comes or the document ends.
PLAIN_JUDGEMENT: Final = (
    rf',"tcbDate":{PLAIN_INSTANT},"tcbStatus":"([A-Za-z]+)"(?:,"advisoryIDs":\["([-",0-9A-Za-z]+)"\])?\}}(,|\]\}})'
)
_BETWEEN: Final = '","'  # two texts of an array
_PLAIN_HEAD: Final = re.compile(
    rf'\{{"id":"SGX","version":3,"issueDate":{PLAIN_INSTANT},"nextUpdate":{PLAIN_INSTANT},'
    r'"fmspc":"([0-9A-Fa-f]{12})","pceId":"([0-9A-Fa-f]{4})",'
    rf'"tcbType":0,"tcbEvaluationDataNumber":{PLAIN_NUMBER},"tcbLevels":\['
)
_PLAIN_LEVEL: Final = re.compile(
    rf'\{{"tcb":\{{"sgxtcbcomponents":\[\{{([^\]]*)\}}\],"pcesvn":{PLAIN_NUMBER}\}}{PLAIN_JUDGEMENT}|(.+)', re.DOTALL
)
# What Intel writes behind a component's SVN; which components have which does not matter.
_PLAIN_LABELS: Final = (
    "",
    ',"category":"BIOS"',
    ',"category":"BIOS","type":"Early Microcode Update"',
    ',"category":"OS/VMM","type":"SGX Late Microcode Update"',
    ',"category":"OS/VMM","type":"TXT SINIT"',
)
# What stands between the braces of a component -> its SVN.
_PLAIN_SVN: Final = {f'"svn":{svn}{labels}': svn for labels in _PLAIN_LABELS for svn in range(0x100)}


_RANK: Final[Callable[[TcbLevel], tuple[tuple[int, ...], int, tuple[int, ...]]]] = attrgetter(
    "components", "pce_svn", "tdx_components"
)


class TcbLevel(NamedTuple):
    """One level: a platform covers it when every component and the PCE are at least this new."""

    components: tuple[int, ...]  # sixteen SGX TCB component SVNs
    pce_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]
    tdx_components: tuple[int, ...] = ()  # sixteen TDX TCB component SVNs, in TCB info of TDX

    @property
    def rank(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """What levels are ordered by: SGX components, first to last, then the PCE, then the TDX components."""
        return _RANK(self)


class TdxModuleLevel(NamedTuple):
    """One level of a TDX module: covered by a module whose ISVSVN is at least this."""

    isv_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModule:
    """Which TDX module is Intel's. `id` is empty for the module of version 0; `levels` descend by ISVSVN."""

    id: str
    mr_signer: MrSignerSeam
    attributes: bytes  # 8
    levels: tuple[TdxModuleLevel, ...] = ()


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
    tdx_module: TdxModule | None = None  # of version 0, in TCB info of TDX
    tdx_module_identities: tuple[TdxModule, ...] = ()  # of later versions

    def module_of_version(self, version: int) -> TdxModule | None:
        """Intel's TDX module of this version. There is no falling back from a later version to version 0."""
        if version == 0:
            return self.tdx_module
        wanted = f"TDX_{version:02X}"
        return next((module for module in self.tdx_module_identities if module.id.upper() == wanted), None)


def read_tcb_info(text: str) -> TcbInfo:
    """The TCB info from the exact text that Intel signed.

    Raises:
        MalformedCollateral: not TCB info of version 2 or 3.
    """
    return read_plain(text) or read_any(text)


def read_plain(text: str) -> TcbInfo | None:
    """TCB info of SGX as Intel writes it, by its shape; None: it is written otherwise, or wrong: see `read_any`.

    Its expressions leave nothing between what they match, and match what is JSON only; so whatever it reads, `read_any`
    reads alike, at thrice the cost: what it spares is more than a signature.
    """
    head = _PLAIN_HEAD.match(text) if len(text) <= documents.MAX_PARTS else None
    if head is None:
        return None
    issued, next_update, fmspc, pce_id, number = head.groups()
    levels: list[TcbLevel] = []
    after = ","
    try:
        for written, pce_svn, date, word, advisories, follows, other in _PLAIN_LEVEL.findall(text, head.end()):
            components = tuple(map(_PLAIN_SVN.__getitem__, written.split("},{")))
            if other or after != "," or len(components) != COMPONENTS:
                return None
            levels.append(TcbLevel(components, int(pce_svn), *plain_judgement(date, word, advisories)))
            after = follows
        ranked = _ranked(levels)
        if after == "," or len(ranked) != len(levels):
            return None
        return TcbInfo(
            tee="SGX",
            version=3,
            issue_date=datetime.fromisoformat(issued),
            next_update=datetime.fromisoformat(next_update),
            fmspc=Fmspc(bytes.fromhex(fmspc)),
            pce_id=PceId(bytes.fromhex(pce_id)),
            evaluation_data_number=int(number),
            levels=ranked,
        )
    except (KeyError, ValueError):  # another SVN, other labels, another status, no real date
        return None


def plain_judgement(date: str, word: str, advisories: str) -> tuple[TcbStatus, datetime, tuple[str, ...]]:
    """Status, date and advisories, from what `PLAIN_JUDGEMENT` has found.

    Raises:
        KeyError: not one of Intel's seven words.
        ValueError: no real date, more than `MAX_ADVISORIES`, or quotes elsewhere than between two of them.
    """
    found, instant = DOCUMENTED[word], datetime.fromisoformat(date)
    if not advisories:
        return found, instant, ()
    each = advisories.split(_BETWEEN)
    if advisories.count('"') != 2 * len(each) - 2 or len(each) > documents.MAX_ADVISORIES:
        raise ValueError(advisories)
    return found, instant, tuple(each)


def read_any(text: str) -> TcbInfo:
    """The TCB info of either version and either TEE, in whatever form of JSON.

    Raises:
        MalformedCollateral: as `read_tcb_info` does.
    """
    members = documents.load(text, _WHAT)
    version = documents.integer(members, "version", _WHAT, limit=0xFFFF)
    if version not in (2, 3):
        raise MalformedCollateral("the TCB info's version is not supported", seen=version, wanted="2 or 3")
    documents.integer(members, "tcbType", _WHAT, limit=0)
    tee = _tee(members, version)
    read = _level_v2 if version == 2 else _level_tdx if tee == "TDX" else _level_v3
    levels = [read(documents.as_object(level, "a TCB level")) for level in documents.array(members, "tcbLevels", _WHAT)]
    ranked = _ranked(levels)
    if len(ranked) != len(levels):
        raise MalformedCollateral("two TCB levels are equal", seen=f"{len(levels)} levels", wanted="each level once")
    return TcbInfo(
        tee=tee,
        version=version,
        issue_date=documents.instant(members, "issueDate", _WHAT),
        next_update=documents.instant(members, "nextUpdate", _WHAT),
        fmspc=Fmspc(documents.octets(members, "fmspc", _WHAT, width=Fmspc.WIDTH)),
        pce_id=PceId(documents.octets(members, "pceId", _WHAT, width=PceId.WIDTH)),
        evaluation_data_number=documents.integer(members, "tcbEvaluationDataNumber", _WHAT, limit=0xFFFFFFFF),
        levels=ranked,
        tdx_module=_tdx_module(members) if tee == "TDX" else None,
        tdx_module_identities=_tdx_module_identities(members) if tee == "TDX" else (),
    )


def status(members: dict[str, object], what: str) -> TcbStatus:
    """The member `tcbStatus`, one of Intel's seven words.

    Raises:
        MalformedCollateral: another word.
    """
    word = documents.text(members, "tcbStatus", what)
    found = DOCUMENTED.get(word)
    if found is None:
        raise MalformedCollateral("the TCB status is unknown", seen=word[:64], wanted=", ".join(DOCUMENTED))
    return found


def _ranked(levels: list[TcbLevel]) -> tuple[TcbLevel, ...]:
    """The levels in descending rank; of equal ones, one."""
    ranks = list(map(_RANK, levels))
    if all(map(gt, ranks, ranks[1:])):  # as Intel writes them
        return tuple(levels)
    ranked = dict(zip(ranks, levels, strict=True))
    return tuple(ranked[rank] for rank in sorted(ranked, reverse=True))


def _tee(members: dict[str, object], version: int) -> str:
    if version == 2:
        return "SGX"
    tee = documents.text(members, "id", _WHAT)
    if tee not in ("SGX", "TDX"):
        raise MalformedCollateral("the TCB info's id is unknown", seen=tee[:64], wanted="SGX or TDX")
    if tee == "SGX" and ("tdxModule" in members or "tdxModuleIdentities" in members):
        raise MalformedCollateral("TCB info of SGX speaks of a TDX module", seen="tdxModule", wanted="neither member")
    return tee


def _level_v2(members: dict[str, object]) -> TcbLevel:
    tcb = documents.member(members, "tcb", "a TCB level")
    components = tuple(
        documents.integer(tcb, f"sgxtcbcomp{i:02}svn", "tcb", limit=0xFF) for i in range(1, COMPONENTS + 1)
    )
    return _level(members, tcb, components)


def _level_v3(members: dict[str, object]) -> TcbLevel:
    tcb = documents.member(members, "tcb", "a TCB level")
    return _level(members, tcb, documents.svns(tcb, "sgxtcbcomponents", "tcb", count=COMPONENTS))


def _level_tdx(members: dict[str, object]) -> TcbLevel:
    tcb = documents.member(members, "tcb", "a TCB level")
    components = documents.svns(tcb, "sgxtcbcomponents", "tcb", count=COMPONENTS)
    return _level(members, tcb, components, documents.svns(tcb, "tdxtcbcomponents", "tcb", count=COMPONENTS))


def _tdx_module(members: dict[str, object]) -> TdxModule:
    return _module(documents.member(members, "tdxModule", _WHAT), "", ())


def _tdx_module_identities(members: dict[str, object]) -> tuple[TdxModule, ...]:
    if "tdxModuleIdentities" not in members:
        return ()
    entries = documents.array(members, "tdxModuleIdentities", _WHAT)
    return tuple(_tdx_module_identity(documents.as_object(entry, "a TDX module identity")) for entry in entries)


def _tdx_module_identity(entry: dict[str, object]) -> TdxModule:
    what = "a TDX module identity"
    levels = [_module_level(documents.as_object(level, what)) for level in documents.array(entry, "tcbLevels", what)]
    levels.sort(key=lambda level: level.isv_svn, reverse=True)
    for first, second in pairwise(levels):
        if first.isv_svn == second.isv_svn:
            raise MalformedCollateral(
                "two levels of a TDX module are equal", seen=first.isv_svn, wanted="each level once"
            )
    return _module(entry, documents.text(entry, "id", what), tuple(levels))


def _module(entry: dict[str, object], name: str, levels: tuple[TdxModuleLevel, ...]) -> TdxModule:
    what = "a TDX module"
    documents.octets(entry, "attributesMask", what, width=8)  # must be there; the reference does not apply it
    return TdxModule(
        id=name,
        mr_signer=MrSignerSeam(documents.octets(entry, "mrsigner", what, width=MrSignerSeam.WIDTH)),
        attributes=documents.octets(entry, "attributes", what, width=8),
        levels=levels,
    )


def _module_level(members: dict[str, object]) -> TdxModuleLevel:
    what = "a level of a TDX module"
    tcb = documents.member(members, "tcb", what)
    return TdxModuleLevel(
        isv_svn=documents.integer(tcb, "isvsvn", what, limit=0xFFFF),
        status=status(members, what),
        date=documents.instant(members, "tcbDate", what),
        advisory_ids=documents.advisories(members, what),
    )


def _level(
    members: dict[str, object], tcb: dict[str, object], components: tuple[int, ...], tdx: tuple[int, ...] = ()
) -> TcbLevel:
    return TcbLevel(
        components=components,
        pce_svn=documents.integer(tcb, "pcesvn", "tcb", limit=0xFFFF),
        status=status(members, "a TCB level"),
        date=documents.instant(members, "tcbDate", "a TCB level"),
        advisory_ids=documents.advisories(members, "a TCB level"),
        tdx_components=tdx,
    )
