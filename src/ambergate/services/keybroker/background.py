"""The background check: evidence that a workload hands to the broker is appraised by an attestation service.

The broker is a client of that service, ours or Intel's, under an API key of its own. What comes back is a token, which
proves nothing here yet: it is checked like any other (`ambergate.services.keybroker.trust`), so that a service that is
asked and not trusted gets nobody a secret.

Failures are told apart, since they have different owners:

| what | raised | owner |
|---|---|---|
| the evidence is not genuine, or not readable | `NotGenuine` with its step, `Malformed` | the workload |
| a policy of the service refuses it | `NotWelcome` with every mismatch | the service's policy |
| no answer in time, or none that is understood; the broker itself is refused | `Unavailable` | the operator |
"""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ambergate.client.attempt import Attempt
from ambergate.client.attestation import MAX_QUOTE, Nonce, read_token
from ambergate.client.replies import answered
from ambergate.client.transport import Channel
from ambergate.core.errors import (
    AmberError,
    Malformed,
    NotAuthorised,
    NotGenuine,
    NotWelcome,
    SettingsError,
    TooLarge,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from ambergate.client.settings import ApiKey
    from ambergate.client.transport import Peer, Response
    from ambergate.services.keybroker.ports import Evidence

SERVICE: Final = "the attestation service"
MAX_USER_DATA: Final = 64 * 1024  # bytes; a key of 8192 bits takes 1028
MAX_EVENT_LOG: Final = 128 * 1024  # bytes; with the other two it stays below what attestation services read
MAX_POLICY_IDS: Final = 10  # what our service and Intel's take in one request
MAX_IDLE: Final = 8  # connections kept open while nobody uses them


class AttestationClient:
    """Asks one attestation service for nonces and tokens; fits the port `Verifier`. Safe to use from several threads.

    Args:
        peer: the service's attestation API, e.g. `https://attest.example/appraisal/v1/`.
        api_key: the broker's own; None: the service asks for none.
    """

    def __init__(self, peer: Peer, api_key: ApiKey | None) -> None:
        self._peer = peer
        self._key = api_key
        self._idle: list[Channel] = []
        self._lock = threading.Lock()

    def nonce(self, *, request_id: str) -> Mapping[str, str]:
        """A fresh nonce of the service, as it came: `val`, `iat` and `signature` in base64.

        Raises:
            Unavailable: none was given.
        """
        document = self._ask("GET", "nonce", request_id=request_id)
        return Nonce.of(document).wire

    def token(self, evidence: Evidence, *, policy_ids: Sequence[UUID], request_id: str) -> str:
        """A token about this evidence, unchecked.

        Args:
            evidence: what the workload handed over.
            policy_ids: the service's policies that it is to be held against.
            request_id: names the request in the service's log.

        Raises:
            NotGenuine: Intel's chain does not vouch for it, or the nonce is not one of the service's; names the step.
            Malformed: the service cannot read it.
            NotWelcome: one of the service's policies refuses it.
            TooLarge: more than a service reads.
            Unavailable: see the module's text.
        """
        document = self._ask("POST", "attest", request_id=request_id, body=_body(evidence, policy_ids))
        return read_token(document.get("token")).token

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for channel in idle:
            channel.close()

    def _ask(self, method: str, path: str, *, request_id: str, body: bytes | None = None) -> dict[str, object]:
        headers = {"Accept": "application/json", "request-id": request_id}
        if self._key is not None:
            headers["x-api-key"] = self._key.reveal()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            with self._channel() as channel:
                response = channel.request(method, path, headers=headers, body=body)
        except (TooLarge, SettingsError) as exc:  # its answer, our roots: none of it is the workload's doing
            raise Unavailable(exc.message, code=exc.code, seen=exc.seen, hint=exc.hint) from exc
        return _read(response)

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        with self._lock:
            channel = self._idle.pop() if self._idle else Channel(self._peer)
        try:
            yield channel
        except BaseException:
            channel.close()
            raise
        with self._lock:
            kept = len(self._idle) < MAX_IDLE
            if kept:
                self._idle.append(channel)
        if not kept:
            channel.close()


def _body(evidence: Evidence, policy_ids: Sequence[UUID]) -> bytes:
    """The request of `POST attest` (wire protocol 1.4)."""
    for name, data, limit in (
        ("quote", evidence.quote, MAX_QUOTE),
        ("user_data", evidence.user_data, MAX_USER_DATA),
        ("event_log", evidence.event_log, MAX_EVENT_LOG),
    ):
        if len(data) > limit:
            raise TooLarge(f"the {name} is too long", seen=f"{len(data)} bytes", wanted=f"<= {limit}")
    if len(policy_ids) > MAX_POLICY_IDS:
        seen = f"{len(policy_ids)} policy ids"
        raise Unavailable("the key names more policies than a service takes", seen=seen, wanted=f"<= {MAX_POLICY_IDS}")
    members: dict[str, object] = {"quote": _base64(evidence.quote), "verifier_nonce": dict(evidence.nonce)}
    if evidence.user_data:
        members["runtime_data"] = _base64(evidence.user_data)
    if policy_ids:
        members["policy_ids"] = [str(each) for each in policy_ids]
    if evidence.event_log:
        members["event_log"] = _base64(evidence.event_log)
    return json.dumps(members).encode()


def _read(response: Response) -> dict[str, object]:
    try:
        return answered(response, Attempt(), service=SERVICE, refusal=NotWelcome)
    except NotWelcome as exc:
        if exc.mismatches:
            raise
        # A 400 that names neither a step nor a rule: what it is about came from the workload.
        raise Malformed(exc.message, code="evidence-refused", hint=exc.hint) from exc
    except (NotGenuine, TooLarge, Unavailable):
        raise
    except AmberError as exc:  # it does not know the broker, or not under this URL
        seen, hint = f"{exc.code}: {exc.message}", "are the [verifier] url and api_key_file right?"
        raise Unavailable(f"{SERVICE} refuses the broker", code=_refused(exc), seen=seen, hint=hint) from exc


def _refused(error: AmberError) -> str:
    return "verifier-refuses-broker" if isinstance(error, NotAuthorised) else "verifier-unusable"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
