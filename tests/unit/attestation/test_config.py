"""A configuration that is not exactly understood does not load; roots are mixed only where both are named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.simulator.stream import stream
from tests.unit.token.test_policy_jwt import certificate, der

from ambergate.core.appraise.policy import _READERS, AppraisalPolicy
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import SettingsError, UnusableSettings
from ambergate.core.token.names import Profile
from ambergate.core.token.policy_jwt import signer_of
from ambergate.core.verify.anchors import INTEL_ROOT_KEY
from ambergate.services.attestation.anchors import INTEL
from ambergate.services.attestation.config import Config, load
from ambergate.services.attestation.tables import Policy
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.engine import Server

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = """\
base_url = "https://attest.example:8443/"
[listen]
port = 8443
certificate = "tls/cert.pem"
key = "tls/key.pem"
[store]
database = "a.sqlite"
key_encryption_key = "a.kek"
"""
INTEL_ANCHOR = '[[anchors]]\nintel = true\ncollateral = "collateral"\n'
SIMULATED_ANCHOR = '[[anchors]]\npem = "root.pem"\nsimulated = true\ncollateral = "simulated/collateral"\n'


@pytest.fixture(scope="session")
def roots() -> tuple[str, str]:
    first, second = (SimulatedPlatform.create(at=AT, random=stream(name)) for name in ("config 1", "config 2"))
    return first.root_pem, second.root_pem


@pytest.fixture
def folder(tmp_path: Path, roots: tuple[str, str]) -> Path:
    (tmp_path / "root.pem").write_text(roots[0])
    (tmp_path / "other.pem").write_text(roots[1])
    return tmp_path


def loaded(folder: Path, text: str) -> Config:
    (folder / "a.toml").write_text(text)
    return load(folder / "a.toml")


def refusal(folder: Path, text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text)
    return caught.value


def test_the_least_that_must_be_said(folder: Path) -> None:
    config = loaded(folder, GOOD)
    assert config.base_url == "https://attest.example:8443", "issuer and addresses are made from it"
    assert (config.host, config.port) == ("127.0.0.1", 8443)
    assert (config.tls.certificate, config.tls.key) == (folder / "tls/cert.pem", folder / "tls/key.pem")
    assert (config.database, config.key_encryption_key) == (folder / "a.sqlite", folder / "a.kek")
    assert (config.token_lifetime, config.nonce_lifetime) == (timedelta(seconds=300), timedelta(seconds=120))
    assert config.insecure_allow_anonymous is False
    assert config.policy == AppraisalPolicy()
    (anchor,) = config.anchors
    assert (anchor.anchor.key, anchor.simulated, anchor.collateral) == (INTEL_ROOT_KEY, False, (INTEL,))


def test_paths_are_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.toml").write_text(GOOD.replace("a.kek", "/etc/a.kek"))
    monkeypatch.chdir(folder)
    config = load((folder / "a.toml").relative_to(folder))
    assert config.database == folder / "a.sqlite"
    assert str(config.key_encryption_key) == "/etc/a.kek"


def test_both_roots_where_both_are_named(folder: Path) -> None:
    anchors = loaded(folder, GOOD + INTEL_ANCHOR + SIMULATED_ANCHOR).anchors
    assert [(a.anchor.is_intel, a.simulated) for a in anchors] == [(True, False), (False, True)]
    assert [a.collateral for a in anchors] == [(folder / "collateral",), (folder / "simulated/collateral",)]


def test_a_simulated_root_alone_leaves_intels_out(folder: Path) -> None:
    (anchor,) = loaded(folder, GOOD + SIMULATED_ANCHOR).anchors
    assert anchor.simulated
    assert not anchor.anchor.is_intel


def test_two_software_platforms(folder: Path) -> None:
    config = loaded(folder, GOOD + SIMULATED_ANCHOR + SIMULATED_ANCHOR.replace("root.pem", "other.pem"))
    assert len({anchor.anchor.key for anchor in config.anchors}) == 2


@pytest.mark.parametrize("twice", [INTEL_ANCHOR, SIMULATED_ANCHOR])
def test_no_root_twice(folder: Path, twice: str) -> None:
    assert "twice" in str(refusal(folder, GOOD + twice + twice))


def test_a_software_platform_is_called_one(folder: Path) -> None:
    """And genuine hardware is not: a token must not be able to say the wrong thing about either."""
    unsaid = refusal(folder, GOOD + SIMULATED_ANCHOR.replace("simulated = true\n", ""))
    assert "is not simulated" in str(unsaid)
    assert "simulated = true" in str(unsaid.hint)
    assert "is not simulated" in str(refusal(folder, GOOD + SIMULATED_ANCHOR.replace("= true", "= false")))
    assert "Intel SGX Root CA is simulated" in str(refusal(folder, GOOD + INTEL_ANCHOR + "simulated = true\n"))


@pytest.mark.parametrize(
    "anchor",
    [
        '[[anchors]]\ncollateral = "c"\n',
        '[[anchors]]\nintel = true\npem = "root.pem"\ncollateral = "c"\n',
        '[[anchors]]\nintel = false\ncollateral = "c"\n',
    ],
)
def test_an_anchor_names_one_root(folder: Path, anchor: str) -> None:
    assert "names one root" in str(refusal(folder, GOOD + anchor))


def test_roots_that_cannot_be_used(folder: Path) -> None:
    assert "cannot be read" in str(refusal(folder, GOOD + SIMULATED_ANCHOR.replace("root.pem", "none.pem")))
    (folder / "root.pem").write_bytes(b"\xff no PEM")
    assert "not a PEM" in str(refusal(folder, GOOD + SIMULATED_ANCHOR))
    made = make_server_certificate(["localhost"], AT)
    (folder / "root.pem").write_text(made.key_pem)
    assert "not a PEM" in str(refusal(folder, GOOD + SIMULATED_ANCHOR))


@pytest.mark.parametrize("place", ["http://pccs.example", "ftp://x", "HTTP://x", "https:/x/y://z"])
def test_collateral_is_a_directory_or_comes_over_https(folder: Path, place: str) -> None:
    assert "collateral" in str(refusal(folder, GOOD + INTEL_ANCHOR.replace('"collateral"', f'"{place}"')))


def test_collateral_from_a_pccs(folder: Path) -> None:
    (anchor,) = loaded(folder, GOOD + INTEL_ANCHOR.replace('"collateral"', '"https://pccs.example:8081"')).anchors
    assert anchor.collateral == ("https://pccs.example:8081",)
    assert (anchor.api, anchor.update, anchor.cacerts) == ("v4", "standard", None)


def test_collateral_from_several_places_in_order(folder: Path) -> None:
    places = '["held", "https://pccs.example:8081"]\ncollateral_cacerts = "pccs.pem"\napi = "v3"\nupdate = "early"'
    (anchor,) = loaded(folder, GOOD + INTEL_ANCHOR.replace('"collateral"', places)).anchors
    assert anchor.collateral == (folder / "held", "https://pccs.example:8081")
    assert (anchor.api, anchor.update, anchor.cacerts) == ("v3", "early", folder / "pccs.pem")


@pytest.mark.parametrize(
    "places",
    [
        "[]",
        '["held", "held"]',
        '["held", "http://pccs.example"]',
        '"https://pccs.example"\napi = "v5"',
        '"https://pccs.example"\nupdate = "late"',
        '"held"\nupdate = "early"',
        '"held"\napi = "v3"',
        '"held"\ncollateral_cacerts = "pccs.pem"',
    ],
)
def test_places_that_cannot_be_meant(folder: Path, places: str) -> None:
    refusal(folder, GOOD + INTEL_ANCHOR.replace('"collateral"', places))


@pytest.mark.parametrize(
    "change",
    [
        ("port = 8443", "port = 8443\nprot = 1"),
        ("port = 8443", ""),
        ("port = 8443", 'port = "8443"'),
        ("port = 8443", "port = -1"),
        ("port = 8443", "port = 65536"),
        ("base_url", "base_uri"),
        ("[store]", "[storage]"),
        ('database = "a.sqlite"', ""),
        ('key_encryption_key = "a.kek"', 'key_encryption_key = "a.kek"\nkey = "00"'),
        ("https://attest.example:8443/", "http://attest.example:8443/"),
        ("https://attest.example:8443/", "attest.example"),
        ("https://attest.example:8443/", "https://attest.example/simulated"),
        ("https://attest.example:8443/", "https://attest.example/simulated/"),
    ],
)
def test_what_is_not_understood_does_not_load(folder: Path, change: tuple[str, str]) -> None:
    refusal(folder, GOOD.replace(*change))


@pytest.mark.parametrize("table", ["[tokens]\nlifetime = 5\n", "[unknown]\n", INTEL_ANCHOR + "pen = 1\n"])
def test_unknown_members_are_refused_everywhere(folder: Path, table: str) -> None:
    refusal(folder, GOOD + table)


@pytest.mark.parametrize(("name", "limit"), [("lifetime_seconds", 86_400), ("nonce_seconds", 3600)])
def test_times_are_bounded(folder: Path, name: str, limit: int) -> None:
    for good in (1, limit):
        config = loaded(folder, f"{GOOD}[tokens]\n{name} = {good}\n")
        assert timedelta(seconds=good) in (config.token_lifetime, config.nonce_lifetime)
    for bad in (0, -1, limit + 1, "1.5", '"60"', "true"):
        refusal(folder, f"{GOOD}[tokens]\n{name} = {bad}\n")


def test_tokens_are_the_operators_own_unless_it_says_otherwise(folder: Path) -> None:
    config = loaded(folder, GOOD)
    assert (config.issuer, config.insecure_simulated_issuer, config.profile) == (None, None, Profile.V1)
    named = 'issuer = "Intel Trust Authority"\ninsecure_simulated_issuer = "x"\nprofile = "slim"\n'
    config = loaded(folder, f"{GOOD}[tokens]\n{named}")
    assert (config.issuer, config.insecure_simulated_issuer) == ("Intel Trust Authority", "x")
    assert config.profile is Profile.SLIM


@pytest.mark.parametrize("name", ["issuer", "insecure_simulated_issuer"])
def test_no_name_of_an_issuer(folder: Path, name: str) -> None:
    """What ends as the name of simulated tokens does would be read as one, or would hide that it is one."""
    for bad in ('""', '"https://x.example/simulated"', '"a\\nb"', f'"{"x" * 201}"', "1"):
        refusal(folder, f"{GOOD}[tokens]\n{name} = {bad}\n")
    refusal(folder, f'{GOOD}[tokens]\nsimulated_issuer = "x"\n')


@pytest.mark.parametrize("bad", ["azure", "V1", "", "v3"])
def test_no_profile(folder: Path, bad: str) -> None:
    refusal(folder, f'{GOOD}[tokens]\nprofile = "{bad}"\n')


def test_anybody_may_ask_only_if_said_in_these_words(folder: Path) -> None:
    assert loaded(folder, f"{GOOD}[tokens]\ninsecure_allow_anonymous = true\n").insecure_allow_anonymous
    refusal(folder, f"{GOOD}[tokens]\nallow_anonymous = true\n")


def test_the_policy(folder: Path) -> None:
    policy = loaded(folder, f'{GOOD}[policy]\ntcb_statuses = ["UpToDate"]\nminimum_isv_svn = 2\n').policy
    assert policy == AppraisalPolicy(tcb_statuses=frozenset({TcbStatus.UP_TO_DATE}), minimum_isv_svn=2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mr_enclave = []", "[policy]: mr_enclave"),
        ('tcb_status = ["UpToDate"]', "policy.tcb_status in "),
        ('tcb_statuses = ["X"]', "[policy]: tcb_statuses has an unknown status"),
    ],
)
def test_a_policy_that_does_not_load(folder: Path, line: str, told: str) -> None:
    error = refusal(folder, f"{GOOD}[policy]\n{line}\n")
    assert told in f"{error} {error.seen}"


def test_every_member_of_a_policy_is_a_setting() -> None:
    assert set(Policy.__struct_fields__) == set(_READERS)


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    """Names and types first; values when those hold."""
    bad = GOOD.replace("port = 8443", "port = -1\nprot = 1") + "[tokens]\nlifetime = 1\n"
    error = refusal(folder, bad)
    assert isinstance(error, UnusableSettings)
    assert [one.seen for one in error.problems if "unknown" in one.message] == [
        f"listen.prot in {folder / 'a.toml'}",
        f"tokens.lifetime in {folder / 'a.toml'}",
    ]
    assert [one.hint for one in error.problems][:1] == ["did you mean listen.port?"]
    assert len(error.problems) == 3
    values = '[tokens]\nprofile = "x"\n[policy]\nmr_enclave = []\n[policies]\nsigners = []\n'
    error = refusal(folder, GOOD.replace("https://attest", "http://attest") + values)
    assert isinstance(error, UnusableSettings)
    assert len(error.problems) == 4


def test_the_environment_stands_over_the_file(folder: Path) -> None:
    (folder / "a.toml").write_text(GOOD)
    environ = {
        "AMBER_ATTESTATION__LISTEN__PORT": "9443",
        "AMBER_ATTESTATION__TOKENS__ISSUER": "9443",
        "AMBER_ATTESTATION__POLICY__TCB_STATUSES": '["UpToDate"]',
        "AMBER_ATTESTATION__ANCHORS": '[{"pem": "root.pem", "simulated": true, "collateral": ["a", "b"]}]',
        "AMBER_ATTESTATION_SERVICE_HOST": "10.0.0.1",
        "AMBER_ATTESTATION_PORT": "tcp://10.0.0.1:8443",
    }
    config = load(folder / "a.toml", environ)
    assert (config.port, config.issuer) == (9443, "9443")
    assert config.policy.tcb_statuses == {TcbStatus.UP_TO_DATE}
    assert [anchor.collateral for anchor in config.anchors] == [(folder / "a", folder / "b")]


def test_without_a_file_the_environment_says_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    said = {
        "BASE_URL": "https://attest.example",
        "LISTEN": '{ port = 1, certificate = "c", key = "k" }',
        "LISTEN__PORT": "2",
        "STORE__DATABASE": "postgresql://amber@/amber",
        "STORE__KEY_ENCRYPTION_KEY": "a.kek",
    }
    (folder / "password").write_text("pa55word\n")
    (folder / "password").chmod(0o600)
    environ = {f"AMBER_ATTESTATION__{name}": text for name, text in said.items()}
    config = load(None, {**environ, "AMBER_ATTESTATION__STORE__PASSWORD_FILE": "password"})
    assert (config.port, config.key_encryption_key) == (2, folder / "a.kek")
    assert config.database == Server("postgresql://amber@/amber", "pa55word")
    assert "pa55word" not in repr(config)


def test_a_root_with_another_kind_of_key(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, AT, AT + timedelta(days=1))
    (folder / "root.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert "not P-256" in str(refusal(folder, GOOD + SIMULATED_ANCHOR))


def test_policies_need_no_signature_unless_signers_are_named(folder: Path) -> None:
    assert loaded(folder, GOOD).policy_signers is None
    (folder / "signer.pem").write_bytes(certificate().public_bytes(Encoding.PEM))
    (folder / "renewed.der").write_bytes(der(certificate(days=300)))
    config = loaded(folder, GOOD + '[policies]\nsigners = ["signer.pem", "renewed.der"]\n')
    assert config.policy_signers == frozenset({signer_of(der(certificate()))}), "by key"


@pytest.mark.parametrize("signers", ["[]", '["nowhere.pem"]', '["root.pem"]', '["a.toml"]', '"signer.pem"'])
def test_signers_that_cannot_be_used(folder: Path, signers: str) -> None:
    """An EC key signs no policies here; an empty list would let everybody or nobody: it must be said which."""
    refusal(folder, GOOD + f"[policies]\nsigners = {signers}\n")
