"""Manifests for the tests, made from one that is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ambergate.graminize.source import Manifest, parse_manifest

if TYPE_CHECKING:
    from ambergate.graminize.template import Surroundings

RIGHT = """\
loader.entrypoint.uri = "file:libsysdb.so"
libos.entrypoint = "/app/server"
loader.log_level = "error"

fs.mounts = [
  { path = "/lib", uri = "file:runtime" },
  { path = "/app", uri = "file:app" },
  { type = "tmpfs", path = "/dev/amber" },
]

sys.disallow_subprocesses = false

sgx.enclave_size = "512M"
sgx.max_threads = 64
sgx.remote_attestation = "dcap"
sgx.trusted_files = [
  "file:app/server",
]

sgx.amber_ip = "192.0.2.1"
sgx.amber_url = "https://attest.example/appraisal/v1/"
sgx.amber_cacerts = "roots.pem"
sgx.kbs_ip = "192.0.2.2"
sgx.kbs_url = "https://broker.example:9443/kbs/v1/keys/"
sgx.kbs_keyid = "ae6281b3-e4fe-3db5-82fd-eed40f6e4f18"
"""


def manifest(*changes: tuple[str, str], more: str = "", text: str = RIGHT, at: Path = Path()) -> Manifest:
    """The right manifest with these lines replaced, and more behind it."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_manifest(text + more, "app.manifest", at)


def template(text: str, surroundings: Surroundings) -> Manifest:
    """A manifest from a template."""
    return parse_manifest(text, "app.manifest.template", Path(), surroundings)
