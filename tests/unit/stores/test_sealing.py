"""What is sealed opens under its key and its context, and under nothing else."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import SettingsError
from ambergate.stores.sealing import KEY_SIZE, Sealer, load_or_create_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))


@given(st.binary(), st.text())
def test_open_is_the_inverse_of_seal(plain: bytes, context: str) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(plain, context=context)
    assert sealer.open(sealed, context=context) == plain
    assert sealer.seal(plain, context=context) != sealed


@given(st.data())
def test_one_changed_bit_is_found(data: st.DataObject) -> None:
    sealer = Sealer(KEY)
    sealed = bytearray(sealer.seal(b"secret", context="a"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SettingsError):
        sealer.open(bytes(sealed), context="a")


def test_another_context_key_or_length_is_refused() -> None:
    sealed = Sealer(KEY).seal(b"secret", context="key 1")
    with pytest.raises(SettingsError, match="changed"):
        Sealer(KEY).open(sealed, context="key 2")
    with pytest.raises(SettingsError, match="another key-encryption key"):
        Sealer(bytes(32)).open(sealed, context="key 1")
    with pytest.raises(SettingsError, match="not one that was sealed"):
        Sealer(KEY).open(sealed[:20], context="key 1")
    with pytest.raises(SettingsError, match="another length"):
        Sealer(KEY[:16])


def test_a_key_file_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    key = load_or_create_key(path)
    assert len(key) == KEY_SIZE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path) == key
    assert os.listdir(tmp_path) == ["kek"]  # noqa: PTH208  # hidden files count


def test_many_starters_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "kek"] * 32))
    assert len(keys) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="open to others"):
        load_or_create_key(path)


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "\xff"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kek"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="does not hold a key"):
        load_or_create_key(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        load_or_create_key(tmp_path / "none" / "kek")
