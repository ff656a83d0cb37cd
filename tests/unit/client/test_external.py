"""A file that nobody measured gives what may vary, and nothing else; whatever is in it, the error is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambergate.client.external import KEYS, MAX_EXTERNAL, WHY_MEASURED, read_external
from ambergate.client.loading import ENVIRONMENT, MANIFEST_KEYS
from ambergate.core.errors import SettingsError, TooLarge

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, content: bytes | str, *measured: str) -> tuple[dict[str, bytes], tuple[str, ...]]:
    path = folder / "outside.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_external(path, measured=measured)


def test_what_may_vary(tmp_path: Path) -> None:
    text = "".join(f'{key} = "{key}"\n' for key in KEYS) + 'arguments = ["-v", ""]\n'
    values, arguments = read(tmp_path, text)
    assert values == {name: key.encode() for key, name in KEYS.items()}
    assert arguments == ("-v", "")
    assert read(tmp_path, "") == ({}, ())


@pytest.mark.parametrize(
    "key", [*MANIFEST_KEYS, *MANIFEST_KEYS.values(), *ENVIRONMENT, *WHY_MEASURED, "sgx", "program"]
)
def test_what_may_not(tmp_path: Path, key: str) -> None:
    if key in KEYS:
        assert KEYS[key] not in WHY_MEASURED
        return
    with pytest.raises(SettingsError, match="only a measured setting may say"):
        read(tmp_path, f'amber_ip = "192.0.2.1"\n{key} = "x"\n')


@pytest.mark.parametrize("key", sorted(KEYS))
def test_what_is_measured_stays(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="would replace"):
        read(tmp_path, f'{key} = "x"', KEYS[key])
    assert read(tmp_path, f'{key} = "x"', "endpoint_url")[0]


@pytest.mark.parametrize(
    "line",
    ["timeout = 5", "amber_ip = ['a']", "arguments = 'x'", "arguments = [1]", "kbs_ip = {}", "x = " + "1" * 5000],
)
def test_other_kinds(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError):
        read(tmp_path, line)


def test_bounds(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        read(tmp_path, b"#" * (MAX_EXTERNAL + 1))
    with pytest.raises(SettingsError, match="cannot be read"):
        read_external(tmp_path / "none", measured=())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text('amber_ip = "[]{}\n.0', max_size=60).map(str.encode)))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    try:
        values, _ = read(tmp_path, content)
    except (SettingsError, TooLarge):
        return
    assert set(values) <= set(KEYS.values())


def test_no_api_key_is_shown(tmp_path: Path) -> None:
    for text in ('amber_apikey = "kept-quite-secret"\namber_url = "x"', 'amber_apikey = "kept-quite-secret"\nx = ['):
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, text)
        assert "kept-quite-secret" not in str(caught.value.as_dict())
