"""What a running broker counts of its releases and refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from tests.integration.keybroker.forge import ISSUER, Forge
from tests.integration.keybroker.scene import running_broker

from ambergate.services.keybroker.metrics import BrokerMetrics
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles


def test_releases_and_refusals_are_counted(tls: TlsFiles, tmp_path: Path, forge: Forge) -> None:
    metrics = BrokerMetrics()
    keys = IssuerKeys(lambda: json.dumps(forge.key_set()))
    trust = TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)])
    with running_broker(trust, tls, tmp_path, metrics=metrics) as broker:
        assert broker.transfer(forge.token()).status_code == 200
        assert broker.transfer(forge.token(claims=forge.claims(sgx_isvsvn=1))).status_code == 401
        assert broker.transfer("a.b.c").status_code == 401
        families = text_string_to_metric_families(metrics.text().decode())
    found = {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}
    assert found["ambergate_key_transfers_total", "none", "released"] == 1
    assert found["ambergate_key_transfers_total", "release-refused", "refused"] == 1
    assert found["ambergate_key_transfers_total", "malformed-token", "refused"] == 1
    assert found["ambergate_audit_records",] == 3
    name = "ambergate_http_requests_total"
    assert found[name, "POST", "/kbs/v1/keys/{id}/transfer", "200"] == 1
