"""A running attestation service, and the forecast for the platforms that it saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.attestation.conftest import tls  # the certificate that its service uses
from tests.integration.attestation.scene import AT, started
from tests.integration.collateral.site import amber, read

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.simulator.documents import EARLY

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles

__all__ = ["tls"]


def test_what_attested_is_forecast(tmp_path: Path, tls: TlsFiles) -> None:
    early = tmp_path / "early"
    early.mkdir()
    with started(tmp_path, tls) as service:
        assert service.attest(service.evidence(service.nonce())).status_code == 200
        said = service.platform.collateral(at=AT, status=TcbStatus.OUT_OF_DATE, edition=EARLY)
        (early / service.platform.collateral_path.name).write_text(said.to_json())
        command = ("forecast", "--config", tmp_path / "attestation.toml", "--early", early, "--at", AT.isoformat())
        (row,) = read(amber(*command, "--json"))["platforms"]
        assert (row["fmspc"], row["change"]) == (service.platform.fmspc.hex(), "worse")
        assert row["last_seen"] == AT.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert amber(*command, "--fail-on-change").exit_code == 3
