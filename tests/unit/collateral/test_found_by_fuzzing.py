"""What the differential run has found wrong in ours, and was mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import MalformedCollateral
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
COLLATERAL = SimulatedPlatform.create(at=AT, random=stream("defects")).collateral(at=AT)


def test_two_members_of_one_name_are_refused_in_a_bundle() -> None:
    with pytest.raises(MalformedCollateral):
        Collateral.from_json('{"tcb_info":"another",' + COLLATERAL.to_json()[1:])


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(word: str) -> None:
    document = {**json.loads(COLLATERAL.tcb_info), "unasked": float(word.replace("Infinity", "inf"))}
    with pytest.raises(MalformedCollateral):
        read_tcb_info(json.dumps(document))


def test_half_of_a_surrogate_pair_is_refused() -> None:
    document = json.loads(COLLATERAL.tcb_info)
    document["tcbLevels"][0]["advisoryIDs"] = ["\ud800"]
    with pytest.raises(MalformedCollateral):
        read_tcb_info(json.dumps(document))
