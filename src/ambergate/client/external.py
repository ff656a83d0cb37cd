"""Settings that an enclave takes from a file that nobody measured, written by whoever runs it: the host, an attacker.

Such a file can make an enclave fail, which its host can anyway. It must not make it trust anybody else, tell anybody
else a secret, or use another one. So each setting is measured unless it is in `MAY_VARY`, whose texts say why it may
vary; what is measured, the file cannot replace. A file with anything else in it is refused as a whole.

    amber_ip = "192.0.2.7"
    amber_apikey = "..."
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.client.loading import read_file
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

# Key in the file -> the setting.
KEYS: Final[Mapping[str, str]] = {
    "amber_ip": "endpoint_ip",
    "amber_apikey": "endpoint_apikey",
    "kbs_ip": "kbs_ip",
    "timeout": "timeout",
}
MAY_VARY: Final[Mapping[str, str]] = {
    "endpoint_ip": "the connection goes elsewhere, and the certificate must still be for the measured URL's host",
    "endpoint_apikey": "the service knows another caller; what it proves of this enclave stays the same",
    "kbs_ip": "as endpoint_ip",
    "timeout": "an answer is waited for more or less long; the host can withhold it for ever",
}
WHY_MEASURED: Final[Mapping[str, str]] = {
    "endpoint_url": "whoever chooses the service gets the API key and every quote, and issues the tokens",
    "userdata": "it is what the evidence says of this enclave's user",
    "cacerts": "whoever chooses the roots can pose as both services",
    "kbs_url": "whoever chooses the broker chooses the secret: data would be encrypted for them",
    "kbs_keyid": "another secret of the same owner could be put in this one's place, an old one too",
    "kbs_envelope": "how a secret comes sealed is for its owner and this enclave to say",
    "token_cache": "an old token would pass for a fresh one",
}
ARGUMENTS: Final = "arguments"
MAX_EXTERNAL: Final = 128 * 1024  # bytes; our limit
CODE: Final = "settings-external"


def read_external(path: Path, *, measured: Collection[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The settings in such a file, and the application's arguments; read once, so that a later change does nothing.

    Args:
        path: the file.
        measured: settings that are set already, by what is measured.

    Raises:
        SettingsError: it cannot be read, is not TOML, or holds anything that it may not.
        TooLarge: it is longer than `MAX_EXTERNAL`.
    """
    import tomllib  # noqa: PLC0415 - costs only who has such a file

    try:
        table = tomllib.loads(read_file(path, "the external configuration", limit=MAX_EXTERNAL).decode("utf-8"))
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        seen = "too deep" if isinstance(exc, RecursionError) else exc
        raise _refused("is not TOML", seen=seen, wanted='lines like amber_ip = "192.0.2.7"') from exc
    arguments = table.pop(ARGUMENTS, [])
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise _refused("has arguments that are none", seen=type(arguments).__name__, wanted='["one", "two"]')
    values = {KEYS[key]: value for key, value in table.items() if key in KEYS and isinstance(value, str)}
    for key, value in table.items():
        if key not in KEYS:
            raise _refused("holds what only a measured setting may say", seen=key, wanted=", ".join(KEYS))
        if not isinstance(value, str):
            raise _refused("has a setting that is not text", seen=key, wanted="text in quotes")
        if KEYS[key] in measured:
            raise _refused("would replace a setting that is measured", seen=key, wanted="a setting without a value")
    return {name: value.encode("utf-8", "surrogateescape") for name, value in values.items()}, tuple(arguments)


def _refused(why: str, *, seen: object, wanted: str) -> SettingsError:
    hint = "the host gives this file: what decides whom to trust is in the manifest"
    return SettingsError(f"the external configuration {why}", code=CODE, seen=seen, wanted=wanted, hint=hint)
