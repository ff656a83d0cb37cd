"""Vault's KV and transit engines, held to the documented wire format by a double (`vault_double.py` says of what)."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import JSONResponse, PlainTextResponse, Response
from tests.unit.keymanagers.vault_double import TOKEN, VaultDouble, errors

from ambergate.core.errors import Malformed, NotFound, SettingsError, Unavailable
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import OPAQUE, KeyKind
from ambergate.keymanagers.vault import VaultKv, VaultTransit
from ambergate.keymanagers.vault_api import MAX_ANSWER, VaultPlace
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKLOAD: Final = rsa.generate_private_key(65537, 3072).public_key()
AES: Final = KeyKind.of("AES", bits=256)
NAME: Final = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f/1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VaultDouble, VaultPlace]]:
    folder, double = tmp_path_factory.mktemp("vault"), VaultDouble()
    made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "token").chmod(0o600)
    with running(double.app(), TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")) as port:
        yield (
            double,
            VaultPlace(
                url=f"https://127.0.0.1:{port}",
                mount="secret",
                token_file=folder / "token",
                namespace=None,
                cacerts=folder / "ca.pem",
                timeout=20,
            ),
        )


@pytest.fixture
def double(site: tuple[VaultDouble, VaultPlace]) -> VaultDouble:
    site[0].__init__()  # type: ignore[misc]  # as it was made
    return site[0]


@pytest.fixture
def place(site: tuple[VaultDouble, VaultPlace]) -> VaultPlace:
    return site[1]


@pytest.fixture
def kv(double: VaultDouble, place: VaultPlace) -> VaultKv:
    del double
    return VaultKv(place, "ambergate", secrets.token_bytes)


@pytest.fixture
def transit(double: VaultDouble, place: VaultPlace) -> VaultTransit:
    del double
    return VaultTransit(replace(place, mount="transit"), "ambergate")


@pytest.mark.parametrize("kind", [AES, KeyKind.of("RSA", bits=2048), KeyKind.of("EC", curve="secp384r1"), OPAQUE])
def test_kv_keeps_a_key_of_each_kind(kv: VaultKv, double: VaultDouble, kind: KeyKind) -> None:
    reference = kv.create(NAME, kind)
    assert list(double.secrets) == [f"ambergate/{NAME}"]
    key = kv.take(reference, kind, WORKLOAD)
    assert kind.canonical(key) == key
    kv.destroy(reference)
    assert not double.secrets
    with pytest.raises(NotFound) as caught:
        kv.take(reference, kind, WORKLOAD)
    assert caught.value.code == "key-gone"
    kv.destroy(reference)


def test_kv_keeps_what_it_is_given_and_never_writes_over_it(kv: VaultKv) -> None:
    secret = secrets.token_bytes(MAX_SECRET_SIZE)
    reference = kv.keep(NAME, OPAQUE, secret)
    with pytest.raises(SettingsError, match="does not do this"):
        kv.keep(NAME, OPAQUE, b"another")
    assert kv.take(reference, OPAQUE, WORKLOAD) == secret


def test_kv_takes_the_version_that_it_wrote(kv: VaultKv, double: VaultDouble) -> None:
    """A newer version, that somebody wrote there by hand, is not released in its stead."""
    reference = kv.keep(NAME, OPAQUE, b"ours")
    double.secrets[f"ambergate/{NAME}"].append({"key": b64encode(b"theirs").decode()})
    assert kv.take(reference, OPAQUE, WORKLOAD) == b"ours"


@pytest.mark.parametrize(
    ("secret", "error"),
    [
        (None, NotFound),
        ({}, SettingsError),
        ({"key": 7}, SettingsError),
        ({"key": "not base64!"}, SettingsError),
        ({"key": b64encode(b"short").decode()}, SettingsError),
    ],
)
def test_kv_secrets_that_are_no_such_key(kv: VaultKv, double: VaultDouble, secret: object, error: type) -> None:
    reference = kv.create(NAME, AES)
    double.secrets[f"ambergate/{NAME}"] = [secret]  # type: ignore[list-item]  # what a server may answer
    with pytest.raises(error):
        kv.take(reference, AES, WORKLOAD)


def test_kv_adopts_by_path_and_leaves_it_there(kv: VaultKv, double: VaultDouble) -> None:
    double.secrets["apps/db"] = [{"key": b64encode(b"k" * 32).decode()}]
    reference = kv.adopt("apps/db", AES)
    assert kv.take(reference, AES, WORKLOAD) == b"k" * 32
    kv.destroy(reference)
    assert "apps/db" in double.secrets
    with pytest.raises(NotFound):
        kv.adopt("apps/none", AES)
    with pytest.raises(SettingsError):
        kv.adopt("apps/db", KeyKind.of("AES", bits=128))


@pytest.mark.parametrize(
    "kind",
    [
        AES,
        KeyKind.of("AES", bits=128),
        KeyKind.of("RSA", bits=2048),
        KeyKind.of("EC", curve="secp256r1"),
        KeyKind.of("EC", curve="secp521r1"),
    ],
    ids=str,
)
def test_transit_makes_a_key_and_hands_it_out(transit: VaultTransit, double: VaultDouble, kind: KeyKind) -> None:
    reference = transit.create(NAME, kind)
    assert [key["exportable"] for key in double.keys.values()] == [True]
    key = transit.take(reference, kind, WORKLOAD)
    assert kind.canonical(key) == key
    transit.destroy(reference)
    assert not double.keys
    with pytest.raises(NotFound):
        transit.take(reference, kind, WORKLOAD)


def test_what_transit_does_not_do(transit: VaultTransit) -> None:
    for kind in (OPAQUE, KeyKind.of("AES", bits=192), KeyKind.of("RSA", bits=8192)):
        with pytest.raises(Malformed):
            transit.create(NAME, kind)
    with pytest.raises(Malformed):
        transit.keep(NAME, AES, b"k" * 32)


def test_transit_adopts_what_is_exportable(transit: VaultTransit, double: VaultDouble) -> None:
    transit.create("owner", AES)
    (name,) = double.keys
    reference = transit.adopt(name, AES)
    assert transit.take(reference, AES, WORKLOAD)
    transit.destroy(reference)
    assert name in double.keys
    with pytest.raises(SettingsError, match="another kind"):
        transit.adopt(name, KeyKind.of("RSA", bits=2048))
    double.keys[name]["exportable"] = False
    with pytest.raises(SettingsError, match="does not do this"):
        transit.adopt(name, AES)


def test_who_asks_is_told_by_the_token_of_the_moment(kv: VaultKv, double: VaultDouble, place: VaultPlace) -> None:
    namespaced = VaultKv(replace(place, namespace="team"), "ambergate", secrets.token_bytes)
    namespaced.create(NAME, AES)
    _, _, headers = double.seen[-1]
    assert (headers["x-vault-token"], headers["x-vault-namespace"]) == (TOKEN, "team")
    place.token_file.write_text("hvs.another")
    try:
        with pytest.raises(Unavailable) as caught:
            kv.check()
    finally:
        place.token_file.write_text(TOKEN)
    assert caught.value.code == "key-manager-refused"
    assert "hvs" not in str(caught.value.as_dict())
    kv.check()


@pytest.mark.parametrize("health", [501, 503, 500])
def test_a_server_that_does_not_serve(kv: VaultKv, double: VaultDouble, health: int) -> None:
    double.health = health
    with pytest.raises(Unavailable) as caught:
        kv.check()
    assert caught.value.code == "key-manager-unavailable"


@pytest.mark.parametrize(
    ("instead", "error"),
    [
        (errors(403, "permission denied"), Unavailable),
        (errors(404), NotFound),
        (errors(400, "no"), SettingsError),
        (PlainTextResponse("no", 405), SettingsError),
        (errors(429), Unavailable),
        (errors(503, "Vault is sealed"), Unavailable),
        (Response(status_code=307, headers={"location": "https://127.0.0.1:1/"}), Unavailable),
        (PlainTextResponse("{", 200), Unavailable),
        (PlainTextResponse("x" * (MAX_ANSWER + 1), 200), Unavailable),
        (JSONResponse({"data": []}, 200), Unavailable),
    ],
    ids=range(10),
)
def test_answers_are_told_apart(
    transit: VaultTransit, double: VaultDouble, instead: Response, error: type[Exception]
) -> None:
    reference = transit.create(NAME, AES)
    double.instead = instead
    with pytest.raises(error):
        transit.take(reference, AES, WORKLOAD)


def test_tls_is_verified_and_nobody_there_is_told(place: VaultPlace, tmp_path: Path) -> None:
    made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    (tmp_path / "stranger.pem").write_text(made.ca_pem)
    for changed in (replace(place, cacerts=tmp_path / "stranger.pem"), replace(place, url="https://127.0.0.1:1")):
        with pytest.raises(Unavailable):
            VaultKv(changed, "ambergate", secrets.token_bytes).check()
    with pytest.raises(SettingsError):
        VaultKv(replace(place, cacerts=tmp_path / "absent"), "ambergate", secrets.token_bytes).check()


@pytest.mark.parametrize("data", [b"", b"two words", b"\xff", b"x" * 5000])
def test_a_file_that_holds_no_token(place: VaultPlace, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "token").write_bytes(data)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(SettingsError):
        VaultKv(replace(place, token_file=tmp_path / "token"), "x", secrets.token_bytes).create(NAME, AES)
    with pytest.raises(SettingsError):
        VaultKv(replace(place, token_file=tmp_path / "none"), "x", secrets.token_bytes).create(NAME, AES)


def test_a_token_that_others_can_read_is_refused(place: VaultPlace, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    for mode, refused in ((0o644, True), (0o602, True), (0o640, False), (0o600, False)):
        token.chmod(mode)
        kv = VaultKv(replace(place, token_file=token), "x", secrets.token_bytes)
        if refused:
            with pytest.raises(SettingsError, match="open to others"):
                kv.check()
        else:
            kv.check()


@pytest.mark.parametrize(
    "name",
    ["../../other/data/db", "apps/../../sys/x", "..", ".", "", "/db", "db/", "a//b", "a/./b", "/".join("x" * 17)],
)
def test_what_is_adopted_is_below_the_mount(kv: VaultKv, transit: VaultTransit, double: VaultDouble, name: str) -> None:
    """Whoever may adopt keys could otherwise have the broker read whatever its token opens, in other engines too."""
    asked = len(double.seen)
    for manager in (kv, transit):
        with pytest.raises(Malformed) as caught:
            manager.adopt(name, AES)
        assert caught.value.code == "malformed-key-name"
    with pytest.raises(Malformed):
        transit.adopt("two/parts", AES)
    assert len(double.seen) == asked


def test_roots_are_read_once_until_they_change(place: VaultPlace, double: VaultDouble, tmp_path: Path) -> None:
    del double
    roots, right = tmp_path / "ca.pem", place.cacerts
    assert right is not None
    roots.write_bytes(right.read_bytes())
    kv = VaultKv(replace(place, cacerts=roots), "x", secrets.token_bytes)
    kv.check()
    first = kv._api._context()
    assert kv._api._context() is first
    made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    (tmp_path / "next").write_text(made.ca_pem)
    (tmp_path / "next").rename(roots)  # as operators' tools do
    with pytest.raises(Unavailable):
        kv.check()
    roots.unlink()
    with pytest.raises(SettingsError):
        kv.check()


def test_a_reference_holds_no_key(kv: VaultKv, transit: VaultTransit) -> None:
    assert json.loads(kv.create(NAME, AES)) == {"path": f"ambergate/{NAME}", "version": 1, "adopted": False}
    assert json.loads(transit.create(NAME, AES))["version"] == 1
