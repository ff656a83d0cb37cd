"""Starts what a manifest says in a root of its own, as Gramine's loader would, without an enclave.

    loader.py MANIFEST ATTESTATION [HOST_ARGUMENT]...

Arguments and environment are the manifest's and nobody else's. In the file system there is what `fs.mounts` names, and
of that only trusted files, whose hashes are compared, allowed ones, which are the host's own, and directories that are
mounted encrypted. `ATTESTATION`, a directory with Gramine's pseudo-files, is at `/dev/attestation`, with a file in
`keys` for each key that a mount opens with. What Gramine does besides is not here: no library operating system, no
encryption, no measurement.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from ambergate.devices import namespace

BIND, RECURSIVE = 0x1000, 0x4000  # <sys/mount.h>
DEVICES = ("null", "zero", "random", "urandom")


def file_of(uri: str, base: Path) -> Path:
    assert uri.startswith("file:"), uri
    return Path(os.path.normpath(base / uri[5:]))


def trusted(sgx: dict[str, Any], base: Path) -> dict[Path, str | None]:
    """Every trusted file, directories taken apart, and its hash where the manifest has one."""
    found: dict[Path, str | None] = {}
    for entry in sgx.get("trusted_files", []):
        uri, digest = (entry, None) if isinstance(entry, str) else (entry["uri"], entry.get("sha256"))
        path = file_of(uri, base)
        if uri.endswith("/"):
            found.update({each: None for each in path.rglob("*") if each.is_file()})
        else:
            found[path] = digest
    return found


def bind(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    namespace._mount(str(source), str(target), None, BIND | RECURSIVE)


def build(root: Path, manifest: dict[str, Any], base: Path) -> None:
    """The file system."""
    files = trusted(manifest.get("sgx", {}), base)
    allowed = [file_of(uri, base) for uri in manifest.get("sgx", {}).get("allowed_files", [])]
    for mount in manifest["fs"]["mounts"]:
        inside = root / mount["path"].lstrip("/")
        if mount.get("type") == "tmpfs":
            inside.mkdir(parents=True, exist_ok=True)
            namespace._mount("tmpfs", str(inside), "tmpfs", 0, "mode=755")
            continue
        source = file_of(mount["uri"], base)
        if mount.get("type") == "encrypted":
            bind(source, inside)
            continue
        for path, digest in files.items():
            if path == source or path.is_relative_to(source):
                target = inside / path.relative_to(source) if path != source else inside
                target.parent.mkdir(parents=True, exist_ok=True)
                if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                    continue  # Gramine refuses to open it
                shutil.copy(path, target)
        for path in allowed:
            if path == source and path.exists():
                bind(path, inside)


def pseudo_files(root: Path, attestation: Path, manifest: dict[str, Any]) -> None:
    """`/dev/attestation`: those that are given, each by itself, and a file for each key of an encrypted mount."""
    place = root / "dev" / "attestation"
    for file in attestation.iterdir():
        bind(file, place / file.name)
    for mount in manifest["fs"]["mounts"]:
        if mount.get("type") == "encrypted":
            key = place / "keys" / mount.get("key_name", "default")
            key.parent.mkdir(exist_ok=True)
            key.touch(mode=0o600)


def main(name: str, attestation: str, *host: str) -> None:
    path = Path(name).resolve()
    manifest = tomllib.loads(path.read_text())
    loader = manifest["loader"]
    argv = list(host) if loader.get("insecure__use_cmdline_argv") else loader.get("argv")
    environ = {}
    for variable, value in loader.get("env", {}).items():
        if isinstance(value, dict) and value.get("passthrough"):
            environ.update({variable: os.environ[variable]} if variable in os.environ else {})
        else:
            environ[variable] = value if isinstance(value, str) else value["value"]
    root = Path(tempfile.mkdtemp(prefix="root-", dir=path.parent))
    namespace.enter(user_namespace=os.geteuid() != 0)
    namespace._mount("root", str(root), "tmpfs", 0, "mode=755")
    build(root, manifest, path.parent)
    if not (root / "lib64").exists():  # where programs name their linker; Gramine looks for it in its own place
        (root / "lib64").symlink_to("lib")
    for device in DEVICES:
        bind(Path("/dev") / device, root / "dev" / device)
    bind(Path("/proc"), root / "proc")
    pseudo_files(root, Path(attestation), manifest)
    os.chroot(root)
    os.chdir(manifest["fs"].get("start_dir", "/"))
    entrypoint = manifest["libos"]["entrypoint"]
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: nothing outlives the test
    os.execve(entrypoint, argv or [entrypoint], environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
