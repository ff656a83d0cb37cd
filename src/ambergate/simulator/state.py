"""What makes a simulated platform this one, and how it is kept in a directory.

    DIR/root_ca.pem            the root certificate, for everybody who shall trust this platform
    DIR/platform/              0700
        platform.json          what the quoting enclave keeps besides its key
        NAME.pem               certificates
        NAME.key.pem           private keys, 0600

The keys guard nothing real, but whoever has them forges evidence that the holder of `root_ca.pem` accepts.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ambergate.core.collateral.pck import PckExtension, read_pck_extension
from ambergate.core.errors import MalformedCollateral, SettingsError
from ambergate.simulator.pki import Entity, Hierarchy, ca_of
from ambergate.simulator.sgx_extension import SGX_EXTENSION_OID

FOLDER: Final = "platform"
DESCRIPTION: Final = "platform.json"
ROOT: Final = "root_ca.pem"
_FORMAT: Final = 1  # of the description; another number is another program's
_ENTITIES: Final = ("root", "platform_ca", "processor_ca", "pck", "tcb_signing")
_ATTESTATION_KEY: Final = "attestation"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformState:
    """The hardware's description, all keys and certificates, and what the quoting enclave keeps."""

    hardware: PckExtension
    pki: Hierarchy
    attestation_key: ec.EllipticCurvePrivateKey
    auth_data: bytes
    platform_id: bytes


def write_state(state: PlatformState, directory: Path) -> None:
    """Keep the platform below `directory`, which may exist, but must not hold a platform yet. All or nothing.

    Raises:
        SettingsError: there is a platform already, or the directory cannot be written.
    """
    if (directory / FOLDER).exists():
        raise SettingsError(
            f"{directory} holds a simulated platform already",
            seen=str(directory / FOLDER),
            wanted="a directory without one",
            hint="choose another directory, or remove this one first",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=directory))  # 0700 from the start
        try:
            _write_parts(state, staging)
            write_atomically(directory / ROOT, state.pki.root.pem)
            staging.rename(directory / FOLDER)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise SettingsError(f"{directory} cannot be written", seen=exc.strerror, wanted="a writable directory") from exc


def read_state(directory: Path) -> PlatformState:
    """The platform kept below `directory`.

    Raises:
        SettingsError: there is none, or what is there was not written by `write_state`.
    """
    folder = directory / FOLDER
    if not folder.is_dir():
        raise SettingsError(
            f"{directory} holds no simulated platform",
            seen=f"no {folder}",
            wanted="a directory made by `amber simulator init`",
            hint=f"run: amber simulator init {directory}",
        )
    try:
        return _read_parts(folder)
    except (OSError, ValueError, KeyError, TypeError, x509.ExtensionNotFound, MalformedCollateral) as exc:
        raise SettingsError(
            f"the simulated platform in {directory} is unusable",
            seen=f"{type(exc).__name__}: {exc}",
            wanted="the files that `amber simulator init` wrote",
            hint="make a new platform in another directory",
        ) from exc


def write_atomically(path: Path, text: str) -> None:
    """Replace a file that anybody may read in one step, so that no reader sees half of it."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _write_parts(state: PlatformState, folder: Path) -> None:
    for name in _ENTITIES:
        entity: Entity = getattr(state.pki, name)
        (folder / f"{name}.pem").write_text(entity.pem, encoding="ascii")
        _write_key(folder, name, entity.key)
    _write_key(folder, _ATTESTATION_KEY, state.attestation_key)
    description = {
        "format": _FORMAT,
        "qe_auth_data": state.auth_data.hex(),
        "platform_id": state.platform_id.hex(),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="ascii")


def _write_key(folder: Path, name: str, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(folder / f"{name}.key.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)


def _read_parts(folder: Path) -> PlatformState:
    description = json.loads((folder / DESCRIPTION).read_text(encoding="ascii"))
    if description["format"] != _FORMAT:
        message = f"{DESCRIPTION} has format {description['format']}, not {_FORMAT}"
        raise ValueError(message)
    entities = {name: _read_entity(folder, name) for name in _ENTITIES}
    hardware = _read_hardware(entities["pck"].certificate)
    return PlatformState(
        hardware=hardware,
        pki=Hierarchy(**entities, ca=ca_of(hardware)),
        attestation_key=_read_key(folder, _ATTESTATION_KEY),
        auth_data=bytes.fromhex(description["qe_auth_data"]),
        platform_id=bytes.fromhex(description["platform_id"]),
    )


def _read_hardware(pck: x509.Certificate) -> PckExtension:
    """The hardware as its PCK certificate describes it: the certificate is the only record."""
    extension = pck.extensions.get_extension_for_oid(x509.ObjectIdentifier(SGX_EXTENSION_OID)).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    return read_pck_extension(extension.value)


def _read_entity(folder: Path, name: str) -> Entity:
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    key = _read_key(folder, name)
    if key.public_key() != certificate.public_key():
        message = f"{name}.pem and {name}.key.pem do not belong together"
        raise ValueError(message)
    return Entity(certificate=certificate, key=key)


def _read_key(folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((folder / f"{name}.key.pem").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"{name}.key.pem holds no EC key"
        raise TypeError(message)
    return key
