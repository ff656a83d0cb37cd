"""QE identity: which quoting enclaves are Intel's, and what Intel says of each of their versions.

Source: Intel PCS API v4, "Get Quoting Enclave Identity"; content rules of QVL `EnclaveIdentityV2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.collateral import documents
from ambergate.core.collateral.tcb_info import TcbStatus, status
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import MrSigner

if TYPE_CHECKING:
    from datetime import datetime

_WHAT: Final = "enclaveIdentity"
_KINDS: Final = ("QE", "TD_QE", "QVE", "QAE")


class QeLevel(NamedTuple):
    """One level: a quoting enclave covers it when its ISVSVN is at least this."""

    isv_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """The document as types. Nothing of it is proven. `levels` keep the file's order, which is the reference's."""

    kind: str  # QE, TD_QE, QVE or QAE
    issue_date: datetime
    next_update: datetime
    evaluation_data_number: int
    misc_select: int
    misc_select_mask: int
    attributes: bytes  # 16
    attributes_mask: bytes  # 16
    mr_signer: MrSigner
    isv_prod_id: int
    levels: tuple[QeLevel, ...]


def read_qe_identity(text: str) -> QeIdentity:
    """The QE identity from the exact text that Intel signed.

    Raises:
        MalformedCollateral: not a QE identity of version 2.
    """
    members = documents.load(text, _WHAT)
    version = documents.integer(members, "version", _WHAT, limit=0xFFFF)
    if version != 2:
        raise MalformedCollateral("the QE identity's version is not supported", seen=version, wanted="2")
    kind = documents.text(members, "id", _WHAT)
    if kind not in _KINDS:
        raise MalformedCollateral("the QE identity's id is unknown", seen=kind[:64], wanted=", ".join(_KINDS))
    return QeIdentity(
        kind=kind,
        issue_date=documents.instant(members, "issueDate", _WHAT),
        next_update=documents.instant(members, "nextUpdate", _WHAT),
        evaluation_data_number=documents.integer(members, "tcbEvaluationDataNumber", _WHAT, limit=0xFFFFFFFF),
        # As in the reference, the text's byte order is the report's: little-endian.
        misc_select=int.from_bytes(documents.octets(members, "miscselect", _WHAT, width=4), "little"),
        misc_select_mask=int.from_bytes(documents.octets(members, "miscselectMask", _WHAT, width=4), "little"),
        attributes=documents.octets(members, "attributes", _WHAT, width=16),
        attributes_mask=documents.octets(members, "attributesMask", _WHAT, width=16),
        mr_signer=MrSigner(documents.octets(members, "mrsigner", _WHAT, width=32)),
        isv_prod_id=documents.integer(members, "isvprodid", _WHAT, limit=0xFFFF),
        levels=tuple(
            _level(documents.as_object(level, "a QE level")) for level in documents.array(members, "tcbLevels", _WHAT)
        ),
    )


def _level(members: dict[str, object]) -> QeLevel:
    tcb = documents.member(members, "tcb", "a QE level")
    return QeLevel(
        isv_svn=documents.integer(tcb, "isvsvn", "a QE level's tcb", limit=0xFFFF),
        status=status(members, "a QE level"),
        date=documents.instant(members, "tcbDate", "a QE level"),
        advisory_ids=documents.advisories(members, "a QE level"),
    )
