"""What makes quotes: AESM, the DCAP libraries, and where certificates come from (QCNL, a PCCS, Azure).

Source: Intel, "SGX SW Installation Guide for Linux" (packages, sockets, sgx_default_qcnl.conf), "Quote Provider Library
configuration"; Microsoft, "Trusted Hardware Identity Management" (THIM, the cache's address).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ambergate.doctor.findings import Finding, good, missing, note, warning
from ambergate.doctor.hardware import in_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.doctor.host import Host

AESM_SOCKET: Final = "/var/run/aesmd/aesm.socket"
QCNL_CONF: Final = "/etc/sgx_default_qcnl.conf"
QCNL_VARIABLE: Final = "QCNL_CONF_PATH"
AZURE_CACHE: Final = "https://global.acccache.azure.net/sgx/certification/v4/"
# Of every machine at Azure (Microsoft, "How to identify an Azure virtual machine").
AZURE_TAG: Final = "7783-7084-3265-9085-8269-3286-77"
_TAG: Final = "/sys/class/dmi/id/chassis_asset_tag"
_LIBRARIES: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib/x86_64-linux-gnu", "/usr/local/lib")
_BUNDLES: Final = "/opt/intel/sgx-aesm-service/aesm/bundles"
_COMMENT: Final = re.compile(r"^\s*(?://|#).*$", re.MULTILINE)
_OLD_FORM: Final = re.compile(r"^\s*([A-Z_]+)\s*=\s*(\S+)\s*$", re.MULTILINE)


def aesm(host: Host) -> Iterator[Finding]:
    """The service that quotes on behalf of enclaves; Gramine asks it."""
    why = host.answers(AESM_SOCKET)
    if why is None:
        yield good("aesm.socket", "aesmd takes connections", AESM_SOCKET)
    elif in_container(host):
        remedy = "bring the host's in: -v /var/run/aesmd:/var/run/aesmd (Kubernetes: a hostPath), or start aesmd inside"
        yield missing("aesm.socket", "aesmd is not in this container", f"{AESM_SOCKET}: {why}", remedy)
    elif not host.exists("/opt/intel/sgx-aesm-service"):
        remedy = (
            "apt-get install sgx-aesm-service libsgx-aesm-ecdsa-plugin libsgx-aesm-quote-ex-plugin (Intel's repository)"
        )
        yield missing("aesm.socket", "aesmd is not installed", f"{AESM_SOCKET}: {why}", remedy)
        return
    else:
        remedy = "systemctl enable --now aesmd; journalctl -u aesmd says why it stopped"
        yield missing("aesm.socket", "aesmd does not answer", f"{AESM_SOCKET}: {why}", remedy)
    if host.exists(_BUNDLES) and not host.glob(_BUNDLES, "*ecdsa*"):
        remedy = "apt-get install libsgx-aesm-ecdsa-plugin libsgx-aesm-quote-ex-plugin, then systemctl restart aesmd"
        yield missing("aesm.plugin", "aesmd has no plug-in for DCAP quotes", _BUNDLES, remedy)


def provider(host: Host) -> Iterator[Finding]:
    """The library that fetches certificates for quotes."""
    found = _library(host, "libdcap_quoteprov.so*")
    azure = _is_azure(host)
    if found is None:
        package = "az-dcap-client" if azure else "libsgx-dcap-default-qpl"
        remedy = f"apt-get install {package}, then systemctl restart aesmd"
        yield missing(
            "provider.library",
            "no quote provider library: aesmd answers 0xe019 or 0xe044",
            "libdcap_quoteprov.so",
            remedy,
        )
    elif not host.exists(found):
        yield missing(
            "provider.library", "the quote provider library is a broken link", found, "install its package again"
        )
    else:
        yield good("provider.library", "the quote provider library is there", found)


def qcnl(host: Host) -> Iterator[Finding]:
    """Where that library fetches from, and whether somebody answers there."""
    name = host.environ.get(QCNL_VARIABLE, QCNL_CONF)
    text = host.text(name)
    azure = _is_azure(host)
    if text is None:
        if azure and _library(host, "libdcap_quoteprov.so*") is not None:
            yield note("qcnl.file", "no QCNL configuration: Azure's own library needs none", name)
            return
        remedy = f'write {name}: {{"pccs_url": "{AZURE_CACHE if azure else "https://YOUR-PCCS:8081/sgx/certification/v4/"}"}}'
        yield missing("qcnl.file", "there is no QCNL configuration", name, remedy)
        return
    told = _read(text)
    if told is None:
        remedy = "JSON, as the package has it; // begins a comment only at the beginning of a line"
        yield missing("qcnl.form", "the QCNL configuration cannot be read", name, remedy)
        return
    url, secure = str(told.get("pccs_url", "")), told.get("use_secure_cert", True) is not False
    parts = _parts(url)
    if parts is None:
        remedy = f'"pccs_url": "https://host:8081/sgx/certification/v4/" in {name}'
        yield missing("qcnl.url", "the QCNL configuration names no PCCS that can be asked", url or "nothing", remedy)
        return
    if not url.endswith("/"):
        yield missing("qcnl.url", "pccs_url does not end with a slash: names are put right behind it", url, f"{url}/")
        return
    yield good("qcnl.file", "the QCNL configuration", f"{name}: {url}")
    if azure and parts not in ("global.acccache.azure.net", "169.254.169.254"):
        yield warning(
            "qcnl.azure",
            "at Azure certificates come from its own cache, and this is another",
            url,
            f'"pccs_url": "{AZURE_CACHE}"',
        )
    if not secure:
        remedy = '"use_secure_cert": true, and a certificate that the system\'s roots verify'
        yield warning(
            "qcnl.certificate", "any certificate of the PCCS is taken: use_secure_cert is false", name, remedy
        )
    if host.ask is not None:
        yield from _asked(host, url, secure=secure, local=parts in ("localhost", "127.0.0.1", "::1"))


def azure(host: Host) -> Iterator[Finding]:
    """On Azure: what THIM says of this machine's certificates."""
    if not _is_azure(host):
        return
    yield note(
        "azure.machine", "this is a machine at Azure", _TAG, "docs/in-gramine.md; a DCsv3 or DCdsv3 size has SGX"
    )
    if host.ask is None:
        return
    url = "http://169.254.169.254/metadata/THIM/sgx/certification/v4/rootcacrl"
    answer = host.ask(url, {"Metadata": "true"}, insecure_any_certificate=False)
    if answer.status == 200:
        yield good("azure.thim", "THIM answers", url)
    else:
        remedy = "let 169.254.169.254 through (no proxy, no network policy), or take the global cache for pccs_url"
        yield warning("azure.thim", "THIM does not answer", answer.said or answer.status, remedy)


def _asked(host: Host, url: str, *, secure: bool, local: bool) -> Iterator[Finding]:
    assert host.ask is not None
    answer = host.ask(f"{url}rootcacrl", {}, insecure_any_certificate=not secure)
    if answer.status == 200:
        yield good("pccs.answer", "the PCCS answers", f"{url}rootcacrl")
    elif answer.status is not None:
        remedy = {
            401: "the PCCS wants a key: look at its configuration (ApiKey, UserTokenHash)",
            404: "the PCCS has nothing there: is the version in pccs_url (v3, v4) the one it serves?",
            502: "the PCCS cannot reach Intel: look at its proxy and ApiKey",
            503: "the PCCS is busy or its database is locked: look at its log",
        }.get(answer.status, "look at the PCCS's log")
        yield missing("pccs.answer", "the PCCS answers with an error", f"HTTP {answer.status}", remedy)
    elif not answer.verified:
        remedy = "put its root into the system's (update-ca-certificates), or use a certificate that is verified"
        yield missing("pccs.certificate", "the PCCS's certificate does not hold", answer.said, remedy)
    else:
        remedy = "start it (systemctl start pccs)" if local else "check name, port and firewall: curl -v the address"
        yield missing("pccs.answer", "the PCCS does not answer", answer.said, remedy)


def _read(text: str) -> dict[str, Any] | None:
    """Either form: JSON since DCAP 1.10, NAME=value before."""
    try:
        told = json.loads(_COMMENT.sub("", text))
    except (ValueError, RecursionError):
        old = dict(_OLD_FORM.findall(text))
        if "PCCS_URL" not in old:
            return None
        return {"pccs_url": old["PCCS_URL"], "use_secure_cert": old.get("USE_SECURE_CERT", "TRUE").upper() != "FALSE"}
    return told if isinstance(told, dict) else None


def _parts(url: str) -> str | None:
    """The host that an https address names; None: it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.port == 0:
            return None
    except ValueError:
        return None
    return parts.hostname


def _library(host: Host, pattern: str) -> str | None:
    return next((found for folder in _LIBRARIES for found in host.glob(folder, pattern)), None)


def _is_azure(host: Host) -> bool:
    return (host.text(_TAG) or "").strip() == AZURE_TAG
