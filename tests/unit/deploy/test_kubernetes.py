"""The manifests for a workload: built by kustomize, held to Kubernetes' schemas, and to what they promise."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from tests.unit.deploy.conftest import PROJECT
from tests.unit.deploy.pages import blocks

if TYPE_CHECKING:
    from pathlib import Path

PLACE = PROJECT / "deploy" / "kubernetes"
FILES = sorted(PLACE.rglob("*.yaml"))
BUILT = ("nodes-intel", "nodes-azure", "aesmd")
DEVICES = {"sgx.intel.com/enclave", "sgx.intel.com/provision", "sgx.intel.com/epc"}


def built(name: str) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(PLACE / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [one for one in objects if one["kind"] == kind]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PLACE)))
def test_every_file_is_whole(file: Path) -> None:
    """Patches are no objects of their own. Where kubectl is not installed, this is what is left."""
    found = yaml.safe_load(file.read_text())
    assert found["kind"]
    if found["kind"] != "Kustomization" and file.name != "sgx.yaml":
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", BUILT)
def test_every_object_is_one_of_kubernetes(name: str) -> None:
    for one in built(name):
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"]


@pytest.mark.parametrize(("name", "devices"), [
    ("nodes-intel", {"sgx.intel.com/enclave": "1", "sgx.intel.com/epc": "1Gi"}),
    ("nodes-azure", {"sgx.intel.com/epc": "1Gi"}),
])  # fmt: skip
def test_a_workload_is_one_container_without_rights(name: str, devices: dict[str, str]) -> None:
    objects = built(name)
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "initContainers" not in pod
    assert {key: value for key, value in container["resources"]["limits"].items() if key in DEVICES} == devices
    rights = container["securityContext"]
    assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]})
    assert rights["readOnlyRootFilesystem"] is True
    assert "privileged" not in rights
    assert pod["automountServiceAccountToken"] is False
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert pod["nodeSelector"]
    policy = of_kind(objects, "NetworkPolicy")["spec"]
    assert (policy["policyTypes"], policy["ingress"]) == (["Ingress", "Egress"], [])
    assert all(rule["to"] for rule in policy["egress"])


def test_aesm_alone_may_tell_machines_apart() -> None:
    pod = of_kind(built("aesmd"), "DaemonSet")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"].keys() >= DEVICES
    [socket] = [volume for volume in pod["volumes"] if volume["name"] == "socket"]
    workload = yaml.safe_load((PLACE / "workload" / "deployment.yaml").read_text())
    [aesm] = [volume for volume in workload["spec"]["template"]["spec"]["volumes"] if volume["name"] == "aesm"]
    assert socket["hostPath"]["path"] == aesm["hostPath"]["path"]


def test_the_quote_librarys_file_is_one() -> None:
    held = of_kind(built("aesmd"), "ConfigMap")["data"]["sgx_default_qcnl.conf"]
    assert json.loads(held)["use_secure_cert"] is True


def test_the_pages_commands_run() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    commands = blocks(PLACE / "README.md", "bash")
    assert commands
    for command in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=PROJECT, capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr


def test_yaml_is_read_the_same_by_everybody() -> None:
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 120}, comments: disable}}"
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(PLACE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
