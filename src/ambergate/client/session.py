"""Tokens and secrets for one application, on its settings of the moment.

A token asked for is fresh, unless the settings let it be given again for some seconds (`token_cache`). Then a reader
near the end of these gets the kept one once more and has the next one fetched behind it; how near, differs from token
to token, so that many machines do not ask at one moment. A token that has ended, or is about to, is never given.

A secret is asked for with a token that is still good, or with a fresh one. When the application gives no data of its
own and a key broker is set, the evidence binds the public half of a key that is made here at first need and never
leaves; secrets come sealed for it. It is of RSA-3072, or on P-384 where `kbs_envelope` asks for a JWE by ECDH.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ambergate.client import keybroker
from ambergate.client.attempt import Attempt
from ambergate.client.attestation import Attested, attest
from ambergate.client.replies import bad_reply
from ambergate.client.settings import refused
from ambergate.client.transport import Channel, Peer
from ambergate.core.errors import AmberError, SettingsError, TokenRejected, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from ambergate.client.ports import EvidenceSource
    from ambergate.client.settings import Settings

MAX_SECRET: Final = 64 * 1024  # bytes; our limit
KEY_BITS: Final = 3072  # the broker wants more than 2048; 3072 is what Intel's clients use
MARGIN: Final = timedelta(seconds=10)  # of life that a token must have left to be sent once more
_REQUEST_ID_BYTES: Final = 8
# Of the time for which a token may be given again: when the next one is fetched, at the earliest and at the latest.
_RENEWED_FROM: Final = 0.6
_RENEWED_UNTIL: Final = 0.9
_JITTER_BYTES: Final = 4


class EphemeralKey:
    """The key that secrets are sealed for: made at first need, for this process only.

    It is of RSA, or of EC where the settings ask for a JWE that takes one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rsa: RSAPrivateKey | None = None
        self._ec: EllipticCurvePrivateKey | None = None
        self._held: dict[str, bytes] = {}

    def held(self, tee: str, envelope: str = "") -> bytes:
        """The public half, in the form that a token holds.

        Args:
            tee: the kind of environment.
            envelope: the setting `kbs_envelope`.
        """
        with self._lock:
            if envelope not in self._held:
                self._held[envelope] = self._made_ec() if _takes_ec(envelope) else self._made_rsa(tee)
            return self._held[envelope]

    def open(self, document: Mapping[str, object]) -> bytes:
        """The secret in the broker's answer, which was made for this key. Raises as `keybroker.opened`."""
        assert self._rsa is not None
        return keybroker.opened(self._rsa, document, limit=MAX_SECRET)

    def open_jwe(self, envelope: str, body: bytes) -> bytes:
        """The secret in a JWE, which was made for this key. Raises as `keybroker.opened_jwe`."""
        key = self._ec if _takes_ec(envelope) else self._rsa
        assert key is not None
        return keybroker.opened_jwe(key, body)

    # These imports cost memory and time, and most enclaves never need them.
    def _made_rsa(self, tee: str) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

        from ambergate.core.release.envelope import encode_held_key  # noqa: PLC0415

        if self._rsa is None:
            self._rsa = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        return encode_held_key(self._rsa.public_key(), tee="TDX" if tee == "TDX" else "SGX")

    def _made_ec(self) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        from ambergate.core.release.jwe import encode_held_ec  # noqa: PLC0415

        self._ec = ec.generate_private_key(ec.SECP384R1())  # of about the strength of the AES-256 that it brings
        return encode_held_ec(self._ec.public_key())


def _takes_ec(envelope: str) -> bool:
    """Whether a JWE of this algorithm is for an EC key (`ambergate.core.release.jwe`)."""
    return envelope.startswith("ECDH-ES")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A token, with what it was asked with: it answers only the same question."""

    attested: Attested
    asked_with: tuple[object, ...]
    asked_at: datetime
    jitter: float  # 0 to 1

    def good_until(self, cache: float) -> datetime:
        """The end of the time in which it may be given again, when that may be for `cache` seconds."""
        assert self.attested.expires_at is not None
        return min(self.asked_at + timedelta(seconds=cache), self.attested.expires_at - MARGIN)

    def renewed_from(self, cache: float) -> datetime:
        """From when on a reader has the next one fetched."""
        share = _RENEWED_FROM + (_RENEWED_UNTIL - _RENEWED_FROM) * self.jitter
        return self.asked_at + (self.good_until(cache) - self.asked_at) * share


class Session:
    """Gets tokens and secrets. Safe for any number of threads; none waits for another.

    Args:
        settings: those that `token` and `secret` use when none are given.
        source: makes the evidence.
        now: the clock, for the life of a token.
        token_bytes: randomness, for request ids and for when a kept token is renewed.
        behind: does work that nobody waits for; a thread when not given.
    """

    def __init__(
        self,
        settings: Settings,
        source: EvidenceSource,
        *,
        now: Callable[[], datetime],
        token_bytes: Callable[[int], bytes],
        behind: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.settings = settings
        self._behind = behind or _in_a_thread
        self._renewing = threading.Lock()  # held while the next token is fetched behind the readers
        self._not_before: datetime | None = None  # after a renewal that failed
        self._source = source
        self._now = now
        self._token_bytes = token_bytes
        self._key = EphemeralKey()
        self._kept: _Kept | None = None

    def token(self, settings: Settings | None = None, attempt: Attempt | None = None) -> str:
        """A fresh token; or the last one asked with the same settings, while these let it be given again.

        Args:
            settings: instead of the session's own, for this call.
            attempt: takes notes.

        Raises:
            SettingsError: no `endpoint_url`.
            AmberError: no token, and why.
        """
        settings, attempt = settings or self.settings, attempt or Attempt()
        kept = self._kept
        if kept is None or not self._may_be_given_again(kept, settings):
            return self.attested(settings, attempt).token
        attempt.note("token", f"kept since {kept.asked_at.isoformat(timespec='seconds')}")
        self._renew(kept, settings)
        return kept.attested.token

    def attested(self, settings: Settings, attempt: Attempt) -> Attested:
        """A fresh token with what it says of itself. Raises as `token`."""
        attempt.begin("settings")
        asked_at = self._now()
        if settings.endpoint_url is None:
            raise missing("endpoint_url", "sgx.amber_url, AMBER_URL or --url")
        key = settings.endpoint_apikey
        headers = {"request-id": self._request_id(), **({"x-api-key": key.reveal()} if key else {})}
        peer = Peer(
            url=settings.endpoint_url,
            addresses=settings.endpoint_ip,
            roots=settings.cacerts,
            timeout=settings.timeout,
        )
        with Channel(peer) as channel:
            attested = attest(
                channel, self._source, held=lambda: self._held(settings), headers=headers, attempt=attempt
            )
        jitter = int.from_bytes(self._token_bytes(_JITTER_BYTES), "big") / (1 << 8 * _JITTER_BYTES)
        self._kept = _Kept(attested=attested, asked_with=_question(settings), asked_at=asked_at, jitter=jitter)
        return attested

    def secret(self, settings: Settings | None = None, attempt: Attempt | None = None) -> bytes:
        """The secret `kbs_keyid`: plain, or as the broker's answer when the application's own `userdata` was bound.

        Args:
            settings: instead of the session's own, for this call.
            attempt: takes notes.

        Raises:
            SettingsError: no `kbs_url` or no `kbs_keyid`.
            AmberError: no secret, and why.
        """
        settings, attempt = settings or self.settings, attempt or Attempt()
        attempt.begin("settings")
        if settings.kbs_url is None:
            raise missing("kbs_url", "sgx.kbs_url, AMBER_KBS_URL or --kbs-url")
        if not settings.kbs_keyid:
            raise missing("kbs_keyid", "sgx.kbs_keyid, AMBER_KBS_KEYID or --kbs-keyid")
        kept = self._still_good(settings)
        if kept is not None:
            try:
                return self._released(settings, kept, attempt)
            except TokenRejected:
                # It was good by our clock; by the broker's it is not. A fresh one decides.
                attempt.note("kept_token", "rejected, asking with a fresh one")
        return self._released(settings, self.attested(settings, attempt).token, attempt)

    def _released(self, settings: Settings, token: str, attempt: Attempt) -> bytes:
        assert settings.kbs_url is not None
        peer = Peer(url=settings.kbs_url, addresses=settings.kbs_ip, roots=settings.cacerts, timeout=settings.timeout)
        headers = {"request-id": self._request_id()}
        unwrap: Callable[[], bytes]
        with Channel(peer) as channel:
            if settings.kbs_envelope:
                raw = keybroker.transfer_jwe(channel, settings.kbs_keyid, token, headers=headers, attempt=attempt)
                unwrap = partial(self._key.open_jwe, settings.kbs_envelope, raw)
            else:
                document, raw = keybroker.transfer(channel, settings.kbs_keyid, token, headers=headers, attempt=attempt)
                unwrap = partial(self._key.open, document)
        if settings.userdata:
            return _bounded(raw)
        attempt.begin("unwrap")
        secret = _bounded(unwrap())
        if not secret:
            raise bad_reply(keybroker.SERVICE, "holds an empty secret")
        return secret

    def _held(self, settings: Settings) -> bytes:
        """The data that the evidence binds."""
        if settings.userdata or not settings.wants_secret:
            return settings.userdata
        return self._key.held(self._source.tee, settings.kbs_envelope)

    def _still_good(self, settings: Settings) -> str | None:
        kept = self._kept
        if kept is None or kept.asked_with != _question(settings) or kept.attested.expires_at is None:
            return None
        return kept.attested.token if self._now() + MARGIN < kept.attested.expires_at else None

    def _may_be_given_again(self, kept: _Kept, settings: Settings) -> bool:
        if not settings.token_cache or kept.attested.expires_at is None or kept.asked_with != _question(settings):
            return False
        # A clock that was set back must not make a token young again.
        return kept.asked_at <= self._now() < kept.good_until(settings.token_cache)

    def _renew(self, kept: _Kept, settings: Settings) -> None:
        """Have the next token fetched, if it is time and nobody does it already; readers never wait for it."""
        now = self._now()
        if now < kept.renewed_from(settings.token_cache) or (self._not_before is not None and now < self._not_before):
            return
        if not self._renewing.acquire(blocking=False):
            return

        def fetch() -> None:
            try:
                self.attested(settings, Attempt())
                self._not_before = None
            except AmberError as error:
                # Readers go on with the kept one; halfway to its end comes the next attempt, then halfway again.
                self._not_before = now + (kept.good_until(settings.token_cache) - now) / 2
                import logging  # noqa: PLC0415 - costs memory, and most enclaves never say anything

                logging.getLogger(__name__).warning("the next token could not be had yet: %s", error.message)
            finally:
                self._renewing.release()

        try:
            self._behind(fetch)
        except RuntimeError:  # no more threads: the kept one is still good
            self._renewing.release()

    def _request_id(self) -> str:
        return f"amber-{self._token_bytes(_REQUEST_ID_BYTES).hex()}"


def missing(name: str, where: str) -> SettingsError:
    """The error for a setting that is needed and not there."""
    return refused(name, "is not set", wanted=f"{where}, or write /dev/amber/{name}")


def _question(settings: Settings) -> tuple[object, ...]:
    """What decides a token: two tokens asked with the same may stand for each other."""
    return (
        settings.endpoint_url,
        settings.endpoint_ip,
        settings.endpoint_apikey,
        settings.userdata,
        settings.cacerts,
        settings.wants_secret,
        settings.kbs_envelope,
    )


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="renew", daemon=True).start()


def _bounded(secret: bytes) -> bytes:
    if len(secret) > MAX_SECRET:
        raise TooLarge("the secret is too long", seen=f"{len(secret)} bytes", wanted=f"<= {MAX_SECRET}")
    return secret
