"""What is around SGX: the clock, FUSE, Gramine's own files, TDX's.

Source: Gramine, "Attestation and Secret Provisioning" (/dev/attestation); Linux, ABI/testing/configfs-tsm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.doctor.findings import Finding, good, missing, note, warning
from ambergate.doctor.hardware import in_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.doctor.host import Host

_SYNCHRONISED: Final = (
    "/run/systemd/timesync/synchronized",
    "/run/chrony/chronyd.pid",
    "/var/run/ntpd.pid",
    "/run/chronyd.pid",
)
_ATTESTATION: Final = "/dev/attestation"
_LIBFUSE: Final = (
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/aarch64-linux-gnu",
)
# Certificates and TCB info hold for weeks; a clock this far behind this very program is wrong for all of them.
BEHIND: Final = timedelta(days=1)


def clock(host: Host) -> Iterator[Finding]:
    """Whether the time can be right: statements about platforms begin and end."""
    if host.built is not None and host.at < host.built - BEHIND:
        remedy = "set the clock (timedatectl set-ntp true): certificates and TCB info are not valid yet by this one"
        yield missing("clock.time", "the clock is behind this program's own files", host.at.isoformat(), remedy)
    elif host.first(*_SYNCHRONISED) is not None:
        yield good("clock.time", "the clock is kept", host.at.isoformat())
    else:
        remedy = "" if in_container(host) else "timedatectl set-ntp true, or chrony"
        yield note("clock.time", "nobody is seen to keep the clock", host.at.isoformat(), remedy)


def fuse(host: Host) -> Iterator[Finding]:
    """Whether /dev/amber can be served outside Gramine."""
    library = any(host.glob(folder, "libfuse3.so*") for folder in _LIBFUSE)
    if not host.is_device("/dev/fuse"):
        remedy = "modprobe fuse" if not in_container(host) else "--device /dev/fuse --cap-add SYS_ADMIN"
        yield warning("fuse.node", "there is no /dev/fuse: amber mount and run cannot use it here", "/dev/fuse", remedy)
    elif not host.may_use("/dev/fuse"):
        yield warning(
            "fuse.node", "/dev/fuse may not be used", f"uid {host.uid}", "chmod 666 /dev/fuse, as udev has it"
        )
    else:
        yield good("fuse.node", "/dev/fuse is there")
    if not library:
        yield warning("fuse.library", "libfuse3 is not installed", "libfuse3.so", "apt-get install fuse3")


def gramine(host: Host) -> Iterator[Finding]:
    """Inside Gramine: whether it attests."""
    if not host.exists(_ATTESTATION):
        return
    kind = (host.text(f"{_ATTESTATION}/attestation_type") or "").strip()
    if kind == "dcap":
        yield good("gramine.attestation", "inside Gramine, which attests by DCAP", f"{_ATTESTATION}/attestation_type")
    elif kind in ("none", ""):
        remedy = 'sgx.remote_attestation = "dcap" in the manifest, and gramine-sgx instead of gramine-direct'
        yield missing(
            "gramine.attestation", "inside Gramine, which does not attest", kind or "no attestation_type", remedy
        )
    else:
        remedy = 'sgx.remote_attestation = "dcap": nobody verifies EPID any more'
        yield missing("gramine.attestation", "inside Gramine, which attests in another way", kind, remedy)


def tdx(host: Host) -> Iterator[Finding]:
    """In a TDX machine: whether reports can be asked for."""
    if "tdx_guest" not in (host.text("/proc/cpuinfo") or ""):
        return
    if host.exists("/sys/kernel/config/tsm/report"):
        yield good("tdx.report", "quotes can be asked for", "/sys/kernel/config/tsm/report")
    else:
        remedy = "Linux 6.7 or newer with CONFIG_TSM_REPORTS; mount -t configfs none /sys/kernel/config"
        yield missing("tdx.report", "quotes cannot be asked for", "/sys/kernel/config/tsm/report", remedy)
