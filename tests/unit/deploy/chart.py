"""The chart as its user sees it: values in, objects or words out. By Helm's engine."""

from __future__ import annotations

import functools
import json
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.unit.deploy.conftest import PLACE, PROJECT

CHART: Final = PROJECT / "deploy" / "helm" / "ambergate"
_ENGINE: Final = Path(__file__).with_name("helm_engine.py")
SERVICES: Final = ("attestation", "keybroker")
# A whole installation: what has to be given and no more.
VALUES: Final[dict[str, Any]] = {
    "defaults": {
        "keyEncryptionKey": {"secret": {"name": "kek"}},
        "tls": {"secret": "tls"},
        "database": {"passwordSecret": {"name": "db"}},
        "networkPolicy": {
            "from": [{"namespaceSelector": {}}],
            "databaseTo": [{"ipBlock": {"cidr": "10.0.0.7/32"}}],
        },
    },
    "attestation": {
        "baseUrl": "https://attest.example",
        "database": {"url": "postgresql://amber@db.example/attestation"},
    },
    "keybroker": {
        "database": {"urlSecret": {"name": "broker-db"}},
        "config": {"issuers": [{"issuer": "https://attest.example", "jwks_url": "https://attest.example/certs"}]},
    },
}
SQLITE: Final = {"replicas": 1, "database": {"sqlite": {"enabled": True}, "url": "", "passwordSecret": {"name": ""}}}


class Refused(Exception):
    """Helm does not render this; the text says why."""


def laid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, tables into tables, as Helm does with several files of values."""
    both = dict(base)
    for name, value in over.items():
        under = both.get(name)
        both[name] = laid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


@dataclass(frozen=True)
class Rendered:
    """The objects of an installation."""

    objects: list[dict[str, Any]]
    notes: str
    findings: list[dict[str, Any]]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [one for one in self.objects if one["kind"] == kind and one["metadata"]["name"] == name]
        return found

    def names(self, kind: str) -> list[str]:
        return sorted(one["metadata"]["name"] for one in self.objects if one["kind"] == kind)

    def container(self, service: str) -> dict[str, Any]:
        [found] = self.pod(service)["containers"]
        assert isinstance(found, dict)
        return found

    def pod(self, service: str) -> dict[str, Any]:
        found = self.get("Deployment", f"amber-{service}")["spec"]["template"]["spec"]
        assert isinstance(found, dict)
        return found

    def toml(self, service: str) -> str:
        [text] = self.get("ConfigMap", f"amber-{service}")["data"].values()
        assert isinstance(text, str)
        return text

    def config(self, service: str) -> dict[str, Any]:
        return tomllib.loads(self.toml(service))


@functools.cache
def _answer(request: str) -> str:
    python = PLACE / "python"
    if not python.exists():
        pytest.skip("build/deploy-tools is not there (make deploy-tools)")
    command = [python, _ENGINE]
    return subprocess.run(command, input=request, capture_output=True, text=True, check=True, timeout=60).stdout


def render(over: dict[str, Any] | None = None, *, bare: bool = False) -> Rendered:
    """The chart under these values, laid over `VALUES` unless `bare`; as the release `amber` in the namespace `apart`.

    Raises:
        Refused: it does not render.
    """
    values = (over or {}) if bare else laid(VALUES, over or {})
    answer = json.loads(_answer(json.dumps({"chart": str(CHART), "values": values, "name": "amber"})))
    if "error" in answer:
        raise Refused(answer["error"])
    notes = answer["templates"].pop("ambergate/templates/NOTES.txt")
    documents = [one for name in sorted(answer["templates"]) for one in yaml.safe_load_all(answer["templates"][name])]
    return Rendered([one for one in documents if one], notes, answer["lint"]["messages"])
