"""What is shown of a SIGSTRUCT, and that its policies welcome that enclave and no other."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.quote.test_sigstruct import make

from ambergate.cli.main import main
from ambergate.core.appraise.typed import read_typed
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.graminize import sigstruct

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


@pytest.fixture
def file(tmp_path: Path, key: rsa.RSAPrivateKey) -> Path:
    path = tmp_path / "app.sig"
    path.write_bytes(make(key))
    return path


def called(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["sigstruct", "show", *arguments])
    return result.exit_code, result.stdout


def test_toml_and_json_say_the_same(file: Path) -> None:
    code, text = called(str(file))
    shown = tomllib.loads(text)
    assert (code, shown) == (0, json.loads(called(str(file), "--json")[1]))
    assert shown["mr_enclave"] == bytes(range(32)).hex()
    assert (shown["isv_prod_id"], shown["isv_svn"], shown["debug"], shown["date"]) == (7, 3, False, "2026-03-01")
    assert (shown["flags"], shown["flag_names"]) == ("0400000000000000", ["MODE64BIT"])


@pytest.mark.parametrize("by_signer", [False, True])
def test_the_policies_load_and_name_this_enclave(file: Path, tmp_path: Path, *, by_signer: bool) -> None:
    into = tmp_path / "made" / "here"
    flags = ["--by-signer"] if by_signer else []
    assert called(str(file), "--policy", str(into), *flags)[0] == 0
    said = sigstruct.read_sigstruct(file)
    attestation = read_typed((into / sigstruct.ATTESTATION_POLICY).read_text())
    release = ResourcePolicy.from_toml((into / sigstruct.RELEASE_POLICY).read_text()).terms
    (enclave,) = attestation.enclaves
    if by_signer:
        assert release.mr_signer == (said.mr_signer,)
        assert (release.isv_prod_id, release.minimum_isv_svn, release.mr_enclave) == ((7,), 3, ())
        assert said.mr_signer in (enclave.named.mr_signer or ())
    else:
        assert (release.mr_enclave, release.mr_signer) == ((said.mr_enclave,), ())
        assert said.mr_enclave in (enclave.named.mr_enclave or ())
    assert not release.dangerously_allow_debug


def test_a_debug_enclave_is_said_and_not_welcome(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    path = tmp_path / "debug.sig"
    path.write_bytes(make(key, debug=True))
    result = CliRunner().invoke(main, ["sigstruct", "show", str(path), "--policy", str(tmp_path)])
    assert "keeps no secret" in result.stderr
    policy = ResourcePolicy.from_toml((tmp_path / sigstruct.RELEASE_POLICY).read_text())
    assert not policy.terms.dangerously_allow_debug


def test_what_is_none(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    assert called(str(file), "--policy", str(tmp_path / "none"))[0] == 4
    assert not (tmp_path / "none").exists()
    assert called(str(tmp_path / "missing"))[0] == 1
    file.write_bytes(bytes(2000))
    assert called(str(file))[0] == 1
