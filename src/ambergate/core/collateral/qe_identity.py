"""QE identity: which quoting enclaves are Intel's, and what Intel says of each of their versions.

Source: Intel PCS API v4, "Get Quoting Enclave Identity"; content rules of QVL `EnclaveIdentityV2`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from ambergate.core.collateral import documents
from ambergate.core.collateral.tcb_info import (
    PLAIN_INSTANT,
    PLAIN_JUDGEMENT,
    PLAIN_NUMBER,
    TcbStatus,
    plain_judgement,
    status,
)
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import MrSigner

_WHAT: Final = "enclaveIdentity"
_KINDS: Final = ("QE", "TD_QE", "QVE", "QAE")
_PLAIN_HEAD: Final = re.compile(
    rf'\{{"id":"([A-Z_]+)","version":2,"issueDate":{PLAIN_INSTANT},"nextUpdate":{PLAIN_INSTANT},'
    rf'"tcbEvaluationDataNumber":{PLAIN_NUMBER},'
    r'"miscselect":"([0-9A-Fa-f]{8})","miscselectMask":"([0-9A-Fa-f]{8})",'
    r'"attributes":"([0-9A-Fa-f]{32})","attributesMask":"([0-9A-Fa-f]{32})","mrsigner":"([0-9A-Fa-f]{64})",'
    rf'"isvprodid":{PLAIN_NUMBER},"tcbLevels":\['
)
_PLAIN_LEVEL: Final = re.compile(rf'\{{"tcb":\{{"isvsvn":{PLAIN_NUMBER}\}}{PLAIN_JUDGEMENT}|(.+)', re.DOTALL)


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
    return read_plain(text) or read_any(text)


def read_plain(text: str) -> QeIdentity | None:
    """The QE identity as Intel writes it, by its shape; None: it is written otherwise, or wrong: see `read_any`.

    As in TCB info: whatever it reads, `read_any` reads alike, at twice the cost.
    """
    head = _PLAIN_HEAD.match(text) if len(text) <= documents.MAX_PARTS else None
    if head is None or head[1] not in _KINDS:
        return None
    kind, issued, next_update, number, select, select_mask, attributes, mask, mr_signer, product = head.groups()
    levels: list[QeLevel] = []
    after = ","
    try:
        for isv_svn, date, word, advisories, follows, other in _PLAIN_LEVEL.findall(text, head.end()):
            if other or after != ",":
                return None
            levels.append(QeLevel(int(isv_svn), *plain_judgement(date, word, advisories)))
            after = follows
        if after == ",":
            return None
        return QeIdentity(
            kind=kind,
            issue_date=datetime.fromisoformat(issued),
            next_update=datetime.fromisoformat(next_update),
            evaluation_data_number=int(number),
            misc_select=int.from_bytes(bytes.fromhex(select), "little"),
            misc_select_mask=int.from_bytes(bytes.fromhex(select_mask), "little"),
            attributes=bytes.fromhex(attributes),
            attributes_mask=bytes.fromhex(mask),
            mr_signer=MrSigner(bytes.fromhex(mr_signer)),
            isv_prod_id=int(product),
            levels=tuple(levels),
        )
    except (KeyError, ValueError):  # another status, no real date
        return None


def read_any(text: str) -> QeIdentity:
    """The QE identity in whatever form of JSON.

    Raises:
        MalformedCollateral: as `read_qe_identity` does.
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
