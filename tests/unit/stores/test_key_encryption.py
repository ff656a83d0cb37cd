"""Where the key-encryption key is: a file, the environment, a PKCS#11 token; and what is said when it is not."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.softhsm import PIN

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.key_encryption import EnvironmentKey, LocalKey, key_place, open_kek
from ambergate.stores.pkcs11_uri import Pkcs11Uri
from ambergate.stores.sealing import load_or_create_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.softhsm import Token

DATA_KEY = bytes(range(32))
URI = "pkcs11:token=amber;object=kek?module-path=/usr/lib/hsm.so&pin-source=file:/etc/amber/pin"


def test_a_file_and_a_variable_with_one_key_are_one_key(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path / "kek")
    by_file = open_kek(key_place("kek", tmp_path))
    by_name = open_kek(key_place("env:AMBER_KEK", tmp_path), environ={"AMBER_KEK": key.hex()})
    assert by_file.id == by_name.id
    assert by_name.unwrap(by_file.wrap(DATA_KEY)) == DATA_KEY
    assert key.hex() not in repr(by_file)


def test_a_file_is_made_where_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not there"):
        open_kek(tmp_path / "kek")
    assert open_kek(tmp_path / "kek", create=True).id == open_kek(tmp_path / "kek").id


@pytest.mark.parametrize("text", ["", "x", "00" * 31, "\udcff"])
def test_a_variable_that_holds_no_key_is_told_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="does not hold a key") as caught:
        open_kek(EnvironmentKey("AMBER_KEK"), environ={"AMBER_KEK": text})
    assert caught.value.seen is not None
    assert "env:AMBER_KEK" in caught.value.seen
    with pytest.raises(SettingsError, match="not in the environment"):
        open_kek(EnvironmentKey("AMBER_KEK"), environ={})


@pytest.mark.parametrize("text", ["", "env:", "env:A B", "env:1", "pkcs11:", "a\0b"])
def test_a_place_that_is_none_does_not_load(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        key_place(text, tmp_path)


def test_a_uri_is_read_and_written_alike() -> None:
    uri = Pkcs11Uri.parse(URI)
    assert (uri.token, uri.label, uri.key_id) == ("amber", "kek", None)
    assert (str(uri.module), str(uri.pin)) == ("/usr/lib/hsm.so", "/etc/amber/pin")
    assert str(uri) == URI
    other = "pkcs11:serial=0%2F1;id=%01%FF;type=secret-key?pin-source=/p&module-path=/m.so"
    assert Pkcs11Uri.parse(other).key_id == b"\x01\xff"
    assert Pkcs11Uri.parse(str(Pkcs11Uri.parse(other))) == Pkcs11Uri.parse(other)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("token=amber;", "", "names no token"),
        ("object=kek", "type=secret-key", "names no key"),
        ("object=kek", "object=", "names no key"),
        ("object=kek", "object=kek;slot-id=1", "unknown attribute"),
        ("object=kek", "object=kek;object=kek", "twice"),
        ("object=kek", "object=kek;type=private", "another object"),
        ("object=kek", "object=%ff", "not text"),
        ("object=kek", "object=%f", "percent-encoded"),
        ("module-path=/usr/lib/hsm.so&", "", "names no file"),
        ("/usr/lib/hsm.so", "hsm.so", "names no file"),
        ("pin-source=file:/etc/amber/pin", "pin-source=|cat", "names no file"),
        ("pin-source=file:/etc/amber/pin", "pin-value=4711", "holds a PIN"),
        ("pkcs11:", "pkcs12:", "cannot be used"),
        ("token=amber", "token=" + "a" * 2048, "cannot be used"),
    ],
)
def test_a_uri_that_leaves_something_open_is_refused(old: str, new: str, said: str) -> None:
    assert old in URI
    with pytest.raises(SettingsError, match=said) as caught:
        Pkcs11Uri.parse(URI.replace(old, new))
    assert "4711" not in str(caught.value.as_dict())


@given(st.lists(st.sampled_from([*";=&?%/:af0", "token", "object", "module-path=/", "pin-source=/"])))
def test_any_text_is_a_uri_or_our_error(parts: list[str]) -> None:
    try:
        uri = Pkcs11Uri.parse("pkcs11:" + "".join(parts))
    except SettingsError:
        return
    assert Pkcs11Uri.parse(str(uri)) == uri


def test_a_key_in_a_token_wraps_data_keys_and_stays_there(softhsm: Token, tmp_path: Path) -> None:
    kek = open_kek(key_place(softhsm.make_aes("kek"), tmp_path))
    wrapped = kek.wrap(DATA_KEY)
    assert DATA_KEY not in wrapped
    assert wrapped != kek.wrap(DATA_KEY)
    again = open_kek(key_place(softhsm.uri("kek"), tmp_path))
    assert (again.id, again.unwrap(wrapped), again.local) == (kek.id, DATA_KEY, None)
    other = open_kek(key_place(softhsm.make_aes("other"), tmp_path))
    assert other.id != kek.id
    with pytest.raises(SettingsError, match="another key-encryption key"):
        other.unwrap(wrapped)
    with pytest.raises(SettingsError, match="another length"):
        kek.wrap(b"short")


@pytest.mark.parametrize("place", [0, 1, 9, 21, 60])
def test_what_a_token_wrapped_and_somebody_changed_is_refused(softhsm: Token, tmp_path: Path, place: int) -> None:
    kek = open_kek(key_place(softhsm.make_aes(f"kek {place}").replace(" ", "%20"), tmp_path))
    wrapped = bytearray(kek.wrap(DATA_KEY))
    wrapped[place] ^= 1
    with pytest.raises(SettingsError, match="key-encryption key"):
        kek.unwrap(bytes(wrapped))
    with pytest.raises(SettingsError, match="key-encryption key"):
        kek.unwrap(bytes(wrapped[:-1]))


def test_a_token_that_is_not_there_is_unreachable_and_the_rest_is_a_setting(softhsm: Token, tmp_path: Path) -> None:
    uri = softhsm.make_aes("here")
    with pytest.raises(Unavailable, match="does not answer"):
        open_kek(key_place(uri.replace("token=amber", "token=gone"), tmp_path))
    with pytest.raises(SettingsError, match="no such key"):
        open_kek(key_place(uri.replace("object=here", "object=gone"), tmp_path))
    with pytest.raises(SettingsError, match="module is not there"):
        open_kek(key_place(uri.replace("module-path=", "module-path=/gone"), tmp_path))
    with pytest.raises(SettingsError, match="taken out"):
        open_kek(key_place(softhsm.make_aes("open", extractable=True), tmp_path))


def test_a_pin_is_in_a_file_of_its_owner_and_never_told(softhsm: Token, tmp_path: Path) -> None:
    uri = softhsm.make_aes("for pins").replace(" ", "%20")
    pin = tmp_path / "pin"
    elsewhere = key_place(uri.replace(f"file:{softhsm.folder / 'pin'}", f"file:{pin}"), tmp_path)
    with pytest.raises(SettingsError, match="cannot be read"):
        open_kek(elsewhere)
    pin.write_text("9999")
    pin.chmod(0o640)
    with pytest.raises(SettingsError, match="open to others"):
        open_kek(elsewhere)
    pin.chmod(0o600)
    with pytest.raises(SettingsError, match="refuses its PIN") as caught:
        open_kek(elsewhere)
    assert "9999" not in str(caught.value.as_dict())
    pin.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="does not hold a PIN"):
        open_kek(elsewhere)


def test_a_login_is_shared_with_who_else_has_the_token(softhsm: Token, tmp_path: Path) -> None:
    pkcs11 = importlib.import_module("pkcs11")
    uri = softhsm.make_aes("shared")
    with pkcs11.lib(softhsm.module).get_token(token_label="amber").open(user_pin=PIN) as session:
        kek = open_kek(key_place(uri, tmp_path))
        assert kek.unwrap(kek.wrap(DATA_KEY)) == DATA_KEY
        assert list(session.get_objects({pkcs11.Attribute.LABEL: "shared"})), "they are not logged out"


def test_without_the_library_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    monkeypatch.delitem(sys.modules, "ambergate.stores.pkcs11_key", raising=False)
    with pytest.raises(SettingsError, match="not installed") as caught:
        open_kek(key_place(URI, tmp_path))
    assert caught.value.hint == "pip install 'ambergate[pkcs11]'"


def test_a_local_key_has_32_bytes() -> None:
    with pytest.raises(SettingsError, match="another length"):
        LocalKey(os.urandom(16))
