"""Collateral that ends when a test says, and the grace that caches of these tests have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.pcs.shelf import get
from tests.unit.pcs.site import AT, PLATFORM
from tests.unit.simulator.stream import stream

from ambergate.core.errors import Unavailable
from ambergate.pcs.holding import CachePolicy
from ambergate.simulator.period import Period
from ambergate.simulator.pki import tcb_signing_template

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.pcs.cache import CachedCollateral

SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
END: Final = AT + timedelta(days=30)  # of what the platform publishes at AT, but for the root CA's list
GRACED: Final = CachePolicy(grace=DAY)
PUBLISHED: Final = PLATFORM.publication(at=AT)


def refusal(kept: CachedCollateral) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        get(kept)
    return caught.value


def ending(**ends: datetime) -> Collateral:
    """Collateral whose named statements end at these instants: `tcb_info`, `qe_identity`, `root_crl`, `pck_crl`."""
    begin = PUBLISHED.tcb_info.period.start
    parts = {name: replace(getattr(PUBLISHED, name), period=Period(begin, end)) for name, end in ends.items()}
    return replace(PUBLISHED, **parts).collateral()


def signed_until(end: datetime) -> Collateral:
    """Collateral whose QE identity's signer has a certificate that ends then."""
    template = tcb_signing_template(AT, stream("signer"))
    pki = PUBLISHED.qe_signing
    signer = PUBLISHED.root.issue(replace(template, period=Period(AT - DAY, end)), pki.key)
    return replace(PUBLISHED, qe_signing=signer).collateral()
