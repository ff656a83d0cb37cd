"""An image as an OCI layout on disk: its configuration and its layers, every blob held to its digest.

    image = read_layout(Path("layout"))
    image.config.entrypoint, image.layers

Source: OCI Image Specification 1.1: "Image Layout", "Manifest", "Image Configuration". What is read proves that the
blobs are those that the index names; not who made them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.loading import read_file
from ambergate.core.errors import SettingsError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_DOCUMENT: Final = 4 * 1024 * 1024  # bytes of a manifest or configuration; ours are a few KiB
MAX_LAYERS: Final = 256  # the engines' own limit is 127
MAX_LAYER: Final = 8 * 1024**3  # bytes of one layer as it is stored; our limit
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_MANIFEST: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# Media types of layers -> how they are packed.
_LAYERS: Final = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gz",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says of its own start (Image Configuration, `config`).

    Attributes:
        entrypoint: the program and its first arguments.
        command: the arguments behind them.
        environment: name -> value, in the image's order.
        user: as it stands there: name or number, with a group behind a colon.
        directory: the working directory; `/` where none is said.
        architecture: such as `amd64`.
    """

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    directory: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: where it is, how long, and how it is packed (`gz` or nothing)."""

    path: Path
    size: int
    digest: str
    packing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, its lowest layer first."""

    digest: str  # of its manifest
    config: ImageConfig
    layers: tuple[Layer, ...]


def read_layout(directory: Path) -> Image:
    """The one image in a layout.

    Raises:
        SettingsError: it is no layout of one image, or a blob is not what its digest says.
        TooLarge: a document or a layer is longer than our limits.
    """
    index = _json(read_file(directory / "index.json", "the image's index", limit=MAX_DOCUMENT), "the image's index")
    manifests = [each for each in _list(index, "manifests") if each.get("mediaType") in _MANIFEST]
    if len(manifests) != 1:
        raise SettingsError("the layout does not hold one image", seen=f"{len(manifests)} manifests", wanted="1")
    digest = _digest(manifests[0])
    manifest = _json(_blob(directory, digest, "the image's manifest"), "the image's manifest")
    layers = tuple(_layer(directory, each) for each in _list(manifest, "layers"))
    if len(layers) > MAX_LAYERS:
        raise TooLarge("the image has too many layers", seen=len(layers), wanted=f"at most {MAX_LAYERS}")
    described = manifest.get("config")
    where = _digest(described if isinstance(described, dict) else {})
    config = _json(_blob(directory, where, "the image's configuration"), "the image's configuration")
    return Image(digest=digest, config=read_config(config), layers=layers)


def read_config(document: Mapping[str, Any]) -> ImageConfig:
    """An image's configuration from its JSON.

    Raises:
        SettingsError: a member is of another kind than the specification says.
    """
    config = document.get("config") or {}
    if not isinstance(config, dict):
        raise _malformed("config", config, "an object")
    environment = {}
    for line in _texts(config, "Env"):
        name, equals, value = line.partition("=")
        if not name or not equals:
            raise _malformed("config.Env", line, "NAME=VALUE")
        environment[name] = value
    return ImageConfig(
        entrypoint=_texts(config, "Entrypoint"),
        command=_texts(config, "Cmd"),
        environment=environment,
        user=_text(config, "User"),
        directory=_text(config, "WorkingDir") or "/",
        architecture=_text(document, "architecture"),
    )


def _layer(directory: Path, described: Mapping[str, Any]) -> Layer:
    digest = _digest(described)
    kind = described.get("mediaType")
    if kind not in _LAYERS:
        raise SettingsError(
            "a layer is packed in a way that is not read here",
            seen=str(kind)[:120],
            wanted="tar, or tar packed by gzip",
            hint="export the image again with gzip (skopeo copy --dest-compress-format gzip)",
        )
    path = _path(directory, digest)
    size = path.stat().st_size if path.is_file() else -1
    if size != described.get("size"):
        raise _broken("a layer", digest, f"{size} bytes" if size >= 0 else "not there")
    if size > MAX_LAYER:
        raise TooLarge("a layer is too long", seen=f"{size} bytes", wanted=f"at most {MAX_LAYER}")
    return Layer(path=path, size=size, digest=digest, packing=_LAYERS[kind])


def _blob(directory: Path, digest: str, what: str) -> bytes:
    data = read_file(_path(directory, digest), what, limit=MAX_DOCUMENT)
    if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
        raise _broken(what, digest, "other bytes")
    return data


def _path(directory: Path, digest: str) -> Path:
    return directory / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _digest(described: Mapping[str, Any]) -> str:
    """The digest of a descriptor. Only hex digits: it becomes the name of a file."""
    digest = described.get("digest")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise _malformed("digest", digest, "sha256:<64 hex digits>")
    return digest


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise SettingsError(f"{what} is not JSON", seen=str(exc)[:120]) from exc
    if not isinstance(document, dict):
        raise SettingsError(f"{what} is no object", seen=type(document).__name__)
    return document


def _list(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _malformed(name, value, "a list of objects")
    return value


def _texts(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = config.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _malformed(f"config.{name}", value, "a list of texts")
    return tuple(value)


def _text(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name) or ""
    if not isinstance(value, str):
        raise _malformed(f"config.{name}", value, "text")
    return value


def _malformed(what: str, seen: object, wanted: str) -> SettingsError:
    return SettingsError(f"the image's {what} is not what it should be", seen=repr(seen)[:120], wanted=wanted)


def _broken(what: str, digest: str, seen: str) -> SettingsError:
    return SettingsError(f"{what} is not what its digest says", seen=seen, wanted=digest, hint="export the image again")
