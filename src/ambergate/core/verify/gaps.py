"""What keeps a TCB status from being better: which SVN is behind by how much, what raises it, what that would gain.

What a raise would gain is not guessed: the raised platform is judged by `evaluate_tcb`, as a quote of it would be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotGenuine
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.tcb import qe_level
from ambergate.core.verify.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TdxModule, TdxModuleLevel
    from ambergate.core.verify.tcb import PlatformTcb
    from ambergate.core.verify.verdict import TcbVerdict

# Best first. Intel's library ranks no statuses; this order is ours, and nothing but advice depends on it.
BETTER_FIRST: Final = (
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
MAX_LEVELS: Final = 32  # higher levels that are looked at, the nearest ones; Intel publishes about 20 in all
MAX_LABEL: Final = 64  # characters of a category or type

PLATFORM: Final = "platform"
TDX_MODULE: Final = "tdx-module"
QUOTING_ENCLAVE: Final = "quoting-enclave"

# What raises a component, by the `type` and `category` that Intel's TCB info gives it (PCS API v4, TCB info V3).
_BY_TYPE: Final = {
    "Early Microcode Update": "update the BIOS: it brings the microcode that is loaded first",
    "SGX Late Microcode Update": "update the microcode that the OS or VMM loads",
    "TXT SINIT": "update the SINIT module (ACM) that the OS or VMM brings",
    "SEAMLDR ACM": "update the SEAM loader (ACM) that the OS or VMM brings",
    "TDX Module": "update the TDX module on the host, then launch the TD again",
    "TDX Late Microcode Update": "update the microcode that the OS or VMM loads, then launch the TD again",
}
_BY_CATEGORY: Final = {
    "BIOS": "update the BIOS; some such components stand for a BIOS setting (e.g. SMT off): the advisories say which",
    "OS/VMM": "update what the OS or VMM loads",
}
_UNNAMED: Final = "update BIOS and microcode, or change a BIOS setting: Intel names no part for this component"
_PCE: Final = "update the provisioning certification enclave (PCE; SGX PSW or DCAP)"
_QE: Final = "update the quoting enclave (SGX PSW or DCAP; for TDs the TDX quote generation service)"
_MODULE: Final = "update the TDX module on the host, then launch the TD again"
_RELAUNCH: Final = "launch the TD again: the host has this already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One security version number (SVN) that is below what a level asks for."""

    part: str  # "SGX component 1" to 16, "PCE", "TDX component 1" to 16, "TDX module", "quoting enclave"
    category: str  # Intel's word for who brings the component, e.g. "BIOS"; empty where Intel says none
    type: str  # Intel's word for what it is, e.g. "Early Microcode Update"; empty where Intel says none
    have: int
    need: int
    remedy: str

    @property
    def behind(self) -> int:
        """By how much."""
        return self.need - self.have


@dataclass(frozen=True, slots=True, kw_only=True)
class HigherLevel:
    """A published level that is not covered, and all that it lacks."""

    of: str  # PLATFORM, TDX_MODULE or QUOTING_ENCLAVE
    status: TcbStatus  # of this level alone
    date: datetime
    advisory_ids: tuple[str, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A set of raises, and what the same collateral would say of the platform after it."""

    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]
    raises: tuple[Gap, ...]


class Label(NamedTuple):
    """What Intel calls a component."""

    category: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """What a verdict's levels came from: proven statements, read again, with the names of components."""

    info: TcbInfo
    identity: QeIdentity
    labels: dict[tuple[str, int], Label]


def read_labels(tcb_info: str) -> dict[tuple[str, int], Label]:
    """The components' categories and types from the text of a TCB info that has been proven and read; v2 has none.

    The first level that names a component counts.
    """
    found: dict[tuple[str, int], Label] = {}
    for level in json.loads(tcb_info)["tcbLevels"]:
        for family, member in (("SGX", "sgxtcbcomponents"), ("TDX", "tdxtcbcomponents")):
            for index, component in enumerate(level["tcb"].get(member, ())):
                label = Label(_word(component.get("category")), _word(component.get("type")))
                if label != Label():
                    found.setdefault((family, index), label)
    return found


def _word(value: object) -> str:
    return value[:MAX_LABEL] if isinstance(value, str) else ""


def higher_levels(platform: PlatformTcb, verdict: TcbVerdict, statements: Statements) -> tuple[HigherLevel, ...]:
    """Every published level above those that the verdict rests on; of the platform's, the nearest `MAX_LEVELS`."""
    found = [
        _higher(PLATFORM, level, platform_gaps(platform, level, statements.labels))
        for level in _above(verdict, statements.info)
    ]
    module = _module(platform, statements.info)
    if module is not None and platform.tee_tcb_svn is not None:
        have = platform.tee_tcb_svn[0]
        found += [
            _higher(TDX_MODULE, level, (_module_gap(platform, level.isv_svn),))
            for level in module.levels
            if level.isv_svn > have
        ]
    found += [
        _higher(QUOTING_ENCLAVE, level, (_qe_gap(platform, level.isv_svn),))
        for level in statements.identity.levels
        if level.isv_svn > platform.qe_isv_svn
    ]
    return tuple(found)


def improvements(platform: PlatformTcb, verdict: TcbVerdict, statements: Statements) -> tuple[Improvement, ...]:
    """Sets of raises after which the status would be better, the smallest first; empty when nothing published is.

    Smallest: fewest SVNs to raise, then the least to raise them by. Of platform levels the nearest `MAX_LEVELS` are
    tried, each with and without a current TDX module and a current quoting enclave.
    """
    now = BETTER_FIRST.index(verdict.status)
    found = []
    for raised, gaps in _candidates(platform, verdict, statements):
        try:
            after = evaluate_tcb(Trail(), raised, statements.info, statements.identity)
        except NotGenuine:
            continue
        if BETTER_FIRST.index(after.status) < now:
            found.append(
                Improvement(status=after.status, date=after.date, advisory_ids=after.advisory_ids, raises=gaps)
            )
    return tuple(sorted(found, key=_size))


def best_of(found: tuple[Improvement, ...]) -> Improvement | None:
    """The one with the best status, the smallest of these; None of none."""
    return min(found, key=lambda each: (BETTER_FIRST.index(each.status), _size(each)), default=None)


def _size(each: Improvement) -> tuple[int, int, int]:
    return len(each.raises), sum(gap.behind for gap in each.raises), BETTER_FIRST.index(each.status)


def _candidates(
    platform: PlatformTcb, verdict: TcbVerdict, statements: Statements
) -> Iterator[tuple[PlatformTcb, tuple[Gap, ...]]]:
    """The platform raised to each level above or to none, with module and quoting enclave as they are or current."""
    modules = [None, *_current_module(platform, statements.info)]
    enclaves = [None, *_current_qe(platform, statements.identity)]
    for level in (verdict.level, *_above(verdict, statements.info)):
        for module in modules:
            for enclave in enclaves:
                gaps = platform_gaps(platform, level, statements.labels)
                gaps += () if module is None else (_module_gap(platform, module),)
                gaps += () if enclave is None else (_qe_gap(platform, enclave),)
                if gaps:
                    yield _raised(platform, level, module, enclave), gaps


def _raised(platform: PlatformTcb, level: TcbLevel, module: int | None, enclave: int | None) -> PlatformTcb:
    svn, now = platform.tee_tcb_svn, platform.tee_tcb_svn2
    if svn is not None:
        first = _first_compared(svn)
        needed = (*svn[:first], *level.tdx_components[first:])
        svn = bytes(max(pair) for pair in zip(svn, needed, strict=True))
        svn = svn if module is None else bytes((module, *svn[1:]))
        # What a TD was launched under, its host has; the ISVSVNs of two module versions do not compare.
        same = 0 if now is not None and now[1] == svn[1] else 2
        now = None if now is None else now[:same] + bytes(map(max, now[same:], svn[same:]))
    return replace(
        platform,
        components=tuple(map(max, platform.components, level.components)),
        pce_svn=max(platform.pce_svn, level.pce_svn),
        qe_isv_svn=platform.qe_isv_svn if enclave is None else enclave,
        tee_tcb_svn=svn,
        tee_tcb_svn2=now,
    )


def platform_gaps(platform: PlatformTcb, level: TcbLevel, labels: dict[tuple[str, int], Label]) -> tuple[Gap, ...]:
    """What the platform lacks of a level: SGX components, PCE, and of a TD the TDX components that are compared."""
    found = [
        _component("SGX", index, have, need, labels)
        for index, (have, need) in enumerate(zip(platform.components, level.components, strict=True))
    ]
    found.append(Gap(part="PCE", category="", type="", have=platform.pce_svn, need=level.pce_svn, remedy=_PCE))
    found += _tdx_gaps(platform, level, labels)
    return tuple(gap for gap in found if gap.behind > 0)


def _tdx_gaps(platform: PlatformTcb, level: TcbLevel, labels: dict[tuple[str, int], Label]) -> Iterator[Gap]:
    svn, now = platform.tee_tcb_svn, platform.tee_tcb_svn2
    if svn is None:
        return
    for index in range(_first_compared(svn), len(svn)):
        gap = _component("TDX", index, svn[index], level.tdx_components[index], labels)
        yield replace(gap, remedy=_RELAUNCH) if now is not None and now[index] >= gap.need else gap


def _component(family: str, index: int, have: int, need: int, labels: dict[tuple[str, int], Label]) -> Gap:
    label = labels.get((family, index), Label())
    return Gap(
        part=f"{family} component {index + 1}",
        category=label.category,
        type=label.type,
        have=have,
        need=need,
        remedy=_BY_TYPE.get(label.type) or _BY_CATEGORY.get(label.category, _UNNAMED),
    )


def _module_gap(platform: PlatformTcb, need: int) -> Gap:
    svn, now = platform.tee_tcb_svn, platform.tee_tcb_svn2
    assert svn is not None
    today = now is not None and now[1] == svn[1] and now[0] >= need
    remedy = _RELAUNCH if today else _MODULE
    return Gap(part="TDX module", category="", type="", have=svn[0], need=need, remedy=remedy)


def _qe_gap(platform: PlatformTcb, need: int) -> Gap:
    return Gap(part="quoting enclave", category="", type="", have=platform.qe_isv_svn, need=need, remedy=_QE)


def _above(verdict: TcbVerdict, info: TcbInfo) -> tuple[TcbLevel, ...]:
    """The levels ranked above the matched one, the nearest last."""
    return info.levels[: info.levels.index(verdict.level)][-MAX_LEVELS:]


def _higher(of: str, level: TcbLevel | TdxModuleLevel | QeLevel, gaps: tuple[Gap, ...]) -> HigherLevel:
    return HigherLevel(of=of, status=level.status, date=level.date, advisory_ids=level.advisory_ids, gaps=gaps)


def _current_module(platform: PlatformTcb, info: TcbInfo) -> tuple[int, ...]:
    """The lowest ISVSVN above the TDX module's own at which it is up to date; nothing else about a module helps."""
    module = _module(platform, info)
    if module is None or platform.tee_tcb_svn is None:
        return ()
    have = platform.tee_tcb_svn[0]
    good = [each.isv_svn for each in module.levels if each.status is TcbStatus.UP_TO_DATE and each.isv_svn > have]
    return tuple(sorted(good)[:1])


def _current_qe(platform: PlatformTcb, identity: QeIdentity) -> tuple[int, ...]:
    """The lowest ISVSVN above the quoting enclave's own at which it is up to date."""
    have = platform.qe_isv_svn
    above = sorted({each.isv_svn for each in identity.levels if each.isv_svn > have})
    good = (svn for svn in above if (level := qe_level(svn, identity)) and level.status is TcbStatus.UP_TO_DATE)
    return tuple(good)[:1]


def _module(platform: PlatformTcb, info: TcbInfo) -> TdxModule | None:
    return None if platform.tee_tcb_svn is None else info.module_of_version(platform.tee_tcb_svn[1])


def _first_compared(svn: bytes) -> int:
    """From where on TDX components are compared: a module that has a version has an identity that judges 0 and 1."""
    return 2 if svn[1] > 0 else 0
