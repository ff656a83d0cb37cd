"""A configuration that is not exactly understood does not load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import SettingsError
from ambergate.services.web.settings import MAX_FILE, Listen, database_place, load_toml, public_url

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 'port = 1\ncertificate = "c"\nkey = "k"\n'


def test_a_good_file_loads(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(GOOD)
    assert load_toml(file, Listen) == Listen(port=1, certificate="c", key="k")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "prot = 2", "prot"),
        ('certificate = "c"\nkey = "k"', "port"),
        (GOOD.replace("1", '"1"'), "port"),
        (GOOD + "[", "not TOML"),
        ("#" * (MAX_FILE + 1), "too long"),
    ],
)
def test_anything_else_does_not(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_toml(file, Listen)
    assert told in f"{caught.value} {caught.value.seen}"


def test_a_missing_or_binary_file_does_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_toml(tmp_path / "none.toml", Listen)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="expected shape"):
        load_toml(tmp_path / "b.toml", Listen)


def test_a_database_is_a_file_beside_the_configuration_or_a_url(tmp_path: Path) -> None:
    assert database_place("a.sqlite", tmp_path) == tmp_path / "a.sqlite"
    assert str(database_place("/var/lib/a.sqlite", tmp_path)) == "/var/lib/a.sqlite"
    assert database_place("postgresql://amber@/amber", tmp_path) == "postgresql://amber@/amber"


def test_a_public_url_loses_its_trailing_slash() -> None:
    assert public_url("https://a.example:8443/x/", field="f") == "https://a.example:8443/x"
    assert public_url("https://[::1]:8443", field="f") == "https://[::1]:8443"


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://",
        "a",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://a:0",
        "https://a:x",
        'https://a/"',
        "https://a /",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        public_url(url, field="public_url")
