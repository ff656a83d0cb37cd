"""What a checked token says, as types. Made by `check_token` only."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from ambergate.core.errors import TokenRejected
from ambergate.core.token.forms import flat_claims
from ambergate.core.token.names import AMBER_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_DEBUG_FLAGS: Final = ("sgx_is_debuggable", "tdx_is_debuggable", "tdx_td_attributes_debug", "tee_is_debuggable")
SIMULATED: Final = "tee_simulated"
# Behind the base URL, in the issuer's name of tokens about software platforms.
SIMULATED_SUFFIX: Final = "/simulated"
_TD_MEASUREMENTS: Final = {
    "mr_td": "mrtd",
    "mr_seam": "mrseam",
    "mr_signer_seam": "mrsignerseam",
    "mr_config_id": "mrconfigid",
    "mr_owner": "mrowner",
    "mr_owner_config": "mrownerconfig",
    **{name: name for name in ("rtmr0", "rtmr1", "rtmr2", "rtmr3")},
}
_SEPT_VE_CLAIM: Final = "tdx_td_attributes_septve_disable"
_SEPT_VE_DISABLE: Final = 28  # bit of TD ATTRIBUTES (Intel TDX module ABI specification, "ATTRIBUTES")
_LATEST: Final = 253402300799  # 9999-12-31T23:59:59Z: the last second that a datetime holds


@dataclass(frozen=True, slots=True, kw_only=True)
class TdClaims:
    """What the issuer attests of a TD: measurements in hex, as they were told; None: not told.

    `sept_ve_disable` is None also when the token says two things of it.
    """

    mr_td: str | None = None
    rtmr0: str | None = None
    rtmr1: str | None = None
    rtmr2: str | None = None
    rtmr3: str | None = None
    mr_seam: str | None = None
    mr_signer_seam: str | None = None
    mr_config_id: str | None = None
    mr_owner: str | None = None
    mr_owner_config: str | None = None
    seam_svn: int | None = None
    sept_ve_disable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationClaims:
    """What the issuer attests of an enclave, at `issued_at`, good until `expires_at`.

    `debug` is True unless the token says in every place it speaks of it that the enclave is not debuggable.
    `simulated` says that no hardware stood behind the evidence. `td` is there when the attester is a TD.
    `policy_ids_matched` are the issuer's policies that matched, in lower case. `raw` has the claims as they were
    signed, in the names and nesting of the token's own profile.
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
    tcb_date: datetime | None = None
    td: TdClaims | None = None
    policy_ids_matched: tuple[str, ...] = ()


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
        tcb_date=_date(members, "attester_tcb_date"),
        td=_td(members) if members.get("attester_type") == "TDX" else None,
        policy_ids_matched=_policy_ids(members),
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


def _policy_ids(members: Mapping[str, object]) -> tuple[str, ...]:
    """Objects with an `id`, as tokens have had them since 2023, or ids alone, as before."""
    name = "amber_matched_policy_ids" if members.get("ver") == AMBER_VERSION else "policy_ids_matched"
    entries = _optional(members, name, list) or []
    found = [entry.get("id") if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(each, str) for each in found):
        raise TokenRejected(f"the claim {name} is of another type", code="bad-claim", wanted="array of ids")
    return tuple(str(each).lower() for each in found)


def _date(members: Mapping[str, object], name: str) -> datetime | None:
    text = _optional(members, name, str)
    try:
        when = None if text is None else datetime.fromisoformat(text)
    except ValueError as exc:
        raise TokenRejected(f"the claim {name} is no instant", code="bad-claim", seen=str(text)[:64]) from exc
    return when if when is None or when.tzinfo is not None else when.replace(tzinfo=UTC)


def _td(members: Mapping[str, object]) -> TdClaims:
    told = {field: _optional(members, f"tdx_{claim}", str) for field, claim in _TD_MEASUREMENTS.items()}
    seam_svn = _optional(members, "tdx_seamsvn", int)
    return TdClaims(seam_svn=seam_svn, sept_ve_disable=_sept_ve_disable(members), **told)


def _sept_ve_disable(members: Mapping[str, object]) -> bool | None:
    attributes, told = _optional(members, "tdx_td_attributes", str), _optional(members, _SEPT_VE_CLAIM, bool)
    if attributes is None:
        return told
    try:
        bits = int.from_bytes(bytes.fromhex(attributes), "little")
    except ValueError as exc:
        raise TokenRejected("the claim tdx_td_attributes is not hex", code="bad-claim", wanted="16 digits") from exc
    bit = bool(bits >> _SEPT_VE_DISABLE & 1)
    return bit if told in (None, bit) else None


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
