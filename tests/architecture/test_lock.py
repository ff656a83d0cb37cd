"""The lock, its export and pyproject.toml say the same, and none says where packages come from."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    """scripts/lock.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("lock", _PROJECT / "scripts" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Files = tuple[str, str, dict[str, str]]


@pytest.fixture(scope="module")
def files() -> Files:
    project, lock = ((_PROJECT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "uv.lock"))
    requirements = {path.name: path.read_text(encoding="utf-8") for path in (_PROJECT / "requirements").glob("*.txt")}
    return project, lock, requirements


def test_the_files_agree(lock: ModuleType, files: Files) -> None:
    assert lock.disagreements(*files) == []


def test_addresses_are_stripped(lock: ModuleType) -> None:
    registry = 'source = { registry = "https://registry.example/simple" }\n'
    file = '{ url = "https://files.example/a1/b2/one-1.0-py3-none-any.whl", hash = "sha256:00", size = 9 }\n'
    assert lock.without_addresses(registry + file) == (
        'source = { registry = "wheels" }\n{ path = "one-1.0-py3-none-any.whl", hash = "sha256:00", size = 9 }\n'
    )


def test_every_disagreement_is_told(lock: ModuleType, files: Files) -> None:
    project, locked, requirements = files
    address = locked.replace('registry = "wheels"', 'registry = "https://registry.example"', 1)
    assert lock.disagreements(project, address, requirements) == ["uv.lock holds addresses"]
    asked = project.replace('"click>=8.2"', '"click>=8.3"')
    assert lock.disagreements(asked, locked, requirements) == [
        "pyproject.toml asks for click>=8.3, and uv.lock does not know it",
        "uv.lock is for click>=8.2, which pyproject.toml does not ask for",
    ]
    for file, text in requirements.items():
        pinned = text.replace("==", "==0", 1)
        assert len(lock.disagreements(project, locked, {**requirements, file: pinned})) == 1
        weakened = text.replace("    --hash=", "    --hush=", 1)
        assert len(lock.disagreements(project, locked, {**requirements, file: weakened})) == 1
        missing = {name: text for name, text in requirements.items() if name != file}
        assert lock.disagreements(project, locked, missing) == [f"requirements/{file} pins nothing"]


def test_no_file_of_requirements_is_made_by_hand(lock: ModuleType, files: Files) -> None:
    assert files[2].keys() == lock.EXPORTS.keys()


def test_this_environment_is_the_locked_one(lock: ModuleType, files: Files) -> None:
    """Every package that tests run with has the version that the lock has."""
    wrong = []
    for name, (wanted, _) in lock.read_requirements(files[2]["dev.txt"]).items():
        try:
            seen = version(name)
        except PackageNotFoundError:
            continue  # for another platform or Python
        if seen != wanted:
            wrong.append(f"{name} {seen}, wanted {wanted}")
    assert wrong == []
