"""Faked hosts, each with its finding: a root directory, sockets in it, and addresses that answer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ambergate.doctor.examine import examine, usable
from ambergate.doctor.findings import Finding, Weight
from ambergate.doctor.host import Answer, Host
from ambergate.doctor.quoting import AZURE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
FLAGS = "fpu sgx sgx_lc sgx1 sgx2"
CPU = "vendor_id\t: {vendor}\nmodel name\t: {vendor} 9999\nflags\t\t: {flags}\n"
QCNL = '// a comment\n{"pccs_url": "https://pccs.example:8081/sgx/certification/v4/", "use_secure_cert": true}\n'
DEVICE = "/dev/null"  # a character device that every machine has
PROVIDER = "/usr/lib/x86_64-linux-gnu/libdcap_quoteprov.so.1"
BUNDLES = "/opt/intel/sgx-aesm-service/aesm/bundles"
AESM = "/var/run/aesmd/aesm.socket"


OK = Answer(status=200)


@dataclass(frozen=True)
class Fake:
    """What makes a host: files with their texts, links, sockets that listen and that do not, answers by address."""

    files: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, str | None] = field(default_factory=dict)
    listening: tuple[str, ...] = (AESM,)
    dead: tuple[str, ...] = ()
    answer: Answer | None = OK
    thim: Answer = OK
    uid: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    at: datetime = AT


GOOD_FILES = {
    "/proc/cpuinfo": CPU.format(vendor="GenuineIntel", flags=FLAGS),
    "/proc/sys/kernel/osrelease": "6.1.0-20-amd64\n",
    "/proc/cmdline": "quiet\n",
    "/proc/1/cgroup": "0::/init.scope\n",
    "/sys/devices/system/node/node0/x86/sgx_total_bytes": f"{64 << 30}\n",
    "/etc/sgx_default_qcnl.conf": QCNL,
    "/run/systemd/timesync/synchronized": "",
    PROVIDER: "",
    f"{BUNDLES}/ecdsa_quote_service_bundle.jar": "",
    "/usr/lib/x86_64-linux-gnu/libfuse3.so.3": "",
}
GOOD_LINKS = dict.fromkeys(("/dev/sgx_enclave", "/dev/sgx_provision", "/dev/fuse"), DEVICE)


def with_files(**changed: str | None) -> Fake:
    names = {
        "cpu": "/proc/cpuinfo",
        "kernel": "/proc/sys/kernel/osrelease",
        "cmdline": "/proc/cmdline",
        "qcnl": "/etc/sgx_default_qcnl.conf",
        "epc": "/sys/devices/system/node/node0/x86/sgx_total_bytes",
        "time": "/run/systemd/timesync/synchronized",
        "bundle": f"{BUNDLES}/ecdsa_quote_service_bundle.jar",
        "libfuse": "/usr/lib/x86_64-linux-gnu/libfuse3.so.3",
        "provider": PROVIDER,
        "docker": "/.dockerenv",
        "tag": "/sys/class/dmi/id/chassis_asset_tag",
        "attestation": "/dev/attestation/attestation_type",
        "tsm": "/sys/kernel/config/tsm/report/x",
        "isgx": "/dev/isgx",
    }
    return Fake(files={names[key]: text for key, text in changed.items()})


@pytest.fixture
def made() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def host_of(fake: Fake, root: Path, stack: ExitStack) -> Host:
    for name, text in {**GOOD_FILES, **fake.files}.items():
        path = root / name.lstrip("/")
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (root / BUNDLES.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name, target in {**GOOD_LINKS, **fake.links}.items():
        if target is not None:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
    for name in (*fake.listening, *fake.dead):
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        # By a short name: addresses of UNIX sockets have at most 107 octets.
        here = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        stack.callback(os.close, here)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
        if name in fake.listening:
            listener.listen()

    def ask(url: str, headers: Mapping[str, str], *, insecure_any_certificate: bool) -> Answer:
        del insecure_any_certificate
        assert fake.answer is not None
        return fake.thim if headers.get("Metadata") == "true" and "169.254" in url else fake.answer

    return Host(
        root=root,
        environ=fake.environ,
        uid=fake.uid,
        gids=frozenset({fake.uid}),
        at=fake.at,
        ask=None if fake.answer is None else ask,
        built=AT - timedelta(days=100),
    )


def test_a_host_that_has_all(tmp_path: Path, made: ExitStack) -> None:
    findings = examine(host_of(Fake(), tmp_path, made))
    assert usable(findings)
    assert {finding.weight for finding in findings} == {Weight.GOOD}
    assert {"cpu.sgx", "node.enclave", "aesm.socket", "pccs.answer", "clock.time"} <= {each.id for each in findings}


AWAY = Answer(status=None, said="refused")
MISSING, WARNING, NOTE = Weight.MISSING, Weight.WARNING, Weight.NOTE
NO_AESM = Fake(listening=())
SITUATIONS: dict[str, tuple[Fake, str, Weight, str]] = {
    "no /proc": (with_files(cpu=None), "cpu.flags", MISSING, "mount /proc"),
    "AMD": (with_files(cpu=CPU.format(vendor="AuthenticAMD", flags="fpu")), "cpu.vendor", MISSING, "--simulate"),
    "no SGX on metal": (with_files(cpu=CPU.format(vendor="GenuineIntel", flags="fpu")), "cpu.sgx", MISSING, "firmware"),
    "no SGX in a VM": (
        with_files(cpu=CPU.format(vendor="GenuineIntel", flags="fpu hypervisor")), "cpu.sgx", MISSING, "+sgx",
    ),
    "no launch control": (
        with_files(cpu=CPU.format(vendor="GenuineIntel", flags="sgx sgx1 sgx2")), "cpu.launch", MISSING, "unlocked",
    ),
    "no SGX2": (with_files(cpu=CPU.format(vendor="GenuineIntel", flags="sgx sgx1 sgx_lc")), "cpu.edmm", NOTE, ""),
    "old kernel": (with_files(kernel="5.4.0-generic"), "kernel.release", MISSING, "5.11"),
    "kernel unknown": (with_files(kernel="what"), "kernel.release", MISSING, "5.11"),
    "nosgx": (with_files(cmdline="quiet nosgx splash"), "kernel.nosgx", MISSING, "grub"),
    "no enclave node": (Fake(links={"/dev/sgx_enclave": None}), "node.enclave", MISSING, "dmesg"),
    "no provision node": (Fake(links={"/dev/sgx_provision": None}), "node.provision", MISSING, "dmesg"),
    "no node in a container": (
        replace(with_files(docker=""), links={"/dev/sgx_enclave": None}), "node.enclave", MISSING, "--device",
    ),
    "old driver": (
        replace(with_files(isgx=""), links={"/dev/sgx_enclave": None}), "node.enclave", MISSING, "modprobe -r",
    ),
    "a file for a node": (
        Fake(files={"/dev/sgx_enclave": ""}, links={"/dev/sgx_enclave": None}), "node.enclave", MISSING, "dmesg",
    ),
    "little EPC": (with_files(epc="1048576"), "memory.epc", WARNING, "PRMRR"),
    "aesmd not installed": (
        replace(NO_AESM, files={f"{BUNDLES}/ecdsa_quote_service_bundle.jar": None}), "aesm.socket", MISSING, "aesmd",
    ),
    "aesmd stopped": (Fake(listening=(), dead=(AESM,)), "aesm.socket", MISSING, "systemctl"),
    "aesmd outside the container": (replace(with_files(docker=""), listening=()), "aesm.socket", MISSING, "-v /var"),
    "a file for a socket": (Fake(listening=(), files={AESM: ""}), "aesm.socket", MISSING, "systemctl"),
    "no DCAP plug-in": (with_files(bundle=None), "aesm.plugin", MISSING, "libsgx-aesm-ecdsa-plugin"),
    "no provider": (with_files(provider=None), "provider.library", MISSING, "libsgx-dcap-default-qpl"),
    "broken provider": (
        Fake(files={PROVIDER: None}, links={PROVIDER: "/nowhere/at/all"}), "provider.library", MISSING, "again",
    ),
    "no QCNL": (with_files(qcnl=None), "qcnl.file", MISSING, "pccs_url"),
    "QCNL elsewhere": (Fake(environ={"QCNL_CONF_PATH": "/etc/other.conf"}), "qcnl.file", MISSING, "/etc/other.conf"),
    "QCNL not JSON": (with_files(qcnl="{pccs_url"), "qcnl.form", MISSING, "JSON"),
    "QCNL a list": (with_files(qcnl="[]"), "qcnl.form", MISSING, "JSON"),
    "QCNL without URL": (with_files(qcnl="{}"), "qcnl.url", MISSING, "8081"),
    "QCNL with no URL": (with_files(qcnl='{"pccs_url": "pccs:8081"}'), "qcnl.url", MISSING, "8081"),
    "QCNL without slash": (with_files(qcnl='{"pccs_url": "https://p/v4"}'), "qcnl.url", MISSING, "https://p/v4/"),
    "QCNL of old": (
        with_files(qcnl="PCCS_URL=https://p/\nUSE_SECURE_CERT=FALSE\n"), "qcnl.certificate", WARNING, "true",
    ),
    "any certificate": (
        with_files(qcnl='{"pccs_url": "https://p/v4/", "use_secure_cert": false}'), "qcnl.certificate", WARNING, "true",
    ),
    "PCCS away": (Fake(answer=AWAY), "pccs.answer", MISSING, "curl"),
    "PCCS here, stopped": (
        replace(with_files(qcnl='{"pccs_url": "https://localhost:8081/v4/"}'), answer=AWAY),
        "pccs.answer", MISSING, "systemctl start pccs",
    ),
    "PCCS untrusted": (
        Fake(answer=Answer(status=None, said="self-signed", verified=False)), "pccs.certificate", MISSING, "update-ca",
    ),
    "PCCS wants a key": (Fake(answer=Answer(status=401)), "pccs.answer", MISSING, "ApiKey"),
    "PCCS of another version": (Fake(answer=Answer(status=404)), "pccs.answer", MISSING, "version"),
    "PCCS cut off": (Fake(answer=Answer(status=502)), "pccs.answer", MISSING, "proxy"),
    "PCCS odd": (Fake(answer=Answer(status=418)), "pccs.answer", MISSING, "log"),
    "Azure": (with_files(tag=AZURE_TAG), "azure.machine", NOTE, "DCsv3"),
    "Azure with another PCCS": (with_files(tag=AZURE_TAG), "qcnl.azure", WARNING, "acccache"),
    "Azure without provider": (with_files(tag=AZURE_TAG, provider=None), "provider.library", MISSING, "az-dcap-client"),
    "Azure without QCNL": (with_files(tag=AZURE_TAG, qcnl=None), "qcnl.file", NOTE, ""),
    "Azure, THIM away": (
        replace(with_files(tag=AZURE_TAG), thim=AWAY), "azure.thim", WARNING, "169.254",
    ),
    "clock behind": (Fake(at=AT - timedelta(days=400)), "clock.time", MISSING, "set-ntp"),
    "clock not kept": (with_files(time=None), "clock.time", NOTE, "chrony"),
    "no FUSE": (Fake(links={"/dev/fuse": None}), "fuse.node", WARNING, "modprobe"),
    "no libfuse": (with_files(libfuse=None), "fuse.library", WARNING, "fuse3"),
    "Gramine that attests": (with_files(attestation="dcap"), "gramine.attestation", Weight.GOOD, ""),
    "Gramine that does not": (with_files(attestation="none"), "gramine.attestation", MISSING, "remote_attestation"),
    "Gramine of EPID": (with_files(attestation="epid"), "gramine.attestation", MISSING, "dcap"),
    "a TDX machine": (
        with_files(cpu=CPU.format(vendor="GenuineIntel", flags="tdx_guest"), tsm=""), "tdx.report", Weight.GOOD, "",
    ),
    "a TDX machine of old": (
        with_files(cpu=CPU.format(vendor="GenuineIntel", flags="tdx_guest")), "tdx.report", MISSING, "configfs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_a_host_lacks_is_found_and_can_be_mended(name: str, tmp_path: Path, made: ExitStack) -> None:
    fake, wanted, weight, remedy = SITUATIONS[name]
    findings = examine(host_of(fake, tmp_path, made))
    found = [each for each in findings if each.id == wanted]
    assert [each.weight for each in found] == [weight], findings
    assert remedy in found[0].remedy
    assert usable(findings) == (weight is not Weight.MISSING)


def test_nodes_that_others_may_use_and_we_may_not(tmp_path: Path, made: ExitStack) -> None:
    host = host_of(Fake(uid=54321), tmp_path, made)
    assert host.may_use("/dev/sgx_enclave")  # as /dev/null may be
    closed = tmp_path / "closed"
    closed.touch(mode=0o600)
    for gids, mode, may in (
        (set(), 0o600, False),
        (set(), 0o606, True),
        ({os.getegid()}, 0o660, True),
        (set(), 0o660, False),
    ):
        closed.chmod(mode)
        assert replace(host, gids=frozenset(gids)).may_use("/closed") is may


def test_nothing_is_asked_when_nobody_may_be(tmp_path: Path, made: ExitStack) -> None:
    findings = examine(host_of(Fake(answer=None), tmp_path, made))
    assert usable(findings)
    assert not [each for each in findings if each.id.startswith("pccs")]


def told(*arguments: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "ambergate.cli", "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout)


def test_this_machine_as_it_is() -> None:
    code, said = told("--offline")
    assert code == (0 if said["usable"] else 1)
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        has_sgx = " sgx " in file.read()
    findings = said["findings"]
    assert isinstance(findings, list)
    ids = {each["id"]: each["weight"] for each in findings}
    if not has_sgx:
        assert code == 1
        assert "missing" in {ids.get("cpu.sgx"), ids.get("cpu.vendor")}


def test_a_disk_that_is_mounted_somewhere(tmp_path: Path, made: ExitStack) -> None:
    host_of(Fake(), tmp_path, made)
    code, said = told("--offline", "--root", str(tmp_path))
    assert (code, said["usable"]) == (0, True)


def test_for_people_every_finding_has_its_next_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ambergate.cli", "doctor", "--offline", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    marked = [at for at, line in enumerate(lines) if line.startswith(("✗", "!"))]
    assert len(marked) > 5
    assert all(lines[at + 1].startswith("    next: ") for at in marked)
    assert "no quotes here" in done.stdout


def test_findings_as_json() -> None:
    found = Finding(id="a.b", weight=Weight.NOTE, message="m")
    assert found.as_dict() == {"id": "a.b", "weight": "note", "message": "m", "seen": "", "remedy": ""}
