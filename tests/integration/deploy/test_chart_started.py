"""The chart's pods, started as a kubelet would: both services with exactly the configuration that the chart renders."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.deploy.kubelet import USER, Pod, can_change_user, free_ports
from tests.unit.deploy.chart import SQLITE, Rendered, laid, render

from ambergate.services.web.selfsigned import make_server_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Postgres

TURNS = 3000  # looks at a service until it must be ready


@dataclass(frozen=True)
class Cluster:
    """A place for pods, the objects that they mount, and what clients trust."""

    root: Path
    objects: dict[tuple[str, str], dict[str, str]]
    context: ssl.SSLContext
    user: int

    def pod(self, rendered: Rendered, service: str) -> Pod:
        found = rendered.get("ConfigMap", f"amber-{service}")
        objects = {**self.objects, ("ConfigMap", f"amber-{service}"): found["data"]}
        return Pod(rendered.pod(service), self.root / service, objects, self.user)

    @contextmanager
    def ready(self, pod: Pod) -> Iterator[Pod]:
        """A pod that was started and is ready."""
        pod.mount()
        pod.init()
        with pod.running():
            assert pod.probe("startupProbe", self.context) == 200
            assert any(pod.probe("readinessProbe", self.context) == 200 for _ in range(TURNS)), pod.log()
            assert pod.probe("livenessProbe", self.context) == 200
            yield pod


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = make_server_certificate(["localhost"], datetime.now(UTC))
    root = Path(tempfile.mkdtemp(prefix="ambergate-pods-"))
    root.chmod(0o755)
    objects = {
        ("Secret", "tls"): {"tls.crt": made.cert_pem, "tls.key": made.key_pem},
        ("Secret", "kek"): {"kek": "ab" * 32},
        ("ConfigMap", "roots"): {"ca.pem": made.ca_pem},
    }
    context = ssl.create_default_context(cadata=made.ca_pem)
    yield Cluster(root, objects, context, USER if can_change_user() else 0)
    shutil.rmtree(root)


def values(ports: list[int]) -> dict[str, Any]:
    """Ports that are free here; each service's tells of metrics on one of its own."""
    attest, attest_metrics, broker, broker_metrics, admin = ports
    url = f"https://localhost:{attest}"
    issuer = {"issuer": url, "jwks_url": f"{url}/certs", "cacerts": "/run/ambergate/files/roots/ca.pem"}
    return {
        "attestation": {"baseUrl": url, "port": attest, "metrics": {"port": attest_metrics}},
        "keybroker": {
            "port": broker,
            "metrics": {"port": broker_metrics},
            "admin": {"port": admin},
            "files": [{"name": "roots", "configMap": "roots"}],
            "config": {"issuers": [issuer], "transfer": {"per_second": 12.5}},
        },
    }


def start_both(cluster: Cluster, rendered: Rendered, ports: list[int]) -> None:
    attest, attest_metrics, broker, broker_metrics, admin = ports
    with (
        cluster.ready(cluster.pod(rendered, "attestation")),
        cluster.ready(cluster.pod(rendered, "keybroker")),
        httpx.Client(verify=cluster.context, timeout=20) as client,
    ):
        for port, name in ((attest_metrics, "attestation"), (broker_metrics, "keybroker")):
            assert f'service="{name}"' in client.get(f"https://localhost:{port}/metrics").text
        asked = "/kbs/v1/users"
        assert client.get(f"https://localhost:{admin}{asked}").status_code == 401
        assert client.get(f"https://localhost:{broker}{asked}").status_code == 404, "it is managed elsewhere"
        assert client.get(f"https://localhost:{attest}/certs").json()["keys"]


def test_both_services_run_on_files_as_who_may_do_nothing(cluster: Cluster) -> None:
    ports = free_ports(5)
    alone = laid(SQLITE, {"database": {"urlSecret": {"name": ""}}})
    start_both(cluster, render(laid({"attestation": alone, "keybroker": alone}, values(ports))), ports)


def test_both_services_run_on_postgresql(cluster: Cluster, postgres: Postgres) -> None:
    """The server's folder is closed to other users, so the pods run as this one."""
    ports = free_ports(5)
    urls = {
        "attestation": {"database": {"url": postgres.fresh(), "passwordSecret": {"name": ""}}},
        "keybroker": {"database": {"passwordSecret": {"name": ""}}},
    }
    cluster.objects["Secret", "broker-db"] = {"url": postgres.fresh()}
    here = Cluster(cluster.root, cluster.objects, cluster.context, 0)
    start_both(here, render(laid(urls, values(ports))), ports)
