"""Two sets of statements about one platform: what counts today, and what will."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.oracle import ask

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.simulator.documents import ADVISORIES, EARLY, STANDARD, EvaluationNumbers
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.period import PUBLISHED_FOR, Period

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.platform import SimulatedPlatform

STATUSES = [status for status in ADVISORIES if status is not TcbStatus.REVOKED]  # a revoked platform is refused


def evidence(
    platform: SimulatedPlatform, at: datetime, tee: str, status: TcbStatus = TcbStatus.UP_TO_DATE
) -> tuple[bytes, Collateral]:
    """A quote, and the early set's word about its platform."""
    if tee == "SGX":
        return platform.quote(SPECIMEN, bytes(64)), platform.collateral(at=at, status=status, edition=EARLY)
    return platform.td_quote(TD_SPECIMEN, bytes(64)), platform.td_collateral(at=at, status=status, edition=EARLY)


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_early_set_gives_the_platform_the_status_chosen_for_it(
    platform: SimulatedPlatform, at: datetime, status: TcbStatus, tee: str
) -> None:
    raw, collateral = evidence(platform, at, tee, status)
    assert ask(raw, collateral, at=at, root_pem=platform.root_pem).status == status.value


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_both_documents_bear_the_sets_number(platform: SimulatedPlatform, at: datetime, tee: str) -> None:
    _, collateral = evidence(platform, at, tee)
    documents = (json.loads(collateral.tcb_info), json.loads(collateral.qe_identity))
    assert [document["tcbEvaluationDataNumber"] for document in documents] == [EARLY.number] * 2
    assert EARLY.number > STANDARD.number


def test_a_platform_that_falls_behind_keeps_its_date(platform: SimulatedPlatform, at: datetime) -> None:
    today = json.loads(platform.collateral(at=at).tcb_info)["tcbLevels"]
    raised, own = json.loads(evidence(platform, at, "SGX", TcbStatus.OUT_OF_DATE)[1].tcb_info)["tcbLevels"][:2]
    assert own["tcb"] == today[0]["tcb"]
    assert own["tcbDate"] == today[0]["tcbDate"]
    assert (raised["tcbStatus"], raised["tcbDate"] > own["tcbDate"]) == ("UpToDate", True)


def test_the_numbers_are_listed_in_intels_shape(at: datetime) -> None:
    period = Period.around(at, after=PUBLISHED_FOR)
    document = json.loads(EvaluationNumbers(editions=(EARLY, STANDARD), period=period, id="TDX").text())
    assert list(document) == ["id", "version", "issueDate", "nextUpdate", "tcbEvalNumbers"]
    assert document["tcbEvalNumbers"][1] == {
        "tcbEvaluationDataNumber": 17,
        "tcbRecoveryEventDate": "2025-05-13T00:00:00Z",
        "tcbDate": "2025-05-14T00:00:00Z",
    }
