"""What the operator of an attestation service welcomes. Absent never means unchecked: see each field."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ambergate.core.appraise.grace import MAX_GRACE, NONE
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrEnclave, MrSigner

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ambergate.core.octets import Octets

M = TypeVar("M", bound="Octets")

# What the default policy accepts: platforms that Intel calls up to date, or that need nothing but settings or hardened
# software. Everything that has a known hole that only an update closes is refused.
ACCEPTED: Final = frozenset(
    {
        TcbStatus.UP_TO_DATE,
        TcbStatus.SW_HARDENING_NEEDED,
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalPolicy:
    """Which genuine evidence gets a token.

    `tcb_statuses`, debug and, for TDs, SEPT_VE_DISABLE and MRSERVICETD always hold. `collateral_grace` is for how long
    after their end Intel's statements still count (`core/appraise/grace.py`): whoever grants any gives up, for so long,
    to see a TCB recovery or a revocation that was published meanwhile. The other fields restrict whom the service
    serves at all; None: anybody, since who may have what is decided by relying parties and by release policies, on the
    token.

    Raises:
        MalformedPolicy: a grace below zero or above 30 days.
    """

    tcb_statuses: frozenset[TcbStatus] = ACCEPTED
    dangerously_allow_debug: bool = False
    dangerously_allow_sept_ve: bool = False
    dangerously_allow_service_td: bool = False
    mr_enclave: frozenset[MrEnclave] | None = None
    mr_signer: frozenset[MrSigner] | None = None
    isv_prod_id: frozenset[int] | None = None
    minimum_isv_svn: int | None = None
    minimum_tcb_evaluation_data_number: int | None = None  # of TCB info and of QE identity
    collateral_grace: timedelta = NONE  # in files `collateral_grace_hours`

    def __post_init__(self) -> None:
        """Bound the grace."""
        if not NONE <= self.collateral_grace <= MAX_GRACE:
            raise MalformedPolicy(
                "collateral_grace is out of range", seen=self.collateral_grace, wanted=f"0 to {MAX_GRACE.days} days"
            )

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> Self:
        """Read a policy, e.g. the `[policy]` table of a configuration.

        Raises:
            MalformedPolicy: an unknown member (the nearest known one is named), another type, or an empty list.
        """
        refuse_unknown(table, {_MEMBERS.get(field.name, field.name) for field in fields(cls)})
        members: dict[str, Any] = {name: _READERS[name](name, value) for name, value in table.items()}
        return cls(**{_FIELDS.get(name, name): value for name, value in members.items()})


# Fields that another name stands for in files, which says the unit.
_MEMBERS: Final = {"collateral_grace": "collateral_grace_hours"}
_FIELDS: Final = {member: field for field, member in _MEMBERS.items()}


def refuse_unknown(table: Mapping[str, object], known: Collection[str]) -> None:
    """Returns if the table has no member but known ones.

    Raises:
        MalformedPolicy: naming the unknown member, and the known one that is nearest.
    """
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else None
            raise MalformedPolicy("the policy has an unknown member", seen=name, wanted=sorted(known), hint=hint)


def _list(name: str, value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise MalformedPolicy(f"{name} is not a list with elements", seen=repr(value)[:64], wanted="[...]")
    return value


def _statuses(name: str, value: object) -> frozenset[TcbStatus]:
    try:
        statuses = frozenset(TcbStatus(word) for word in _list(name, value))
    except ValueError as exc:
        known = [status.value for status in TcbStatus if status is not TcbStatus.REVOKED]
        raise MalformedPolicy(f"{name} has an unknown status", seen=str(exc), wanted=known) from exc
    if TcbStatus.REVOKED in statuses:
        raise MalformedPolicy("no policy can accept a revoked platform", seen="Revoked", hint="leave it out")
    return statuses


def measurements(kind: type[M], name: str, value: object) -> frozenset[M]:
    """A list of measurements in hex, at least one.

    Raises:
        MalformedPolicy: anything else.
    """
    try:
        # Text only: a number of 64 digits would pass for one as well.
        return frozenset(kind.from_hex(item if isinstance(item, str) else "") for item in _list(name, value))
    except ValueError as exc:
        raise MalformedPolicy(
            f"{name} has no measurement", seen=str(exc), wanted=f"{2 * kind.WIDTH} hex digits"
        ) from exc


def number(name: str, value: object, limit: int) -> int:
    """A whole number from 0 to `limit`.

    Raises:
        MalformedPolicy: anything else.
    """
    if type(value) is not int or not 0 <= value <= limit:
        raise MalformedPolicy(f"{name} is no number in range", seen=repr(value)[:64], wanted=f"0 to {limit}")
    return value


def _uint16(name: str, value: object) -> int:
    return number(name, value, 0xFFFF)


def _hours(name: str, value: object) -> timedelta:
    return timedelta(hours=number(name, value, MAX_GRACE // timedelta(hours=1)))


def boolean(name: str, value: object) -> bool:
    """True or false, in so many words.

    Raises:
        MalformedPolicy: anything else.
    """
    if not isinstance(value, bool):
        raise MalformedPolicy(f"{name} is not true or false", seen=repr(value)[:64])
    return value


_READERS: Final = {
    "tcb_statuses": _statuses,
    "dangerously_allow_debug": boolean,
    "dangerously_allow_sept_ve": boolean,
    "dangerously_allow_service_td": boolean,
    "mr_enclave": lambda name, value: measurements(MrEnclave, name, value),
    "mr_signer": lambda name, value: measurements(MrSigner, name, value),
    "isv_prod_id": lambda name, value: frozenset(_uint16(name, item) for item in _list(name, value)),
    "minimum_isv_svn": _uint16,
    "minimum_tcb_evaluation_data_number": lambda name, value: number(name, value, 0xFFFFFFFF),
    "collateral_grace_hours": _hours,
}
