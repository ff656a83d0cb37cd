"""Collateral that ran out, as its operator and its clients meet it: 503 without a grace, a bounded token with one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.attestation.scene import (
    AT,
    ENCLAVE,
    SIMULATED,
    Clock,
    Service,
    b64,
    configure,
    new_platform,
    serving,
)

from ambergate.cli.attestation import open_roots
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.services.attestation.app import open_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles

END = (AT + timedelta(days=30)).replace(microsecond=0)  # of what `new_platform` published
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
GRACE = "[policy]\ncollateral_grace_hours = 2\n"


@contextmanager
def started(folder: Path, tls: TlsFiles, more: str, *, at: datetime) -> Iterator[Service]:
    """The service as `amber attestation serve` puts it together, at an instant; again in one folder: a restart."""
    platform, clock = new_platform(folder), Clock(at)
    config = configure(folder, tls, SIMULATED + more)
    with (
        open_state(config, at=at) as state,
        open_roots(config, state.collateral, clock=clock) as roots,
        serving(config, state, roots, platform, clock=clock) as service,
    ):
        yield service


def refusal(service: Service, body: object, status: int) -> tuple[str, str]:
    answer = service.attest(body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert "token" not in told
    return told["code"], told["error"]


@pytest.fixture(scope="module")
def granting(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Started when the collateral had ended for an hour, two hours of grace granted."""
    with started(tmp_path_factory.mktemp("granting"), tls, GRACE, at=END + HOUR) as service:
        yield service


@pytest.fixture
def late(granting: Service) -> Iterator[Service]:
    yield granting
    granting.clock.instant = END + HOUR


def test_without_a_grace_what_ran_out_is_not_served(tls: TlsFiles, tmp_path: Path) -> None:
    with started(tmp_path, tls, "", at=END - SECOND) as service:
        assert service.claims(service.attest(service.evidence(None))).expires_at == END
        service.clock.instant = END + HOUR
        assert refusal(service, service.evidence(None), 503)[0] == "collateral-expired"
    with started(tmp_path, tls, "", at=END + HOUR) as service:
        assert refusal(service, service.evidence(None), 503)[0] == "collateral-not-valid-now"


def test_with_a_grace_there_is_a_token(late: Service) -> None:
    claims = late.claims(late.attest(late.evidence(late.nonce(), b"data")))
    assert claims.tcb_status == "UpToDate"
    assert claims.expires_at == END + HOUR + timedelta(seconds=300)


def test_health_tells_that_collateral_is_late_and_not_whose(late: Service) -> None:
    late.claims(late.attest(late.evidence(None)))
    with httpx.Client(base_url=late.client.base_url, verify=late.context(), trust_env=False) as stranger:
        told = stranger.get("/readyz").json()["checks"]["collateral"]
    stale = {"held": 1, "failing": 1, "late": 1, "first_end": END.isoformat()}
    assert told == {"ok": True, **stale}


def collateral_of(service: Service) -> tuple[int, dict[str, object]]:
    answer = service.client.get("/readyz")
    told = dict(answer.json()["checks"]["collateral"])
    assert told.pop("ok") is (answer.status_code == 200)
    return answer.status_code, told


def test_health_tells_what_is_well(tls: TlsFiles, tmp_path: Path) -> None:
    with started(tmp_path, tls, GRACE, at=AT) as service:
        nothing = {"held": 0, "failing": 0, "late": 0, "first_end": None}
        assert collateral_of(service) == (200, nothing), "nobody has asked for any"
        service.clock.instant += SECOND
        service.claims(service.attest(service.evidence(None)))
        well = {"held": 1, "failing": 0, "late": 0, "first_end": END.isoformat()}
        assert collateral_of(service) == (200, well)
        service.clock.instant = END + HOUR
        assert service.claims(service.attest(service.evidence(None))).expires_at <= END + 2 * HOUR, "held, and now late"
        assert collateral_of(service) == (200, {**well, "failing": 1, "late": 1})
        service.clock.instant = END + 2 * HOUR + SECOND
        refusal(service, service.evidence(None), 503)
        status, told = collateral_of(service)
        assert (status, told["code"]) == (503, "collateral-missing"), "and beyond the grace"


def test_no_token_outlives_the_grace(late: Service) -> None:
    late.clock.instant = END + 2 * HOUR - timedelta(seconds=60)
    assert late.claims(late.attest(late.evidence(None))).expires_at == END + 2 * HOUR


def test_beyond_the_grace_there_is_none(late: Service) -> None:
    late.claims(late.attest(late.evidence(None)))
    late.clock.instant = END + 2 * HOUR + SECOND
    assert refusal(late, late.evidence(None), 503)[0] == "collateral-expired"


def test_grace_excuses_nothing_else(late: Service) -> None:
    debug = late.evidence(None, enclave=replace(ENCLAVE, debug=True))
    code, error = refusal(late, debug, 400)
    assert (code, "refuses this enclave: debug" in error) == ("not-welcome", True)
    quote = late.platform.quote(ENCLAVE, bytes(64))
    forged = quote[:112] + bytes([quote[112] ^ 1]) + quote[113:]  # MRENCLAVE
    refusal(late, {"quote": b64(forged)}, 400)
    old = late.evidence(late.nonce())
    late.clock.instant += timedelta(seconds=121)
    assert refusal(late, old, 400)[0] == "nonce-expired"


def test_an_old_platform_is_old_under_late_collateral_too(tls: TlsFiles, tmp_path: Path) -> None:
    with started(tmp_path, tls, GRACE, at=END + HOUR) as service:
        service.platform.save_collateral(service.folder, at=AT, status=TcbStatus.OUT_OF_DATE)
        code, error = refusal(service, service.evidence(None), 400)
        assert (code, "tcb_status" in error) == ("not-welcome", True)
