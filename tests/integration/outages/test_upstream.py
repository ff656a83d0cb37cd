"""Intel's service out for a week, and longer than what is held: a real one that answers 503, asked over TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.attestation.scene import AT, Clock, new_platform
from tests.integration.outages.scene import DAY, HOUR, TURNS, Outage, outage
from tests.unit.simulator.stream import stream

from ambergate.core.verify.anchors import TrustAnchor
from ambergate.pcs.cache import CachedCollateral
from ambergate.pcs.online import OnlineCollateral
from ambergate.services.attestation.usecase import Trust
from ambergate.simulator.pcs import Armed, Shelf, SimulatedPcs
from ambergate.simulator.pcs.faults import Misfortune

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles


def told(it: Outage) -> dict[str, object]:
    it.ready()
    return dict(it.service.client.get("/readyz").json()["checks"]["collateral"])


def settled(it: Outage, kept: CachedCollateral, failures: int) -> None:
    """Ask until so many refreshes in a row have failed: they go on beside the requests."""
    for _ in range(TURNS):
        assert it.attest() == "token"
        if kept.holdings()[0].failures >= failures:
            return
    raise AssertionError


def test_out_for_a_week_and_then_for_good(tmp_path: Path, tls: TlsFiles) -> None:
    clock, platform = Clock(), new_platform(tmp_path)

    def seconds() -> float:
        return (clock.instant - AT).total_seconds()

    anchor = TrustAnchor.from_pem(platform.root_pem)
    with SimulatedPcs(Shelf(platform, now=clock, random=stream("outage"))) as upstream:
        source = OnlineCollateral(upstream.url, verify=upstream.client_context(), clock=seconds)
        with (
            CachedCollateral(source, now=clock, anchor=anchor) as kept,
            outage(tmp_path, tls, clock=clock, roots=[Trust(anchor=anchor, collateral=kept, simulated=True)]) as it,
        ):
            assert it.attest() == "token"
            start = clock.instant
            upstream.misfortune = Misfortune([Armed.parse("http-460")])
            for day in range(1, 8):
                clock.instant = start + day * DAY
                settled(it, kept, day)
                assert it.ready() == [], "what is held holds for weeks"
                assert told(it)["failing"] == 1

            clock.instant = start + 31 * DAY  # beyond the end of what is held
            assert it.attest() == "collateral-expired"
            assert it.ready() == ["collateral"]

            upstream.misfortune = Misfortune(())
            clock.instant += HOUR
            assert it.attest() == "token"
            assert it.ready() == []
            assert told(it)["failing"] == 0
            it.check_nothing_is_lost()
