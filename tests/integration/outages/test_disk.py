"""The disk full: a real file system of a few MiB, filled to the last byte under a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from tests.integration.attestation.scene import SIMULATED
from tests.integration.outages.scene import SECOND, TURNS, Outage, fill, outage

from ambergate.stores.audit import PIN_EVERY

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles


def checkpoint_failing(it: Outage) -> float:
    families = text_string_to_metric_families(it.metrics.text().decode())
    (value,) = (
        each.value
        for family in families
        for each in family.samples
        if each.name == "ambergate_audit_checkpoint_failing"
    )
    return value


def test_the_databases_disk_is_full(disk: Path, tls: TlsFiles) -> None:
    with outage(disk, tls) as it:
        assert it.attest() == "token"
        ballast = fill(disk)
        turns = iter(range(TURNS))
        while it.attest() == "token":  # into room that the database had taken before: these are kept
            next(turns)
        for _ in range(5):
            assert it.attest() == "audit-unavailable"
            fill(disk)
        assert it.ready() == ["audit"], "reading goes on"
        assert it.service.client.get("/certs").status_code == 200

        ballast.unlink()
        assert it.attest() == "token"
        assert it.ready() == []
        it.check_nothing_is_lost()
        before = it.tokens
    with outage(disk, tls) as again:
        again.tokens = before
        assert again.attest() == "token"
        again.check_nothing_is_lost()


def test_the_checkpoints_disk_is_full(disk: Path, tls: TlsFiles, tmp_path: Path) -> None:
    """The service goes on: the old checkpoint is still true. It says so, and writes the new one when it can."""
    pin = disk / "checkpoint"
    with outage(tmp_path, tls, f'{SIMULATED}[audit]\ncheckpoint = "{pin}"\n') as it:
        assert it.attest() == "token"
        old, ballast = pin.read_text(), fill(disk)
        turns = iter(range(TURNS))
        while not checkpoint_failing(it):
            next(turns)
            it.service.clock.instant += PIN_EVERY
            assert it.attest() == "token"
        assert it.ready() == []
        assert pin.read_text() == old, "whole, and true of a log that has grown since"

        ballast.unlink()
        while checkpoint_failing(it):
            next(turns)
            it.service.clock.instant += PIN_EVERY + SECOND
            assert it.attest() == "token"
        assert pin.read_text() != old
        it.check_nothing_is_lost()
