"""What a policy asks of the request itself: how often, and over a nonce of the background check."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, Forge

from ambergate.core.errors import ReleaseRefused, Unavailable
from ambergate.core.release.envelope import Envelope
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.keymanagers.builtin import BuiltIn
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.ports import Evidence
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.keybroker.usecase import KeyTransfer
from ambergate.stores.releases import ReleaseCounter
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from ambergate.services.keybroker.ports import Decision
    from ambergate.stores.secrets import StoredSecret

    Made = Callable[[dict[str, object], Callable[[Decision], None]], KeyTransfer[StoredSecret]]

KEY = UUID("ae6281b3-e4fe-3db5-82fd-000000000002")


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@pytest.fixture
def releases(sqlite: Engine) -> ReleaseCounter:
    return ReleaseCounter(sqlite)


@pytest.fixture
def transfer(sqlite: Engine, releases: ReleaseCounter, forge: Forge) -> Made:
    """A use case over one key, under a policy and with an audit log of the test's choice."""
    store = SecretStore(sqlite, Sealer(b"k" * 32))
    ring = KeyRing(catalogue=store, managers={BUILT_IN: BuiltIn(secrets.token_bytes)})
    keys = IssuerKeys(lambda: json.dumps(forge.key_set()))
    trust = TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)])

    def made(policy: dict[str, object], audit: Callable[[Decision], None]) -> KeyTransfer[StoredSecret]:
        if store.find(KEY) is None:
            store.add(KEY, b"secret", ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, **policy}), at=AT)
        return KeyTransfer(secrets=ring, releases=releases, trust=trust, audit=audit, token_bytes=secrets.token_bytes)

    return made


def test_no_more_releases_than_the_policy_allows(transfer: Made, releases: ReleaseCounter, forge: Forge) -> None:
    """A refusal takes none of them; the one too many is refused by name."""
    decisions: list[Decision] = []
    ask = transfer({"minimum_isv_svn": 3, "max_releases": 2}, decisions.append)
    old = forge.token(claims=forge.claims(sgx_isvsvn=2))
    for _ in range(2):
        assert isinstance(ask(KEY, forge.token(), at=AT), Envelope)
        with pytest.raises(ReleaseRefused):
            ask(KEY, old, at=AT)
    with pytest.raises(ReleaseRefused) as caught:
        ask(KEY, forge.token(), at=AT)
    assert [mismatch["rule"] for mismatch in caught.value.mismatches] == ["max_releases"]
    assert [decision.error is None for decision in decisions] == [True, False, True, False, False]
    assert releases.taken(KEY) == 2


def test_a_release_is_counted_before_it_is_written_down(transfer: Made, forge: Forge) -> None:
    """Where the log fails, nothing leaves, and the place is gone: fewer than allowed, never more."""

    def full(decision: Decision) -> None:
        raise Unavailable("no log", seen=decision.key_id)

    with pytest.raises(Unavailable):
        transfer({"max_releases": 1}, full)(KEY, forge.token(), at=AT)
    with pytest.raises(ReleaseRefused):
        transfer({"max_releases": 1}, lambda _: None)(KEY, forge.token(), at=AT)


def test_a_policy_without_a_bound_counts_nothing(transfer: Made, releases: ReleaseCounter, forge: Forge) -> None:
    transfer({}, lambda _: None)(KEY, forge.token(), at=AT)
    assert releases.taken(KEY) == 0


def test_a_bound_nonce_takes_the_background_check(transfer: Made, forge: Forge) -> None:
    """The same token, shown by the workload, is refused: it can be as old as its lifetime lets it be."""
    nonce = {"val": "AAAA", "iat": "AAAA", "signature": "AAAA"}
    token = forge.token(claims=forge.claims(verifier_nonce=nonce))

    class Answering:
        def nonce(self, *, request_id: str) -> dict[str, str]:
            return {**nonce, "val": request_id}

        def token(self, evidence: Evidence, *, policy_ids: Sequence[UUID], request_id: str) -> str:
            assert (evidence.quote, list(policy_ids), request_id) == (b"quote", [], str(KEY))
            return token

    ask = replace(transfer({"nonce": "bound"}, lambda _: None), verifier=Answering())
    evidence = Evidence(quote=b"quote", nonce=nonce, user_data=forge.held())
    assert isinstance(ask.appraised(KEY, evidence, tee="SGX", at=AT), Envelope)
    another = replace(evidence, nonce={**nonce, "val": "BBBB"})
    shown: Callable[[], object] = lambda: ask(KEY, token, at=AT)  # noqa: E731
    appraised: Callable[[], object] = lambda: ask.appraised(KEY, another, tee="SGX", at=AT)  # noqa: E731
    for refused in (shown, appraised):
        with pytest.raises(ReleaseRefused) as caught:
            refused()
        assert [mismatch["rule"] for mismatch in caught.value.mismatches] == ["nonce"]
