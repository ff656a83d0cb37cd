"""From a token to a secret: the exchange with the key broker, in passport mode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ambergate.client.replies import answered
from ambergate.core.errors import ReleaseRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.client.attempt import Attempt
    from ambergate.client.transport import Channel

SERVICE: Final = "the key broker"

# The broker compares these header values exactly.
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}


def transfer(
    channel: Channel, key_id: str, token: str, *, headers: Mapping[str, str], attempt: Attempt
) -> tuple[dict[str, object], bytes]:
    """Ask the broker for a secret, sealed for the key that the token holds.

    Args:
        channel: to the broker's keys.
        key_id: the secret's id.
        token: an attestation token.
        headers: the request id.
        attempt: takes notes.

    Returns:
        The broker's answer as a JSON object, and as the bytes that came.

    Raises:
        AmberError: no secret, and why.
    """
    attempt.begin("release")
    body = json.dumps({"attestation_token": token}).encode()
    response = channel.request("POST", f"{key_id}/transfer", headers={**_HEADERS, **headers}, body=body)
    return answered(response, attempt, service=SERVICE, refusal=ReleaseRefused), response.body
