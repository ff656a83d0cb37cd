"""A token that keeps keys: a real one, of SoftHSM. Keys leave it wrapped for the workload, and no other way."""

from __future__ import annotations

import contextlib
import ctypes.util
import secrets
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.softhsm import PIN

from ambergate.core.errors import Malformed, NotFound, ReleaseRefused, SettingsError, Unavailable
from ambergate.core.release.keywrap import KeyWrap, open_key_wrap
from ambergate.core.release.material import OPAQUE, KeyKind
from ambergate.keymanagers.pkcs11 import Pkcs11, TokenPlace
from ambergate.stores.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.softhsm import Token

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

WORKLOAD: Final = rsa.generate_private_key(65537, 3072)
AES: Final = KeyKind.of("AES", bits=256)
RSA: Final = KeyKind.of("RSA", bits=2048)
KINDS: Final = (
    AES,
    KeyKind.of("AES", bits=128),
    KeyKind.of("AES", bits=192),
    RSA,
    *(KeyKind.of("EC", curve=curve) for curve in ("secp256r1", "secp384r1", "secp521r1")),
)


@pytest.fixture
def place(softhsm: Token) -> TokenPlace:
    return TokenPlace(module=Path(softhsm.module), token="amber", pin_file=softhsm.folder / "pin", oaep="sha1")


@pytest.fixture
def token(place: TokenPlace) -> Iterator[Pkcs11]:
    token = Pkcs11(place, secrets.token_bytes, read_private)
    yield token
    with contextlib.suppress(Exception):  # a session that a test lost
        if token._session is not None:  # no test of this process may have used it
            token._session.close()


def made(token: Pkcs11, label: str, *, extractable: bool = True) -> None:
    """A key that the token's owner made."""
    token.check()
    template = {pkcs11.Attribute.EXTRACTABLE: extractable}
    token._session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True, template=template)


def opened(wrapped: KeyWrap) -> bytes:
    return open_key_wrap(WORKLOAD, wrapped)


def written(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_key_is_made_in_the_token_and_wrapped_there(token: Pkcs11, kind: KeyKind) -> None:
    reference = token.create("a key", kind)
    first, second = (token.take(reference, kind, WORKLOAD.public_key()) for _ in range(2))
    assert first.wrapped_swk != second.wrapped_swk, "a fresh wrapping key for each release"
    key = opened(first)
    assert opened(second) == key
    assert kind.canonical(key) == key
    token.destroy(reference)
    with pytest.raises(NotFound) as caught:
        token.take(reference, kind, WORKLOAD.public_key())
    assert caught.value.code == "key-gone"
    token.destroy(reference)


@pytest.mark.parametrize(
    ("kind", "material"),
    [
        (AES, b"k" * 32),
        (RSA, written(rsa.generate_private_key(65537, 2048))),
        (KeyKind.of("EC", curve="secp256r1"), written(ec.generate_private_key(ec.SECP256R1()))),
        (KeyKind.of("EC", curve="secp521r1"), written(ec.generate_private_key(ec.SECP521R1()))),
    ],
    ids=["aes", "rsa", "p256", "p521"],
)
def test_a_given_key_comes_out_as_it_went_in(token: Pkcs11, kind: KeyKind, material: bytes) -> None:
    reference = token.keep("a key", kind, material)
    assert opened(token.take(reference, kind, WORKLOAD.public_key())) == material


def test_no_session_reads_a_key(token: Pkcs11, softhsm: Token) -> None:
    token.create("secret", AES)
    token._session.close()
    with pkcs11.lib(softhsm.module).get_token(token_label="amber").open(user_pin=PIN) as session:
        for key in session.get_objects({pkcs11.Attribute.LABEL: "secret"}):
            with pytest.raises(pkcs11.exceptions.AttributeSensitive):
                key[pkcs11.Attribute.VALUE]


def test_nothing_of_a_release_stays_in_the_token(token: Pkcs11) -> None:
    reference = token.create("a key", AES)
    for _ in range(3):
        token.take(reference, AES, WORKLOAD.public_key())
    before = len(list(token._session.get_objects()))
    token.take(reference, AES, WORKLOAD.public_key())
    assert len(list(token._session.get_objects())) == before


def test_a_key_that_is_marked_unextractable_never_leaves(token: Pkcs11) -> None:
    made(token, "closed", extractable=False)
    with pytest.raises(ReleaseRefused) as caught:
        token.adopt("closed", AES)
    assert caught.value.code == "key-unextractable"


def test_a_key_that_is_closed_after_it_was_adopted_never_leaves(token: Pkcs11) -> None:
    made(token, "adopted, then closed")
    reference = token.adopt("adopted, then closed", AES)
    assert opened(token.take(reference, AES, WORKLOAD.public_key()))
    (key,) = token._session.get_objects({pkcs11.Attribute.LABEL: "adopted, then closed"})
    key[pkcs11.Attribute.EXTRACTABLE] = False
    with pytest.raises(ReleaseRefused):
        token.take(reference, AES, WORKLOAD.public_key())
    token.destroy(reference)
    assert list(token._session.get_objects({pkcs11.Attribute.LABEL: "adopted, then closed"})), (
        "an adopted key is not ours to destroy"
    )


def test_what_cannot_be_adopted(token: Pkcs11) -> None:
    with pytest.raises(NotFound):
        token.adopt("absent", AES)
    made(token, "twice")
    with pytest.raises(SettingsError, match="another kind"):
        token.adopt("twice", KeyKind.of("AES", bits=128))
    made(token, "twice")
    with pytest.raises(NotFound):
        token.adopt("twice", AES)


def test_opaque_secrets_and_ec_workload_keys_are_not_for_tokens(token: Pkcs11) -> None:
    with pytest.raises(Malformed):
        token.create("x", OPAQUE)
    with pytest.raises(Malformed):
        token.keep("x", OPAQUE, b"x")
    with pytest.raises(Malformed) as caught:
        token.take(token.create("x", AES), AES, ec.generate_private_key(ec.SECP256R1()).public_key())
    assert caught.value.code == "form-not-taken"


def test_a_hash_that_the_token_has_not_is_told(place: TokenPlace) -> None:
    token = Pkcs11(replace(place, oaep="sha256"), secrets.token_bytes, read_private)
    with pytest.raises(SettingsError, match="does not do this"):
        token.take(token.create("x", AES), AES, WORKLOAD.public_key())
    token.check()
    token._session.close()


def test_what_is_not_there_is_told(place: TokenPlace, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("0000")
    (tmp_path / "wrong").chmod(0o600)
    (tmp_path / "open").write_text(PIN)
    (tmp_path / "open").chmod(0o644)
    for changed, error in (
        (replace(place, module=tmp_path / "absent.so"), SettingsError),
        (replace(place, pin_file=tmp_path / "absent"), SettingsError),
        (replace(place, pin_file=tmp_path / "open"), SettingsError),
        (replace(place, pin_file=tmp_path / "wrong"), SettingsError),
        (replace(place, token="absent"), Unavailable),
    ):
        with pytest.raises(error) as caught:
            Pkcs11(changed, secrets.token_bytes, read_private).check()
        assert PIN not in str(caught.value.as_dict())


def test_after_a_lost_session_the_next_call_opens_another(token: Pkcs11) -> None:
    token.check()
    token._session.close()
    with pytest.raises(Unavailable):
        token.check()
    token.check()


def test_many_threads_share_one_session(token: Pkcs11) -> None:
    reference = token.create("a key", AES)
    found: list[bytes] = []

    def take() -> None:
        found.append(opened(token.take(reference, AES, WORKLOAD.public_key())))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_what_the_module_leaves_behind_is_not_for_the_caller(place: TokenPlace) -> None:
    """SoftHSM leaves an error in the OpenSSL of its thread; TLS on the same thread would take it for its own."""
    program = (
        "import ctypes, secrets, sys; from pathlib import Path\n"
        "from ambergate.keymanagers.pkcs11 import Pkcs11, TokenPlace\n"
        "from ambergate.stores.private_files import read_private\n"
        "import _ssl; crypto = ctypes.CDLL('libcrypto.so.3'); crypto.ERR_peek_error.restype = ctypes.c_ulong\n"
        "place = TokenPlace(module=Path(sys.argv[1]), token='amber', pin_file=Path(sys.argv[2]))\n"
        "Pkcs11(place, secrets.token_bytes, read_private).check(); sys.exit(crypto.ERR_peek_error() != 0)"
    )
    if ctypes.util.find_library("crypto") != "libcrypto.so.3":
        pytest.skip("Python here has not the OpenSSL that SoftHSM has")
    command = [sys.executable, "-c", program, str(place.module), str(place.pin_file)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
