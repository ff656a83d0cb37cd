"""A quote of a TD has no enclave report to give."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.quote import EnclaveReport, parse_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("enclave of"))


def test_of_an_enclave() -> None:
    quote = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
    assert isinstance(quote.enclave, EnclaveReport)
    assert quote.enclave is quote.body


def test_of_a_td() -> None:
    quote = parse_quote(PLATFORM.td_quote(TD_SPECIMEN, bytes(64), version=4))
    with pytest.raises(ValueError, match="of a TD"):
        _ = quote.enclave
