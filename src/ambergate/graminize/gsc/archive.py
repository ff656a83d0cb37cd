"""An image as an engine archives it, unpacked to an OCI layout: from a layout in a tar, or from docker's older form.

    unpack(Path("image.tar"), Path("layout"))

Docker writes layouts since its release 25; before that, and by podman, `manifest.json`, a configuration named by its
digest, and layers in a directory each, or named by theirs. Of either form only what it needs is unpacked, under names
that we choose. Layers are held to the digests in the configuration, and that to its name: so what is read later is what
the engine has.

Source: OCI Image Specification 1.1, "Image Layout"; Docker Image Specification 1.2, "Combined Image JSON + Filesystem
Changeset Format".
"""

from __future__ import annotations

import errno
import hashlib
import json
import posixpath
import re
import tarfile
from typing import IO, TYPE_CHECKING, Any, Final

from ambergate.core.errors import SettingsError, TooLarge
from ambergate.graminize.gsc.layout import MAX_DOCUMENT, MAX_LAYER, MAX_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK: Final = 1024 * 1024
_MAX_LINKS: Final = 1024  # of the archive; layers that are the same are links to one
# Names that a layout needs; as they are, they lead nowhere else.
_OF_LAYOUT: Final = re.compile(r"index\.json|blobs/sha256/[0-9a-f]{64}", re.ASCII)
_MANIFEST: Final = "manifest.json"
_CONFIG: Final = re.compile(r"([0-9a-f]{64})\.json", re.ASCII)
_LAYER: Final = re.compile(r"[0-9a-f]{64}(?:/layer)?\.tar", re.ASCII)
_LAYER_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar"
_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"


def unpack(archive: Path, directory: Path) -> None:
    """The image of an archive as a layout.

    Raises:
        SettingsError: it is no archive of one image, or cannot be written.
        TooLarge: more than our limits.
    """
    blobs = directory / "blobs" / "sha256"
    found = _Found()

    def take(member: tarfile.TarInfo, content: IO[bytes]) -> None:
        if _OF_LAYOUT.fullmatch(member.name):
            _copy(content, directory / member.name)
        elif member.name == _MANIFEST:
            found.manifest = _document(content.read(MAX_DOCUMENT + 1))

    try:
        blobs.mkdir(parents=True, exist_ok=True)
        _each(archive, take, found.links)
        if not (directory / "index.json").is_file():
            _older_form(archive, directory, found)
    except (OSError, tarfile.TarError, EOFError, ValueError) as exc:
        seen = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        full = isinstance(exc, OSError) and exc.errno == errno.ENOSPC
        hint = "make room, or set TMPDIR to where it is" if full else None
        raise SettingsError("the exported image cannot be unpacked", seen=seen[:200], hint=hint) from exc


class _Found:
    """What a first look at an archive found."""

    def __init__(self) -> None:
        self.manifest: object = None
        self.links: dict[str, str] = {}  # symbolic ones: name -> name, inside the archive


def _each(archive: Path, take: Callable[[tarfile.TarInfo, IO[bytes]], None], links: dict[str, str]) -> None:
    """Give every file to somebody, from front to back."""
    with tarfile.open(archive, mode="r|") as packed:
        while (member := packed.next()) is not None:
            packed.members = []  # type: ignore[attr-defined]  # it would keep them all
            if member.issym() and len(links) < _MAX_LINKS:
                links[member.name] = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
            if not member.isreg():
                continue
            if member.size > MAX_LAYER:
                raise TooLarge("a layer is too long", seen=f"{member.size} bytes", wanted=f"at most {MAX_LAYER}")
            content = packed.extractfile(member)
            assert content is not None
            take(member, content)


def _older_form(archive: Path, directory: Path, found: _Found) -> None:
    """What docker wrote before its release 25."""
    config, layers = _named(found)
    blobs = directory / "blobs" / "sha256"
    digests: dict[str, dict[str, Any]] = {}

    def take(member: tarfile.TarInfo, content: IO[bytes]) -> None:
        if (member.name == config or member.name in layers) and member.name not in digests:
            fresh = blobs / "fresh"
            digest = _copy(content, fresh)
            fresh.replace(blobs / digest)
            digests[member.name] = {"digest": f"sha256:{digest}", "size": member.size}

    _each(archive, take, {})
    described = [digests.get(name) for name in layers]
    missing = next((name for name in (config, *layers) if name not in digests), None)
    if missing is not None:
        raise _malformed(f"no {missing}")
    if digests[config]["digest"] != f"sha256:{config.removesuffix('.json')}":
        raise _malformed("a configuration that is not what its name says")
    with (blobs / config.removesuffix(".json")).open("rb") as file:
        document = _document(file.read(MAX_DOCUMENT + 1))
    if _diff_ids(document) != [each["digest"] for each in described if each is not None]:
        raise _malformed("layers that are not those of its configuration")
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, **digests[config]},
        "layers": [{"mediaType": _LAYER_TYPE, **each} for each in described if each is not None],
    }
    raw = json.dumps(manifest).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (blobs / digest).write_bytes(raw)
    entry = {"mediaType": _MANIFEST_TYPE, "digest": f"sha256:{digest}", "size": len(raw)}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _named(found: _Found) -> tuple[str, list[str]]:
    """The names of the configuration and of the layers, lowest first, links followed once."""
    listed = found.manifest
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise _malformed("neither index.json nor the manifest.json of one image")
    config, layers = listed[0].get("Config"), listed[0].get("Layers")
    if not isinstance(config, str) or _CONFIG.fullmatch(config) is None:
        raise _malformed(f"Config {config!r}"[:120])
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise _malformed("no list of layers, or one that is too long")
    names = [found.links.get(each, each) if isinstance(each, str) else "" for each in layers]
    strange = next((each for each in names if _LAYER.fullmatch(each) is None), None)
    if strange is not None:
        raise _malformed(f"a layer named {strange!r}"[:120])
    return config, names


def _diff_ids(document: object) -> object:
    rootfs: object = document.get("rootfs") if isinstance(document, dict) else None
    return rootfs.get("diff_ids") if isinstance(rootfs, dict) else None


def _copy(content: IO[bytes], path: Path) -> str:
    """The file's SHA-256, in hex digits."""
    hashed = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := content.read(_CHUNK):
            hashed.update(chunk)
            file.write(chunk)
    return hashed.hexdigest()


def _document(raw: bytes) -> object:
    if len(raw) > MAX_DOCUMENT:
        raise TooLarge("a document of the exported image is too long", wanted=f"at most {MAX_DOCUMENT} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise _malformed(f"a document that is not JSON: {exc}"[:120]) from exc


def _malformed(seen: str) -> SettingsError:
    return SettingsError(
        "the engine's archive is not one of an image", seen=seen, wanted="an OCI layout, or docker's form"
    )
