"""What a SIGSTRUCT says, for people and for services: the measurement, and the policies that welcome exactly it.

    said = read_sigstruct(Path("app.sig"))
    as_toml(described(said)); release_policy(said)

It proves that whoever holds a key signed this; not whose key that is, nor what the enclave does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ambergate.client.loading import read_file
from ambergate.core.quote.sigstruct import SIGSTRUCT_SIZE, Sigstruct, parse_sigstruct
from ambergate.policies import first

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ATTESTATION_POLICY: Final = "attestation-policy.toml"
RELEASE_POLICY: Final = "release-policy.toml"
# SECS.ATTRIBUTES, bits by name. Source: Intel SDM volume 3D, "Layout of ATTRIBUTES Structure".
_FLAGS: Final = {
    0x02: "DEBUG",
    0x04: "MODE64BIT",
    0x10: "PROVISIONKEY",
    0x20: "EINITTOKEN_KEY",
    0x40: "CET",
    0x80: "KSS",
}
_AEX_NOTIFY: Final = 0x04  # of the second byte


def read_sigstruct(path: Path) -> Sigstruct:
    """The SIGSTRUCT in a file, as gramine-sgx-sign writes it.

    Raises:
        SettingsError: it cannot be read.
        TooLarge: it is longer than a SIGSTRUCT.
        MalformedEvidence: it is none, or its signature does not hold.
    """
    return parse_sigstruct(read_file(path, "the SIGSTRUCT", limit=SIGSTRUCT_SIZE))


def described(said: Sigstruct) -> dict[str, str | int | bool | list[str]]:
    """Its members by the names that Gramine's tools use."""
    value = said.attributes.value
    flags = [name for bit, name in _FLAGS.items() if value[0] & bit]
    return {
        "mr_enclave": said.mr_enclave.hex(),
        "mr_signer": said.mr_signer.hex(),
        "isv_prod_id": said.isv_prod_id,
        "isv_svn": said.isv_svn,
        "date": f"{said.date[:4]}-{said.date[4:6]}-{said.date[6:]}",
        "flags": value[:8].hex(),
        "flag_names": [*flags, *(["AEX_NOTIFY"] if value[1] & _AEX_NOTIFY else [])],
        "xfrm": value[8:].hex(),
        "debug": said.debug,
    }


def as_toml(members: Mapping[str, str | int | bool | list[str]]) -> str:
    """Such members as TOML. All of them are ASCII, for which JSON writes what TOML reads."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in members.items())


def attestation_policy(said: Sigstruct, *, by_signer: bool = False) -> str:
    """A typed policy of the attestation service that welcomes this enclave.

    Args:
        said: the SIGSTRUCT.
        by_signer: name signer, product and least version instead: later versions are welcome too.
    """
    return first.as_toml(first.known_of(said), by_signer=by_signer)


def release_policy(said: Sigstruct, *, by_signer: bool = False) -> str:
    """A release policy of the key broker for a secret that this enclave may have; as `attestation_policy`."""
    return first.as_release(first.known_of(said), by_signer=by_signer)
