"""What the owner of a secret asks of an enclave before it may have the secret.

A policy is a TOML file, or the same members as a mapping:

    mr_enclave = ["9f86d0..."]            # these programs exactly; any one of the list
    mr_signer = ["c9d2a1..."]             # or: what this signer signs,
    isv_prod_id = [1]                     #     this product of theirs,
    minimum_isv_svn = 3                   #     at this security version or a later one
    tcb_statuses = ["UpToDate"]           # the default
    dangerously_allow_debug = false       # the default
    insecure_accept_simulated = false     # the default

What is written is checked, and all of it must hold; within a list any one value is enough. What is absent never
means "do not check":

- the identity must be named: `mr_enclave`, or `mr_signer` with `isv_prod_id` and `minimum_isv_svn`, or both. The
  three of the signer come together, a minimum of 0 included, because a signer alone vouches for every program and
  every old version it ever signed. With `mr_enclave` alone the others add nothing: the program is fixed;
- `tcb_statuses`, debug and simulation always hold, at their defaults when absent;
- an empty list allows nothing, so it does not load.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, TypeVar

from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrEnclave, MrSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", MrEnclave, MrSigner)

# Intel's words for what a token can say of a platform's TCB. "Revoked" is not among them: nothing is ever released
# to a revoked platform, whatever its owner thinks.
TCB_STATUSES: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
MAX_POLICY_SIZE: Final = 64 * 1024  # characters; our limit
MAX_VALUES: Final = 1000  # per list; our limit
_MAX_UINT16: Final = 0xFFFF  # ISVPRODID and ISVSVN are 16 bits wide (Intel SDM volume 3D, SECS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """Who may have one secret. See the module's text for the meaning of absent members.

    Raises:
        MalformedPolicy: the members do not make a policy, e.g. no identity is named.
    """

    mr_enclave: tuple[MrEnclave, ...] = ()
    mr_signer: tuple[MrSigner, ...] = ()
    isv_prod_id: tuple[int, ...] = ()
    minimum_isv_svn: int | None = None
    tcb_statuses: tuple[str, ...] = ("UpToDate",)
    dangerously_allow_debug: bool = False
    insecure_accept_simulated: bool = False

    def __post_init__(self) -> None:
        """Refuse policies that name no identity, or half of one."""
        if not self.mr_enclave and not self.mr_signer:
            hint = "name mr_enclave, or mr_signer with isv_prod_id and minimum_isv_svn"
            raise _bad("the policy names no enclave", seen="neither mr_enclave nor mr_signer", hint=hint)
        signer = {
            "mr_signer": bool(self.mr_signer),
            "isv_prod_id": bool(self.isv_prod_id),
            "minimum_isv_svn": self.minimum_isv_svn is not None,
        }
        lacking = [name for name, present in signer.items() if not present]
        if self.mr_signer and lacking:
            hint = (
                "a signer vouches for every program and version it ever signed; write minimum_isv_svn = 0 to mean that"
            )
            raise _bad("the policy names half of an identity", seen=f"no {', no '.join(lacking)}", hint=hint)
        if self.isv_prod_id and not self.mr_signer:
            raise _bad("isv_prod_id means nothing without its mr_signer", seen="no mr_signer", hint="add mr_signer")
        if not self.tcb_statuses:
            raise _bad("tcb_statuses allows nothing", seen="an empty list", hint="leave it out for UpToDate only")

    @classmethod
    def from_toml(cls, text: str) -> ResourcePolicy:
        """Read a policy file.

        Raises:
            MalformedPolicy: no TOML, an unknown or missing member, or a value of another type or range.
        """
        _refuse_long(text)
        try:
            members = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as exc:
            raise _bad("the policy is not TOML", seen=exc if isinstance(exc, ValueError) else "too deep") from exc
        return cls.from_mapping(members)

    @classmethod
    def from_json(cls, text: str) -> ResourcePolicy:
        """Read the JSON form, as `to_json` writes it.

        Raises:
            MalformedPolicy: as `from_toml`.
        """
        _refuse_long(text)
        try:
            members = json.loads(text, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as exc:
            raise _bad("the policy is not JSON", seen=type(exc).__name__) from exc
        if not isinstance(members, dict):
            raise _bad("the policy is no object", seen=type(members).__name__, wanted="an object")
        return cls.from_mapping(members)

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> ResourcePolicy:
        """Read a policy from plain values, strictly.

        Raises:
            MalformedPolicy: an unknown or missing member, or a value of another type or range.
        """
        known = tuple(field.name for field in fields(cls))
        for name in members:
            if name not in known:
                nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]
                raise _bad(
                    f"the policy has an unknown member {name!r}",
                    wanted=", ".join(known),
                    hint=f"did you mean {nearest}?",
                )
        defaults = {field.name: field.default for field in fields(cls)}
        values = {name: members.get(name, defaults[name]) for name in known}
        return cls(
            mr_enclave=_measurements(members, "mr_enclave", MrEnclave),
            mr_signer=_measurements(members, "mr_signer", MrSigner),
            isv_prod_id=tuple(sorted({_uint16("isv_prod_id", item) for item in _listed(members, "isv_prod_id")})),
            minimum_isv_svn=None
            if "minimum_isv_svn" not in members
            else _uint16("minimum_isv_svn", members["minimum_isv_svn"]),
            tcb_statuses=_statuses(members),
            dangerously_allow_debug=_flag("dangerously_allow_debug", values["dangerously_allow_debug"]),
            insecure_accept_simulated=_flag("insecure_accept_simulated", values["insecure_accept_simulated"]),
        )

    def to_mapping(self) -> dict[str, object]:
        """The policy as plain values, every default written out; `from_mapping` gives it back."""
        identity: dict[str, object] = {
            "mr_enclave": [item.hex() for item in self.mr_enclave],
            "mr_signer": [item.hex() for item in self.mr_signer],
            "isv_prod_id": list(self.isv_prod_id),
        }
        members = {name: value for name, value in identity.items() if value}
        if self.minimum_isv_svn is not None:
            members["minimum_isv_svn"] = self.minimum_isv_svn
        return {
            **members,
            "tcb_statuses": list(self.tcb_statuses),
            "dangerously_allow_debug": self.dangerously_allow_debug,
            "insecure_accept_simulated": self.insecure_accept_simulated,
        }

    def to_json(self) -> str:
        """The policy as one line of JSON, the same for equal policies."""
        return json.dumps(self.to_mapping(), sort_keys=True, separators=(",", ":"))


def _measurements(members: Mapping[str, object], name: str, kind: type[M]) -> tuple[M, ...]:
    found: set[M] = set()
    for item in _listed(members, name):
        try:
            if not isinstance(item, str):
                raise _bad(f"{name} is not text", seen=type(item).__name__, wanted="64 hex digits")
            found.add(kind.from_hex(item))
        except ValueError as exc:
            raise _bad(f"{name} is no measurement", seen=str(exc), wanted="64 hex digits") from exc
    return tuple(sorted(found, key=lambda item: item.value))


def _statuses(members: Mapping[str, object]) -> tuple[str, ...]:
    if "tcb_statuses" not in members:
        return ("UpToDate",)
    named = _listed(members, "tcb_statuses")
    for item in named:
        if item not in TCB_STATUSES:
            hint = "nothing is released to a revoked platform" if item == "Revoked" else None
            raise _bad("tcb_statuses names no releasable status", seen=item, wanted=", ".join(TCB_STATUSES), hint=hint)
    return tuple(status for status in TCB_STATUSES if status in named)


def _listed(members: Mapping[str, object], name: str) -> list[object]:
    """The values of a member: a list, or one value standing for itself; nothing only when the member is absent."""
    if name not in members:
        return []
    value = members[name]
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise _bad(f"{name} allows nothing", seen="an empty list", hint="leave it out, or name what is allowed")
    if len(items) > MAX_VALUES:
        raise _bad(f"{name} names too much", seen=f"{len(items)} values", wanted=f"<= {MAX_VALUES}")
    return items


def _uint16(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_UINT16:
        raise _bad(f"{name} is no 16-bit number", seen=repr(value)[:80], wanted=f"0 to {_MAX_UINT16}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _bad(f"{name} is neither true nor false", seen=repr(value)[:80], wanted="true or false, without quotes")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose members are named once: of two, a reader could believe the other."""
    members = dict(pairs)
    if len(members) != len(pairs):
        message = "a member is named twice"
        raise ValueError(message)
    return members


def _refuse_long(text: str) -> None:
    if len(text) > MAX_POLICY_SIZE:
        raise _bad("the policy is too long", seen=f"{len(text)} characters", wanted=f"<= {MAX_POLICY_SIZE}")


def _bad(message: str, *, seen: object = None, wanted: object = None, hint: str | None = None) -> MalformedPolicy:
    return MalformedPolicy(message, seen=seen, wanted=wanted, hint=hint)
