"""Keys in a PKCS#11 token, made there, and wrapped there for the workload: the broker never holds one.

Keys are sensitive, so that no session reads them, and extractable, so that the token wraps them: under an AES key that
is made in the token for one release, itself wrapped by RSA-OAEP under the workload's public key
(`core/release/keywrap.py`). A key that is not extractable can leave by no means at all, and is refused. So are opaque
secrets: tokens pad what they wrap, and only a key tells its own length.

Calls into the module can not be given a deadline; a module that hangs holds up the keys of its token, and no others:
who waits for one waits for a bounded time, and not too many do (`one_thread.py`). One session is kept, and all calls
are made on one thread of its own: a login counts for the whole process, and modules that are made with OpenSSL, as
SoftHSM, leave errors behind on the thread that calls them, which TLS on the same thread would take for its own.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import Malformed, NotFound, ReleaseRefused, SettingsError, Unavailable
from ambergate.core.release.keywrap import KeyWrap
from ambergate.keymanagers.one_thread import OneThread, on_its_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.keywrap import OaepHash
    from ambergate.core.release.material import KeyKind

_ID_SIZE: Final = 16  # bytes of CKA_ID, at random
_AES_BITS: Final = 256
_MAX_PIN: Final = 256  # bytes; CK_ULONG allows more, no token does


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlace:
    """Which token, and how to log in.

    Attributes:
        module: the vendor's library.
        token: the token's label.
        pin_file: a file that holds the user's PIN, and is private.
        oaep: the hash for OAEP. SoftHSM has SHA-1 alone.
    """

    module: Path
    token: str
    pin_file: Path
    oaep: OaepHash = "sha256"


class Pkcs11:
    """Fits `services.keybroker.ports.KeyManager`. Safe to use from several threads.

    Args:
        place: the token; asked at the first need.
        token_bytes: randomness for the names of objects. Keys are made by the token.
        read_private: the first bytes of a file, at most so many, named so in errors; refuses an open one.
    """

    def __init__(
        self,
        place: TokenPlace,
        token_bytes: Callable[[int], bytes],
        read_private: Callable[[Path, int, str], bytes],
    ) -> None:
        self._place = place
        self._read_private = read_private
        self._token_bytes = token_bytes
        self.thread = OneThread()
        self._session: Any = None

    @on_its_thread
    def create(self, name: str, kind: KeyKind) -> bytes:
        """Make a key in the token.

        Raises:
            Malformed: (`malformed-key-kind`) an opaque secret.
            SettingsError: module, token or PIN cannot be used, or the token makes none of this kind.
            Unavailable: the token does not answer.
        """
        from pkcs11 import Attribute, KeyType  # noqa: PLC0415  an extra, for who uses it
        from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415

        _refuse_opaque(kind)
        identity = self._token_bytes(_ID_SIZE)
        named = {"label": name, "id": identity, "store": True}
        with self._opened() as session:
            match kind.algorithm:
                case "AES":
                    session.generate_key(KeyType.AES, kind.bits, template=_guarded(), **named)
                case "RSA":
                    session.generate_keypair(KeyType.RSA, kind.bits, private_template=_guarded(), **named)
                case _:
                    assert kind.curve is not None
                    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(kind.curve)}
                    parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
                    parameters.generate_keypair(private_template=_guarded(), **named)
        return _reference(identity)

    @on_its_thread
    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        """Put a key into the token. Raises as `create`."""
        from pkcs11 import Attribute  # noqa: PLC0415

        _refuse_opaque(kind)
        identity = self._token_bytes(_ID_SIZE)
        named = {Attribute.LABEL: name, Attribute.ID: identity, Attribute.TOKEN: True, Attribute.PRIVATE: True}
        with self._opened() as session:
            session.create_object({**_imported(kind, material), **named, **_guarded()})
        return _reference(identity)

    @on_its_thread
    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        """Take a key that is in the token already, by its label; it stays there when the broker's key is destroyed.

        Raises:
            NotFound: there is none, or several.
            ReleaseRefused: it is marked not extractable.
            others: as `create`.
        """
        from pkcs11 import Attribute  # noqa: PLC0415

        _refuse_opaque(kind)
        with self._opened() as session:
            found = _one(session, kind, {Attribute.LABEL: known_as})
            _refuse_unextractable(found)
            if _kind_told(found) != _kind_wanted(kind):
                wanted, seen = _kind_wanted(kind), _kind_told(found)
                raise SettingsError("the token's key is of another kind", seen=seen, wanted=wanted)
            return _reference(bytes(found[Attribute.ID]), adopted=known_as)

    @on_its_thread
    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> KeyWrap:
        """The key, wrapped in the token.

        Raises:
            Malformed: (`form-not-taken`) the workload's key is no RSA key.
            NotFound: (`key-gone`) it is not in the token any more.
            ReleaseRefused: (`key-unextractable`) it is marked so.
            SettingsError, Unavailable: as `create`.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
        from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag  # noqa: PLC0415

        if not isinstance(workload_key, RSAPublicKey):
            wanted = "an RSA workload key"
            raise Malformed("a token wraps for RSA keys alone", code="form-not-taken", wanted=wanted)
        known = json.loads(reference)
        by: dict[Any, object] = {Attribute.ID: bytes.fromhex(known["id"])}
        if "adopted" in known:
            by[Attribute.LABEL] = known["adopted"]
        hashes = {"sha256": (Mechanism.SHA256, MGF.SHA256), "sha1": (Mechanism.SHA_1, MGF.SHA1)}
        with self._opened() as session:
            found = _one(session, kind, by)
            _refuse_unextractable(found)
            once = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: True}
            swk = session.generate_key(
                KeyType.AES, _AES_BITS, store=False, capabilities=MechanismFlag.WRAP, template=once
            )
            public = session.create_object(_public(workload_key))
            try:
                return KeyWrap(
                    wrapped_key=bytes(swk.wrap_key(found, mechanism=Mechanism.AES_KEY_WRAP_PAD)),
                    wrapped_swk=bytes(
                        public.wrap_key(
                            swk,
                            mechanism=Mechanism.RSA_PKCS_OAEP,
                            mechanism_param=(*hashes[self._place.oaep], None),
                        )
                    ),
                    oaep=self._place.oaep,
                    kind=kind,
                )
            finally:  # the session lives on
                swk.destroy()
                public.destroy()

    @on_its_thread
    def destroy(self, reference: bytes) -> None:
        """Destroy the key in the token; not an adopted one. Raises `SettingsError`, `Unavailable`."""
        from pkcs11 import Attribute  # noqa: PLC0415

        known = json.loads(reference)
        if "adopted" in known:
            return
        with self._opened() as session:
            for each in list(session.get_objects({Attribute.ID: bytes.fromhex(known["id"])})):
                each.destroy()

    @on_its_thread
    def check(self) -> None:
        """Ask the token something. Raises `SettingsError`, `Unavailable`."""
        with self._opened() as session:
            session.generate_random(64)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        """The session, for this thread alone; after an error the next call opens another."""
        try:
            import pkcs11  # noqa: PLC0415
        except ImportError as exc:
            hint = "pip install 'ambergate[pkcs11]'"
            raise SettingsError("PKCS#11 needs a library that is not installed", seen=str(exc), hint=hint) from exc
        try:
            if self._session is None:
                self._session = self._open()
            yield self._session
        except pkcs11.PKCS11Error as exc:
            session, self._session = self._session, None
            with contextlib.suppress(pkcs11.PKCS11Error):
                if session is not None:
                    session.close()
            raise _told(exc, self._place) from exc

    def _open(self) -> Any:  # noqa: ANN401  the library's classes say by mixins what they can, which its types do not
        import pkcs11  # noqa: PLC0415

        if not self._place.module.is_file():
            raise SettingsError("the PKCS#11 module is not there", seen=self._place.module)
        pin = self._pin()
        token = pkcs11.lib(str(self._place.module)).get_token(token_label=self._place.token)
        try:
            return token.open(rw=True, user_pin=pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:  # by another part of this process
            return token.open(rw=True)

    def _pin(self) -> str:
        """The PIN. What is in the file is never told."""
        file = self._place.pin_file
        try:
            return self._read_private(file, _MAX_PIN, "the PIN's file").decode().removesuffix("\n")
        except OSError as exc:
            raise SettingsError("the PIN's file cannot be read", seen=f"{file}: {exc.strerror}") from exc
        except UnicodeDecodeError:
            raise SettingsError("the PIN's file does not hold a PIN", seen=file, wanted="UTF-8") from None


def _guarded() -> dict[Any, object]:
    from pkcs11 import Attribute  # noqa: PLC0415

    return {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True}


def _imported(kind: KeyKind, material: bytes) -> dict[Any, object]:
    """The attributes of a key object."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415

    if kind.algorithm == "AES":
        secret = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES}
        return {**secret, Attribute.VALUE: material}
    private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    key = load_der_private_key(material, None)
    if isinstance(key, EllipticCurvePrivateKey):
        scalar = key.private_numbers().private_value
        parameters = encode_named_curve_parameters(key.curve.name)
        return {
            **private,
            Attribute.KEY_TYPE: KeyType.EC,
            Attribute.EC_PARAMS: parameters,
            Attribute.VALUE: _octets(scalar),
        }
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    return {
        **private,
        Attribute.KEY_TYPE: KeyType.RSA,
        Attribute.MODULUS: _octets(numbers.public_numbers.n),
        Attribute.PUBLIC_EXPONENT: _octets(numbers.public_numbers.e),
        Attribute.PRIVATE_EXPONENT: _octets(numbers.d),
        Attribute.PRIME_1: _octets(numbers.p),
        Attribute.PRIME_2: _octets(numbers.q),
        Attribute.EXPONENT_1: _octets(numbers.dmp1),
        Attribute.EXPONENT_2: _octets(numbers.dmq1),
        Attribute.COEFFICIENT: _octets(numbers.iqmp),
    }


def _public(key: RSAPublicKey) -> dict[Any, object]:
    """The workload's key as an object of the session, for wrapping alone."""
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415

    numbers = key.public_numbers()
    return {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        Attribute.KEY_TYPE: KeyType.RSA,
        Attribute.TOKEN: False,
        Attribute.WRAP: True,
        Attribute.MODULUS: _octets(numbers.n),
        Attribute.PUBLIC_EXPONENT: _octets(numbers.e),
    }


def _one(session: Any, kind: KeyKind, by: dict[Any, object]) -> Any:  # noqa: ANN401  as `Pkcs11._open`
    """The one key object that is found so.

    Raises:
        NotFound: (`key-gone`) none, or several.
    """
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415

    of_class = ObjectClass.SECRET_KEY if kind.algorithm == "AES" else ObjectClass.PRIVATE_KEY
    found = list(session.get_objects({Attribute.CLASS: of_class, **by}))
    if len(found) != 1:
        raise NotFound("the token has not this key", code="key-gone", seen=f"{len(found)} of it", wanted="1")
    return found[0]


def _refuse_unextractable(key: Any) -> None:  # noqa: ANN401  as `Pkcs11._open`
    from pkcs11 import Attribute  # noqa: PLC0415

    if not key[Attribute.EXTRACTABLE]:
        seen = [{"rule": "key_extractable", "seen": "CKA_EXTRACTABLE is false", "wanted": "true"}]
        raise ReleaseRefused("this key may not leave its token", code="key-unextractable", mismatches=seen)


def _kind_told(key: Any) -> str:  # noqa: ANN401  as `Pkcs11._open`
    from pkcs11 import Attribute, KeyType  # noqa: PLC0415

    if key.key_type is KeyType.EC:
        return f"EC {bytes(key[Attribute.EC_PARAMS]).hex()}"
    return f"{key.key_type.name} {key.key_length}"


def _kind_wanted(kind: KeyKind) -> str:
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415

    if kind.curve is not None:
        return f"EC {encode_named_curve_parameters(kind.curve).hex()}"
    return f"{kind.algorithm} {kind.bits}"


def _reference(identity: bytes, *, adopted: str | None = None) -> bytes:
    more = {} if adopted is None else {"adopted": adopted}
    return json.dumps({"id": identity.hex(), **more}).encode()


def _refuse_opaque(kind: KeyKind) -> None:
    if kind.algorithm == "OPAQUE":
        wanted = "an AES, RSA or EC key"
        raise Malformed("a PKCS#11 token keeps no opaque secrets", code="malformed-key-kind", seen=kind, wanted=wanted)


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _told(exc: Exception, place: TokenPlace) -> SettingsError | Unavailable | Malformed:
    """What the module says, in our words. A wrong PIN is not tried again: tokens lock themselves after some."""
    from pkcs11 import exceptions as of  # noqa: PLC0415

    seen = f"{type(exc).__name__} from token {place.token} of {place.module}"
    if isinstance(exc, of.PinIncorrect | of.PinInvalid | of.PinLenRange | of.PinLocked | of.PinExpired):
        hint = "look at pin_file before you try again: a token locks itself after some wrong PINs"
        return SettingsError("the token refuses its PIN", seen=seen, hint=hint)
    if isinstance(exc, of.MultipleTokensReturned):
        return SettingsError("several tokens are called so", seen=seen)
    if isinstance(exc, of.MechanismInvalid | of.MechanismParamInvalid | of.FunctionNotSupported | of.ArgumentsBad):
        wanted = "CKM_AES_KEY_WRAP_PAD, and CKM_RSA_PKCS_OAEP with the hash that the configuration names"
        return SettingsError("the token does not do this", seen=seen, wanted=wanted)
    hint = "is the token there, and its module's daemon running?"
    return Unavailable("the token does not answer", code="key-manager-unavailable", seen=seen, hint=hint)
