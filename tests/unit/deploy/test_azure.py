"""The scripts for Azure: what they ask of `az`, told before it is done, and nothing at all in a dry run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.unit.deploy.conftest import PROJECT
from tests.unit.deploy.pages import blocks

from ambergate.services.attestation.anchors import anchors_of
from ambergate.services.attestation.tables import Anchor

if TYPE_CHECKING:
    from pathlib import Path

PLACE: Final = PROJECT / "deploy" / "azure"
# Command -> options with a value, options that must be there, flags; of az 2.91.0, those that are used here.
KNOWN: Final[dict[str, tuple[str, str, str]]] = {
    "vm list-skus": ("location size resource-type query", "", ""),
    "group create": ("name location", "name location", ""),
    "network nsg create": ("resource-group name location", "resource-group name", ""),
    "network nsg rule create": (
        """resource-group nsg-name name priority direction access protocol source-address-prefixes
        destination-port-ranges""",
        "resource-group nsg-name name priority",
        "",
    ),
    "vm create": (
        """resource-group name location size image authentication-type admin-username ssh-key-values nsg
        public-ip-address public-ip-sku custom-data""",
        "resource-group name image",
        "",
    ),
    "vm show": ("resource-group name query", "resource-group name", "show-details"),
    "aks create": (
        """resource-group name location node-count network-plugin network-plugin-mode network-dataplane network-policy
        enable-addons""",
        "resource-group name",
        "enable-sgxquotehelper enable-managed-identity no-ssh-key",
    ),
    "aks enable-addons": ("resource-group name addons", "resource-group name addons", "enable-sgxquotehelper"),
    "aks nodepool add": (
        "resource-group cluster-name name mode node-vm-size node-count labels",
        "resource-group cluster-name name",
        "",
    ),
    "aks get-credentials": ("resource-group name", "resource-group name", ""),
}
DOUBLE: Final = """\
#!{python}
import json, os, sys
with open(os.environ["AZ_RECORD"], "a") as record:
    record.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["vm", "list-skus"]:
    print(os.environ["AZ_SKUS"])
elif sys.argv[1:3] == ["vm", "show"]:
    print("198.51.100.7")
"""


def read(words: list[str]) -> tuple[str, dict[str, str]]:
    """A command and its options, as strictly as az reads them: nothing unknown, nothing twice, nothing left out."""
    names = words[: next(i for i, word in enumerate(words) if word.startswith("--"))]
    command = " ".join(names)
    assert command in KNOWN, command
    values, needed, flags = (set(group.split()) for group in KNOWN[command])
    found: dict[str, str] = {}
    rest = iter(words[len(names) :])
    for word in rest:
        name = word.removeprefix("--")
        assert word.startswith("--"), word
        assert name in values | flags | {"output", "only-show-errors"}, word
        assert name not in found, word
        found[name] = "" if name in flags or name == "only-show-errors" else next(rest)
    assert needed <= found.keys()
    return command, found


@dataclass(frozen=True)
class Run:
    """What a script printed, and what it asked of az."""

    code: int
    printed: list[tuple[str, dict[str, str]]]
    asked: list[tuple[str, dict[str, str]]]
    text: str

    def __getitem__(self, command: str) -> dict[str, str]:
        [found] = [options for name, options in self.printed if name == command]
        return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "az").write_text(DOUBLE.replace("{python}", sys.executable))
    (tmp_path / "az").chmod(0o755)
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA somebody\n")
    return tmp_path


def run(place: Path, script: str, arguments: str, *, skus: str = "0") -> Run:
    record = place / "record"
    environ = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "AZ_RECORD": str(record), "AZ_SKUS": skus}
    command = ["bash", str(PLACE / script), *shlex.split(arguments.replace("KEY", str(place / "key.pub")))]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    lines = [line.removeprefix("+ az ") for line in done.stdout.splitlines() if line.startswith("+ az ")]
    asked = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    return Run(
        done.returncode,
        [read(shlex.split(line)) for line in lines],
        [read(words) for words in asked],
        done.stdout + done.stderr,
    )


VM: Final = "--group rg --name vm1 --location westeurope --ssh-key KEY"
AKS: Final = "--group rg --cluster c1 --location westeurope"
GOOD: Final = {
    "a machine": ("vm.sh", VM),
    "a machine with an address": ("vm.sh", f"{VM} --ssh-from 192.0.2.0/24"),
    "another size": ("vm.sh", f"{VM} --size Standard_DC48ds_v3 --user me"),
    "a pool": ("aks.sh", AKS),
    "a cluster": ("aks.sh", f"{AKS} --create-cluster --pool p1 --count 3 --size Standard_DC8s_v3"),
}


@pytest.mark.parametrize(("script", "arguments"), GOOD.values(), ids=GOOD)
def test_a_dry_run_tells_what_would_be_done_and_does_nothing(place: Path, script: str, arguments: str) -> None:
    dry = run(place, script, f"{arguments} --dry-run")
    assert (dry.code, dry.asked) == (0, []), dry.text
    real = run(place, script, arguments)
    assert real.code == 0, real.text
    assert real.printed == dry.printed
    ours = {"output", "only-show-errors"}
    told = [(name, {key: value for key, value in said.items() if key not in ours}) for name, said in real.asked]
    assert told == real.printed, "what is done is what is told"


def test_nobody_connects_to_a_machine_unless_told(place: Path) -> None:
    closed = run(place, "vm.sh", f"{VM} --dry-run")
    assert closed["vm create"]["public-ip-address"] == ""
    assert "network nsg rule create" not in dict(closed.printed)
    opened = run(place, "vm.sh", f"{VM} --ssh-from 192.0.2.0/24 --dry-run")
    rule = opened["network nsg rule create"]
    assert (rule["source-address-prefixes"], rule["destination-port-ranges"]) == ("192.0.2.0/24", "22")
    assert opened["vm create"]["nsg"] == rule["nsg-name"]
    assert opened["vm create"]["authentication-type"] == "ssh"


def test_a_pool_is_one_that_the_manifests_look_for(place: Path) -> None:
    made = run(place, "aks.sh", f"{AKS} --create-cluster --dry-run")
    patch = yaml.safe_load((PROJECT / "deploy/kubernetes/nodes-azure/sgx.yaml").read_text())
    [(label, value)] = patch["spec"]["template"]["spec"]["nodeSelector"].items()
    assert made["aks nodepool add"]["labels"] == f"{label}={value}"
    assert made["aks create"]["enable-addons"] == "confcom"
    assert "enable-sgxquotehelper" in made["aks create"]
    assert made["aks create"]["network-policy"], "or network policies would do nothing"


BAD: Final = {
    "a size without SGX": ("vm.sh", f"{VM} --size Standard_DC4as_v5", "other families have no SGX"),
    "a size that there is not": ("aks.sh", f"{AKS} --size Standard_DC3s_v3", "other families have no SGX"),
    "the whole world": ("vm.sh", f"{VM} --ssh-from 0.0.0.0/0", "would let everybody connect"),
    "the whole world, written longer": ("vm.sh", f"{VM} --ssh-from 0.0.0.0/00", "would let everybody connect"),
    "all of IPv6": ("vm.sh", f"{VM} --ssh-from ::/0", "would let everybody connect"),
    "no network": ("vm.sh", f"{VM} --ssh-from everywhere", "a network, such as"),
    "no key": ("vm.sh", "--group rg --name vm1 --location westeurope", "--ssh-key must be given"),
    "a private key": ("vm.sh", f"{VM} --ssh-key /dev/null", "no file with a public key"),
    "no group": ("aks.sh", "--cluster c1 --location westeurope", "--group must be given"),
    "a name with more in it": (
        "aks.sh",
        "--group rg --cluster 'c1; rm' --location westeurope",
        "--cluster cannot be used",
    ),
    "a long pool": ("aks.sh", f"{AKS} --pool averylongname1", "at most 12"),
    "no nodes": ("aks.sh", f"{AKS} --count 0", "a number of nodes"),
    "an unknown option": ("aks.sh", f"{AKS} --frobnicate", "unknown option"),
    "an option without its value": ("vm.sh", f"{VM} --size", "takes a value"),
}


@pytest.mark.parametrize(("script", "arguments", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_before_anything_is_done(
    place: Path, script: str, arguments: str, words: str
) -> None:
    done = run(place, script, arguments)
    assert (done.code, done.asked, done.printed) == (2, [], [])
    assert words in done.text
    assert "next:" in done.text


@pytest.mark.parametrize(
    ("skus", "words"), [("", "has no machines of the size"), ("2", "may have no Standard_DC4s_v3")]
)
def test_a_size_that_cannot_be_had_stops_before_anything_is_made(place: Path, skus: str, words: str) -> None:
    done = run(place, "vm.sh", VM, skus=skus)
    assert (done.code, [name for name, _ in done.asked]) == (2, ["vm list-skus"])
    assert words in done.text


@pytest.mark.parametrize("script", ["vm.sh", "aks.sh"])
def test_help_names_every_option(script: str) -> None:
    done = subprocess.run(["bash", PLACE / script, "--help"], capture_output=True, text=True, check=True, timeout=60)
    options = re.findall(r"^ +(--[a-z-]+)\) ", (PLACE / script).read_text(), re.MULTILINE)
    assert len(options) > 5
    assert [option for option in options if option not in done.stdout] == []


def test_the_pages_commands_run_as_written(place: Path) -> None:
    home = {**os.environ, "HOME": str(place), "PATH": f"{place}:{os.environ['PATH']}", "AZ_RECORD": str(place / "r")}
    (place / ".ssh").mkdir()
    (place / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA somebody\n")
    [commands] = blocks(PLACE / "README.md", "bash")
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=PROJECT, env=home, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not (place / "r").exists()


def test_the_pages_anchors_are_taken(place: Path) -> None:
    [text] = blocks(PLACE / "README.md", "toml")
    [anchor] = anchors_of([Anchor(**table) for table in tomllib.loads(text)["anchors"]], place)
    assert anchor.collateral[0] == "https://api.trustedservices.intel.com"


def test_the_quote_librarys_file_is_one_that_the_doctor_finds_good(place: Path) -> None:
    [file] = yaml.safe_load((PLACE / "cloud-init.yaml").read_text())["write_files"]
    told: dict[str, Any] = json.loads(file["content"])
    assert (file["path"], told["use_secure_cert"]) == ("/etc/sgx_default_qcnl.conf", True)
    for name, text in (
        (file["path"], file["content"]),
        ("/sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n"),
    ):
        (place / "root" / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (place / "root" / name[1:]).write_text(text)
    command = [sys.executable, "-c", "from ambergate.cli.main import main; main()", "doctor", "--json", "--offline"]
    done = subprocess.run([*command, "--root", place / "root"], capture_output=True, text=True, check=False, timeout=60)
    found = {one["id"]: one["weight"] for one in json.loads(done.stdout)["findings"] if one["id"].startswith("qcnl")}
    assert found == {"qcnl.file": "good"}
