"""Settings: every value obeys its rule wherever it comes from, and an API key does not show itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.client.settings import MAX_VALUE, PARSERS, ApiKey, Settings
from ambergate.core.errors import SettingsError, TooLarge

KEY = "bm90LWEtcmVhbC1rZXk="


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("https://host:443/appraisal/v1/", "https://host/appraisal/v1/"),
        ("https://host:8443/appraisal/v1", "https://host:8443/appraisal/v1/"),
        ("  https://host.example/appraisal/v2/\n", "https://host.example/appraisal/v2/"),
        ("https://host.example", "https://host.example/appraisal/v1/"),
        ("https://host.example/", "https://host.example/appraisal/v1/"),
        ("https://[::1]:8443/a/", "https://[::1]:8443/a/"),
        ("HTTPS://Host.Example/a", "https://host.example/a/"),
    ],
)
def test_endpoint_url_is_read_and_shown_in_one_form(written: str, shown: str) -> None:
    settings = Settings().changed("endpoint_url", written.encode())
    assert settings.shown("endpoint_url") == shown.encode()
    assert settings.changed("endpoint_url", settings.shown("endpoint_url")) == settings


@pytest.mark.parametrize(
    "written",
    [
        "http://host/a/",
        "ftp://host/",
        "host:443",
        "https:///path/",
        "https://user:word@host/",
        "https://host/?query=1",
        "https://host/#part",
        "https://host/a?",
        "https://host:0/",
        "https://host:65536/",
        "https://host:port/",
        "https://ho st/",
        "https://host/a\r\nX-Injected: 1",
        "https://host/\x00",
        "https://h\u00f6st/",
        "https://-host/",
        "https://[::1/",
        "https://host/" + "a" * 3000,
    ],
)
def test_a_url_that_is_no_plain_https_url_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match="endpoint_url") as caught:
        Settings().changed("endpoint_url", written.encode())
    assert caught.value.code == "settings-endpoint_url"


def test_only_the_attestation_api_has_a_path_of_its_own() -> None:
    assert Settings().changed("kbs_url", b"https://host").shown("kbs_url") == b"https://host/"


@pytest.mark.parametrize("written", ["127.0.0.1", "127.0.0.1,::1", "10.0.0.1 10.0.0.2\n[fe80::1]", "127.0.0.1,,::1"])
def test_several_addresses_of_both_families_are_taken(written: str) -> None:
    addresses = Settings().changed("endpoint_ip", written.encode()).endpoint_ip
    assert addresses == tuple(part.strip("[]") for part in written.replace(",", " ").split())


@pytest.mark.parametrize(
    "written", ["localhost", "127.0.0.256", "1.2.3", "fe80::1%eth0", "127.0.0.1;::1", "1.1.1.1 " * 17]
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match="endpoint_ip"):
        Settings().changed("endpoint_ip", written.encode())


@pytest.mark.parametrize("written", ["a b", "key\r\nX-Injected: 1", "\u00e4", "x" * 4097, "\x7f"])
def test_an_api_key_that_cannot_be_a_header_is_refused_unseen(written: str) -> None:
    with pytest.raises(SettingsError, match="endpoint_apikey") as caught:
        Settings().changed("endpoint_apikey", written.encode())
    assert written not in str(caught.value.as_dict())


def test_an_api_key_shows_its_last_four_characters_only() -> None:
    settings = Settings().changed("endpoint_apikey", f"{KEY}\n".encode())
    assert settings.endpoint_apikey is not None
    assert settings.endpoint_apikey.reveal() == KEY
    assert settings.shown("endpoint_apikey") == b"****ZXk="
    for text in (repr(settings), str(settings), repr(settings.endpoint_apikey), f"{settings.endpoint_apikey}"):
        assert KEY not in text


def test_a_short_api_key_shows_nothing() -> None:
    assert ApiKey("12345678").masked == "****"


@pytest.mark.parametrize("written", ["../x", "a/b", "a b", ".", "..", "-x", "a" * 129, "a?b", "a%2fb"])
def test_a_key_id_cannot_leave_its_place_in_the_path(written: str) -> None:
    with pytest.raises(SettingsError, match="kbs_keyid"):
        Settings().changed("kbs_keyid", written.encode())


@given(st.binary(max_size=200))
def test_userdata_is_taken_byte_for_byte(data: bytes) -> None:
    settings = Settings().changed("userdata", data)
    assert settings.userdata == data
    assert settings.shown("userdata") == data


@given(st.sampled_from(sorted(PARSERS)), st.binary(max_size=60))
def test_any_bytes_are_a_setting_or_a_settings_error_that_names_it(name: str, data: bytes) -> None:
    refused = ""
    settings = Settings()
    try:
        settings = settings.changed(name, data)
    except SettingsError as error:
        refused = error.code
    assert refused in {"", f"settings-{name}"}
    if not refused and name not in {"endpoint_apikey", "timeout"}:
        assert settings.changed(name, settings.shown(name)) == settings


@pytest.mark.parametrize("name", ["userdata", "endpoint_url", "cacerts"])
def test_a_value_beyond_the_limit_is_too_large(name: str) -> None:
    with pytest.raises(TooLarge, match=name):
        Settings().changed(name, b"x" * (MAX_VALUE + 1))


@pytest.mark.parametrize("written", ["0", "-1", "601", "nan", "inf", "soon"])
def test_a_timeout_is_a_number_of_seconds_in_range(written: str) -> None:
    with pytest.raises(SettingsError, match="timeout"):
        Settings().changed("timeout", written.encode())


def test_roots_are_pem() -> None:
    with pytest.raises(SettingsError, match="cacerts"):
        Settings().changed("cacerts", b"not a certificate")


@pytest.mark.parametrize("name", ["endpoint_url", "endpoint_ip", "endpoint_apikey", "kbs_url", "kbs_keyid", "userdata"])
def test_an_empty_value_unsets(name: str) -> None:
    values = {"endpoint_ip": b"::1", "endpoint_apikey": b"k", "kbs_keyid": b"k", "userdata": b"u"}
    settings = Settings().changed(name, values.get(name, b"https://host/a/"))
    assert settings != Settings()
    assert settings.changed(name, b"" if name == "userdata" else b"\n") == Settings()


def test_a_secret_is_wanted_when_broker_and_key_are_named() -> None:
    broker = Settings().changed("kbs_url", b"https://host/kbs/v1/keys/")
    assert not broker.wants_secret
    assert broker.changed("kbs_keyid", b"k1").wants_secret
