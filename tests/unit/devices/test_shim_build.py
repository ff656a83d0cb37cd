"""Where the shim comes from: compiled once, by this user only, or not at all and why."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import Unavailable
from ambergate.devices import shim_build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, and a package without a compiled shim."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (Debian package gcc)")
    sources = tmp_path / "sources"
    shutil.copytree(shim_build.SOURCES, sources, ignore=shutil.ignore_patterns("*.so"))
    monkeypatch.setattr(shim_build, "SOURCES", sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ambergate" / "shim"


def test_it_is_compiled_once_for_each_version_of_its_source(cache: Path) -> None:
    first = shim_build.find_shim()
    made = first.stat().st_mtime_ns
    assert first.is_relative_to(cache)
    assert (shim_build.find_shim(), first.stat().st_mtime_ns) == (first, made)
    with (shim_build.SOURCES / "ready.c").open("a") as source:
        source.write("\n/* changed */\n")
    assert shim_build.find_shim() != first
    assert {path.name for path in first.parent.iterdir()} == {shim_build.LIBRARY}


def test_one_that_was_built_into_the_package_is_taken(cache: Path) -> None:
    built = shim_build.SOURCES / shim_build.LIBRARY
    built.write_bytes(b"")
    assert shim_build.shim_available() == built
    assert not cache.exists()


@pytest.mark.parametrize("loose", ["library", "directory"])
def test_one_that_others_may_write_is_refused(cache: Path, loose: str) -> None:
    """It would be loaded into the program that has the secret."""
    library = shim_build.find_shim()
    (library if loose == "library" else library.parent).chmod(0o777)
    assert shim_build.shim_available() is None
    assert str(cache) in (shim_build.why_no_shim() or "")


def test_a_link_in_its_place_is_refused(cache: Path, tmp_path: Path) -> None:
    library = shim_build.find_shim()
    library.rename(tmp_path / "elsewhere.so")
    library.symlink_to(tmp_path / "elsewhere.so")
    assert library.is_relative_to(cache)
    assert shim_build.shim_available() is None


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("mark", [" ", ":"])
def test_one_that_cannot_be_named_to_the_linker_is_refused(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"my{mark}cache"))
    assert "LD_PRELOAD" in (shim_build.why_no_shim() or "")


def test_one_that_cannot_be_loaded_is_not_kept(cache: Path) -> None:
    script = shim_build.SOURCES / "build.sh"
    script.write_text('echo "no library" > "$1"\n')
    assert "noexec" in (shim_build.why_no_shim() or "")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("cache")
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shim_build.shim_available() is None
    assert "no C compiler" in (shim_build.why_no_shim() or "")


@pytest.mark.usefixtures("cache")
def test_a_compiler_that_fails_is_quoted() -> None:
    (shim_build.SOURCES / "ready.c").write_text("#error something is missing\n")
    with pytest.raises(Unavailable) as caught:
        shim_build.find_shim()
    assert "something is missing" in str(caught.value.seen)
    assert caught.value.code == "no-shim"
    assert shim_build.why_no_shim() is not None
