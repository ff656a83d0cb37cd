"""What the client has of either dialect and of either API version is what the verifier proves quotes with."""

from __future__ import annotations

import pytest
from tests.integration.pcs.scene import ANCHOR, AT, PLATFORM, PROCESSOR, QUOTES, site, verified

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import Unavailable
from ambergate.core.quote import parse_quote
from ambergate.core.verify import verify_collateral, verify_quote
from ambergate.core.verify.forecast import Change, PlatformKind, forecast
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.pcs import Dialect

LINES = [("v4", "SGX"), ("v3", "SGX"), ("v4", "TDX")]


@pytest.mark.parametrize(("api", "tee"), LINES)
@pytest.mark.parametrize("dialect", Dialect)
def test_the_platforms_quote_is_proven(dialect: Dialect, api: str, tee: str) -> None:
    with site(dialect=dialect) as here, here.online(api=api) as source:
        proven = verified(QUOTES[tee], source)
        assert (proven.tcb.status, proven.tcb.evaluation_data_number) == (TcbStatus.UP_TO_DATE, 17)
        assert here.asked() == 4


@pytest.mark.parametrize("dialect", Dialect)
def test_a_platform_of_the_other_ca_is_proven(dialect: Dialect) -> None:
    raw = PROCESSOR.quote(SPECIMEN, bytes(64))
    with site(dialect=dialect, platform=PROCESSOR) as here, here.online() as source:
        assert verified(raw, source, root_pem=PROCESSOR.root_pem).tcb.status is TcbStatus.UP_TO_DATE


@pytest.mark.parametrize(("api", "tee"), LINES)
@pytest.mark.parametrize("dialect", Dialect)
def test_the_early_set_tells_what_will_be(dialect: Dialect, api: str, tee: str) -> None:
    with (
        site(dialect=dialect, early_status=TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED) as here,
        here.online(api=api, update="early") as source,
    ):
        proven = verified(QUOTES[tee], source)
    assert proven.tcb.status is TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    assert proven.tcb.evaluation_data_number == 18


def test_an_unknown_platform_is_unavailable() -> None:
    with site(platform=PROCESSOR) as here, here.online() as source, pytest.raises(Unavailable):
        source.collateral(fmspc=PLATFORM.fmspc, ca="platform", tee="SGX")


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_both_sets_together_forecast_a_platforms_status(tee: str) -> None:
    with site() as here, here.online() as standard, here.online(update="early") as early:
        sets = [verify_collateral(here.fetch(source, tee), at=AT, anchor=ANCHOR) for source in (standard, early)]
        kind = PlatformKind.of(verified(QUOTES[tee], standard))
    told = forecast(kind.tcb, *sets)
    assert (told.standard.status, told.early.status) == (TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE)
    assert told.change is Change.WORSE


def test_the_service_signs_anew_and_the_client_follows() -> None:
    with site() as here, here.online() as source, here.cached(source) as cache:
        first = here.fetch(cache)
        here.clock.sleep(31 * 24 * 3600.0)  # by then all that was published has expired
        second = here.fetch(cache)
        at = here.clock.instant
    assert first.tcb_info != second.tcb_info
    proven = verify_quote(parse_quote(QUOTES["SGX"]), second, at=at, anchor=ANCHOR)
    assert proven.tcb.status is TcbStatus.UP_TO_DATE
