"""What collateral must be to be kept: genuine now, about what was asked for, and not older than what was kept before.

Upstreams are not believed: whatever comes from one is verified under the trust anchor before anybody gets it, and
before it can take the place of anything. What is ours and does not verify is `Unavailable` here, not `NotGenuine`: it
says nothing about anybody's evidence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.grace import STATEMENTS, first_end
from ambergate.core.collateral.crl import read_crl
from ambergate.core.errors import MalformedCollateral, NotGenuine, Unavailable
from ambergate.core.verify.endorsements import VerifiedCollateral, verify_collateral
from ambergate.core.verify.qe import IDENTITY_OF

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from ambergate.core.collateral.archive import Key
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.pcs.fetcher import Wanted

    # How new a bundle is: each document's number (tcbEvaluationDataNumber, CRL number) and when it was issued.
    Marks: TypeAlias = Mapping[str, tuple[int, datetime]]

NOT_GENUINE: Final = "collateral-not-genuine"
NOT_NOW: Final = "collateral-not-valid-now"
OF_ANOTHER: Final = "collateral-of-another"
ROLLED_BACK: Final = "collateral-rolled-back"
MAX_CRL_NUMBER: Final = (1 << 160) - 1  # RFC 5280, 5.2.3: at most 20 octets

_DATES: Final = "5."  # the verification's steps that look at the time


def other_subject(verified: VerifiedCollateral, wanted: Wanted | Key) -> tuple[str, str, str] | None:
    """The first thing in which collateral is about another platform: what it is, which one, which was wanted."""
    compared = (
        ("TEE", verified.tcb_info.tee, wanted.tee),
        ("FMSPC", verified.tcb_info.fmspc.hex(), wanted.fmspc.hex()),
        ("quoting enclave", verified.qe_identity.kind, IDENTITY_OF[wanted.tee]),
        ("CA", verified.ca, wanted.ca),
    )
    return next((one for one in compared if one[1] != one[2]), None)


def prove(collateral: Collateral, wanted: Wanted, *, anchor: TrustAnchor, at: datetime) -> VerifiedCollateral:
    """Collateral proven to be the anchor's, to hold at an instant, and to speak of this family, TEE and CA.

    Raises:
        Unavailable: it is not; the code says which.
    """
    try:
        verified = verify_collateral(collateral, at=at, anchor=anchor)
    except NotGenuine as exc:
        raise Unavailable(
            f"the collateral does not verify: {exc.message}",
            code=NOT_NOW if exc.step.startswith(_DATES) else NOT_GENUINE,
            seen=f"step {exc.step}" if exc.seen is None else f"step {exc.step}: {exc.seen}",
            wanted=exc.wanted,
            hint=exc.hint,
        ) from exc
    if (other := other_subject(verified, wanted)) is not None:
        what, seen, asked = other
        raise Unavailable(
            f"the collateral is of another {what} than was asked for",
            code=OF_ANOTHER,
            seen=seen,
            wanted=asked,
            hint="the source mixes its documents up: refresh or replace it",
        )
    return verified


def prove_late(
    collateral: Collateral, wanted: Wanted, *, anchor: TrustAnchor, at: datetime, grace: timedelta
) -> VerifiedCollateral:
    """Collateral whose statements ended, no longer before `at` than the grace: proven as of the last instant they held.

    The proof is a whole one (`prove`). Certificates get no grace: each of them must hold at `at`.

    Raises:
        Unavailable: it is not; the code says which.
        MalformedCollateral: a statement does not parse.
    """
    last = first_end(collateral)
    if not timedelta(0) < at - last <= grace:
        raise _not_now(f"its first statement ends {last.isoformat()}", f"at most {grace} before {at.isoformat()}")
    verified = prove(collateral, wanted, anchor=anchor, at=last)
    until = last_use(verified, grace)
    if until < at:
        raise _not_now(f"a certificate ended {until.isoformat()}", f"certificates that hold at {at.isoformat()}")
    return verified


def last_use(verified: VerifiedCollateral, grace: timedelta) -> datetime:
    """The last instant at which it may be served: statements may have ended by the grace, certificates not at all.

    The bundle's certificates are meant. Whose PCK certificate has ended, and whether the policy takes what is late,
    appraisal judges (`core/appraise/grace.py`).
    """
    latest = datetime.max.replace(tzinfo=UTC) - grace
    ends = ((each.step in STATEMENTS, each.window.not_after) for each in verified.dates)
    return min(end + grace if statement and end <= latest else end for statement, end in ends)


def _not_now(seen: str, wanted: str) -> Unavailable:
    return Unavailable("the collateral has ended, and no grace takes it", code=NOT_NOW, seen=seen, wanted=wanted)


def marks_of(verified: VerifiedCollateral) -> Marks:
    """How new each document is.

    Raises:
        MalformedCollateral: a CRL's number is longer than 20 octets.
    """
    info, identity = verified.tcb_info, verified.qe_identity
    return {
        "tcb_info": (info.evaluation_data_number, info.issue_date),
        "qe_identity": (identity.evaluation_data_number, identity.issue_date),
        "pck_crl": _crl_mark(verified.collateral.pck_crl),
        "root_ca_crl": _crl_mark(verified.collateral.root_ca_crl),
    }


def goes_back(marks: Marks, accepted: Marks) -> bool:
    """Whether any document has a lower number, or was issued earlier, than what was accepted."""
    return any(marks[name][0] < number or marks[name][1] < issued for name, (number, issued) in accepted.items())


def rolled_back(marks: Marks, accepted: Marks) -> Unavailable:
    """The error that names the documents that would go back."""
    older = [name for name in accepted if goes_back(marks, {name: accepted[name]})]
    return Unavailable(
        "the collateral is older than what was accepted before",
        code=ROLLED_BACK,
        seen="; ".join(f"{name}: {_told(marks[name])}" for name in older),
        wanted="; ".join(f"{name}: at least {_told(accepted[name])}" for name in older),
        hint="the source is behind, or somebody replays old statements: refresh it, or ask another first",
    )


def _told(mark: tuple[int, datetime]) -> str:
    return f"number {mark[0]} of {mark[1].isoformat()}"


def _crl_mark(text: str) -> tuple[int, datetime]:
    crl = read_crl(text)
    if crl.number > MAX_CRL_NUMBER:
        raise MalformedCollateral("a CRL's number is out of range", seen=hex(crl.number), wanted="at most 20 octets")
    return crl.number, crl.this_update
