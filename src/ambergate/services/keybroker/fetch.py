"""Getting an issuer's key set and revocation lists: over verified TLS, or from a file. Bounded in size and time."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from ambergate.core.errors import SettingsError, TimedOut, TooLarge, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

MAX_KEY_SET: Final = 256 * 1024  # bytes; a key with its certificate chain takes about 8 KiB
STEP_SECONDS: Final = 5.0  # to connect, and for each piece of the answer
TOTAL_SECONDS: Final = 15.0  # for the whole answer
# No compression: the limit on the size would have to hold for what comes out as well.
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class BoundedFile:
    """A document that the operator put into a file: pinned, changed by hand.

    Attributes:
        path: the file.
        limit: bytes.
        what: what it is, for messages.
    """

    path: Path
    limit: int = MAX_KEY_SET
    what: str = "the key set"

    def __call__(self) -> bytes:
        """The file's bytes.

        Raises:
            Unavailable: it cannot be read.
            TooLarge: it is longer than its limit.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(self.limit + 1)
        except OSError as exc:
            raise Unavailable(f"the file of {self.what} cannot be read", seen=f"{self.path}: {exc.strerror}") from exc
        return _bounded(data, self.limit, self.what)


class BoundedUrl:
    """A document that its issuer serves. Redirects are not followed, proxies of the environment not used.

    Args:
        url: `https://...`; its host is verified against the certificate.
        cacerts: PEM roots for it; the system's when not given.
        limit: bytes.
        what: what it is, for messages.

    Raises:
        SettingsError: the roots cannot be used.
    """

    def __init__(
        self, url: str, *, cacerts: Path | None = None, limit: int = MAX_KEY_SET, what: str = "the issuer's key set"
    ) -> None:
        self._url = url
        self._limit = limit
        self._what = what
        self._context = tls_context(cacerts)

    def __call__(self) -> bytes:
        """The document's bytes.

        Raises:
            Unavailable: no connection, no trust in the server, or another answer than 200.
            TimedOut: no whole answer in time.
            TooLarge: it is longer than its limit.
        """
        try:
            return _bounded(self._get(), self._limit, self._what)
        except httpx.TimeoutException as exc:
            raise TimedOut(f"{self._what} did not arrive in time", seen=self._url) from exc
        except httpx.HTTPError as exc:
            seen = f"{self._url}: {str(exc) or type(exc).__name__}"
            hint = "is it running, and is its certificate under cacerts?"
            raise Unavailable(f"{self._what} cannot be fetched", seen=seen, hint=hint) from exc

    def _get(self) -> bytes:
        deadline = time.monotonic() + TOTAL_SECONDS
        pieces: list[bytes] = []
        size = 0
        with (
            httpx.Client(verify=self._context, trust_env=False, timeout=STEP_SECONDS) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                seen = f"{self._url}: {response.status_code}"
                raise Unavailable(f"the issuer does not give {self._what}", seen=seen, wanted="200")
            for piece in response.iter_raw(16 * 1024):
                size += len(piece)
                pieces.append(piece)
                if size > self._limit:
                    break
                if time.monotonic() > deadline:
                    raise TimedOut(f"{self._what} did not arrive in time", seen=self._url)
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class KeySetFile:
    """A key set in a file. Raises as `BoundedFile`, and `Unavailable` when it is no text."""

    path: Path

    def __call__(self) -> str:
        """The file's text."""
        return _text(BoundedFile(self.path)())


class KeySetUrl:
    """A key set that its issuer serves. Arguments and errors are those of `BoundedUrl`."""

    def __init__(self, url: str, *, cacerts: Path | None = None) -> None:
        self._fetch = BoundedUrl(url, cacerts=cacerts)

    def __call__(self) -> str:
        """The key set's text."""
        return _text(self._fetch())


def tls_context(cacerts: Path | None) -> ssl.SSLContext:
    """Verifies names and chains, always; TLS 1.2 at least.

    Raises:
        SettingsError: the roots cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if cacerts is None else str(cacerts))
    except (OSError, ssl.SSLError) as exc:
        seen = f"{cacerts}: {exc.strerror or exc}"
        raise SettingsError("the roots cannot be used", seen=seen, wanted="a file of PEM certificates") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _bounded(data: bytes, limit: int, what: str) -> bytes:
    if len(data) > limit:
        raise TooLarge(f"{what} is too long", wanted=f"<= {limit} bytes")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise Unavailable("the issuer's key set is not text", seen=str(exc.reason)) from exc
