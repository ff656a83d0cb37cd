"""Two builds are compared to the byte, and what differs is named."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from scripts.release import build
from scripts.release.fault import Fault

if TYPE_CHECKING:
    from pathlib import Path


def wheel(path: Path, content: str = "x", mode: int = 0o644) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("one.py", "other.py"):
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, content if name == "other.py" else "x")
    return path


def test_what_differs_is_named(tmp_path: Path) -> None:
    first = wheel(tmp_path / "1" / "a.whl")
    build.same([first], [wheel(tmp_path / "2" / "a.whl")], what="again")
    with pytest.raises(Fault, match=r"again: a\.whl is another file") as caught:
        build.same([first], [wheel(tmp_path / "3" / "a.whl", content="y")], what="again")
    assert caught.value.hint == "look at other.py"
    with pytest.raises(Fault) as caught:
        build.same([first], [wheel(tmp_path / "4" / "a.whl", mode=0o600)], what="again")
    assert caught.value.hint == "look at one.py, other.py"
    with pytest.raises(Fault, match="names differ"):
        build.same([first], [wheel(tmp_path / "5" / "b.whl")], what="again")


def test_what_is_no_checkout_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="git gives none"):
        build.commit_of(tmp_path)
