"""The clock jumps by a day, forwards and backwards: what was good then is refused, and no token is of another day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.attestation.scene import ENCLAVE, b64, bound
from tests.integration.outages.scene import DAY, SECOND, Outage, outage

from ambergate.core.errors import TokenRejected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles


@pytest.fixture
def it(tmp_path: Path, tls: TlsFiles) -> Iterator[Outage]:
    with outage(tmp_path, tls) as it:
        yield it


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_nonce_of_another_day_is_refused(it: Outage, jump: timedelta) -> None:
    nonce = it.service.nonce()
    body = {"quote": b64(it.service.platform.quote(ENCLAVE, bound(nonce))), "verifier_nonce": nonce}
    assert it.service.attest(body).status_code == 200
    it.service.clock.instant += jump
    refused = it.service.attest(body)
    assert refused.status_code in {400, 503}
    assert "token" not in refused.json()


def test_forwards(it: Outage) -> None:
    """All goes on at the new time; a token of the day before is refused by whoever looks at the clock."""
    answer = it.service.attest(it.service.evidence(None))
    it.service.claims(answer)
    it.service.clock.instant += DAY
    with pytest.raises(TokenRejected):
        it.service.claims(answer)
    assert it.attest() == "token"
    assert it.ready() == []
    it.check_nothing_is_lost()


def test_backwards(it: Outage) -> None:
    """Intel's statements are not good yet on that day: no token, and it says so; back again, all is as before."""
    assert it.attest() == "token"
    it.service.clock.instant -= DAY
    assert it.attest() in {"collateral-not-valid-now", "collateral-expired"}
    assert it.ready() == ["collateral"]
    it.service.clock.instant += DAY + 60 * SECOND
    assert it.attest() == "token"
    assert it.ready() == []
    it.check_nothing_is_lost()


def test_backwards_by_little(it: Outage) -> None:
    """As a step of NTP is: tokens tell the time that the clock has, and the log keeps its order."""
    it.service.clock.instant += DAY
    assert it.attest() == "token"
    it.service.clock.instant -= 60 * SECOND
    assert it.attest() == "token"
    assert it.ready() == []
    it.check_nothing_is_lost()
