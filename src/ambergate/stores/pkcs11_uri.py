"""PKCS#11 URIs (RFC 7512): which key, in which token, by which module, and in which file its PIN is.

    pkcs11:token=amber;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/amber/pin

Read strictly: an attribute that is not understood would be one that the key need not have. A PIN in the URI itself
(`pin-value`) is refused: configurations hold no secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, unquote_to_bytes

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_URI: Final = 2048  # characters
_SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset({"token", "serial", "object", "id", "type"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_WANTED: Final = "pkcs11:token=LABEL;object=LABEL?module-path=/PATH&pin-source=file:/PATH"
# RFC 7512, 2.3: what stands in a value as it is; anything else is percent-encoded.
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """A secret key in a token.

    Attributes:
        module: the PKCS#11 module, a shared library.
        pin: the file that holds the user's PIN.
        token: the token's label; None: any, by its serial number.
        serial: the token's serial number; None: any, by its label.
        label: of the key (CKA_LABEL); None: any, by its id.
        key_id: of the key (CKA_ID); None: any, by its label.
    """

    module: Path
    pin: Path
    token: str | None
    serial: str | None
    label: str | None
    key_id: bytes | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI.

        Raises:
            SettingsError: not one, or it leaves token, key, module or PIN open. No PIN in it is repeated.
        """
        if len(text) > MAX_URI or not text.startswith(_SCHEME):
            raise SettingsError("the PKCS#11 URI cannot be used", seen=f"{len(text)} characters", wanted=_WANTED)
        path, _, query = text.removeprefix(_SCHEME).partition("?")
        where, how = _attributes(path, ";", _PATH), _attributes(query, "&", _QUERY)
        if _text(where, "type") not in {None, "secret-key"}:
            raise SettingsError("the PKCS#11 URI is of another object", seen="type", wanted="type=secret-key")
        for name, one_of in (("token", ("token", "serial")), ("key", ("object", "id"))):
            if not any(where.get(each) for each in one_of):
                raise SettingsError(f"the PKCS#11 URI names no {name}", wanted=" or ".join(one_of))
        return cls(
            module=_file(how, "module-path"),
            pin=_file(how, "pin-source"),
            token=_text(where, "token"),
            serial=_text(where, "serial"),
            label=_text(where, "object"),
            key_id=where.get("id"),
        )

    def __str__(self) -> str:
        """The URI again; it holds no secret."""
        where = {"token": self.token, "serial": self.serial, "object": self.label, "id": self.key_id}
        named = ";".join(f"{name}={quote(value, safe='')}" for name, value in where.items() if value is not None)
        return f"{_SCHEME}{named}?module-path={quote(str(self.module))}&pin-source=file:{quote(str(self.pin))}"


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":
            hint = "write it to a file of mode 0600, and pin-source=file:/PATH here"
            raise SettingsError("the PKCS#11 URI holds a PIN", wanted="a file that holds it", hint=hint)
        if name not in known or not equals:
            wanted = ", ".join(sorted(known))
            raise SettingsError("the PKCS#11 URI has an unknown attribute", seen=ascii(name[:64]), wanted=wanted)
        if name in found:
            raise SettingsError("the PKCS#11 URI has an attribute twice", seen=name)
        if not _VALUE.fullmatch(value):
            raise SettingsError("a value in the PKCS#11 URI is not percent-encoded", seen=name, wanted="RFC 7512")
        found[name] = unquote_to_bytes(value)
    return found


def _text(found: Mapping[str, bytes], name: str) -> str | None:
    value = found.get(name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as exc:
        raise SettingsError("a value in the PKCS#11 URI is not text", seen=name, wanted="UTF-8") from exc


def _file(found: Mapping[str, bytes], name: str) -> Path:
    named = (_text(found, name) or "").removeprefix("file:" if name == "pin-source" else "")
    named = named.removeprefix("//") if named.startswith("///") else named
    if not named.startswith("/") or named.startswith("//") or "\0" in named:
        raise SettingsError("the PKCS#11 URI names no file", seen=name, wanted=f"{name} with an absolute path")
    return Path(named)
