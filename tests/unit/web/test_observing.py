"""Where metrics and logs go: nowhere but on this machine, unless the operator says more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.attestation.scene import SIMULATED, configure, new_platform

from ambergate.core.errors import SettingsError
from ambergate.services.attestation.config import load
from ambergate.services.web.settings.observing import Metrics, MetricsPlace
from ambergate.services.web.tls import TlsFiles

if TYPE_CHECKING:
    from pathlib import Path


def test_metrics_are_off_by_default(tmp_path: Path) -> None:
    assert Metrics().place(tmp_path) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_plain_http_on_this_machine(tmp_path: Path, host: str) -> None:
    assert Metrics(host=host, port=9090).place(tmp_path) == MetricsPlace(host=host, port=9090, tls=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "metrics.example"])
def test_beyond_it_takes_tls_or_the_words(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="in the clear"):
        Metrics(host=host, port=9090).place(tmp_path)
    assert Metrics(host=host, port=1, insecure_plain_http=True).place(tmp_path) is not None
    place = Metrics(host=host, port=1, certificate="c.pem", key="k.pem").place(tmp_path)
    assert place is not None
    assert place.tls == TlsFiles(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")


@pytest.mark.parametrize("half", [{"certificate": "c.pem"}, {"key": "k.pem"}])
def test_a_certificate_needs_its_key(tmp_path: Path, half: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="belong together"):
        Metrics(port=1, **half).place(tmp_path)


def test_file_and_environment(tmp_path: Path, tls_files: TlsFiles) -> None:
    new_platform(tmp_path)
    config = configure(tmp_path, tls_files, SIMULATED + '[log]\nformat = "json"\n[metrics]\nport = 9090\n')
    assert (config.log.format, config.log.level) == ("json", "info")
    assert config.metrics == MetricsPlace(host="127.0.0.1", port=9090, tls=None)
    file = tmp_path / "attestation.toml"
    told = {"AMBER_ATTESTATION__LOG__LEVEL": "debug", "AMBER_ATTESTATION__METRICS__PORT": "9191"}
    config = load(file, told)
    assert (config.log.format, config.log.level) == ("json", "debug")
    assert config.metrics is not None
    assert config.metrics.port == 9191
    for name, value in (("LOG__LEVEL", "loud"), ("METRICS__PORT", "70000"), ("METRICS__HOST", "10.0.0.1")):
        with pytest.raises(SettingsError):
            load(file, {f"AMBER_ATTESTATION__{name}": value})
