from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import SettingsError
from ambergate.core.quote.codec import parse_quote
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

ENCLAVE = EnclaveIdentity.of_program([b"program"])


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_a_kept_platform_is_the_same_platform(tmp_path: Path, at: datetime, ca: str) -> None:
    made = SimulatedPlatform.create(at=at, ca=ca)
    made.save(tmp_path / "state")
    loaded = SimulatedPlatform.load(tmp_path / "state")
    assert loaded.root_pem == made.root_pem
    assert loaded.ca == made.ca == ca
    assert loaded.state.hardware == made.state.hardware
    before, after = (parse_quote(p.quote(ENCLAVE, bytes(64))) for p in (made, loaded))
    assert after.attestation_key == before.attestation_key
    assert after.certification == before.certification
    assert after.header == before.header
    assert after.qe_auth_data == before.qe_auth_data


def test_private_keys_are_for_the_owner_alone_and_the_root_is_for_all(
    tmp_path: Path, platform: SimulatedPlatform
) -> None:
    platform.save(tmp_path)
    assert _mode(tmp_path / "platform") == 0o700
    keys = list((tmp_path / "platform").glob("*.key.pem"))
    assert len(keys) == 6
    assert {_mode(key) for key in keys} == {0o600}
    assert _mode(tmp_path / "root_ca.pem") == 0o644
    assert (tmp_path / "root_ca.pem").read_text() == platform.root_pem


def test_no_file_of_all_readers_holds_a_private_key(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    platform.save(tmp_path)
    platform.save_collateral(tmp_path, at=at)
    for path in tmp_path.rglob("*"):
        if path.is_file() and _mode(path) & 0o077:
            assert b"PRIVATE" not in path.read_bytes()


def test_a_platform_is_never_overwritten(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    platform.save(tmp_path)
    with pytest.raises(SettingsError, match="already"):
        SimulatedPlatform.create(at=at).save(tmp_path)
    assert SimulatedPlatform.load(tmp_path).root_pem == platform.root_pem
    assert (tmp_path / "root_ca.pem").read_text() == platform.root_pem


def test_collateral_is_kept_under_its_platforms_name(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    path = platform.save_collateral(tmp_path, at=at)
    assert path == tmp_path / "collateral" / f"sgx-{platform.fmspc.hex()}-platform.json"
    assert Collateral.from_json(path.read_text()).tcb_info == platform.collateral(at=at).tcb_info
    platform.save_collateral(tmp_path, at=at)
    assert set(path.parent.iterdir()) == {path, tmp_path / platform.td_collateral_path}


def test_an_empty_directory_holds_no_platform(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        SimulatedPlatform.load(tmp_path)
    assert "amber simulator init" in str(caught.value.hint)


def _swap_keys(folder: Path) -> None:
    (folder / "pck.key.pem").write_bytes((folder / "root.key.pem").read_bytes())


def _other_format(folder: Path) -> None:
    description = json.loads((folder / "platform.json").read_text())
    (folder / "platform.json").write_text(json.dumps({**description, "format": 2}))


def _swap_leaf(folder: Path) -> None:
    for suffix in ("pem", "key.pem"):
        (folder / f"pck.{suffix}").write_bytes((folder / f"tcb_signing.{suffix}").read_bytes())


def _other_kind_of_key(folder: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "attestation.key.pem").write_bytes(pem)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "pck.pem").unlink(),
        lambda folder: (folder / "pck.pem").write_text("no certificate"),
        lambda folder: (folder / "pck.key.pem").write_text("no key"),
        lambda folder: (folder / "platform.json").write_text("[]"),
        lambda folder: (folder / "platform.json").write_text("{}"),
        _other_format,
        _swap_keys,
        _swap_leaf,
        _other_kind_of_key,
    ],
    ids=[
        "no leaf",
        "not a certificate",
        "not a key",
        "not an object",
        "no members",
        "format",
        "another key",
        "no SGX extension",
        "another kind of key",
    ],
)
def test_a_damaged_platform_is_our_error(tmp_path: Path, platform: SimulatedPlatform, damage: object) -> None:
    platform.save(tmp_path)
    assert callable(damage)
    damage(tmp_path / "platform")
    with pytest.raises(SettingsError, match="unusable") as caught:
        SimulatedPlatform.load(tmp_path)
    assert caught.value.__cause__ is not None


def test_a_file_is_no_directory(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        platform.save(tmp_path / "file")
    with pytest.raises(SettingsError, match="cannot be written"):
        platform.save_collateral(tmp_path / "file", at=at)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, platform: SimulatedPlatform, at: datetime) -> None:
    (tmp_path / platform.collateral_path).mkdir(parents=True)
    with pytest.raises(SettingsError, match="cannot be written"):
        platform.save_collateral(tmp_path, at=at)
    assert list((tmp_path / "collateral").iterdir()) == [tmp_path / platform.collateral_path]


def test_a_failed_save_leaves_no_platform_and_no_keys(tmp_path: Path, platform: SimulatedPlatform) -> None:
    (tmp_path / "root_ca.pem").mkdir()
    with pytest.raises(SettingsError, match="cannot be written"):
        platform.save(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "root_ca.pem"]
