"""What a running service counts of its decisions, its policies and its collateral."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.attestation.managed import MANAGE, NONE, PATH
from tests.integration.attestation.scene import (
    AT,
    ENCLAVE,
    SIMULATED,
    Clock,
    Service,
    configure,
    new_platform,
    serving,
)

from ambergate.cli.attestation import open_roots
from ambergate.core.errors import Unavailable
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.memory import REFRESH
from ambergate.services.attestation.metrics import AttestationMetrics
from ambergate.simulator.cpu import SIMULATED_SIGNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.attestation.app import State
    from ambergate.services.web.server import TlsFiles

TYPED = f'[[sgx]]\nmr_signer = ["{SIMULATED_SIGNER.hex()}"]\nisv_prod_id = [0]\nminimum_isv_svn = '


class Counted:
    """A service, and what it has counted."""

    def __init__(self, service: Service, state: State, metrics: AttestationMetrics) -> None:
        self.service = service
        self.state = state
        self.metrics = metrics

    def samples(self) -> dict[tuple[str, ...], float]:
        """Every sample by its name and its labels' values, these in the order of the labels' names."""
        families = text_string_to_metric_families(self.metrics.text().decode())
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp("counted")
    platform, clock, metrics = new_platform(folder), Clock(), AttestationMetrics()
    config = configure(folder, tls, SIMULATED)
    with (
        open_state(config, at=AT) as state,
        open_roots(config, state.collateral, clock=clock) as roots,
        serving(config, state, roots, platform, clock=clock, metrics=metrics) as service,
    ):
        yield Counted(service, state, metrics)


def grown(before: dict[tuple[str, ...], float], after: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """What has changed, without the clocks."""
    changed = {key: value - before.get(key, 0) for key, value in after.items()}
    return {key: value for key, value in changed.items() if value and "seconds" not in key[0]}


def test_decisions_are_counted_by_what_was_found(site: Counted) -> None:
    service, before = site.service, site.samples()
    assert service.attest({**service.evidence(service.nonce()), "token_signing_alg": "ES256"}).status_code == 200
    assert service.attest(service.evidence(None, enclave=replace(ENCLAVE, debug=True))).status_code == 400
    forged = service.evidence(None)
    forged["quote"] = forged["quote"][:200] + ("A" if forged["quote"][200] != "A" else "B") + forged["quote"][201:]
    assert service.attest(forged).json()["step"] == "8.1.quote_signature"
    found = grown(before, site.samples())
    assert found["ambergate_attestations_total", "UpToDate", "SGX", "issued"] == 1
    assert found["ambergate_attestations_total", "UpToDate", "SGX", "refused"] == 1
    assert found["ambergate_attestations_total", "none", "none", "refused"] == 1
    assert found["ambergate_tokens_total", "ES256", "v1"] == 1
    assert found["ambergate_attestation_refusals_total", "not-welcome", "none"] == 1
    assert found["ambergate_attestation_refusals_total", "quote-signature-invalid", "8.1.quote_signature"] == 1
    assert found["ambergate_audit_records",] == 3
    assert found["ambergate_audit_commit_records_sum",] == 3


def test_policies_are_counted_by_language_and_outcome(site: Counted) -> None:
    service, before = site.service, site.samples()
    _, admin = site.state.api_keys.create("admin", at=AT, terms=MANAGE)
    service.clock.instant += REFRESH
    ids = []
    for name, svn in (("matches", 3), ("does-not", 4)):
        body = {"policy_id": NONE, "policy": TYPED + f"{svn}\n", "policy_name": name, "policy_language": "typed"}
        body |= {"policy_type": "Appraisal policy", "service_offer_id": NONE, "attestation_type": "SGX Attestation"}
        answer = service.client.post(PATH, json=body, headers={"x-api-key": admin})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["policy_id"])
    service.clock.instant += REFRESH
    assert service.attest({**service.evidence(None), "policy_ids": ids}).status_code == 200
    found = grown(before, site.samples())
    assert found["ambergate_policy_outcomes_total", "typed", "matched"] == 1
    assert found["ambergate_policy_outcomes_total", "typed", "unmatched"] == 1


def test_collateral_is_told_by_family(site: Counted) -> None:
    service = site.service
    assert service.attest(service.evidence(None)).status_code == 200
    found = {key[0]: (key[1:], value) for key, value in site.samples().items() if "_collateral_" in key[0]}
    (anchor, ca, fmspc, tee), accepted = found["ambergate_collateral_accepted_timestamp_seconds"]
    assert anchor
    assert (tee, len(fmspc), ca) == ("SGX", 12, "platform")
    assert accepted == pytest.approx(service.clock.instant.timestamp(), abs=60)
    ends = found["ambergate_collateral_end_timestamp_seconds"][1]
    assert ends == (AT + timedelta(days=30)).replace(microsecond=0).timestamp()
    assert found["ambergate_collateral_evaluation_number"][1] >= 1
    assert found["ambergate_collateral_refresh_failures"][1] == found["ambergate_collateral_late"][1] == 0


def test_failed_commits_are_counted(site: Counted) -> None:
    before = site.samples()
    audit = site.state.audit
    begin = audit._append  # a database that fails is made in test_audit; here it is only counted
    try:
        audit._append = _fail  # type: ignore[method-assign, assignment]
        assert site.service.attest(site.service.evidence(None)).status_code == 503
    finally:
        audit._append = begin  # type: ignore[method-assign]
    assert grown(before, site.samples())["ambergate_audit_commit_failures_total",] == 1
    assert site.service.attest(site.service.evidence(None)).status_code == 200


def _fail(drafts: object) -> None:
    del drafts
    raise Unavailable("the disk is full")
