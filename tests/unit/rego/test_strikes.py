"""A policy that is ended again and again is left alone for a while, and nobody else is."""

from __future__ import annotations

from tests.unit.appraise.told import AT, SGX, rego
from tests.unit.rego.corpus import CPU_BOMB

from ambergate.rego.engine import RegoEngine
from ambergate.rego.pool import Limits
from ambergate.rego.strikes import ALLOWED, PAUSE, Strikes


class Clock:
    """Goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_some_in_a_row_there_is_a_pause() -> None:
    clock = Clock()
    strikes = Strikes(clock)
    for _ in range(ALLOWED):
        assert not strikes.pausing(b"bomb")
        strikes.ended(b"bomb")
    assert strikes.pausing(b"bomb")
    assert not strikes.pausing(b"another")
    clock.now += PAUSE
    assert not strikes.pausing(b"bomb"), "it gets one more try"
    strikes.ended(b"bomb")
    assert strikes.pausing(b"bomb"), "and the next pause"


def test_an_answer_takes_all_of_it_back() -> None:
    strikes = Strikes(Clock())
    for _ in range(3 * ALLOWED):
        strikes.ended(b"slow")
        strikes.ended(b"slow")
        strikes.answered(b"slow")
    assert not strikes.pausing(b"slow")


def test_a_bomb_in_every_request_takes_no_more_workers() -> None:
    clock = Clock()
    with RegoEngine(workers=1, limits=Limits(seconds=60, cpu_seconds=0), clock=clock) as engine:
        for _ in range(ALLOWED):
            assert not engine.evaluate(rego(CPU_BOMB), SGX, at=AT).matched
        worker = engine._pool._free.queue[0]
        outcome = engine.evaluate(rego(CPU_BOMB), SGX, at=AT)
        assert not outcome.matched
        assert "left alone" in outcome.mismatches[0]["seen"]
        assert engine._pool._free.queue[0] is worker, "no worker was asked"
        clock.now += PAUSE
        assert "left alone" not in engine.evaluate(rego(CPU_BOMB), SGX, at=AT).mismatches[0]["seen"]
