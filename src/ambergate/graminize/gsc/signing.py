"""Signing a graminized image: Gramine's own tool measures and signs inside it, and the key is never part of it.

The key is read on this machine, written in the clear to a directory of mode 0700, in memory where that can be had, lent
to one command, which has no network where the engine can take it away, and removed. No layer, no build argument and no
environment holds it.

What is made is looked at before it is kept: the SIGSTRUCT's signature holds, it is of this key, and the manifest beside
it says what the image's own manifest says. That MRENCLAVE is right only Gramine's tool knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ambergate.client.loading import read_file
from ambergate.core.errors import SettingsError
from ambergate.core.quote.sigstruct import SIGSTRUCT_SIZE, Sigstruct, parse_sigstruct
from ambergate.graminize.gsc import names, recipe
from ambergate.graminize.gsc.building import exported, write_app_files
from ambergate.graminize.gsc.composition import APP_FILES
from ambergate.graminize.gsc.engine import RECIPE, Build
from ambergate.graminize.writing import whole_directory, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambergate.graminize.gsc.engine import Engine

    Say = Callable[[str], None]

MAX_KEY: Final = 64 * 1024  # bytes of a PEM file
MAX_MANIFEST: Final = 256 * 1024 * 1024  # bytes of a final manifest: about 100 for each trusted file
KEY_BITS: Final = 3072  # Intel SDM volume 3D, "SIGSTRUCT": a modulus of 384 bytes
EXPONENT: Final = 3  # ibid.
RENDERED: Final = "entrypoint.manifest"
LIBPAL: Final = "libpal.so"
HOW_TO: Final = "HOW-TO-SIGN.txt"
_RENDER: Final = f"set -eu; gramine-manifest {APP_FILES}/{recipe.MANIFEST_TEMPLATE} /out/{RENDERED}"
_SIGN: Final = (
    f"{_RENDER}; cd /out; gramine-sgx-sign --key /key/key.pem --manifest {RENDERED} --output {recipe.MANIFEST}"
)
# The PAL is beside the library that the manifest starts with: .../gramine/libsysdb.so, .../gramine/sgx/libpal.so.
_EXPORT: Final = (
    f"{_RENDER}; libos=$(sed -n 's|.*file:\\([^\"]*\\)/libsysdb.so.*|\\1|p' /out/{RENDERED} | head -n 1)"
    f'; cp "$libos/sgx/{LIBPAL}" /out/{LIBPAL}'
)
_HOW_TO: Final = f"""\
On the machine with the key, with the same release of Gramine:

    gramine-sgx-sign --libpal {LIBPAL} --key KEY.pem --manifest {RENDERED} --output {recipe.MANIFEST}

It writes {recipe.MANIFEST} and {recipe.SIGSTRUCT}. Bring both back into this directory, and:

    amber gsc sign-image IMAGE --import-signature DIRECTORY
"""


def load_key(path: Path, passphrase: bytes | None) -> RSAPrivateKey:
    """The key that signs enclaves.

    Raises:
        SettingsError: it cannot be read, the passphrase does not fit, or SGX takes no such key.
    """
    data = read_file(path, "the signing key", limit=MAX_KEY)
    try:
        key = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as exc:
        encrypted = b"ENCRYPTED" in data
        what = "the passphrase does not open it" if encrypted and passphrase else "no key in PEM"
        if encrypted and not passphrase:
            what = "it is encrypted, and no passphrase is given"
        raise SettingsError(
            "the signing key cannot be used", seen=f"{path}: {what}", hint="give --passphrase-file, or none"
        ) from exc
    if not isinstance(key, RSAPrivateKey) or key.key_size != KEY_BITS:
        raise SettingsError("SGX takes no such key", seen=type(key).__name__, wanted=f"RSA of {KEY_BITS} bits")
    if key.public_key().public_numbers().e != EXPONENT:
        raise SettingsError(
            "SGX takes no such key",
            seen=f"public exponent {key.public_key().public_numbers().e}",
            wanted=f"{EXPONENT}",
            hint="gramine-sgx-gen-private-key makes one; or openssl genrsa -3 -out KEY.pem 3072",
        )
    return key


def mr_signer_of(key: RSAPrivateKey) -> str:
    """MRSIGNER of what a key signs: SHA-256 of its modulus, little-endian (Intel SDM volume 3D, EINIT)."""
    modulus = key.public_key().public_numbers().n.to_bytes(KEY_BITS // 8, "little")
    return hashlib.sha256(modulus).hexdigest()


def sign(image: str, key: RSAPrivateKey, engine: Engine, *, epoch: int, say: Say) -> Sigstruct:
    """Sign `gsc-IMAGE-unsigned`, which makes `gsc-IMAGE`.

    Raises:
        BuildFailed: Gramine's tool, or the engine, failed.
        SettingsError: there is no unsigned image, or what was made is not of this key.
    """
    source = _unsigned(image, engine)
    with _private_directory() as private, tempfile.TemporaryDirectory(prefix="amber-gsc-") as out:
        write_file(private / "key.pem", _in_the_clear(key), mode=0o400)
        say(f"signing {source}")
        engine.run(source, ("/bin/sh", "-c", _SIGN), {private: "/key:ro", Path(out): "/out"}, say)
        made = _made(Path(out), read_file(Path(out) / RENDERED, "the image's manifest", limit=MAX_MANIFEST))
        if made[0].mr_signer.hex() != mr_signer_of(key):
            raise SettingsError(
                "the image's tool signed with another key",
                seen=made[0].mr_signer.hex(),
                wanted=mr_signer_of(key),
                hint="do not use the image: its gramine-sgx-sign is not Gramine's",
            )
    return _put(image, made, engine, epoch=epoch, say=say)


def export_for_signing(image: str, directory: Path, engine: Engine, *, say: Say) -> None:
    """What another machine needs to sign: the final manifest, Gramine's PAL, and how.

    Raises:
        BuildFailed: Gramine's tool failed.
        SettingsError: there is no unsigned image, or the directory cannot be written.
    """
    source = _unsigned(image, engine)
    with whole_directory(directory.absolute()) as fresh:
        engine.run(source, ("/bin/sh", "-c", _EXPORT), {fresh: "/out"}, say)
        write_file(fresh / HOW_TO, _HOW_TO.encode())


def import_signature(image: str, directory: Path, engine: Engine, *, epoch: int, say: Say) -> Sigstruct:
    """`gsc-IMAGE` from what another machine signed.

    Raises:
        SettingsError: the signature does not hold, or is of another manifest.
        BuildFailed: the engine failed.
    """
    source = _unsigned(image, engine)
    with tempfile.TemporaryDirectory(prefix="amber-gsc-") as out:
        engine.run(source, ("/bin/sh", "-c", _RENDER), {Path(out): "/out"}, say)
        made = _made(directory, read_file(Path(out) / RENDERED, "the image's manifest", limit=MAX_MANIFEST))
    return _put(image, made, engine, epoch=epoch, say=say)


def signature_of(image: str, engine: Engine, *, say: Say) -> Sigstruct:
    """The SIGSTRUCT in a graminized image.

    Raises:
        SettingsError: there is no such image.
        NotFound: it is not signed.
        MalformedEvidence: it is no SIGSTRUCT.
    """
    with exported(names.checked(image), engine, say) as (_, files):
        return parse_sigstruct(files.read(f"{APP_FILES}/{recipe.SIGSTRUCT}", limit=SIGSTRUCT_SIZE))


def _unsigned(image: str, engine: Engine) -> str:
    source = names.unsigned(image)
    try:
        engine.config(source)
    except SettingsError as exc:
        raise SettingsError(
            "there is no graminized image to sign", seen=source, hint=f"amber gsc build {image} MANIFEST"
        ) from exc
    return source


def _made(directory: Path, expected: bytes) -> tuple[Sigstruct, bytes, bytes]:
    """SIGSTRUCT and final manifest in a directory, as they are and as they are kept."""
    raw = read_file(directory / recipe.SIGSTRUCT, "the SIGSTRUCT", limit=SIGSTRUCT_SIZE)
    manifest = read_file(directory / recipe.MANIFEST, "the signed manifest", limit=MAX_MANIFEST)
    said = parse_sigstruct(raw)
    _same_meaning(_toml(manifest, "the signed manifest"), _toml(expected, "the image's manifest"))
    return said, raw, manifest


def _same_meaning(signed: dict[str, Any], own: dict[str, Any]) -> None:
    """The signed manifest says what the image's does: the tool only puts hashes to files that have none yet."""
    theirs, ours = (_hashes(document) for document in (signed, own))
    differs = [f"[{name}]" for name in sorted({**signed, **own}) if signed.get(name) != own.get(name)]
    open_uris = tuple(uri for uri, digest in ours.items() if digest is None)
    differs += [uri for uri, digest in ours.items() if digest is not None and theirs.get(uri) != digest]
    differs += [uri for uri in theirs if uri not in ours and not uri.startswith(open_uris)]
    if differs:
        raise SettingsError(
            "what was signed is the manifest of another image",
            seen=f"{', '.join(differs[:3])} differ, {len(differs)} in all",
            wanted="the manifest that --export-for-signing wrote",
        )


def _hashes(document: dict[str, Any]) -> dict[str, str | None]:
    """Trusted files by their URIs, with their hashes as far as they have one; they are taken out."""
    sgx = document.get("sgx", {})
    listed = sgx.pop("trusted_files", []) if isinstance(sgx, dict) else None
    if not isinstance(listed, list):
        raise SettingsError("what was signed has no list of trusted files", seen=repr(listed)[:80], wanted="a list")
    entries = [each if isinstance(each, dict) else {"uri": each} for each in listed]
    return {str(each.get("uri")): each.get("sha256") for each in entries}


def _toml(data: bytes, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        raise SettingsError(f"{what} is not TOML", seen=str(exc)[:120]) from exc


def _put(image: str, made: tuple[Sigstruct, bytes, bytes], engine: Engine, *, epoch: int, say: Say) -> Sigstruct:
    said, raw, manifest = made
    with tempfile.TemporaryDirectory(prefix="amber-gsc-") as name:
        context = Path(name)
        write_app_files(context, {recipe.SIGSTRUCT: raw, recipe.MANIFEST: manifest})
        write_file(context / RECIPE, recipe.signed_recipe(names.unsigned(image)).encode())
        engine.build(Build(context=context, tag=names.signed(image), epoch=epoch), say)
    return said


def _in_the_clear(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    """A directory that nobody else may enter, in memory where this system has a place for that."""
    memory = Path("/dev/shm")  # noqa: S108  made by mkdtemp, of mode 0700
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="amber-gsc-", dir=place) as name:
        yield Path(name)
