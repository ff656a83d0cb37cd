"""The database gone for a minute: a real PostgreSQL, stopped and started under a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.outages.scene import SECOND, TURNS, outage

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles


def test_gone_for_a_minute(tmp_path: Path, tls: TlsFiles, server: Any) -> None:  # noqa: ANN401  # the wheel has no types
    uri = server.get_uri().replace("postgres:@", "postgres@")
    with outage(tmp_path, tls, database=uri) as it:
        assert it.attest() == "token"
        assert it.ready() == []
        keys = it.service.client.get("/certs").json()
        server.stop()

        # Keys are known from memory still, so it is the record that cannot be made: no token without it.
        assert it.attest() == "audit-unavailable"
        assert {"database", "audit"} <= set(it.ready())
        for seconds in (5, 20, 30):  # beyond what memory is trusted for, nobody is known
            it.service.clock.instant += seconds * SECOND
            assert it.attest() == "unavailable"
            assert it.service.client.get("/appraisal/v1/nonce").status_code == 503
            assert it.service.client.get("/certs").json() == keys, "who checks tokens is still served"
            assert it.service.client.get("/crl/ats-ca-crl.der").status_code == 200

        server.start()
        turns = iter(range(TURNS))
        while it.attest() != "token":
            next(turns)
            it.service.clock.instant += SECOND
        assert it.ready() == []
        it.check_nothing_is_lost()
        for jti in it.tokens:
            assert it.service.client.get(f"/audit/v1/proofs/{jti}").status_code == 200
