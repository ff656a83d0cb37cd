"""Every fault of the service, met by the real client, has the outcome that its name promises."""

from __future__ import annotations

import pytest
from tests.integration.pcs.scene import ATTEMPTS, QUOTES, Site, site, verified

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import AmberError, MalformedCollateral, NotGenuine, TimedOut, Unavailable
from ambergate.pcs.admission import NOT_GENUINE, NOT_NOW, OF_ANOTHER, ROLLED_BACK
from ambergate.pcs.holding import EXPIRED, ProcessMemory
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.refusals import BUSY, UNKNOWN, WITHDRAWN
from ambergate.pcs.retry import RetryPolicy
from ambergate.pcs.several import FirstOf
from ambergate.simulator.pcs import FAULTS, Dialect, Document, Outcome

# In the order they are asked for; each is asked for once when all is well.
FETCHED = [Document.TCB, Document.IDENTITY, Document.PCK_CRL, Document.ROOT_CRL]
CODES = {
    **dict.fromkeys(("not-json", "oversized", "packed"), MalformedCollateral.CODE),
    "stale": NOT_NOW,
    "wrong-chain": NOT_GENUINE,
    "wrong-signature": NOT_GENUINE,
    "wrong-fmspc": OF_ANOTHER,
}
# All but the drip, which ends by the client's clock: here that stands still.
BAD = [name for name, fault in FAULTS.items() if fault.outcome is not Outcome.TAKEN and name != "slow"]
REASONS = {"http-404": UNKNOWN, "http-410": WITHDRAWN, "http-429": BUSY, "http-461": UNKNOWN, "http-462": UNKNOWN}
YEAR = 365 * 24 * 3600.0
DAY = 24 * 3600.0


def cases(outcome: Outcome, *but: str) -> list[tuple[str, Document]]:
    """Every fault of this outcome at every document that it concerns and a verification needs."""
    names = [fault.name for fault in FAULTS.values() if fault.outcome is outcome and fault.name not in but]
    return [(name, document) for name in names for document in FETCHED if document in FAULTS[name].documents]


def requests(here: Site, document: Document) -> int:
    """How many were made for this document."""
    ends = {Document.IDENTITY: "/qe/identity"}.get(document, f"/{document}")
    return sum(count for path, count in here.server.requests.items() if path.endswith(ends))


@pytest.mark.parametrize(("name", "document"), cases(Outcome.TAKEN))
def test_what_is_good_is_taken_however_it_comes(name: str, document: Document) -> None:
    with site(f"{name}@{document}") as here, here.online() as source:
        assert verified(QUOTES["SGX"], source).tcb.status is TcbStatus.UP_TO_DATE
        assert here.asked() == len(FETCHED)


@pytest.mark.parametrize(("name", "document"), cases(Outcome.RETRIED))
def test_what_may_pass_is_tried_again(name: str, document: Document) -> None:
    with site(f"{name}:{ATTEMPTS - 1}@{document}") as here, here.online() as source:
        assert verified(QUOTES["SGX"], source).tcb.status is TcbStatus.UP_TO_DATE
        assert requests(here, document) == ATTEMPTS
        assert len(here.clock.waits) == ATTEMPTS - 1
        if name == "http-429":
            assert here.clock.waits == [1.0] * (ATTEMPTS - 1)  # Retry-After


@pytest.mark.parametrize(("name", "document"), cases(Outcome.RETRIED))
def test_what_does_not_pass_is_given_up(name: str, document: Document) -> None:
    with site(f"{name}@{document}") as here, here.online() as source:
        with pytest.raises(Unavailable) as caught:
            here.fetch(source)
        assert requests(here, document) == ATTEMPTS
        assert caught.value.code == REASONS.get(name, caught.value.code)


@pytest.mark.parametrize(("name", "document"), cases(Outcome.UNAVAILABLE, "slow"))
def test_what_another_try_cannot_change_is_not_tried(name: str, document: Document) -> None:
    """Bounded to one request: a client that asks again, or follows the redirect, would have the document."""
    with site(f"{name}:1@{document}") as here, here.online() as source:
        with pytest.raises(Unavailable) as caught:
            here.fetch(source)
        assert (requests(here, document), here.clock.waits) == (1, [])
        assert caught.value.code == REASONS.get(name, caught.value.code)


@pytest.mark.parametrize("document", FETCHED)
def test_a_body_that_drips_is_not_waited_for(document: Document) -> None:
    """Bytes come more often than the client's patience with silence: only the deadline of the whole ends it."""
    with (
        site(f"slow@{document}") as here,
        OnlineCollateral(
            here.server.url,
            verify=here.server.client_context(),
            timeout=5.0,
            retry=RetryPolicy(attempts=1, deadline=0.75),
        ) as source,
        pytest.raises(TimedOut),
    ):
        here.fetch(source)


@pytest.mark.parametrize(("name", "document"), cases(Outcome.REFUSED, "rollback"))
def test_what_is_not_believed_is_not_let_in(name: str, document: Document) -> None:
    with site(f"{name}@{document}") as here, here.online() as source, here.cached(source) as cache:
        with pytest.raises(AmberError) as caught:
            here.fetch(cache)
        assert caught.value.code == CODES[name]
        assert isinstance(caught.value, (Unavailable, MalformedCollateral))
        assert [holding.expires for holding in cache.holdings()] == [None]
        here.arm()
        here.clock.sleep(DAY)
        here.fetch(cache)
        assert len([holding.expires for holding in cache.holdings() if holding.expires is not None]) == 1


@pytest.mark.parametrize("name", BAD)
def test_what_one_service_does_not_have_the_next_one_has(name: str) -> None:
    memory = ProcessMemory()
    with site() as first, site(dialect=Dialect.PCCS) as second, first.online() as pcs, second.online() as pccs:
        with first.cached(pcs, memory) as cache:
            first.fetch(cache)
        first.arm(name)
        with first.online() as broken, first.cached(FirstOf([("pcs", broken), ("pccs", pccs)]), memory) as cache:
            collateral = first.fetch(cache)
        assert collateral == second.fetch(pccs)  # signatures and all, which differ between the two


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("stale@tcb", "5.1.tcb_info_dates"),
        ("stale@identity", "5.2.qe_identity_dates"),
        ("stale@pckcrl", "5.5.pck_crl_dates"),
        ("stale@rootcacrl", "5.4.root_crl_dates"),
        ("wrong-chain@tcb", "3.2.tcb_chain_anchor"),
        ("wrong-chain@identity", "4.2.qe_chain_anchor"),
        ("wrong-chain@pckcrl", "2.9.pck_crl_signature"),
        ("wrong-chain@rootcacrl", "2.7.root_crl_signature"),
        ("wrong-signature@tcb", "3.5.tcb_info_signature"),
        ("wrong-signature@identity", "4.5.qe_identity_signature"),
        ("wrong-signature@pckcrl", "2.9.pck_crl_signature"),
        ("wrong-signature@rootcacrl", "2.7.root_crl_signature"),
        ("wrong-fmspc@tcb", "6.2.fmspc"),
    ],
)
def test_without_a_cache_the_verifier_names_the_step(fault: str, step: str) -> None:
    with site(fault) as here, here.online() as source, pytest.raises(NotGenuine) as caught:
        verified(QUOTES["SGX"], source)
    assert caught.value.step == step


@pytest.mark.parametrize("document", [Document.TCB, Document.IDENTITY])
@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_a_lower_evaluation_number_is_refused_by_who_has_seen_a_higher_one(tee: str, document: Document) -> None:
    memory = ProcessMemory()
    with site(f"rollback@{document}") as here:
        with here.online() as source, here.cached(source) as fresh:
            here.fetch(fresh, tee)  # nothing to compare it with: genuine and in date
        here.arm()
        with here.online() as source, here.cached(source, memory) as cache:
            here.fetch(cache, tee)
        here.arm(f"rollback@{document}")
        with here.online() as source, here.cached(source, memory) as cache, pytest.raises(Unavailable) as caught:
            here.fetch(cache, tee)
    assert caught.value.code == ROLLED_BACK
    assert "number 16" in str(caught.value.seen)


@pytest.mark.parametrize("name", BAD)
def test_what_is_held_outlives_every_fault_until_it_expires(name: str) -> None:
    with site() as here, here.online() as source, here.cached(source) as cache:
        good = here.fetch(cache)
        here.arm(name)
        here.clock.sleep(DAY)
        assert here.fetch(cache) is good
        here.clock.sleep(YEAR)
        with pytest.raises(AmberError) as caught:
            here.fetch(cache)
    assert caught.value.code == EXPIRED
