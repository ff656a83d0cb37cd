"""Reading a token of any profile as today's flat one. Nothing that speaks of debug or of simulation is dropped here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import TokenRejected
from ambergate.core.token.names import AMBER_DEBUG, AMBER_NAMES, AMBER_STATUSES, AMBER_VERSION, V2_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVIDENCE: Final = ("sgx", "tdx")
_TODAY: Final = {**{old: name for name, old in AMBER_NAMES.items()}, AMBER_DEBUG: "tee_is_debuggable"}
_STATUSES: Final = {old: name for name, old in AMBER_STATUSES.items()}


def flat_claims(members: Mapping[str, object]) -> Mapping[str, object]:
    """The claims under today's flat names, by what `ver` says of their shape; any other `ver` is taken as flat.

    Every member of the token stays; those inside `sgx` or `tdx`, or of an old name, stand beside them under today's
    name. One that would then be there twice is refused, since its two readers could differ.

    Raises:
        TokenRejected: twice the same claim, or a nested token that is not about one SGX or TDX evidence.
    """
    if members.get("ver") == V2_VERSION:
        return _merged(members, _nested(members))
    if members.get("ver") == AMBER_VERSION:
        return _merged(members, {name: _today(members[old], name) for old, name in _TODAY.items() if old in members})
    return members


def _nested(members: Mapping[str, object]) -> Mapping[str, object]:
    there = [name for name in _EVIDENCE if members.get(name) is not None]
    if len(there) != 1:
        seen = " and ".join(there) or "neither"
        raise TokenRejected("the token is not about one evidence", code="bad-claim", seen=seen, wanted="sgx or tdx")
    inner = members[there[0]]
    if not isinstance(inner, dict):
        raise TokenRejected(f"the claim {there[0]} is of another type", code="bad-claim", wanted="object")
    return inner


def _merged(outer: Mapping[str, object], inner: Mapping[str, object]) -> dict[str, object]:
    twice = sorted(outer.keys() & inner.keys())
    if twice:
        raise TokenRejected(f"the token has the claim {twice[0]} twice", code="bad-claim", wanted="one")
    return {**outer, **inner}


def _today(value: object, name: str) -> object:
    """A status in the words of 2022 is told in today's; an unknown word stays, and matches no policy."""
    return _STATUSES.get(value, value) if name == "attester_tcb_status" and isinstance(value, str) else value
