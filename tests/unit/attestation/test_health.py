"""When a root's collateral makes a service unready: all of it gone or ended, and not for want of an answer alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import AmberError, Unavailable
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.services.attestation.health import collateral_check
from ambergate.services.attestation.usecase import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
AWAY = Unavailable("no connection", code="collateral-connection")
UNKNOWN = Unavailable("no such family", code="collateral-unknown")


@dataclass
class Held:
    """A holding; `since` is when it begins to hold."""

    expires: datetime | None = None
    late: bool = False
    failure: AmberError | None = None
    since: datetime = AT

    @property
    def served(self) -> bool:
        return self.late or (self.expires is not None and self.since <= AT <= self.expires)

    @property
    def failures(self) -> int:
        return int(self.failure is not None)


@dataclass
class Keeping:
    """A source that keeps these."""

    held: Sequence[Held]

    def holdings(self) -> Sequence[Held]:
        return self.held

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        raise NotImplementedError


def told(*roots: Sequence[Held]) -> dict[str, object]:
    anchor = TrustAnchor.intel()
    trusts = [Trust(anchor=anchor, collateral=Keeping(held), simulated=False) for held in roots]
    return dict(collateral_check(trusts)() or {})


@pytest.mark.parametrize(
    "held",
    [
        [],
        [Held(AT)],
        [Held(AT - HOUR, late=True, failure=AWAY)],
        [Held(AT - HOUR), Held(AT + HOUR, failure=AWAY)],
        [Held(failure=UNKNOWN)],
    ],
)
def test_ready(held: Sequence[Held]) -> None:
    assert told(held)["failing"] == sum(each.failures for each in held)


@pytest.mark.parametrize(
    "held",
    [
        [Held(failure=AWAY)],
        [Held(AT - HOUR)],
        [Held(AT + HOUR, since=AT + HOUR)],
        [Held(failure=UNKNOWN), Held(failure=AWAY)],
        [Held(AT - HOUR, failure=UNKNOWN)],
    ],
)
def test_not_ready(held: Sequence[Held]) -> None:
    with pytest.raises(Unavailable, match="for a root") as caught:
        told([Held(AT + HOUR)], held)
    assert caught.value.code == "collateral-missing"


def test_what_ends_first_is_told_of_all_roots() -> None:
    assert told([Held(AT + HOUR)], [Held(AT), Held()]) == {
        "held": 2,
        "failing": 0,
        "late": 0,
        "first_end": AT.isoformat(),
    }
