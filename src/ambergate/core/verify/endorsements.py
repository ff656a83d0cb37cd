"""Collateral judged by itself, before any quote asks for it: what a cache may keep and a site may import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.chain import PCK_CAS, prove_issuers, prove_lists, read_issuers
from ambergate.core.verify.statements import prove_statements
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import common_window, first_to_end, records_of

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.qe_identity import QeIdentity
    from ambergate.core.collateral.tcb_info import TcbInfo
    from ambergate.core.verify.verdict import CheckRecord, Dated, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCollateral:
    """Collateral that was proven genuine at the instant `at`, under `anchor`. Made by `verify_collateral` only."""

    collateral: Collateral
    at: datetime
    anchor: TrustAnchor
    ca: str  # "processor" or "platform": whose revocation list it brings
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    dates: tuple[Dated, ...]
    checks: tuple[CheckRecord, ...]

    @property
    def window(self) -> Window:
        """The stretch in which all of it holds."""
        return common_window(self.dates)

    @property
    def earliest_expiry(self) -> Dated:
        """What ends first."""
        return first_to_end(self.dates)


def verify_collateral(collateral: Collateral, *, at: datetime, anchor: TrustAnchor | None = None) -> VerifiedCollateral:
    """Prove that every statement in a bundle is the anchor's, unrevoked, and holds at an instant.

    The steps are those of `verify_quote` that need no quote: 2.1 to 2.10 over the bundle's own CRL issuer chain, 3, 4
    and 5. Does not say which platforms it is good for beyond what the statements say of themselves (FMSPC, TEE, CA).

    Args:
        collateral: Intel's statements.
        at: the instant; aware.
        anchor: the root that vouches; Intel's when not given.

    Raises:
        NotGenuine: with the failing step.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    anchor = anchor or TrustAnchor.intel()
    trail = Trail()
    root, intermediate = read_issuers(trail, collateral.pck_crl_issuer_chain)
    ca = next((ca for name, ca in PCK_CAS.items() if name in intermediate.common_name), None)
    if ca is None:
        raise trail.failed(
            "2.1.pck_chain_format",
            "the revocation list is of a CA that certifies no platforms",
            seen=intermediate.common_name,
            wanted=" or ".join(PCK_CAS),
        )
    prove_issuers(trail, root, intermediate, anchor)
    lists = prove_lists(trail, root, intermediate, collateral.root_ca_crl, collateral.pck_crl)
    endorsements = prove_statements(trail, collateral, root, lists, anchor)
    trail.check_dates(endorsements.dates, at)
    return VerifiedCollateral(
        collateral=collateral,
        at=at,
        anchor=anchor,
        ca=ca,
        tcb_info=endorsements.tcb_info,
        qe_identity=endorsements.qe_identity,
        dates=endorsements.dates,
        checks=tuple(records_of(trail.notes)),
    )
