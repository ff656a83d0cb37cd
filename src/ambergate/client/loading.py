"""Settings from a Gramine manifest, the environment and flags; a flag beats the environment, that the manifest.

name             manifest             environment
endpoint_url     sgx.amber_url        AMBER_URL
endpoint_ip      sgx.amber_ip         AMBER_IP
endpoint_apikey  sgx.amber_apikey     AMBER_APIKEY, or a file's path in AMBER_APIKEY_FILE
userdata         sgx.amber_userdata   AMBER_USERDATA
cacerts          sgx.amber_cacerts    AMBER_CACERTS       PEM text, or a file's path
kbs_url          sgx.kbs_url          AMBER_KBS_URL
kbs_ip           sgx.kbs_ip           AMBER_KBS_IP
kbs_keyid        sgx.kbs_keyid        AMBER_KBS_KEYID
kbs_envelope     sgx.kbs_envelope     AMBER_KBS_ENVELOPE  RSA-OAEP-256 or ECDH-ES+A256KW: as a JWE
timeout          -                    AMBER_TIMEOUT       seconds for one request
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.client.settings import MAX_VALUE, Settings, parse, refused
from ambergate.core.errors import SettingsError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANIFEST_KEYS: Final[Mapping[str, str]] = {
    "amber_url": "endpoint_url",
    "amber_ip": "endpoint_ip",
    "amber_apikey": "endpoint_apikey",
    "amber_userdata": "userdata",
    "amber_cacerts": "cacerts",
    "kbs_url": "kbs_url",
    "kbs_ip": "kbs_ip",
    "kbs_keyid": "kbs_keyid",
    "kbs_envelope": "kbs_envelope",
}
ENVIRONMENT: Final[Mapping[str, str]] = {
    "AMBER_URL": "endpoint_url",
    "AMBER_IP": "endpoint_ip",
    "AMBER_APIKEY": "endpoint_apikey",
    "AMBER_USERDATA": "userdata",
    "AMBER_CACERTS": "cacerts",
    "AMBER_KBS_URL": "kbs_url",
    "AMBER_KBS_IP": "kbs_ip",
    "AMBER_KBS_KEYID": "kbs_keyid",
    "AMBER_KBS_ENVELOPE": "kbs_envelope",
    "AMBER_TIMEOUT": "timeout",
}
APIKEY_FILE: Final = "AMBER_APIKEY_FILE"
MAX_MANIFEST: Final = 16 * 1024 * 1024  # bytes; finished manifests list thousands of trusted files

# What a user must hear before the manifest is trusted with attestation.
NO_DCAP: Final = 'the manifest does not say sgx.remote_attestation = "dcap": inside SGX there will be no quote'
PUBLIC_APIKEY: Final = (
    "sgx.amber_apikey is readable by everyone who has the manifest: better AMBER_APIKEY_FILE, or write endpoint_apikey"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and what their user should be warned of."""

    settings: Settings
    warnings: tuple[str, ...] = ()


def load(
    *,
    manifest: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, bytes | None] | None = None,
) -> Loaded:
    """Settings from all three places.

    Args:
        manifest: a Gramine manifest; its directory is where relative paths in it begin.
        environ: environment variables; those that are none of ours are ignored.
        flags: setting name -> value; None where the flag was not given.

    Raises:
        SettingsError: a value breaks its setting's rule, a file cannot be read, or the manifest has a setting that
            does not exist.
    """
    values: dict[str, bytes] = {}
    warnings: tuple[str, ...] = ()
    if manifest is not None:
        found, warnings = from_manifest(read_file(manifest, "the manifest", limit=MAX_MANIFEST), manifest.parent)
        values.update(found)
    values.update(from_environment(environ or {}))
    values.update({name: value for name, value in (flags or {}).items() if value is not None})
    parsed = {name: parse(name, value) for name, value in values.items()}
    return Loaded(settings=replace(Settings(), **parsed), warnings=warnings)  # type: ignore[arg-type]  # parse gives the field's own type


def from_manifest(text: bytes, directory: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Values and warnings of one manifest.

    Raises:
        SettingsError: it is not TOML, or holds a `sgx.amber_*` or `sgx.kbs_*` key that does not exist.
    """
    import tomllib  # noqa: PLC0415 - costs only who has a manifest

    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        hint = "render a .manifest.template with gramine-manifest first" if b"{{" in text or b"{%" in text else None
        raise SettingsError("the manifest is not TOML", code="settings-manifest", seen=exc, hint=hint) from exc
    sgx = document.get("sgx", {})
    if not isinstance(sgx, dict):
        raise SettingsError("the manifest's sgx is not a table", code="settings-manifest")
    values = {}
    for key in _ours(sgx):
        name, value = MANIFEST_KEYS[key], sgx[key]
        if not isinstance(value, str):
            raise refused(f"sgx.{key}", "is not a string", seen=type(value).__name__)
        values[name] = _value(name, value, directory)
    warnings = () if sgx.get("remote_attestation") == "dcap" else (NO_DCAP,)
    return values, (*warnings, *((PUBLIC_APIKEY,) if values.get("endpoint_apikey") else ()))


def from_environment(environ: Mapping[str, str]) -> dict[str, bytes]:
    """Values of the environment; an API key's file beats the variable.

    Raises:
        SettingsError: a named file cannot be read.
    """
    values = {
        name: _value(name, os.fspath(environ[variable]), Path())
        for variable, name in ENVIRONMENT.items()
        if variable in environ
    }
    if environ.get(APIKEY_FILE):
        values["endpoint_apikey"] = read_file(Path(environ[APIKEY_FILE]), APIKEY_FILE)
    return values


def read_file(path: Path, what: str, *, limit: int = MAX_VALUE) -> bytes:
    """A file that a setting names, at most `limit` bytes of it.

    Raises:
        SettingsError: it cannot be read.
        TooLarge: it is longer.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as exc:
        raise SettingsError(f"{what} cannot be read", code="settings-file", seen=f"{path}: {exc.strerror}") from exc
    if len(content) > limit:
        raise TooLarge(f"{what} is too long", seen=path, wanted=f"<= {limit} bytes")
    return content


def _ours(sgx: Mapping[str, object]) -> Iterable[str]:
    keys = [key for key in sgx if key.startswith(("amber_", "kbs_"))]
    for key in keys:
        if key not in MANIFEST_KEYS:
            known = ", ".join(f"sgx.{name}" for name in MANIFEST_KEYS)
            raise SettingsError(
                "the manifest has a setting that does not exist",
                code="settings-manifest",
                seen=f"sgx.{key}",
                wanted=known,
            )
    return keys


def _value(name: str, text: str, directory: Path) -> bytes:
    """A value as bytes; roots may be given by the path of a PEM file."""
    if name == "cacerts" and text.strip() and "-----BEGIN" not in text:
        return read_file(directory / text.strip(), "cacerts")
    return text.encode("utf-8", "surrogateescape")
