"""Images written blob by blob, so that a test can write one part in another way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ELF = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x3e\x00" + bytes(12)


def member(name: str, content: bytes | None = b"", **told: object) -> tuple[tarfile.TarInfo, bytes]:
    """A file of a layer; with other members of TarInfo, anything else."""
    info = tarfile.TarInfo(name)
    info.mode = 0o755
    for key, value in told.items():
        setattr(info, key, value)
    content = content or b""
    info.size = len(content) if info.isreg() else 0
    return info, content


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE)


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def blob(directory: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    place = directory / "blobs" / "sha256"
    place.mkdir(parents=True, exist_ok=True)
    (place / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def write_image(directory: Path, *layers: bytes, config: dict[str, Any] | None = None, zipped: bool = False) -> Path:
    """A layout of one image."""
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if zipped else "")
    described = [
        {"mediaType": kind, **blob(directory, gzip.compress(layer, mtime=0) if zipped else layer)} for layer in layers
    ]
    document = {"architecture": "amd64", "config": config or {}}
    manifest = {"schemaVersion": 2, "config": blob(directory, json.dumps(document).encode()), "layers": described}
    written = blob(directory, json.dumps(manifest).encode())
    index = {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", **written}]}
    (directory / "index.json").write_text(json.dumps(index))
    return directory
