"""What comes along: nothing without a hash, nothing under a licence that nobody read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from scripts.lock import read_requirements
from scripts.release import dependencies
from scripts.release.dependencies import Licences, closure, licence_faults
from scripts.release.fault import Fault

PROJECT = Path(__file__).resolve().parents[3]
READ = Licences(frozenset({"MIT"}), {"odd": "MIT"}, {})


def odd(folder: Path, *lines: str) -> PathDistribution:
    about = folder / "odd-1.0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("\n".join(("Metadata-Version: 2.4", "Name: odd", "Version: 1.0", *lines)) + "\n")
    return PathDistribution(about)


def faults(one: PathDistribution, licences: Licences, locked: tuple[str, ...] = ("odd",)) -> list[str]:
    return [fault.message for fault in licence_faults({"odd": one}, licences, locked)]


def test_all_that_comes_along_here_is_under_a_licence_that_was_read() -> None:
    licences = Licences.from_toml((PROJECT / "requirements" / "licences.toml").read_text())
    locked = read_requirements((PROJECT / "requirements" / "all.txt").read_text())
    found = closure("all")
    assert licence_faults(found, licences, locked) == []
    assert set(found) <= set(locked)
    assert licences.allowed == set(licences.packages.values())


def test_a_licence_that_nobody_read_is_named(tmp_path: Path) -> None:
    one = odd(tmp_path, "License-Expression: MIT")
    assert faults(one, READ) == []
    assert faults(one, replace(READ, packages={}), ()) == ["odd 1.0: nobody read its licence"]


def test_a_licence_that_changed_is_named(tmp_path: Path) -> None:
    assert faults(odd(tmp_path, "License-Expression: BUSL-1.1"), READ) == ["odd 1.0: its licence changed"]
    assert faults(odd(tmp_path), READ) == ["odd 1.0: its licence changed"]


def test_what_states_no_expression_is_held_to_its_own_words(tmp_path: Path) -> None:
    one = odd(tmp_path, "License: The MIT License", "Classifier: License :: OSI Approved :: MIT License")
    said = "The MIT License; License :: OSI Approved :: MIT License"
    assert faults(one, READ) == ["odd 1.0: its licence changed"]
    assert faults(one, replace(READ, said={"odd": said})) == []
    assert faults(one, replace(READ, said={"odd": "The MIT License"})) == ["odd 1.0: its licence changed"]


def test_a_licence_that_may_not_come_along_is_named(tmp_path: Path) -> None:
    read = Licences(frozenset({"MIT"}), {"odd": "AGPL-3.0-only"}, {})
    assert faults(odd(tmp_path, "License-Expression: AGPL-3.0-only"), read) == [
        "odd 1.0: its licence may not come along"
    ]


def test_an_entry_for_what_does_not_come_along_is_named(tmp_path: Path) -> None:
    one = odd(tmp_path, "License-Expression: MIT")
    assert faults(one, READ, ()) == ["requirements/licences.toml speaks of odd"]


def test_a_closure_follows_extras() -> None:
    bare, every = closure(), closure("all")
    assert {"cryptography", "cffi", "httpx", "h11"} <= set(bare)
    assert "ambergate" not in bare
    assert set(bare) < set(every)
    assert "psycopg-binary" in closure("postgres")
    assert set(every) == {name for extra in dependencies.extras_of() for name in closure(extra)}


def test_a_closure_of_what_is_not_here_is_none() -> None:
    with pytest.raises(Fault, match="is not installed"):
        closure(project="there-is-no-such-distribution")


@pytest.mark.parametrize("line", ["odd>=1.0", "odd==1.0", "odd==1.0 --hash=md5:00", "-r other.txt", "./odd.whl"])
def test_a_line_without_a_hash_is_told(line: str) -> None:
    pinned = f"one==1.0 ; python_version < '3.13' \\\n    --hash=sha256:{'0' * 64}\n"
    assert dependencies.unpinned(f"# a comment\n{pinned}") == []
    assert dependencies.unpinned(pinned + line) == [line]


@pytest.mark.parametrize("file", sorted((PROJECT / "requirements").glob("*.txt")), ids=lambda file: str(file.name))
def test_every_line_of_requirements_is_one_file_or_another_by_hash(file: Path) -> None:
    assert dependencies.unpinned(file.read_text()) == []


def test_a_file_that_no_requirement_names_is_told(tmp_path: Path) -> None:
    for name in ("one.whl", "odd.whl"):
        (tmp_path / name).write_text(name)
    known = f"one==1.0 --hash=sha256:{hashlib.sha256(b'one.whl').hexdigest()}"
    assert dependencies.unlisted(tmp_path, {"all.txt": known}) == ["odd.whl"]
