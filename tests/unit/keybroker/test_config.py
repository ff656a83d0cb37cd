"""The broker's configuration loads strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.integration.keybroker.forge import AT
from tests.unit.token.test_certified import GOOD as KEY_SET_ENTRY
from tests.unit.token.test_certified import LISTS, ROOT

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.services.keybroker.config import load
from ambergate.services.keybroker.pinned import SigningRoot
from ambergate.stores.engine import Server

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = '[listen]\nport = 9443\ncertificate = "cert.pem"\nkey = "/etc/key.pem"\n'
STORE = '[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "broker.kek"\n'
ISSUER = '[[issuers]]\nissuer = "https://a"\njwks_url = "https://a/certs"\n'
GOOD = LISTEN + STORE + ISSUER
VERIFIER = '[verifier]\nurl = "https://a/appraisal/v1/"\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "broker.toml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert (config.host, config.port) == ("127.0.0.1", 9443)
    assert config.tls.certificate == tmp_path / "cert.pem"
    assert str(config.tls.key) == "/etc/key.pem"
    assert config.database == tmp_path / "broker.sqlite"
    assert config.key_encryption_key == tmp_path / "broker.kek"


def test_loading_makes_and_fetches_nothing(tmp_path: Path) -> None:
    load(written(tmp_path, GOOD))
    assert [file.name for file in tmp_path.iterdir()] == ["broker.toml"]


def test_simulation_is_accepted_from_named_issuers_only(tmp_path: Path) -> None:
    text = GOOD + '[[issuers]]\nissuer = "https://a/simulated"\njwks_file = "k"\ninsecure_accept_simulated = true\n'
    issuers = load(written(tmp_path, text)).trust._issuers
    assert {name: trusted.accept_simulated for name, trusted in issuers.items()} == {
        "https://a": False,
        "https://a/simulated": True,
    }


def test_a_verifier_is_asked_only_where_one_is_named(tmp_path: Path) -> None:
    """Its key stands in a file, and nothing shows it."""
    assert load(written(tmp_path, GOOD)).verifier is None
    (tmp_path / "verifier.key").write_text("the-brokers-own-key\n")
    config = load(written(tmp_path, GOOD + VERIFIER + 'api_key_file = "verifier.key"\n'))
    assert config.verifier is not None
    assert config.verifier._key is not None
    assert config.verifier._key.reveal() == "the-brokers-own-key"
    assert "the-brokers-own-key" not in repr(config)
    assert load(written(tmp_path, GOOD + VERIFIER)).verifier is not None


MANAGERS = """\
[[pkcs11]]
name = "hsm"
module = "/usr/lib/module.so"
token = "amber"
pin_file = "pin"
[[kmip]]
name = "kmip"
host = "kmip.example"
certificate = "c.pem"
key = "c.key"
[[vault]]
name = "vault"
url = "https://vault.example:8200"
mount = "secret"
token_file = "token"
[[vault]]
name = "transit"
engine = "transit"
url = "https://vault.example:8200/"
mount = "team/transit"
token_file = "token"
"""


def test_key_managers_are_named_and_none_is_asked(tmp_path: Path) -> None:
    made = load(written(tmp_path, GOOD + MANAGERS)).managers.made(bytes)
    kinds = {name: type(one).__name__ for name, one in made.items()}
    assert kinds == {
        "built-in": "BuiltIn",
        "hsm": "Pkcs11",
        "kmip": "Kmip",
        "vault": "VaultKv",
        "transit": "VaultTransit",
    }


@pytest.mark.parametrize(
    "change",
    [
        ('"kmip"', '"hsm"'),
        ('"hsm"', '"built-in"'),
        ('"hsm"', '"Two Words"'),
        ("https://vault.example:8200", "http://vault.example:8200"),
        ("https://vault.example:8200", "https://user@vault.example"),
        ('"secret"', '"../secret"'),
        ('"transit"\nurl', '"pki"\nurl'),
        ('pin_file = "pin"', 'pin = "4711"'),
        ('pin_file = "pin"', 'pin_file = "pin"\noaep_hash = "md5"'),
        ('host = "kmip.example"', 'host = "kmip.example"\nport = 0'),
    ],
    ids=range(10),
)
def test_key_managers_that_do_not_load(tmp_path: Path, change: tuple[str, str]) -> None:
    with pytest.raises(SettingsError):
        load(written(tmp_path, GOOD + MANAGERS.replace(*change)))


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("", "broker.sqlite-keys"),
        ('version_keys = "apart"\n', "apart"),
        ('version_keys = "broker.sqlite"\n', None),
        ('version_keys = "postgresql://amber@/keys?host=/run"\n', "postgresql://amber@/keys?host=/run"),
    ],
)
def test_where_version_keys_are(tmp_path: Path, more: str, place: str | None) -> None:
    found = load(written(tmp_path, GOOD.replace(STORE, STORE + more))).version_keys
    assert found == (place if place is None or "://" in place else tmp_path / place)


def test_the_password_of_version_keys_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """As that of the database: never from the URL, and shown to nobody."""
    url = "postgresql://amber@/keys?host=/run"
    file = written(tmp_path, GOOD.replace(STORE, STORE + f'version_keys = "{url}"\n'))
    secret = tmp_path / "password"
    secret.write_text("a pass word\n")
    secret.chmod(0o600)
    name = "AMBER_KEYBROKER__STORE__VERSION_KEYS_PASSWORD"
    for environ in ({name: "a pass word"}, {f"{name}_FILE": str(secret)}):
        config = load(file, environ)
        assert config.version_keys == Server(url, "a pass word")
        assert "pass word" not in repr(config)


PINNED = GOOD + 'signing_root = "root.pem"\n'


def test_a_signing_root_is_pinned_with_its_lists(tmp_path: Path) -> None:
    """The set that is fetched counts for what the root says of it, at that instant."""
    (tmp_path / "root.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    for name, made in (("root.crl", LISTS[0]), ("ca.crl", LISTS[1])):
        (tmp_path / name).write_bytes(made.public_bytes(Encoding.DER))
    text = GOOD.replace('jwks_url = "https://a/certs"', 'jwks_file = "keys.json"') + 'signing_root = "root.pem"\n'
    for keys, kids in ((KEY_SET_ENTRY, {"one"}), ({**KEY_SET_ENTRY, "x5c": []}, set())):
        (tmp_path / "keys.json").write_text(json.dumps({"keys": [keys]}))
        pinned = load(written(tmp_path, text + 'crls = ["root.crl", "ca.crl"]\nalgorithms = ["ES256"]\n'))
        (trusted,) = pinned.trust._issuers.values()
        if kids:
            assert trusted.keys.get(AT).kids == kids
            continue
        with pytest.raises(Unavailable):
            trusted.keys.get(AT)
    careless = load(written(tmp_path, text + "insecure_ignore_revocation = true\n")).trust._issuers["https://a"]
    assert isinstance(careless.keys._vouch, SigningRoot)
    assert careless.keys._vouch.lists is None


def test_keys_are_not_taken_over_under_another_root(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    texts = (
        GOOD,
        GOOD + 'algorithms = ["PS384"]\n',
        PINNED + "insecure_ignore_revocation = true\n",
        PINNED + 'crls = ["https://a/crl"]\n',
    )
    sources = [load(written(tmp_path, text)).trust._issuers["https://a"].source for text in texts]
    assert len(set(sources)) == len(texts)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[listen", id="no TOML"),
        pytest.param(STORE + ISSUER, id="no listen"),
        pytest.param(LISTEN + ISSUER, id="no store"),
        pytest.param(LISTEN + STORE, id="no issuers"),
        pytest.param("issuers = []\n" + LISTEN + STORE, id="nobody trusted"),
        pytest.param(GOOD + ISSUER, id="an issuer twice"),
        pytest.param(GOOD + "accept_simulated = true\n", id="unknown member of an issuer"),
        pytest.param("debug = true\n" + GOOD, id="unknown table"),
        pytest.param(GOOD.replace("port = 9443", 'port = "9443"'), id="port in words"),
        pytest.param(GOOD.replace("9443", "70000"), id="no such port"),
        pytest.param(GOOD.replace("https://a/certs", "http://a/certs"), id="unverified keys"),
        pytest.param(GOOD.replace("https://a/certs", "file:///certs"), id="keys from nowhere"),
        pytest.param(GOOD.replace("https://a/certs", "https:///certs"), id="no host"),
        pytest.param(GOOD.replace("https://a/certs", "https://u:p@a/certs"), id="a password in the URL"),
        pytest.param(GOOD.replace("https://a/certs", "https://a:x/certs"), id="port of words"),
        pytest.param(GOOD.replace('issuer = "https://a"', 'issuer = ""'), id="nameless issuer"),
        pytest.param(GOOD + 'jwks_file = "keys.json"\n', id="keys from two places"),
        pytest.param(GOOD.replace('jwks_url = "https://a/certs"', ""), id="keys from no place"),
        pytest.param(
            GOOD.replace('jwks_url = "https://a/certs"', 'jwks_file = "k"\ncacerts = "ca"'), id="roots for a file"
        ),
        pytest.param(GOOD + 'cacerts = "missing.pem"\n', id="roots missing"),
        pytest.param(GOOD + 'insecure_accept_simulated = "yes"\n', id="flag in words"),
        pytest.param(GOOD + "algorithms = []\n", id="no algorithm"),
        pytest.param(GOOD + 'algorithms = ["HS256"]\n', id="a symmetric algorithm"),
        pytest.param(GOOD + "max_stale_hours = 0\n", id="keys that are always stale"),
        pytest.param(GOOD + "max_stale_hours = 1000\n", id="keys that never are"),
        pytest.param(GOOD.replace(STORE, STORE + 'version_keys_password = "x"\n'), id="a password for a file"),
        pytest.param(
            GOOD.replace(STORE, STORE + 'version_keys = "postgresql://a:b@/keys"\n'), id="a password in another URL"
        ),
        pytest.param(GOOD + 'crls = ["a.crl"]\n', id="lists without a root"),
        pytest.param(GOOD + "insecure_ignore_revocation = true\n", id="revocation of nothing"),
        pytest.param(GOOD + 'signing_root = "root.pem"\n', id="a root without lists"),
        pytest.param(GOOD + 'signing_root = "missing.pem"\ncrls = ["a.crl"]\n', id="a root that is not there"),
        pytest.param(GOOD + 'signing_root = "words"\ncrls = ["a.crl"]\n', id="a root of words"),
        pytest.param(GOOD + 'signing_root = "root.pem"\ncrls = ["http://a/crl"]\n', id="lists without TLS"),
        pytest.param(
            GOOD + 'signing_root = "root.pem"\ncrls = ["a.crl"]\ninsecure_ignore_revocation = true\n',
            id="lists that nobody looks at",
        ),
        pytest.param(GOOD + VERIFIER.replace("https", "http"), id="a verifier without TLS"),
        pytest.param(GOOD + '[verifier]\nurl = ""\n', id="a verifier without a URL"),
        pytest.param(GOOD + VERIFIER + "timeout_seconds = 0\n", id="no time at all"),
        pytest.param(GOOD + VERIFIER + "timeout_seconds = 1e9\n", id="all the time"),
        pytest.param(GOOD + VERIFIER + 'api_key_file = "missing"\n', id="the verifier's key missing"),
        pytest.param(GOOD + VERIFIER + 'api_key_file = "empty"\n', id="the verifier's key empty"),
        pytest.param(GOOD + VERIFIER + 'api_key_file = "octets"\n', id="the verifier's key no text"),
        pytest.param(GOOD + VERIFIER + 'cacerts = "missing"\n', id="the verifier's roots missing"),
        pytest.param(GOOD + VERIFIER + 'cacerts = "words"\n', id="the verifier's roots are words"),
        pytest.param(GOOD + VERIFIER + 'api_key = "secret"\n', id="a key written into the file"),
    ],
)
def test_what_does_not_load(tmp_path: Path, text: str) -> None:
    root = ROOT.certificate.public_bytes(Encoding.PEM)
    for name, data in (("empty", b"\n"), ("octets", b"\xff"), ("words", b"just words"), ("root.pem", root)):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))
    assert "just words" not in str(caught.value.as_dict())
