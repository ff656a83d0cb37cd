"""Alive is one thing, ready another; what is lacking is told by name, and nothing of the operator's network with it."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.unit.web.site import Site, nameless

from ambergate.services.web.health import Finding, Readiness

if TYPE_CHECKING:
    import pytest

AT = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_alive_and_ready(site: Site) -> None:
    with site.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready", "checks": {"disk": {"ok": True}}}


def test_alive_and_not_ready(unhealthy: Site) -> None:
    with unhealthy.client() as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert nameless(answer) == {
        "error": "not ready: disk",
        "code": "not-ready",
        "checks": {"disk": {"ok": False, "code": "unavailable", "detail": "the disk is full"}},
    }


def test_an_answer_holds_for_a_second_of_the_clock() -> None:
    asked, clock = [], [AT]

    def check() -> dict[str, object]:
        asked.append(clock[0])
        return {"asked": len(asked)}

    async def look() -> None:
        readiness = Readiness({"it": check}, now=lambda: clock[0])
        for moved, times in ((0.0, 1), (0.9, 1), (1.0, 2), (-5.0, 3)):
            clock[0] = AT + moved * SECOND
            found = await asyncio.gather(*(readiness.findings() for _ in range(8)))
            assert [each["it"].facts["asked"] for each in found] == [times] * 8

    asyncio.run(look())


def test_a_check_that_hangs_fails_alone_and_is_not_started_again() -> None:
    release, clock, started = threading.Event(), [AT], []

    def hangs() -> None:
        started.append(1)
        release.wait(30)

    async def look() -> None:
        readiness = Readiness({"hangs": hangs, "well": lambda: None}, now=lambda: clock[0], patience=0.05)
        for _ in range(3):
            found = await readiness.findings()
            assert found["well"] == Finding(ok=True, facts={})
            assert (found["hangs"].ok, found["hangs"].facts["code"]) == (False, "timed-out")
            clock[0] += SECOND
        assert len(started) == 1
        release.set()
        while not (await readiness.findings())["hangs"].ok:
            clock[0] += SECOND

    asyncio.run(look())


def test_what_is_broken_in_a_check_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("/secret/path")

    async def look() -> dict[str, Finding]:
        return await Readiness({"it": broken}, now=lambda: AT).findings()

    with caplog.at_level(logging.ERROR, logger="ambergate.web"):
        assert asyncio.run(look())["it"].told() == {"ok": False, "code": "internal", "detail": "internal error"}
    assert "/secret/path" in caplog.text


def test_without_checks_it_is_ready() -> None:
    assert asyncio.run(Readiness({}, now=lambda: AT).findings()) == {}
