"""Key transfer policies as Intel's Key Broker Service writes them in JSON, and what they mean here.

    {"attestation_type": "SGX",
     "sgx": {"attributes": {"mrsigner": ["..."], "isvprodid": [1], "isvsvn": 3, "enforce_tcb_upto_date": true},
             "policy_ids": ["..."]}}

Names and shapes are those of its OpenAPI document; `attestation_type` may also be a list of one, as in its examples.
What its documentation promises holds, also where its code does less (docs/adr, "A key transfer policy does what its
documentation says"): attributes and `policy_ids` must both hold where both are given; `isvsvn` and `seamsvn` are
minimums; hex digits compare in either case; debug enclaves are refused. Null and an empty list are as good as absent,
as in its format; `isvsvn` that is absent is a minimum of 0, `enforce_tcb_upto_date` that is absent is true.

`{"release_policy": {...}}` is ours: any release policy, in the members of `ResourcePolicy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import MalformedPolicy
from ambergate.core.release.resource_policy import ResourcePolicy, json_members
from ambergate.core.release.terms import unknown
from ambergate.core.release.values import TCB_STATUSES, TEES, bad, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASE_POLICY: Final = "release_policy"
_TYPE: Final = "attestation_type"
_ENFORCE: Final = "enforce_tcb_upto_date"
# Their member -> ours, and which they call mandatory.
_SGX: Final = {
    "mrsigner": "mr_signer",
    "isvprodid": "isv_prod_id",
    "mrenclave": "mr_enclave",
    "isvsvn": "minimum_isv_svn",
}
_TDX: Final = {
    "mrsignerseam": "mr_signer_seam",
    "mrseam": "mr_seam",
    "seamsvn": "minimum_seam_svn",
    "mrtd": "mr_td",
    **{f"rtmr{index}": f"rtmr{index}" for index in range(4)},
}
_ATTRIBUTES: Final = {"SGX": _SGX, "TDX": _TDX}
_MANDATORY: Final = {"SGX": ("mrsigner", "isvprodid"), "TDX": ("mrsignerseam", "mrseam")}
_SINGLE: Final = ("rtmr0", "rtmr1", "rtmr2", "rtmr3")  # text there, a list here
_PERMISSIONS: Final = "client_permissions"  # of API keys, in their documentation
_GIVEN_BACK: Final = ("id", "created_at")  # in answers; whoever sends them again means nothing by it


def from_kbs(document: Mapping[str, object]) -> ResourcePolicy:
    """The release policy that a key transfer policy means.

    Raises:
        MalformedPolicy: an unknown member, another type, neither attributes nor `policy_ids`, a TD named by its
            module alone, or an attribute that no token can show.
    """
    members = _object("the policy", document, (*_GIVEN_BACK, _TYPE, "sgx", "tdx", RELEASE_POLICY), path="")
    members = {name: value for name, value in members.items() if name not in _GIVEN_BACK}
    if RELEASE_POLICY in members:
        return _ours(members)
    tee = _tee(members.get(_TYPE))
    part = tee.lower()
    if beside := members.keys() - {_TYPE, part}:
        raise bad(f"{', '.join(beside)} means nothing in a policy about {tee}", wanted=part)
    inner = _object(part, members.get(part), ("attributes", "policy_ids"))
    found: dict[str, object] = {"tee": tee, "tcb_statuses": ["UpToDate"]}
    if "attributes" in inner:
        found.update(_attributes(tee, inner["attributes"]))
    if "policy_ids" in inner:
        found["policy_ids_matched"] = inner["policy_ids"]
    return ResourcePolicy.from_mapping(found)


def is_kbs(text: str) -> bool:
    """Whether a text is a key transfer policy: an object in JSON with a member that only they have."""
    try:
        members = json_members(text) if text.lstrip().startswith("{") else {}
    except MalformedPolicy:
        return False
    return not members.keys().isdisjoint((_TYPE, RELEASE_POLICY, "sgx", "tdx"))


def read_release(text: str) -> ResourcePolicy:
    """A release policy in any of its forms: TOML, JSON, or a key transfer policy.

    Raises:
        MalformedPolicy: it is none.
    """
    if is_kbs(text):
        return from_kbs(json_members(text))
    return ResourcePolicy.from_json(text) if text.lstrip().startswith("{") else ResourcePolicy.from_toml(text)


def to_kbs(policy: ResourcePolicy) -> dict[str, object]:
    """The key transfer policy that means this: `from_kbs` gives it back. In our own member what theirs cannot say."""
    told = policy.to_mapping()
    tee = str(told.get("tee"))
    theirs = _theirs(tee, told) if tee in TEES else None
    if theirs is not None and from_kbs(theirs) == policy:
        return theirs
    kinds = {_TYPE: policy.tees[0]} if len(policy.tees) == 1 else {}
    return {**kinds, RELEASE_POLICY: told}


def _ours(members: Mapping[str, object]) -> ResourcePolicy:
    if beside := members.keys() - {_TYPE, RELEASE_POLICY}:
        raise bad(f"{', '.join(beside)} means nothing beside {RELEASE_POLICY}", hint="leave out one of them")
    given = members[RELEASE_POLICY]
    if not isinstance(given, dict):
        raise bad(f"{RELEASE_POLICY} is no object", seen=type(given).__name__, wanted="{...}")
    policy = ResourcePolicy.from_mapping(given)
    if _TYPE in members and policy.tees != (tee := _tee(members[_TYPE]),):
        raise bad(f"{_TYPE} is another than the policy's", seen=tee, wanted=" and ".join(policy.tees))
    return policy


def _attributes(tee: str, value: object) -> dict[str, object]:
    names, part = _ATTRIBUTES[tee], f"{tee.lower()}.attributes"
    given = _object(part, value, (*names, _ENFORCE, _PERMISSIONS))
    if _PERMISSIONS in given:
        hint = "name the attestation service's policies in policy_ids"
        raise bad(f"{part}.{_PERMISSIONS} cannot be checked: no token tells an API key's permissions", hint=hint)
    lacking = [name for name in _MANDATORY[tee] if name not in given]
    if lacking:
        raise bad(f"{part} lacks {', '.join(lacking)}", wanted=" and ".join(_MANDATORY[tee]))
    found = {names[name]: value for name, value in given.items() if name != _ENFORCE}
    if tee == "SGX":
        found.setdefault("minimum_isv_svn", 0)
    enforced = flag(f"{part}.{_ENFORCE}", given.get(_ENFORCE, True))
    return {**found, "tcb_statuses": ["UpToDate"] if enforced else list(TCB_STATUSES)}


def _theirs(tee: str, told: Mapping[str, object]) -> dict[str, object]:
    """As much of it as their members say."""
    attributes = {theirs: told[ours] for theirs, ours in _ATTRIBUTES[tee].items() if ours in told}
    for name in _SINGLE:
        digits = attributes.get(name)
        if isinstance(digits, list) and len(digits) == 1:
            attributes[name] = digits[0]
    inner: dict[str, object] = {}
    if attributes:
        inner["attributes"] = {**attributes, _ENFORCE: told["tcb_statuses"] == ["UpToDate"]}
    if "policy_ids_matched" in told:
        inner["policy_ids"] = told["policy_ids_matched"]
    return {_TYPE: tee, tee.lower(): inner}


def _tee(value: object) -> str:
    given = value[0] if isinstance(value, list) and len(value) == 1 else value
    if given not in TEES:
        raise bad(f"{_TYPE} is no kind of evidence", seen=repr(value)[:64], wanted=" or ".join(TEES))
    return str(given)


def _object(where: str, value: object, known: tuple[str, ...], *, path: str | None = None) -> dict[str, object]:
    """An object of known members, without those that are as good as absent."""
    if not isinstance(value, dict):
        raise bad(f"{where} is no object", seen=type(value).__name__, wanted="{...}")
    for name in value:
        if name not in known:
            raise unknown(name, f"{where + '.' if path is None else path}{str(name)[:64]}", dict.fromkeys(known))
    return {name: item for name, item in value.items() if item is not None and item != []}
