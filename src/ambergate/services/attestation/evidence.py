"""A request to attest, decoded: what `wire` and `azure` read, and the use case takes."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from ambergate.core.token.names import Profile

if TYPE_CHECKING:
    from uuid import UUID

    from ambergate.services.attestation.nonces import Nonce


class Rule(enum.Enum):
    """How REPORTDATA has to bind what came with the quote (wire protocol, section 2)."""

    REPORT = enum.auto()  # the hash of nonce and runtime data, whole
    AZURE_TD = enum.auto()  # the hash of the runtime data, which holds the hash of nonce and user data
    EITHER = enum.auto()  # the first, or for a TD the second
    FIRST_HALF = enum.auto()  # SHA-256 of the runtime data in the first half; the second is not looked at


class Evidence(NamedTuple):
    """A request, decoded and bounded.

    Attributes:
        quote: as it came.
        nonce: None: the request has none.
        runtime_data: None: the request has none, or empty.
        user_data: the same, for TDs on Azure.
        rule: how the quote binds the three.
        policy_ids: none: the caller's.
        policy_must_match: the caller's key may say so too.
        algorithm: None: the caller's, or else the service's.
        profile: of the token; None: the caller's, or else the endpoint's.
        endpoint_profile: the endpoint's.
        runtime_json: the request calls its runtime data JSON (Azure's clients do).
        echo: words that the token repeats (Azure's clients call them a nonce).
        by_url: the caller compares `iss` with the address it asked.
    """

    quote: bytes
    nonce: Nonce | None
    runtime_data: bytes | None
    policy_ids: tuple[UUID, ...]
    user_data: bytes | None = None
    rule: Rule = Rule.REPORT
    policy_must_match: bool = False
    algorithm: str | None = None
    profile: str | None = None
    endpoint_profile: str = Profile.V1
    runtime_json: bool = False
    echo: str | None = None
    by_url: bool = False
