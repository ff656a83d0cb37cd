"""Settings from a manifest, the environment and flags, and which of them wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ambergate.client.loading import MANIFEST_KEYS, NO_DCAP, PUBLIC_APIKEY, load
from ambergate.core.errors import SettingsError, TooLarge

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
loader.entrypoint = "file:libsysdb.so"
sgx.remote_attestation = "dcap"
sgx.amber_ip = "127.0.0.1"
sgx.amber_url = "https://127.0.0.1:443/appraisal/v1/"
sgx.amber_apikey = ""
sgx.amber_userdata = "5wISSLU3UP0vZ8G+pgkO3BhhRAtdcY22UMomtdQabSxlA=="
sgx.kbs_ip = "127.0.0.1"
sgx.kbs_url = "https://127.0.0.1:9443/kbs/v1/keys/"
sgx.kbs_keyid = "ae6281b3-e4fe-3db5-82fd-eed40f6e4f18"
"""
PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "app.manifest"
    path.write_text(text)
    return path


def test_a_manifest_as_the_first_users_wrote_it_is_read(tmp_path: Path) -> None:
    loaded = load(manifest=manifest(tmp_path, MANIFEST))
    settings = loaded.settings
    assert loaded.warnings == ()
    assert settings.shown("endpoint_url") == b"https://127.0.0.1/appraisal/v1/"
    assert settings.endpoint_ip == ("127.0.0.1",)
    assert settings.endpoint_apikey is None
    assert settings.userdata == b"5wISSLU3UP0vZ8G+pgkO3BhhRAtdcY22UMomtdQabSxlA=="
    assert settings.shown("kbs_url") == b"https://127.0.0.1:9443/kbs/v1/keys/"
    assert settings.kbs_keyid == "ae6281b3-e4fe-3db5-82fd-eed40f6e4f18"
    assert settings.wants_secret


@pytest.mark.parametrize("text", ["", 'sgx.remote_attestation = "none"\n', "sgx.debug = true\n"])
def test_a_manifest_without_dcap_is_named_in_a_warning(tmp_path: Path, text: str) -> None:
    assert load(manifest=manifest(tmp_path, text)).warnings == (NO_DCAP,)


def test_an_api_key_in_a_manifest_is_warned_of(tmp_path: Path) -> None:
    text = 'sgx.remote_attestation = "dcap"\nsgx.amber_apikey = "key"\n'
    loaded = load(manifest=manifest(tmp_path, text))
    assert loaded.warnings == (PUBLIC_APIKEY,)
    assert loaded.settings.endpoint_apikey is not None


@pytest.mark.parametrize("key", ["amber_urll", "kbs_key", "amber_", "kbs_apikey"])
def test_a_misspelt_setting_in_a_manifest_is_refused_by_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="does not exist") as caught:
        load(manifest=manifest(tmp_path, f'sgx.{key} = "x"\n'))
    assert caught.value.seen == f"sgx.{key}"
    assert all(f"sgx.{known}" in str(caught.value.wanted) for known in MANIFEST_KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "sgx.amber_ip = 1",
        "sgx.amber_url = ['a']",
        "sgx = 1",
        "sgx.amber_url = ",
        "x = " + "1" * 5000,
        "x = " + "[" * 5000,
    ],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        load(manifest=manifest(tmp_path, text))


def test_a_template_is_told_from_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not TOML") as caught:
        load(manifest=manifest(tmp_path, "{% for x in y %}\n"))
    assert "gramine-manifest" in str(caught.value.hint)


def test_a_manifest_that_is_not_there_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(manifest=tmp_path / "none.manifest")


def test_a_flag_beats_the_environment_and_that_the_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path, MANIFEST)
    environ = {"AMBER_URL": "https://environ/", "AMBER_KBS_KEYID": "environ", "OTHER": "x"}
    settings = load(
        manifest=path, environ=environ, flags={"endpoint_url": b"https://flag/", "kbs_keyid": None}
    ).settings
    assert settings.shown("endpoint_url") == b"https://flag/appraisal/v1/"
    assert settings.kbs_keyid == "environ"
    assert settings.endpoint_ip == ("127.0.0.1",)


def test_the_api_keys_file_beats_its_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-file\n")
    environ = {"AMBER_APIKEY": "variable", "AMBER_APIKEY_FILE": str(tmp_path / "key")}
    key = load(environ=environ).settings.endpoint_apikey
    assert key is not None
    assert key.reveal() == "from-the-file"


def test_an_api_key_file_that_cannot_be_read_is_told_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AMBER_APIKEY_FILE"):
        load(environ={"AMBER_APIKEY_FILE": str(tmp_path / "none")})


def test_an_endless_file_is_not_read(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(TooLarge):
        load(environ={"AMBER_APIKEY_FILE": "/dev/zero"})


@pytest.mark.parametrize("relative", [True, False])
def test_roots_may_be_text_or_a_file_beside_the_manifest(tmp_path: Path, relative: bool) -> None:  # noqa: FBT001
    (tmp_path / "roots.pem").write_text(PEM)
    where = "roots.pem" if relative else str(tmp_path / "roots.pem")
    assert load(manifest=manifest(tmp_path, f'sgx.amber_cacerts = "{where}"\n')).settings.cacerts == PEM.strip()
    assert load(environ={"AMBER_CACERTS": PEM}).settings.cacerts == PEM.strip()
