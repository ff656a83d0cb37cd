"""Which environment is taken, what is told of those that are not there, and that nothing is ever simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ambergate.attester.detect import detect
from ambergate.attester.gramine import GramineEnclave
from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def gramine(tmp_path: Path) -> Path:
    root = tmp_path / "attestation"
    root.mkdir()
    (root / "attestation_type").write_bytes(b"dcap")
    return root


def test_gramine_is_found(gramine: Path, tmp_path: Path) -> None:
    assert isinstance(detect(gramine, tmp_path / "none", ()), GramineEnclave)


def test_gramine_is_taken_before_tdx(gramine: Path, tmp_path: Path) -> None:
    (tmp_path / "tsm").mkdir()
    assert detect(gramine, tmp_path / "tsm", ()).tee == "SGX"


@pytest.mark.parametrize("kind", [None, b"none"])
def test_gramines_failure_is_told_and_tdx_is_not_taken_instead(
    gramine: Path, tmp_path: Path, kind: bytes | None
) -> None:
    (tmp_path / "tsm").mkdir()
    (gramine / "attestation_type").unlink()
    if kind is not None:
        (gramine / "attestation_type").write_bytes(kind)
    with pytest.raises(SettingsError) as caught:
        detect(gramine, tmp_path / "tsm", ())
    assert 'sgx.remote_attestation = "dcap"' in str(caught.value.wanted)
    assert list((tmp_path / "tsm").iterdir()) == []


def test_a_directory_that_is_no_configfs_is_no_tdx_machine(tmp_path: Path) -> None:
    (tmp_path / "tsm").mkdir()
    with pytest.raises(Unavailable, match="the entry has no provider") as caught:
        detect(tmp_path / "none", tmp_path / "tsm", ())
    assert "no configfs" in str(caught.value.hint)
    assert list((tmp_path / "tsm").iterdir()) == [], "the entry is removed"


def test_without_an_environment_what_was_looked_for_is_told_and_nothing_is_simulated(tmp_path: Path) -> None:
    root, tsm = tmp_path / "attestation", tmp_path / "tsm"
    with pytest.raises(Unavailable) as caught:
        detect(root, tsm, (tmp_path / "tdx_guest",))
    assert caught.value.code == "no-evidence-source"
    assert caught.value.seen == f"no {root} (Gramine), no {tsm} (TDX)"
    assert "--simulate" in str(caught.value.hint)


def test_a_tdx_machine_without_configfs_is_told_what_is_missing(tmp_path: Path) -> None:
    device = tmp_path / "tdx_guest"
    device.touch()
    with pytest.raises(Unavailable) as caught:
        detect(tmp_path / "attestation", tmp_path / "tsm", (tmp_path / "tdx-guest", device))
    assert str(caught.value.seen).endswith(f"but {device}")
    assert "mount -t configfs none /sys/kernel/config" in str(caught.value.hint)
    assert "--simulate" not in str(caught.value.hint)
