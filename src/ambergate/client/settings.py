"""The client's settings as one frozen value, and the rules for each of them.

The rules hold wherever a value comes from: a manifest, the environment, a flag, or a write to a file below
`/dev/amber`. A value that breaks its rule never becomes a setting.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ambergate.core.errors import SettingsError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_VALUE: Final = 64 * 1024  # bytes; our limit for any setting
MAX_URL: Final = 2048  # characters; our limit
MAX_API_KEY: Final = 4096  # characters; our limit, longer than any key of the services we speak to
MAX_ADDRESSES: Final = 16  # our limit
DEFAULT_TIMEOUT: Final = 30.0  # seconds for one request; what Intel's Python client waits
MAX_TIMEOUT: Final = 600.0  # seconds; our limit
MAX_TOKEN_CACHE: Final = 86_400.0  # seconds; our limit, a day: services' tokens live minutes
TOKEN_CACHE_VARIABLE: Final = "AMBER_TOKEN_CACHE"  # noqa: S105 - a variable's name
# Where the attestation API lives when the URL names only the host, as the first users wrote it.
DEFAULT_PATH: Final = "/appraisal/v1/"

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_API_KEY = re.compile(r"[!-~]+")  # visible ASCII: what an HTTP header can hold
_PEM_MARK = "-----BEGIN CERTIFICATE-----"
_MASKED_TAIL: Final = 4  # characters of an API key that are shown
_MASKABLE: Final = 12  # shorter keys would give too much away


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """An API key that does not show itself: only `reveal` gives it, for the request header."""

    _value: str

    def reveal(self) -> str:
        """The key."""
        return self._value

    @property
    def masked(self) -> str:
        """Stars and the last four characters; only stars for a short key."""
        return "****" + (self._value[-_MASKED_TAIL:] if len(self._value) >= _MASKABLE else "")

    def __repr__(self) -> str:
        return f"ApiKey({self.masked})"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An https URL taken apart: whom to verify, where to connect, what to ask for."""

    host: str
    port: int
    path: str  # begins and ends with a slash

    @property
    def authority(self) -> str:
        """Host and port, as the URL and the `Host` header write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a token or a secret is asked with. Absent settings are empty or None, never guessed.

    Attributes:
        endpoint_url: base of the attestation API; without it no token.
        endpoint_ip: addresses to connect to; empty: the resolver is asked. The URL's host stays the name that
            is verified.
        endpoint_apikey: the API key; None sends none.
        userdata: bound into the evidence and handed to the service; empty: the agent's own key takes its place.
        cacerts: PEM roots that verify both services; empty: the system's.
        kbs_url: base of the key broker's keys.
        kbs_ip: as `endpoint_ip`, for the broker.
        kbs_keyid: the id of the secret.
        kbs_envelope: the algorithm of the JWE that the secret is asked as, and with it the kind of key that it comes
            sealed for; empty: Intel's envelope, or as a token wrapped it.
        timeout: seconds for one request, from the name look-up to the last byte.
        token_cache: seconds for which a token may be given again; 0: each is fresh.
    """

    endpoint_url: Url | None = None
    endpoint_ip: tuple[str, ...] = ()
    endpoint_apikey: ApiKey | None = None
    userdata: bytes = b""
    cacerts: str = ""
    kbs_url: Url | None = None
    kbs_ip: tuple[str, ...] = ()
    kbs_keyid: str = ""
    kbs_envelope: str = ""
    timeout: float = DEFAULT_TIMEOUT
    token_cache: float = 0.0

    @property
    def wants_secret(self) -> bool:
        """Whether a key broker and a key id are set."""
        return self.kbs_url is not None and bool(self.kbs_keyid)

    def changed(self, name: str, value: bytes) -> Settings:
        """These settings with one of them replaced by what was written.

        Args:
            name: the setting, e.g. `"endpoint_url"`.
            value: UTF-8 text, white space around it ignored; `userdata` is taken byte for byte. Empty unsets it.

        Raises:
            SettingsError: the value breaks the setting's rule; names the setting, never shows an API key.
            TooLarge: the value is longer than `MAX_VALUE`.
        """
        return replace(self, **{name: parse(name, value)})  # type: ignore[arg-type]  # parse gives the field's own type

    def shown(self, name: str) -> bytes:
        """A setting as its file shows it: what `changed` would take, except that the API key is masked."""
        value = getattr(self, name)
        if isinstance(value, bytes):
            return value
        if isinstance(value, ApiKey):
            return value.masked.encode()
        if isinstance(value, tuple):
            return ",".join(value).encode()
        return b"" if value is None else str(value).encode()


def parse(name: str, value: bytes) -> object:
    """One setting from bytes, by its rule in `PARSERS`.

    Raises:
        SettingsError: the value breaks the rule.
        TooLarge: the value is longer than `MAX_VALUE`.
    """
    if len(value) > MAX_VALUE:
        raise TooLarge(
            f"{name} is too long", code=f"settings-{name}", seen=f"{len(value)} bytes", wanted=f"<= {MAX_VALUE}"
        )
    if name == "userdata":
        return value
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise refused(name, "is not UTF-8 text") from exc
    return PARSERS[name](name, text)


def with_token_cache(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Settings with `AMBER_TOKEN_CACHE` of the environment, if it is there.

    Raises:
        SettingsError: it is no number of seconds, or out of range.
    """
    value = environ.get(TOKEN_CACHE_VARIABLE)
    return settings if value is None else settings.changed("token_cache", value.encode("utf-8", "surrogateescape"))


def refused(name: str, why: str, *, seen: object = None, wanted: str | None = None) -> SettingsError:
    """The error that says which setting is unusable, with the code `settings-<name>`."""
    return SettingsError(f"{name} {why}", code=f"settings-{name}", seen=seen, wanted=wanted)


def parse_url(name: str, text: str) -> Url | None:
    """An https URL; a missing final slash is added, an empty path of the attestation API is filled in.

    Raises:
        SettingsError: anything else, with what is wrong.
    """
    if not text:
        return None
    wanted = "https://host[:port]/path/"
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise refused(name, "is not a URL", seen=text[:80], wanted=wanted)
    try:
        parts = urlsplit(text)
        port = 443 if parts.port is None else parts.port
        host = parts.hostname or ""
    except ValueError as exc:
        raise refused(name, "is not a URL", seen=text[:80], wanted=wanted) from exc
    if parts.scheme != "https":
        raise refused(name, "is not an https URL", seen=parts.scheme or text[:80], wanted="https")
    if parts.username is not None or parts.query or parts.fragment or "?" in text or "#" in text:
        raise refused(name, "holds more than host, port and path", wanted=wanted)
    if not (_HOST.fullmatch(host) or is_address(host)) or not 0 < port < 1 << 16 or not _PATH.fullmatch(parts.path):
        raise refused(name, "is not a URL", seen=text[:80], wanted=wanted)
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    return Url(host=host, port=port, path=DEFAULT_PATH if name == "endpoint_url" and path == "/" else path)


def parse_addresses(name: str, text: str) -> tuple[str, ...]:
    """IPv4 and IPv6 addresses, separated by commas or white space, in the order in which they are tried.

    Raises:
        SettingsError: one of them is not an address.
    """
    addresses = tuple(part.strip("[]") for part in re.split(r"[,\s]+", text) if part)
    for address in addresses:
        if not is_address(address):
            raise refused(name, "is not an IP address", seen=address[:80], wanted="IPv4 or IPv6, several with commas")
    if len(addresses) > MAX_ADDRESSES:
        raise refused(name, "names too many addresses", seen=len(addresses), wanted=f"<= {MAX_ADDRESSES}")
    return addresses


def _parse_api_key(name: str, text: str) -> ApiKey | None:
    if not text:
        return None
    if len(text) > MAX_API_KEY or not _API_KEY.fullmatch(text):
        raise refused(name, "is not an API key", wanted=f"one line of at most {MAX_API_KEY} visible ASCII characters")
    return ApiKey(text)


def _parse_key_id(name: str, text: str) -> str:
    if text and not _KEY_ID.fullmatch(text):
        raise refused(name, "is not a key id", seen=text[:80], wanted="e.g. a UUID")
    return text


def _parse_envelope(name: str, text: str) -> str:
    from ambergate.core.release.jwe import EC_ALGORITHM, RSA_ALGORITHM  # noqa: PLC0415 - costs only who asks for one

    if text not in {"", RSA_ALGORITHM, EC_ALGORITHM}:
        wanted = f"{RSA_ALGORITHM}, {EC_ALGORITHM}, or nothing for Intel's envelope"
        raise refused(name, "is no envelope that secrets come in", seen=text[:80], wanted=wanted)
    return text


def _parse_roots(name: str, text: str) -> str:
    if text and _PEM_MARK not in text:
        raise refused(name, "holds no PEM certificate", wanted=_PEM_MARK)
    return text


def _parse_timeout(name: str, text: str) -> float:
    seconds = _seconds(name, text)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise refused(name, "is out of range", seen=text[:80], wanted=f"more than 0, at most {MAX_TIMEOUT:g} seconds")
    return seconds


def _parse_token_cache(name: str, text: str) -> float:
    seconds = _seconds(name, text or "0")
    if not 0 <= seconds <= MAX_TOKEN_CACHE:
        raise refused(name, "is out of range", seen=text[:80], wanted=f"0 to {MAX_TOKEN_CACHE:g} seconds")
    return seconds


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise refused(name, "is not a number of seconds", seen=text[:80]) from exc


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address, without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


# Setting -> how it is read from text; `userdata` is bytes and has no rule but its length.
PARSERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "endpoint_url": parse_url,
    "endpoint_ip": parse_addresses,
    "endpoint_apikey": _parse_api_key,
    "cacerts": _parse_roots,
    "kbs_url": parse_url,
    "kbs_ip": parse_addresses,
    "kbs_keyid": _parse_key_id,
    "kbs_envelope": _parse_envelope,
    "timeout": _parse_timeout,
    "token_cache": _parse_token_cache,
}
