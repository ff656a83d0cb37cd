"""What a checked token says, as types. Made by `check_token` only."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from ambergate.core.errors import TokenRejected
from ambergate.core.token.forms import flat_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_DEBUG_FLAGS: Final = ("sgx_is_debuggable", "tdx_is_debuggable", "tdx_td_attributes_debug", "tee_is_debuggable")
SIMULATED: Final = "tee_simulated"
# Behind the base URL, in the issuer's name of tokens about software platforms.
SIMULATED_SUFFIX: Final = "/simulated"
_LATEST: Final = 253402300799  # 9999-12-31T23:59:59Z: the last second that a datetime holds


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationClaims:
    """What the issuer attests of an enclave, at `issued_at`, good until `expires_at`.

    `debug` is True unless the token says in every place it speaks of it that the enclave is not debuggable.
    `simulated` says that no hardware stood behind the evidence. `raw` has the claims as they were signed, in the
    names and nesting of the token's own profile.
    """

    issuer: str
    issued_at: datetime
    expires_at: datetime
    attester_type: str
    tcb_status: str
    advisory_ids: tuple[str, ...]
    mr_enclave: str | None
    mr_signer: str | None
    isv_prod_id: int | None
    isv_svn: int | None
    debug: bool
    simulated: bool
    held_data: bytes | None
    runtime_data: Mapping[str, object] | None
    nonce: Mapping[str, object] | None
    raw: Mapping[str, object]


def read_claims(signed: Mapping[str, object]) -> AttestationClaims:
    """A token's members, typed; nothing is converted or guessed. Profiles v1, v2, amber-2022 and slim are read alike.

    Raises:
        TokenRejected: a claim is missing, of another type, or there twice.
    """
    members = flat_claims(signed)
    return AttestationClaims(
        issuer=_required(members, "iss", str),
        issued_at=instant(members, "iat"),
        expires_at=instant(members, "exp"),
        attester_type=_required(members, "attester_type", str),
        tcb_status=_required(members, "attester_tcb_status", str),
        advisory_ids=_texts(members, "attester_advisory_ids"),
        mr_enclave=_optional(members, "sgx_mrenclave", str),
        mr_signer=_optional(members, "sgx_mrsigner", str),
        isv_prod_id=_optional(members, "sgx_isvprodid", int),
        isv_svn=_optional(members, "sgx_isvsvn", int),
        debug=_debug(members),
        simulated=_simulated(members),
        held_data=_octets(members, "attester_held_data"),
        runtime_data=_mapping(members, "attester_runtime_data"),
        nonce=_mapping(members, "verifier_nonce"),
        raw=signed,
    )


def instant(members: Mapping[str, object], name: str) -> datetime:
    """The claim `name`, seconds since 1970 (RFC 7519, NumericDate; whole seconds only).

    Raises:
        TokenRejected: missing, or no such number.
    """
    value = _required(members, name, int)
    if not 0 <= value <= _LATEST:
        raise TokenRejected(
            f"the claim {name} is no instant", code="bad-claim", seen=value, wanted="seconds since 1970"
        )
    return datetime.fromtimestamp(value, UTC)


def _required(members: Mapping[str, object], name: str, kind: type[T]) -> T:
    value = _optional(members, name, kind)
    if value is None:
        raise TokenRejected(f"the token lacks the claim {name}", code="missing-claim", wanted=kind.__name__)
    return value


def _optional(members: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    value = members.get(name)
    if value is None:
        return None
    if type(value) is not kind:  # exactly: True is no integer here
        seen, wanted = type(value).__name__, kind.__name__
        raise TokenRejected(f"the claim {name} is of another type", code="bad-claim", seen=seen, wanted=wanted)
    return value


def _texts(members: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = _optional(members, name, list)
    if value is None:
        return ()
    if not all(isinstance(item, str) for item in value):
        raise TokenRejected(f"the claim {name} is of another type", code="bad-claim", wanted="array of text")
    return tuple(value)


def _mapping(members: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    return _optional(members, name, dict)


def _octets(members: Mapping[str, object], name: str) -> bytes | None:
    text = _optional(members, name, str)
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise TokenRejected(f"the claim {name} is not base64", code="bad-claim", wanted="standard base64") from exc


def _simulated(members: Mapping[str, object]) -> bool:
    """Either sign is enough: a token under the simulated issuer's name is about software even if it does not say so."""
    flag = members.get(SIMULATED, False)
    if not isinstance(flag, bool):
        raise TokenRejected(f"the claim {SIMULATED} is of another type", code="bad-claim", wanted="true or false")
    return flag or _required(members, "iss", str).endswith(SIMULATED_SUFFIX)


def _debug(members: Mapping[str, object]) -> bool:
    said = _optional(members, "dbgstat", str)
    flags = [_optional(members, name, bool) for name in _DEBUG_FLAGS]
    closed = said in (None, "disabled") and True not in flags
    return not closed or (said is None and False not in flags)
