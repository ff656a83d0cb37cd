"""What the owner of a secret asks of an enclave or a TD before it may have the secret.

A policy is a TOML file, or the same members as JSON:

    mr_enclave = ["9f86d0..."]            # these programs exactly; any one of the list
    mr_signer = ["c9d2a1..."]             # or: what this signer signs,
    isv_prod_id = [1]                     #     this product of theirs,
    minimum_isv_svn = 3                   #     at this security version or a later one
    tcb_statuses = ["UpToDate"]           # the default
    dangerously_allow_debug = false       # the default
    insecure_accept_simulated = false     # the default

What is written is checked, and all of it must hold; within a list any one value is enough. Tables inside `[[any]]` are
alternatives, of which one must hold beside the rest; tables inside `[[all]]` must hold too. docs/release-policies.md
has every member.

What is absent never means "do not check":

- an identity must be named in every alternative: `mr_enclave`, or `mr_signer` with `isv_prod_id` and
  `minimum_isv_svn`, or `mr_td`, or `policy_ids_matched` with `tee`. The three of a signer come together, a minimum of
  0 included, because a signer alone vouches for every program and every old version it ever signed;
- TCB status, debug, simulation and a TD's SEPT_VE_DISABLE hold at their defaults wherever no table of an alternative
  speaks of them;
- an empty list allows nothing, so it does not load.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import MalformedPolicy
from ambergate.core.release.owners import read_owners
from ambergate.core.release.terms import MAX_TABLES, OF_SGX, OF_TDX, SIGNED, Group, Problem, Terms, every, read_terms
from ambergate.core.release.values import TCB_STATUSES, TEES, bad, number
from ambergate.core.token.jose import strict_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.core.release.owners import Owners

__all__ = [
    "MAX_ALTERNATIVES",
    "MAX_POLICY_SIZE",
    "TCB_STATUSES",
    "Alternative",
    "ResourcePolicy",
    "json_members",
    "problems_of",
]

MAX_POLICY_SIZE: Final = 64 * 1024  # characters; our limit
MAX_ALTERNATIVES: Final = 256  # ways in which a policy can be met; our limit
MAX_RELEASES: Final = 10**9
_RELEASES: Final = "max_releases"
_OWNERS: Final = "owners"
# Members of the policy itself, which no table inside it has.
_BESIDE: Final[Mapping[str, Callable[[str, object], Any]]] = {
    _RELEASES: number(MAX_RELEASES, least=1),
    _OWNERS: read_owners,
}

# What holds where nobody speaks of it; the members that speak, and the default.
_DEFAULTS: Final[tuple[tuple[tuple[str, ...], Terms], ...]] = (
    (("tcb_statuses", "tcb_grace"), Terms(tcb_statuses=("UpToDate",))),
    (("dangerously_allow_debug",), Terms(dangerously_allow_debug=False)),
    (("dangerously_allow_sept_ve",), Terms(dangerously_allow_sept_ve=False)),
    (("insecure_accept_simulated",), Terms(insecure_accept_simulated=False)),
)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way in which a policy can be met: all of these terms, and the defaults where none of them speaks."""

    groups: tuple[Group, ...]

    @property
    def path(self) -> str:
        """The innermost table that makes it differ from the others; "" for the policy's own."""
        return max((group.path for group in self.groups), key=len)

    @property
    def tee(self) -> str | None:
        """The kind of environment that it is about; None: it names none, or two."""
        told = {group.terms.tee for group in self.groups if group.terms.tee is not None}
        told |= {tee for tee, names in (("SGX", OF_SGX), ("TDX", OF_TDX)) if any(map(self._says, names))}
        return told.pop() if len(told) == 1 else None

    @property
    def defaults(self) -> tuple[Terms, ...]:
        """What holds beside the groups; what is about TDs alone, where it is about TDs."""
        silent = (terms for names, terms in _DEFAULTS if not any(map(self._says, names)))
        return tuple(terms for terms in silent if self.tee == "TDX" or terms.dangerously_allow_sept_ve is None)

    def problem(self) -> MalformedPolicy | None:
        """Why it names nobody, or somebody by half; None: it names somebody."""
        found = self._named_twice() or self._half_a_signer() or self._nobody()
        if found is None:
            return None
        message, seen, hint = found
        return bad(message if not self.path else f"{message} ({self.path.rstrip('.')})", seen=seen, hint=hint)

    def _half_a_signer(self) -> tuple[str, str, str] | None:
        lacking = [name for name in SIGNED if not self._says(name)]
        if self._says("mr_signer") and lacking:
            hint = "a signer vouches for every program and version it ever signed; minimum_isv_svn = 0 means just that"
            return "the policy names half of an identity", f"no {', no '.join(lacking)}", hint
        if self._says("isv_prod_id") and not self._says("mr_signer"):
            return "isv_prod_id means nothing without its mr_signer", "no mr_signer", "add mr_signer"
        return None

    def _nobody(self) -> tuple[str, str, str] | None:
        if any(map(self._says, ("mr_enclave", "mr_signer", "mr_td"))):
            return None
        if self._says("policy_ids_matched"):
            hint = 'a policy of the attestation service names it; say which kind: tee = "SGX"'
            return None if self.tee else ("the policy names no kind of environment", "no tee", hint)
        if self.tee == "TDX":
            hint = "mr_td is the TD's initial contents; name it, or policy_ids_matched"
            return "the policy names a TD by half", "no mr_td", hint
        hint = "name mr_enclave, or mr_signer with isv_prod_id and minimum_isv_svn, or mr_td, or policy_ids_matched"
        return "the policy names no enclave", "neither mr_enclave nor mr_signer", hint

    def _says(self, name: str) -> bool:
        return any(group.terms.says(name) for group in self.groups)

    def _named_twice(self) -> tuple[str, str, str] | None:
        told = {group.terms.tee for group in self.groups if group.terms.tee is not None}
        sgx, tdx = ([name for name in names if self._says(name)] for names in (OF_SGX, OF_TDX))
        if (sgx or "SGX" in told) and (tdx or "TDX" in told):
            seen = " and ".join([*sorted(told), *sgx[:1], *tdx[:1]])
            return "the policy names two kinds of environment at once", seen, "make them alternatives, by [[any]]"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """Who may have one secret, and how often. See the module's text for the meaning of absent members.

    `max_releases`: how often in all the secret is given away; None: as often as somebody may have it. Whoever releases
    counts, not `decide`. `owners`: whose approval it takes to put the secret under another policy; None: nobody's.

    Raises:
        MalformedPolicy: the terms do not make a policy, e.g. an alternative names no identity.
    """

    terms: Terms
    max_releases: int | None = None
    owners: Owners | None = None
    alternatives: tuple[Alternative, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write the defaults of a flat policy out, and refuse what names nobody."""
        if not self.terms.any and not self.terms.all:
            object.__setattr__(self, "terms", _filled(self.terms))
        problems = _shape(self.terms)
        if problems:
            raise problems[0].error
        object.__setattr__(self, "alternatives", _alternatives(self.terms))

    @classmethod
    def from_toml(cls, text: str) -> ResourcePolicy:
        """Read a policy file.

        Raises:
            MalformedPolicy: no TOML, an unknown or missing member, or a value of another type or range.
        """
        return cls.from_mapping(_toml(text))

    @classmethod
    def from_json(cls, text: str) -> ResourcePolicy:
        """Read the JSON form, as `to_json` writes it.

        Raises:
            MalformedPolicy: as `from_toml`.
        """
        return cls.from_mapping(json_members(text))

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> ResourcePolicy:
        """Read a policy from plain values, strictly.

        Raises:
            MalformedPolicy: an unknown or missing member, or a value of another type or range.
        """
        terms, beside, problems = _read(members)
        if problems:
            raise problems[0].error
        return cls(terms=terms, max_releases=beside.get(_RELEASES), owners=beside.get(_OWNERS))

    @property
    def tees(self) -> tuple[str, ...]:
        """The kinds of environment that can have the secret."""
        return tuple(tee for tee in TEES if any(each.tee == tee for each in self.alternatives))

    @property
    def policy_ids(self) -> tuple[str, ...]:
        """The attestation service's policies that it speaks of: what evidence has to be held against."""
        return tuple(sorted({each for group in every(self.terms) for each in group.terms.policy_ids_matched}))

    def to_mapping(self) -> dict[str, object]:
        """The policy as plain values; `from_mapping` gives it back. A flat one's defaults are written out."""
        releases = {} if self.max_releases is None else {_RELEASES: self.max_releases}
        owners = {} if self.owners is None else {_OWNERS: self.owners.to_mapping()}
        return {**self.terms.to_mapping(), **releases, **owners}

    def to_json(self) -> str:
        """The policy as one line of JSON, the same for equal policies."""
        return json.dumps(self.to_mapping(), sort_keys=True, separators=(",", ":"))


def problems_of(text: str) -> tuple[Problem, ...]:
    """Everything for which a policy file, TOML or JSON, does not load; nothing: it loads.

    Whom it names is looked at only when every member can be read.
    """
    try:
        members = json_members(text) if text.lstrip().startswith("{") else _toml(text)
    except MalformedPolicy as exc:
        return (Problem("", exc),)
    terms, _, problems = _read(members)
    return tuple(problems or _shape(terms))


def _read(members: Mapping[str, object]) -> tuple[Terms, dict[str, Any], list[Problem]]:
    problems: list[Problem] = []
    beside: dict[str, Any] = {}
    for name, read in _BESIDE.items():
        if name in members:
            try:
                beside[name] = read(name, members[name])
            except MalformedPolicy as exc:
                problems.append(Problem(name, exc))
    terms = read_terms({name: value for name, value in members.items() if name not in _BESIDE}, "", problems)
    return terms, beside, problems


def _shape(terms: Terms) -> list[Problem]:
    """What is wrong with terms that were read: too many of them, or somebody named by half."""
    tables = sum(1 for _ in every(terms))
    ways = _ways(terms)
    if tables > 1 + MAX_TABLES or ways > MAX_ALTERNATIVES:
        seen = f"{tables} tables, {ways} alternatives"
        wanted = f"<= {MAX_TABLES} tables inside any and all, <= {MAX_ALTERNATIVES} alternatives"
        return [Problem("", bad("the policy says too much", seen=seen, wanted=wanted))]
    found = ((each.path, each.problem()) for each in _alternatives(terms))
    return [Problem(path.rstrip("."), error) for path, error in found if error is not None]


def _ways(terms: Terms) -> int:
    """How many alternatives there are, without making them."""
    ways = sum(map(_ways, terms.any)) or 1
    for each in terms.all:
        ways *= _ways(each)
    return ways


def _alternatives(terms: Terms) -> tuple[Alternative, ...]:
    return tuple(Alternative(groups) for groups in _expanded(terms, ""))


def _expanded(terms: Terms, path: str) -> list[tuple[Group, ...]]:
    ways: list[tuple[Group, ...]] = [(Group(path, terms),)]
    for index, each in enumerate(terms.all):
        ways = [way + more for way in ways for more in _expanded(each, f"{path}all[{index}].")]
    if terms.any:
        inner = [more for index, each in enumerate(terms.any) for more in _expanded(each, f"{path}any[{index}].")]
        ways = [way + more for way in ways for more in inner]
    return ways


def _filled(terms: Terms) -> Terms:
    """A flat policy says its defaults, as it always did: the stored form of a policy is bound to its secret."""
    return replace(
        terms,
        tcb_statuses=terms.tcb_statuses or ("UpToDate",),
        dangerously_allow_debug=bool(terms.dangerously_allow_debug),
        insecure_accept_simulated=bool(terms.insecure_accept_simulated),
    )


def _toml(text: str) -> dict[str, object]:
    _refuse_long(text)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError
        raise bad("the policy is not TOML", seen=exc if isinstance(exc, ValueError) else "too deep") from exc


def json_members(text: str) -> dict[str, object]:
    """The members of an object in JSON, of the size of a policy, that every reader reads alike.

    Raises:
        MalformedPolicy: anything else.
    """
    _refuse_long(text)
    try:
        members = strict_value(text)
    except (ValueError, RecursionError) as exc:
        raise bad("the policy is not JSON", seen=exc if isinstance(exc, ValueError) else "too deep") from exc
    if not isinstance(members, dict):
        raise bad("the policy is no object", seen=type(members).__name__, wanted="an object")
    return members


def _refuse_long(text: str) -> None:
    if len(text) > MAX_POLICY_SIZE:
        raise bad("the policy is too long", seen=f"{len(text)} characters", wanted=f"<= {MAX_POLICY_SIZE}")
