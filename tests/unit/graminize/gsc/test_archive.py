"""What an engine archives becomes a layout, or our error; nothing else of it is written, and nothing outside."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.graminize.gsc.images import link, member, packed

from ambergate.core.errors import AmberError, SettingsError, TooLarge
from ambergate.graminize.gsc.archive import unpack
from ambergate.graminize.gsc.files import read_files
from ambergate.graminize.gsc.layout import MAX_LAYER, read_layout

if TYPE_CHECKING:
    import tarfile
    from pathlib import Path

LAYERS = tuple(packed(member(name, name.encode())) for name in ("one", "two"))
FIRST, SECOND = "a" * 64, "b" * 64


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def older(
    *,
    layers: tuple[bytes, ...] = LAYERS,
    config: dict[str, Any] | None = None,
    named: dict[str, Any] | None = None,
    linked: bool = False,
) -> list[tuple[tarfile.TarInfo, bytes]]:
    """An image of two layers as docker 20 archives it; `linked`: the second is the first once more."""
    ids = [f"sha256:{hashed(layer)}" for layer in layers]
    document = {"architecture": "amd64", "config": {"Cmd": ["one"]}, "rootfs": {"diff_ids": ids}, **(config or {})}
    raw = json.dumps(document).encode()
    said = {"Config": f"{hashed(raw)}.json", "Layers": [f"{FIRST}/layer.tar", f"{SECOND}/layer.tar"], **(named or {})}
    second = (
        link(f"{SECOND}/layer.tar", f"../{FIRST}/layer.tar") if linked else member(f"{SECOND}/layer.tar", layers[1])
    )
    return [
        *(member(f"{hashed(raw)}.json", raw), member(f"{FIRST}/layer.tar", layers[0]), second),
        member("manifest.json", json.dumps([said]).encode()),
    ]


def unpacked(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    (folder / "image.tar").write_bytes(packed(*members))
    unpack(folder / "image.tar", folder / "layout")
    return folder / "layout"


def test_dockers_older_form(tmp_path: Path) -> None:
    image = read_layout(unpacked(tmp_path, *older()))
    assert image.config.command == ("one",)
    assert {"/one", "/two"} <= set(read_files(image).entries)


def test_podmans_form(tmp_path: Path) -> None:
    """Layers by their digests, each once; their names of before are links."""
    names = [f"{hashed(layer)}.tar" for layer in (LAYERS[0], LAYERS[1], LAYERS[0])]
    ids = [f"sha256:{name[:64]}" for name in names]
    (info, raw), *_, (last, _) = older(config={"rootfs": {"diff_ids": ids}})
    said = json.dumps([{"Config": info.name, "Layers": names}]).encode()
    layers = [member(f"{hashed(layer)}.tar", layer) for layer in LAYERS]
    old = link(f"{FIRST}/layer.tar", f"../{names[0]}")
    image = read_layout(unpacked(tmp_path, *layers, old, member(info.name, raw), member(last.name, said)))
    assert len(image.layers) == 3
    assert {"/one", "/two"} <= set(read_files(image).entries)


def test_layers_that_are_the_same_are_links(tmp_path: Path) -> None:
    image = read_layout(unpacked(tmp_path, *older(layers=(LAYERS[0], LAYERS[0]), linked=True)))
    assert len(image.layers) == 2
    assert "/one" in read_files(image).entries


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"named": {"Config": f"{FIRST}.json"}}, "no " + FIRST),
        ({"named": {"Config": "../../etc/passwd"}}, "Config '../../etc/passwd'"),
        ({"named": {"Layers": [f"{FIRST}/layer.tar", "../layer.tar"]}}, "a layer named '../layer.tar'"),
        ({"named": {"Layers": [7]}}, "a layer named ''"),
        ({"named": {"Layers": []}}, "no list of layers"),
        ({"named": {"Layers": [f"{'c' * 64}/layer.tar"]}}, "no " + "c" * 64),
        ({"named": {"Layers": [f"{SECOND}/layer.tar", f"{FIRST}/layer.tar"]}}, "not those of its configuration"),
        ({"config": {"rootfs": None}}, "not those of its configuration"),
    ],
)
def test_an_older_form_that_is_not_what_it_says(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        unpacked(tmp_path, *older(**changes))
    assert says in str(caught.value.seen)
    assert not (tmp_path / "layout" / "index.json").exists()


def test_a_configuration_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    (info, raw), *rest = older()
    with pytest.raises(SettingsError) as caught:
        unpacked(tmp_path, member(info.name, raw.replace(b"amd64", b"arm64")), *rest)
    assert "not what its name says" in str(caught.value.seen)


def test_of_an_archived_layout_nothing_but_index_and_blobs_is_unpacked(tmp_path: Path) -> None:
    digest = "blobs/sha256/" + "a" * 64
    strangers = ["../escaped", "/absolute", "blobs/sha256/../../escaped", "blobs/sha256/" + "A" * 64, "oci-layout"]
    links = link("index.json", "/etc/passwd")
    with pytest.raises(SettingsError, match="not one of an image"):
        unpacked(tmp_path, *(member(name, b"x") for name in strangers), links, member(digest, b"blob"))
    assert [each.name for each in (tmp_path / "layout").rglob("*") if each.is_file()] == ["a" * 64]
    assert {each.name for each in tmp_path.iterdir()} == {"image.tar", "layout"}


def test_a_layer_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info, _ = member(f"{FIRST}/layer.tar")
    info.size = MAX_LAYER + 1
    (tmp_path / "image.tar").write_bytes(info.tobuf())
    with pytest.raises(TooLarge, match="a layer is too long"):
        unpack(tmp_path / "image.tar", tmp_path / "layout")


@given(noise=st.binary(max_size=600), at=st.integers(0, 4000))
def test_any_bytes_give_a_layout_or_our_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("noise")
    whole = packed(*older())
    (folder / "image.tar").write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    try:
        unpack(folder / "image.tar", folder / "layout")
    except AmberError:
        return
    assert (folder / "layout" / "index.json").is_file()
