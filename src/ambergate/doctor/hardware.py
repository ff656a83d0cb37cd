"""Processor, kernel and device nodes.

Source: Linux, Documentation/arch/x86/sgx.rst (nodes, flags of /proc/cpuinfo, releases); Intel SDM volume 3D, 34.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ambergate.doctor.findings import Finding, good, missing, note, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.doctor.host import Host

LEAST_KERNEL: Final = (5, 11)  # the first with SGX in it
SMALL_EPC: Final = 128 * 1024 * 1024  # bytes of protected memory; enclaves of Gramine want as much, and more pages out
ENCLAVE: Final = "/dev/sgx_enclave"
PROVISION: Final = "/dev/sgx_provision"
_OLD_NODES: Final = ("/dev/isgx", "/dev/sgx/enclave", "/dev/sgx")
_FLAGS: Final = re.compile(r"^flags\s*:\s*(.*)$", re.MULTILINE)
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


def processor(host: Host) -> Iterator[Finding]:
    """Flags of the processor."""
    text = host.text("/proc/cpuinfo")
    found = _FLAGS.search(text) if text else None
    if text is None or found is None:
        yield missing("cpu.flags", "the processor cannot be looked at", "/proc/cpuinfo", "mount /proc")
        return
    flags = set(found[1].split())
    vendor = "GenuineIntel" in text
    if not vendor:
        remedy = "SGX is of Intel's processors; on AMD and ARM there is the software platform: amber run --simulate"
        yield missing("cpu.vendor", "the processor is not Intel's", _model(text), remedy)
        return
    if "tdx_guest" in flags:
        yield note(
            "cpu.tdx",
            "this is a TDX machine: it attests as a whole, without enclaves",
            "tdx_guest",
            "docs/in-gramine.md",
        )
    if "sgx" not in flags:
        machine = "a virtual machine: its host must give it SGX (QEMU: -cpu host,+sgx; Azure: a DCsv3 or DCdsv3 size)"
        bare = (
            'turn SGX on in the firmware ("Software Guard Extensions: Enabled", and Total Memory Encryption on servers)'
        )
        remedy = machine if "hypervisor" in flags else bare
        yield missing("cpu.sgx", "the processor shows no SGX", _model(text), remedy)
        return
    yield good("cpu.sgx", "the processor has SGX", _model(text))
    if "sgx_lc" not in flags:
        remedy = (
            "set the launch enclave's key to unlocked in the firmware, or take a processor with flexible launch control"
        )
        yield missing(
            "cpu.launch",
            "flexible launch control is missing, without which Linux starts no enclave",
            "no sgx_lc",
            remedy,
        )
    else:
        yield good("cpu.launch", "flexible launch control is there", "sgx_lc")
    if "sgx1" in flags and "sgx2" not in flags:
        yield note("cpu.edmm", "no SGX2: Gramine must not be told sgx.edmm_enable", "no sgx2")


def kernel(host: Host) -> Iterator[Finding]:
    """The kernel's release, and what it was told at its start."""
    release = (host.text("/proc/sys/kernel/osrelease") or "").strip()
    match = _RELEASE.match(release)
    if match is None or (int(match[1]), int(match[2])) < LEAST_KERNEL:
        remedy = "take Linux 5.11 or newer: Debian 12, Ubuntu 22.04, RHEL 9"
        yield missing("kernel.release", "the kernel has no SGX in it", release or "unknown", remedy)
    else:
        yield good("kernel.release", "the kernel is new enough", release)
    command = host.text("/proc/cmdline") or ""
    if "nosgx" in command.split():
        remedy = "take nosgx out of the kernel's command line (/etc/default/grub, update-grub), and start again"
        yield missing("kernel.nosgx", "the kernel was told to leave SGX alone", "nosgx", remedy)


def nodes(host: Host) -> Iterator[Finding]:
    """Device nodes, and whether who asks may use them."""
    inside = in_container(host)
    for name, purpose in ((ENCLAVE, "to make enclaves"), (PROVISION, "for quotes, by the provisioning key")):
        ident = f"node.{name.rpartition('_')[2]}"
        if not host.is_device(name):
            old = host.first(*_OLD_NODES)
            if old is not None and name == ENCLAVE:
                remedy = "remove the driver outside the kernel (modprobe -r isgx intel_sgx) and take the kernel's own"
                yield missing(ident, "there is a node of an older driver, which Gramine does not know", old, remedy)
                continue
            remedy = (
                f"give it to the container: --device {name} (Kubernetes: the resource sgx.intel.com/{ident[5:]})"
                if inside
                else "look at dmesg | grep -i sgx: no node without flags and kernel above; udev makes it"
            )
            yield missing(ident, f"there is no {name}, {purpose}", "not a character device", remedy)
        elif not host.may_use(name):
            group = "sgx_prv" if name == PROVISION else "sgx"
            remedy = f"usermod -a -G {group} USER, and log in again; in a container: --group-add {group}'s number"
            yield missing(ident, f"{name} may not be used", f"uid {host.uid}", remedy)
        else:
            yield good(ident, f"{name} is there", purpose)


def memory(host: Host) -> Iterator[Finding]:
    """How much protected memory there is, where the kernel tells (5.17 and newer)."""
    places = host.glob("/sys/devices/system/node", "node*/x86/sgx_total_bytes")
    sizes = [int(text) for place in places if (text := (host.text(place) or "").strip()).isdecimal()]
    if not sizes:
        return
    total = sum(sizes)
    if total < SMALL_EPC:
        remedy = "give SGX more memory in the firmware (PRMRR size), or keep sgx.enclave_size small"
        yield warning(
            "memory.epc", "there is little protected memory: enclaves will page", f"{total >> 20} MiB", remedy
        )
    else:
        yield good("memory.epc", "protected memory", f"{total >> 20} MiB")


def in_container(host: Host) -> bool:
    """Whether this is a container, by the marks that engines leave."""
    if host.first("/.dockerenv", "/run/.containerenv") is not None or "KUBERNETES_SERVICE_HOST" in host.environ:
        return True
    return bool(re.search(r"/(docker|kubepods|libpod|lxc)", host.text("/proc/1/cgroup") or ""))


def _model(text: str) -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else "unknown processor"
