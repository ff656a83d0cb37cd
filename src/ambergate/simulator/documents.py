"""TCB info and QE identity, of SGX and of TDX, as Intel writes them: the signature covers the exact text.

Shapes: Intel PCS API v4, "Get TCB Info" (version 3), API v3 for version 2, "Get Quoting Enclave Identity", and
"Retrieve TCB Evaluation Data Numbers".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.simulator.period import Period, iso

if TYPE_CHECKING:
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.measurements import Attributes, Fmspc, PceId, TeeTcbSvn
    from ambergate.simulator.cpu import EnclaveIdentity

OLDEST: Final = datetime(2021, 11, 10, tzinfo=UTC)

# Which part of the platform a component stands for; Intel names the first ones on server platforms.
_COMPONENT_LABELS: Final[tuple[dict[str, str], ...]] = (
    {"category": "BIOS", "type": "Early Microcode Update"},
    {"category": "OS/VMM", "type": "SGX Late Microcode Update"},
    {"category": "OS/VMM", "type": "TXT SINIT"},
    {"category": "BIOS"},
)

_TDX_COMPONENT_LABELS: Final[tuple[dict[str, str], ...]] = (
    {"category": "OS/VMM", "type": "TDX Module"},
    {"category": "OS/VMM", "type": "TDX Module"},
    {"category": "OS/VMM", "type": "TDX Late Microcode Update"},
)

# Intel's TDX module: signer and attributes are zero. Only documents of id TDX have it.
_TDX_MODULE: Final = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}

# The mask of Intel's QE identity: all flags but MODE64BIT, nothing of XFRM.
_QE_ATTRIBUTES_MASK: Final = bytes.fromhex("fbffffffffffffff0000000000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One set of statements, as flaws were last weighed: all its documents bear one tcbEvaluationDataNumber."""

    number: int
    newest: datetime  # tcbDate of the levels that lack nothing
    older: datetime  # tcbDate of the levels before them

    @property
    def recovery(self) -> datetime:
        """The TCB recovery event that it answers; Intel's levels are dated the day after."""
        return self.newest - timedelta(days=1)


# What counts today, and what is published beside it before it will count: PCS API v4, `update=standard` and `early`.
STANDARD: Final = Edition(number=17, newest=datetime(2025, 5, 14, tzinfo=UTC), older=datetime(2023, 8, 9, tzinfo=UTC))
EARLY: Final = Edition(number=18, newest=datetime(2026, 2, 11, tzinfo=UTC), older=STANDARD.newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbLevel:
    """One row of a TCB info: platforms at least this new have this status."""

    components: tuple[int, ...]
    pce_svn: int
    status: TcbStatus
    date: datetime
    advisories: tuple[str, ...] = ()
    tdx_components: tuple[int, ...] = (0,) * 16  # published in TCB info of TDX only


@dataclass(frozen=True, slots=True, kw_only=True)
class SvnLevel:
    """One row by ISVSVN alone: quoting enclaves, or TDX modules, at least this new have this status."""

    isv_svn: int
    status: TcbStatus
    date: datetime
    advisories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModuleIdentity:
    """What the root's holder says of one major version of the TDX module, whose signer and attributes are zero."""

    version: int
    levels: tuple[SvnLevel, ...]

    def members(self) -> dict[str, object]:
        """The identity as it stands in TCB info."""
        return {"id": f"TDX_{self.version:02X}", **_TDX_MODULE, "tcbLevels": [_svn_level(each) for each in self.levels]}


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """What the root's holder says of all platforms of one FMSPC."""

    fmspc: Fmspc
    pce_id: PceId
    levels: tuple[TcbLevel, ...]
    period: Period
    version: int = 3
    id: str = "SGX"
    evaluation_data_number: int = STANDARD.number
    tdx_modules: tuple[TdxModuleIdentity, ...] = ()  # published in TCB info of TDX only

    def text(self) -> str:
        """The document without its signature, in Intel's order of members and without white space."""
        members: dict[str, object] = {} if self.version == 2 else {"id": self.id}
        members |= {
            "version": self.version,
            "issueDate": iso(self.period.start),
            "nextUpdate": iso(self.period.end),
            "fmspc": self.fmspc.hex(),
            "pceId": self.pce_id.hex(),
            "tcbType": 0,
            "tcbEvaluationDataNumber": self.evaluation_data_number,
        }
        members |= self._tdx_modules() if self.id == "TDX" else {}
        members |= {"tcbLevels": [self._level(level) for level in self.levels]}
        return _compact(members)

    def _tdx_modules(self) -> dict[str, object]:
        identities = [module.members() for module in self.tdx_modules]
        return {"tdxModule": _TDX_MODULE} | ({"tdxModuleIdentities": identities} if identities else {})

    def _level(self, level: TcbLevel) -> dict[str, object]:
        tcb = _components_v2(level) if self.version == 2 else _components_v3(level)
        tcb |= {"tdxtcbcomponents": _labelled(level.tdx_components, _TDX_COMPONENT_LABELS)} if self.id == "TDX" else {}
        row: dict[str, object] = {"tcb": tcb, "tcbDate": iso(level.date), "tcbStatus": level.status.value}
        return row | ({"advisoryIDs": list(level.advisories)} if level.advisories else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """What the root's holder says of its quoting enclave."""

    enclave: EnclaveIdentity
    levels: tuple[SvnLevel, ...]
    period: Period
    version: int = 2
    id: str = "QE"
    evaluation_data_number: int = STANDARD.number

    def text(self) -> str:
        """The document without its signature, in Intel's order of members and without white space."""
        members = {
            "id": self.id,
            "version": self.version,
            "issueDate": iso(self.period.start),
            "nextUpdate": iso(self.period.end),
            "tcbEvaluationDataNumber": self.evaluation_data_number,
            "miscselect": self.enclave.misc_select.to_bytes(4, "little").hex().upper(),
            "miscselectMask": "FFFFFFFF",
            "attributes": _masked(self.enclave.attributes).hex().upper(),
            "attributesMask": _QE_ATTRIBUTES_MASK.hex().upper(),
            "mrsigner": self.enclave.mr_signer.hex().upper(),
            "isvprodid": self.enclave.isv_prod_id,
            "tcbLevels": [_svn_level(level) for level in self.levels],
        }
        return _compact(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationNumbers:
    """Which sets of statements are to be had; the newest first."""

    editions: tuple[Edition, ...]
    period: Period
    id: str = "SGX"
    version: int = 1

    def text(self) -> str:
        """The document without its signature, in Intel's order of members and without white space."""
        members: dict[str, object] = {
            "id": self.id,
            "version": self.version,
            "issueDate": iso(self.period.start),
            "nextUpdate": iso(self.period.end),
            "tcbEvalNumbers": [
                {
                    "tcbEvaluationDataNumber": edition.number,
                    "tcbRecoveryEventDate": iso(edition.recovery),
                    "tcbDate": iso(edition.newest),
                }
                for edition in self.editions
            ],
        }
        return _compact(members)


def platform_levels(
    platform: PckExtension, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
) -> tuple[TcbLevel, ...]:
    """Levels for the platform's FMSPC under which this very platform has `status`.

    `UpToDate` and the hardening and configuration statuses are published for the newest level; for the out-of-date
    ones and `Revoked` there is a newer level that this platform does not reach. Older levels follow.
    """
    own = TcbLevel(
        components=platform.components,
        pce_svn=platform.pce_svn,
        status=status,
        date=edition.older if _is_outdated(status) else edition.newest,
        advisories=ADVISORIES[status],
    )
    newer = TcbLevel(
        components=_shifted(platform.components, 1),
        pce_svn=platform.pce_svn,
        status=TcbStatus.UP_TO_DATE,
        date=edition.newest,
    )
    older = TcbLevel(
        components=_shifted(platform.components, -1),
        pce_svn=platform.pce_svn,
        status=TcbStatus.OUT_OF_DATE,
        date=OLDEST,
        advisories=ADVISORIES[TcbStatus.OUT_OF_DATE],
    )
    oldest = TcbLevel(
        components=(0,) * 16, pce_svn=0, status=TcbStatus.REVOKED, date=OLDEST, advisories=ADVISORIES[TcbStatus.REVOKED]
    )
    return ((newer,) if _is_outdated(status) else ()) + (own, older, oldest)


def td_levels(
    platform: PckExtension,
    tee_tcb_svn: TeeTcbSvn,
    status: TcbStatus = TcbStatus.UP_TO_DATE,
    edition: Edition = STANDARD,
) -> tuple[TcbLevel, ...]:
    """`platform_levels` for TDs under a module of these versions; a TD of older ones has a level of its own.

    The module's major version is not published among the components: its identity speaks of it.
    """
    components = (tee_tcb_svn.value[0], 0, *tee_tcb_svn.value[2:])
    levels = [replace(level, tdx_components=components) for level in platform_levels(platform, status, edition)]
    older = TcbLevel(
        components=platform.components,
        pce_svn=platform.pce_svn,
        status=status if _is_outdated(status) else TcbStatus.OUT_OF_DATE,
        date=edition.older,
        advisories=ADVISORIES[TcbStatus.OUT_OF_DATE],
    )
    oldest = replace(levels[-1], tdx_components=(0,) * 16)
    return (*levels[:-1], older, oldest)


def module_levels(isv_svn: int, edition: Edition = STANDARD) -> tuple[SvnLevel, ...]:
    """Levels under which TDX modules of this ISVSVN are up to date, older ones are not; ISVSVN 1 and 2 are revoked."""
    return (
        SvnLevel(isv_svn=isv_svn, status=TcbStatus.UP_TO_DATE, date=edition.newest),
        SvnLevel(isv_svn=isv_svn - 2, status=TcbStatus.OUT_OF_DATE, date=edition.older, advisories=("SIM-SA-01036",)),
        SvnLevel(isv_svn=1, status=TcbStatus.REVOKED, date=OLDEST, advisories=("SIM-SA-01036", "SIM-SA-00999")),
    )


def qe_levels(enclave: EnclaveIdentity, edition: Edition = STANDARD) -> tuple[SvnLevel, ...]:
    """Levels under which this quoting enclave is up to date, and older ones are not; the first version is revoked."""
    return (
        SvnLevel(isv_svn=enclave.isv_svn, status=TcbStatus.UP_TO_DATE, date=edition.newest),
        SvnLevel(
            isv_svn=enclave.isv_svn - 2, status=TcbStatus.OUT_OF_DATE, date=edition.older, advisories=("SIM-SA-10477",)
        ),
        SvnLevel(isv_svn=1, status=TcbStatus.REVOKED, date=OLDEST, advisories=("SIM-SA-10477", "SIM-SA-10219")),
    )


# Advisory ids by status. They name nothing: the simulator has no flaws of its own to publish.
ADVISORIES: Final[dict[TcbStatus, tuple[str, ...]]] = {
    TcbStatus.UP_TO_DATE: (),
    TcbStatus.SW_HARDENING_NEEDED: ("SIM-SA-00334", "SIM-SA-00615"),
    TcbStatus.CONFIGURATION_NEEDED: ("SIM-SA-00161",),
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: ("SIM-SA-00161", "SIM-SA-00615"),
    TcbStatus.OUT_OF_DATE: ("SIM-SA-00828",),
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: ("SIM-SA-00161", "SIM-SA-00828"),
    TcbStatus.REVOKED: ("SIM-SA-00001",),
}


def _is_outdated(status: TcbStatus) -> bool:
    return status in (TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED, TcbStatus.REVOKED)


def _shifted(components: tuple[int, ...], by: int) -> tuple[int, ...]:
    """The components with the first, the microcode's, `by` newer."""
    return (components[0] + by, *components[1:])


def _components_v3(level: TcbLevel) -> dict[str, object]:
    return {"sgxtcbcomponents": _labelled(level.components, _COMPONENT_LABELS), "pcesvn": level.pce_svn}


def _labelled(components: tuple[int, ...], labels: tuple[dict[str, str], ...]) -> list[dict[str, object]]:
    filled = labels + ({},) * (len(components) - len(labels))
    return [{"svn": svn, **label} for svn, label in zip(components, filled, strict=True)]


def _components_v2(level: TcbLevel) -> dict[str, object]:
    numbered = {f"sgxtcbcomp{place:02}svn": svn for place, svn in enumerate(level.components, start=1)}
    return {**numbered, "pcesvn": level.pce_svn}


def _svn_level(level: SvnLevel) -> dict[str, object]:
    row: dict[str, object] = {
        "tcb": {"isvsvn": level.isv_svn},
        "tcbDate": iso(level.date),
        "tcbStatus": level.status.value,
    }
    return row | ({"advisoryIDs": list(level.advisories)} if level.advisories else {})


def _masked(attributes: Attributes) -> bytes:
    return bytes(octet & mask for octet, mask in zip(attributes.value, _QE_ATTRIBUTES_MASK, strict=True))


def _compact(members: dict[str, object]) -> str:
    return json.dumps(members, separators=(",", ":"))
