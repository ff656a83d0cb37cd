"""What would be released of HEAD, truly built, installed and used. The whole of it is `make release-check`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.release import build, contents, dependencies, installation, sbom
from scripts.release.fault import Fault

PROJECT = Path(__file__).resolve().parents[3]
REQUIREMENTS = PROJECT / "requirements"


@pytest.fixture(scope="module")
def at() -> int:
    """When HEAD was committed."""
    try:
        return build.commit_of(PROJECT)[1]
    except Fault as fault:
        pytest.skip(f"{fault.message}: {fault.seen}")


@pytest.fixture(scope="module")
def tree(at: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert at
    return build.tree_of(PROJECT, tmp_path_factory.mktemp("release") / "tree")


@pytest.fixture(scope="module")
def files(tree: Path) -> dict[str, bytes]:
    """What the commit holds, before anything is built in it."""
    return contents.files_of(tree)


@pytest.fixture(scope="module")
def built(tree: Path, files: dict[str, bytes], at: int) -> build.Built:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (Debian package gcc)")
    assert files
    return build.build(tree, tree.parent / "out", at=at, surroundings=build.HERE)


def test_it_holds_what_the_commit_holds(built: build.Built, files: dict[str, bytes]) -> None:
    assert contents.check_sdist(built.sdist, files) == len(files)
    pure = contents.check_wheel(built.pure, files, with_shim=False)
    assert contents.check_wheel(built.shim, files, with_shim=True) == pure + 1


def test_names_say_for_which_machines_it_is(built: build.Built, tmp_path: Path) -> None:
    assert built.pure.name.endswith("-py3-none-any.whl")
    tag = build.platform_of(built.shim)
    assert tag.startswith("manylinux_2_")
    older = tmp_path / built.shim.name.replace(tag, "manylinux_2_5_x86_64")
    shutil.copy(built.shim, older)
    with pytest.raises(Fault, match="another platform"):
        build.platform_of(older)


def test_it_is_the_same_elsewhere_and_from_the_source_distribution(built: build.Built, at: int, tmp_path: Path) -> None:
    """Another directory, umask, time zone and locale; sources that were packed and unpacked."""
    again = build.unpacked(built.sdist, tmp_path / "a name" / "of several words")
    other = build.build(again, tmp_path / "out", at=at, surroundings=build.ELSEWHERE)
    build.same(built.wheels, other.wheels, what="again")


def test_the_shim_is_made_or_left_out_as_told(tree: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    environ = {"PATH": str(tmp_path), "AMBERGATE_SHIM": "required"}
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no C compiler 'cc'" in done.stderr
    done = subprocess.run(
        command, cwd=tree, env=environ | {"AMBERGATE_SHIM": "maybe"}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "not one of auto, never, required" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bill_of_materials_is_the_same_twice_and_says_what_was_read(tmp_path: Path) -> None:
    licences = dependencies.Licences.from_toml((REQUIREMENTS / "licences.toml").read_text())
    names = dependencies.closure()
    whole = sbom.environment(PROJECT)
    assert whole == sbom.environment(PROJECT)
    sbom.write(sbom.pruned(whole, names, licences), tmp_path / "one")
    text = (tmp_path / "one").read_text()
    bom = json.loads(text)
    assert {component["name"] for component in bom["components"]} == {one.name for one in names.values()}
    licence = {"license": {"id": "MPL-2.0", "acknowledgement": "concluded"}}
    assert next(one for one in bom["components"] if one["name"] == "certifi")["licenses"] == [licence]
    assert "serialNumber" not in bom
    assert "timestamp" not in bom["metadata"]
    assert str(PROJECT) not in text
    with pytest.raises(Fault, match="not CycloneDX"):
        sbom.write(bom | {"components": [{"name": "odd"}]}, tmp_path / "two")
    with pytest.raises(Fault, match="not whole"):
        sbom.pruned(whole, ["there-is-no-such"], licences)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the bare package brings along; from the project's wheels/ or from an index, which is the one need of it."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    place = installation.Place.made(folder / "place")
    try:
        installation.fill(folder / "wheels", [REQUIREMENTS / "bare.txt"], place=place, carried=PROJECT / "wheels")
    except Fault as fault:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no packages to install from: {(fault.seen or '').splitlines()[-1]}")
    return folder / "wheels"


def test_it_installs_from_files_alone_and_verifies_a_quote(
    built: build.Built, wheelhouse: Path, tmp_path: Path
) -> None:
    bare = REQUIREMENTS / "bare.txt"
    assert dependencies.unlisted(wheelhouse, {"bare.txt": bare.read_text()}) == []
    place = installation.Place.made(tmp_path / "place")
    lacking = tmp_path / "lacking.txt"
    lines = bare.read_text().split("\nhttpx==")
    lacking.write_text(lines[0] + "\n" + lines[1][lines[1].index("\nidna==") :])
    with pytest.raises(Fault) as caught:
        installation.install_wheel(place, built.shim, extra="", requirements=lacking, wheelhouse=wheelhouse)
    assert "httpx" in (caught.value.seen or "")
    installation.install_wheel(place, built.shim, extra="", requirements=bare, wheelhouse=wheelhouse)
    assert installation.shim_of(place).startswith(str(place.folder / "venv"))
    assert installation.use_bare(place) == "UpToDate"
