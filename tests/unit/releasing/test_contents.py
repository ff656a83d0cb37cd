"""What is inside of what is released: a file too many, too few or changed is named."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from scripts.release import contents
from scripts.release.fault import Fault

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = b"""\
Metadata-Version: 2.4
Name: ambergate
Version: 0.1.0
License-Expression: Apache-2.0
License-File: LICENSE
Description-Content-Type: text/markdown

# ambergate
"""
TREE = {
    **{f"src/{name}": f"# {name}".encode() for name in contents.NEEDED},
    "README.md": b"# ambergate",
    "tests/unit/test_it.py": b"def test_it() -> None: ...",
}
DIST = "ambergate-0.1.0.dist-info/"
WHEEL = {
    **{name.removeprefix("src/"): content for name, content in TREE.items() if name.startswith("src/")},
    **{DIST + name: b"x" for name in ("RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")},
    f"{DIST}METADATA": ABOUT,
}
# Put together here: no file of this project holds a key.
KEY = b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"A" * 64


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "ambergate-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def sdist(folder: Path, files: dict[str, bytes], *, link: str = "") -> Path:
    path = folder / "ambergate-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"PKG-INFO": ABOUT, **files}.items():
            member = tarfile.TarInfo(f"ambergate-0.1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(f"ambergate-0.1.0/{link}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return path


def test_a_whole_wheel_passes(tmp_path: Path) -> None:
    assert contents.check_wheel(wheel(tmp_path, WHEEL), TREE, with_shim=False) == len(WHEEL)
    with_shim = WHEEL | {contents.SHIM: b"\x7fELF and more"}
    assert contents.check_wheel(wheel(tmp_path, with_shim), TREE, with_shim=True) == len(with_shim)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ambergate/tests/vectors/quote.bin": b"x"}, "ambergate/tests/vectors/quote.bin"),
        ({"tests/unit/test_it.py": TREE["tests/unit/test_it.py"]}, "tests/unit/test_it.py"),
        ({contents.SHIM: b"\x7fELF"}, contents.SHIM),
        ({f"{DIST}sboms/odd.json": b"{}"}, "sboms/odd.json"),
        ({"ambergate/cli/main.py": b"import os"}, "ambergate/cli/main.py"),
        ({f"{DIST}METADATA": ABOUT.replace(b"0.1.0", b"0.1.1")}, "0.1.1"),
        ({f"{DIST}METADATA": ABOUT.replace(b"Apache-2.0", b"Nobody's")}, "Nobody's"),
        ({f"{DIST}METADATA": ABOUT.replace(b"text/markdown", b"text/html")}, "text/html"),
    ],
)
def test_a_wheel_with_another_file_is_none(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(Fault) as caught:
        contents.check_wheel(wheel(tmp_path, WHEEL | files), TREE, with_shim=False)
    assert said in (caught.value.seen or "")


@pytest.mark.parametrize("name", ["ambergate/py.typed", f"{DIST}licenses/LICENSE"])
def test_a_wheel_without_a_file_is_none(tmp_path: Path, name: str) -> None:
    files = {one: content for one, content in WHEEL.items() if one != name}
    with pytest.raises(Fault, match="holds less") as caught:
        contents.check_wheel(wheel(tmp_path, files), TREE, with_shim=False)
    assert name.removeprefix(DIST) in (caught.value.seen or "")


def test_a_package_that_lost_a_file_in_the_tree_too_is_not_whole(tmp_path: Path) -> None:
    lost = "ambergate/py.typed"
    files = {name: content for name, content in WHEEL.items() if name != lost}
    tree = {name: content for name, content in TREE.items() if name != f"src/{lost}"}
    with pytest.raises(Fault, match="not whole"):
        contents.check_wheel(wheel(tmp_path, files), tree, with_shim=False)


def test_a_shim_is_a_library(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no library"):
        contents.check_wheel(wheel(tmp_path, WHEEL | {contents.SHIM: b"MZ"}), TREE, with_shim=True)


def test_nothing_holds_a_private_key(tmp_path: Path) -> None:
    tree = TREE | {"src/ambergate/odd.pem": KEY}
    with pytest.raises(Fault, match="private key") as caught:
        contents.check_wheel(wheel(tmp_path, WHEEL | {"ambergate/odd.pem": KEY}), tree, with_shim=False)
    assert caught.value.seen == "ambergate/odd.pem"
    with pytest.raises(Fault, match="private key"):
        contents.check_sdist(sdist(tmp_path, tree), tree)


def test_a_source_distribution_is_the_tree(tmp_path: Path) -> None:
    assert contents.check_sdist(sdist(tmp_path, TREE), TREE) == len(TREE)
    fewer = {name: content for name, content in TREE.items() if name != "tests/unit/test_it.py"}
    with pytest.raises(Fault, match="holds less"):
        contents.check_sdist(sdist(tmp_path, fewer), TREE)
    with pytest.raises(Fault, match="holds more"):
        contents.check_sdist(sdist(tmp_path, TREE | {"tests/vectors/quote.bin": b"x"}), TREE)
    with pytest.raises(Fault, match="other bytes"):
        contents.check_sdist(sdist(tmp_path, TREE | {"README.md": b"# other"}), TREE)
    with pytest.raises(Fault, match="more than files"):
        contents.check_sdist(sdist(tmp_path, TREE, link="odd"), TREE)
