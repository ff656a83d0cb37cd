"""Layers laid over each other, and images that are not what they should be: one clear error each."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.graminize.gsc.images import ELF, blob, folder, link, member, packed, write_image

from ambergate.core.errors import AmberError, NotFound, SettingsError, TooLarge
from ambergate.graminize.gsc.files import ImageFiles, Kind, read_files
from ambergate.graminize.gsc.layout import read_layout

if TYPE_CHECKING:
    from pathlib import Path


def files_of(directory: Path, *layers: bytes, zipped: bool = False) -> ImageFiles:
    return read_files(read_layout(write_image(directory, *layers, zipped=zipped)))


@pytest.mark.parametrize("zipped", [False, True])
def test_later_layers_lie_over_earlier_ones(tmp_path: Path, zipped: bool) -> None:  # noqa: FBT001  a parameter
    files = files_of(
        tmp_path,
        packed(
            folder("./etc"), member("./etc/a", b"1"), member("etc/b", b"2"), member("opt/x/y", b"3"), member("z", b"")
        ),
        packed(member("etc/a", b"new"), member("etc/.wh.b"), member("opt/x/.wh..wh..opq"), member("opt/x/z", b"4")),
        packed(member("opt/x", b"a file now")),
        zipped=zipped,
    )
    assert files.read("/etc/a", limit=10) == b"new"
    assert files.find("/etc/b") is None
    assert sorted(name for name in files.entries if name.startswith("/opt")) == ["/opt", "/opt/x"]
    assert files.entries["/opt/x"].digest == hashlib.sha256(b"a file now").hexdigest()
    assert files.entries["/etc"].kind is Kind.DIRECTORY


def test_links_are_followed_inside_the_image(tmp_path: Path) -> None:
    files = files_of(
        tmp_path,
        packed(
            member("usr/bin/bash", ELF),
            link("bin", "usr/bin"),
            link("usr/bin/sh", "bash"),
            link("up", "../../../../usr/bin/bash"),
            link("loop", "loop2"),
            link("loop2", "loop"),
            member("hard", type=tarfile.LNKTYPE, linkname="usr/bin/bash"),
        ),
        packed(member("hard2", type=tarfile.LNKTYPE, linkname="usr/bin/bash")),
    )
    for path in ("/bin/sh", "/up", "//bin/./../bin/bash", "/usr/bin/../bin/sh"):
        assert files.resolve(path) == "/usr/bin/bash"
    assert files.read("/hard", limit=100) == files.read("/hard2", limit=100) == ELF
    with pytest.raises(SettingsError, match="in a circle"):
        files.resolve("/loop")
    assert files.find("/loop") is None
    with pytest.raises(NotFound):
        files.resolve("/nowhere")
    with pytest.raises(SettingsError, match="no file"):
        files.read("/usr", limit=10)
    with pytest.raises(TooLarge):
        files.read("/bin/sh", limit=3)


@pytest.mark.parametrize("name", ["../etc/passwd", "a/../../b", "/../x", "a/..", "x" * 5000])
def test_a_name_that_leaves_the_image(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="outside the image"):
        files_of(tmp_path, packed(member(name, b"x")))


def test_a_hard_link_that_leaves_the_image_or_leads_nowhere(tmp_path: Path) -> None:
    for target in ("../../etc/shadow", "nowhere"):
        with pytest.raises(SettingsError, match=r"outside the image|leads nowhere"):
            files_of(tmp_path, packed(member("x", type=tarfile.LNKTYPE, linkname=target)))


def test_an_image_is_bounded_as_it_is_unpacked(tmp_path: Path) -> None:
    image = read_layout(write_image(tmp_path, packed(member("zeros", bytes(1 << 20))), zipped=True))
    assert image.layers[0].size < 20_000
    assert read_files(image, limit=2 << 20).entries["/zeros"].size == 1 << 20
    with pytest.raises(TooLarge, match="unpacked"):
        read_files(image, limit=1 << 19)


def test_a_layer_of_ten_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    directory = write_image(tmp_path, packed(member("x", b"x")))
    digest = "0" * 64
    with (directory / "blobs" / "sha256" / digest).open("wb") as file:
        file.truncate(10 << 30)  # sparse: it takes no room
    kind = "application/vnd.oci.image.layer.v1.tar"
    layer = {"mediaType": kind, "digest": f"sha256:{digest}", "size": 10 << 30}
    manifest = {"config": blob(directory, b"{}"), "layers": [layer]}
    written = blob(directory, json.dumps(manifest).encode())
    index = {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", **written}]}
    (directory / "index.json").write_text(json.dumps(index))
    with pytest.raises(TooLarge, match="a layer is too long"):
        read_layout(directory)


def test_a_blob_that_is_not_what_its_digest_says(tmp_path: Path) -> None:
    directory = write_image(tmp_path, packed(member("a", b"1")))
    image = read_layout(directory)
    data = bytearray(image.layers[0].path.read_bytes())
    data[512] ^= 1  # the file's content
    image.layers[0].path.write_bytes(data)
    with pytest.raises(SettingsError, match="digest"):
        read_files(image)
    image.layers[0].path.write_bytes(data + b"x")
    with pytest.raises(SettingsError, match="digest"):
        read_layout(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"manifests": []},
        {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../x"}]},
        {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64}]},
        {"manifests": 5},
        [],
    ],
)
def test_an_index_that_is_none(tmp_path: Path, change: object) -> None:
    write_image(tmp_path, packed(member("a", b"1")))
    (tmp_path / "index.json").write_text(json.dumps(change))
    with pytest.raises(SettingsError):
        read_layout(tmp_path)


@pytest.mark.parametrize("config", [{"Env": ["x"]}, {"Env": "x=1"}, {"Cmd": [1]}, {"User": 5}, []])
def test_a_configuration_of_other_kinds(tmp_path: Path, config: dict[str, Any]) -> None:
    directory = write_image(tmp_path, packed(member("a", b"1")), config=config or {"Entrypoint": {"a": 1}})
    with pytest.raises(SettingsError, match="is not what it should be"):
        read_layout(directory)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_as_a_layer_give_files_or_our_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = packed(member("a/b", b"content"), link("l", "a"), member("c", b"x" * 600))
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + data.draw(st.binary(max_size=30)) + whole[at + data.draw(st.integers(0, 30)) :]
    with contextlib.suppress(AmberError):
        files_of(tmp_path, changed, zipped=data.draw(st.booleans()))


@pytest.mark.parametrize("cut", [1, 10, 50])
def test_a_layer_that_ends_too_early(tmp_path: Path, cut: int) -> None:
    directory = write_image(tmp_path, packed(member("a", b"1" * 5000)), zipped=True)
    image = read_layout(directory)
    path = image.layers[0].path
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(SettingsError):
        read_files(image)


def test_the_head_of_a_long_file(tmp_path: Path) -> None:
    files = files_of(tmp_path, packed(member("long", ELF + bytes(1 << 20)), folder("d")))
    assert files.head("/long", 4) == ELF[:4]
    with pytest.raises(SettingsError, match="no file"):
        files.head("/d", 4)
