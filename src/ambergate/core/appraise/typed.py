"""Typed policies: named policies as data, in TOML, JSON or, where a reader of it is given, YAML.

    tcb_statuses = ["UpToDate", "SWHardeningNeeded"]  # the default is that of the service's own policy
    dangerously_allow_debug = false                   # the default; dangerously_allow_sept_ve likewise, for TDs

    [[sgx]]                                           # any one of these enclaves
    mr_enclave = ["9f86d0..."]
    [[sgx]]
    mr_signer = ["c9d2a1..."]
    isv_prod_id = [1]
    minimum_isv_svn = 3

    [[tdx]]                                           # any one of these TDs
    mr_td = ["00aa..."]                               # and, where named, rtmr0 to rtmr3, mr_seam, mr_signer_seam,
    minimum_seam_svn = 257                            # minimum_seam_svn

    [[tcb_grace]]                                     # one more status, until an end that comes by itself
    status = "OutOfDate"
    until = 2027-01-31T00:00:00Z                      # or: days_after_tcb_date = 90

    [[advisory]]                                      # where there is one, an advisory that is not named is refused
    id = "INTEL-SA-00615"
    until = 2027-01-31T00:00:00Z                      # may be left out
    reason = "mitigated in the enclave, ticket 4711"  # may be left out

What is absent never means "do not check": evidence of a kind that no `[[sgx]]` or `[[tdx]]` names is refused, unless
`dangerously_allow_any_enclave` or `dangerously_allow_any_td` says otherwise; no grace outlives its end.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from ambergate.core.appraise.facts import Facts
from ambergate.core.appraise.named import PolicyKind, PolicyLanguage, PolicyOutcome, text_bytes
from ambergate.core.appraise.policy import AppraisalPolicy, boolean, number, refuse_unknown
from ambergate.core.appraise.rules import debug, sept_ve_disable, tcb_status
from ambergate.core.appraise.typed_identity import EnclaveIdentity, TdIdentity
from ambergate.core.collateral.documents import EACH_ONCE
from ambergate.core.errors import MalformedPolicy
from ambergate.core.verify.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.core.appraise.named import Policy
    from ambergate.core.appraise.rules import Mismatch
    from ambergate.core.collateral.tcb_info import TcbStatus

    YamlReader = Callable[[str], object]

MAX_TABLES: Final = 256  # of one kind
MAX_DAYS: Final = 3650
MAX_READ: Final = 256  # policies that an engine remembers
MAX_ALTERNATIVES_TOLD: Final = 4  # of those that came nearest
_PLATFORM: Final = ("tcb_statuses", "dangerously_allow_debug", "dangerously_allow_sept_ve")
_TABLES: Final = ("sgx", "tdx", "tcb_grace", "advisory")
_ANY: Final = ("dangerously_allow_any_enclave", "dangerously_allow_any_td")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbGrace:
    """One status more, until an instant, or for so long after the date of the matched TCB level."""

    status: TcbStatus
    until: datetime | None
    after_tcb_date: timedelta | None

    def end(self, tcb_date: datetime) -> datetime:
        """The first instant at which it no longer holds."""
        if self.until is not None:
            return self.until
        assert self.after_tcb_date is not None
        return tcb_date + self.after_tcb_date


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedPolicy:
    """A typed policy that was read. Made by `read_typed`."""

    platform: AppraisalPolicy
    enclaves: tuple[EnclaveIdentity, ...]
    tds: tuple[TdIdentity, ...]
    any_enclave: bool
    any_td: bool
    graces: tuple[TcbGrace, ...]
    advisories: Mapping[str, datetime | None] | None  # id -> its end; None: advisories are not looked at

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> Self:
        """Read the members of a policy.

        Raises:
            MalformedPolicy: an unknown member, another type, an empty list, or a policy that nothing could match.
        """
        refuse_unknown(table, (*_PLATFORM, *_TABLES, *_ANY))
        advisories = dict(map(_advisory, _tables(table, "advisory")))
        policy = cls(
            platform=AppraisalPolicy.from_mapping({name: table[name] for name in _PLATFORM if name in table}),
            enclaves=tuple(EnclaveIdentity.read(each) for each in _tables(table, "sgx")),
            tds=tuple(TdIdentity.read(each) for each in _tables(table, "tdx")),
            any_enclave=boolean(_ANY[0], table.get(_ANY[0], False)),
            any_td=boolean(_ANY[1], table.get(_ANY[1], False)),
            graces=tuple(_grace(each) for each in _tables(table, "tcb_grace")),
            advisories=advisories or None,
        )
        if not (policy.enclaves or policy.tds or policy.any_enclave or policy.any_td):
            raise MalformedPolicy("the policy names nobody", wanted="[[sgx]] or [[tdx]]")
        for named, everybody, what in (
            (policy.enclaves, policy.any_enclave, "enclave"),
            (policy.tds, policy.any_td, "TD"),
        ):
            if named and everybody:
                raise MalformedPolicy(f"the policy names one {what}, and allows any", hint="leave out one of them")
        return policy

    @property
    def timeless(self) -> bool:
        """Whether it says the same at any instant: nothing in it has an end."""
        return not self.graces and not any((self.advisories or {}).values())

    def mismatches(self, facts: Facts, at: datetime) -> tuple[Mismatch, ...]:
        """Every rule that refuses these facts at this instant; none: the policy matches."""
        found = [debug(facts, self.platform), self._tcb(facts, at), sept_ve_disable(facts, self.platform)]
        return (
            *(each for each in found if each is not None),
            *self._advisories(facts, at),
            *self._identity(facts),
        )

    def _tcb(self, facts: Facts, at: datetime) -> Mismatch | None:
        if not self.graces:
            return tcb_status(facts, self.platform)
        ends = [(each.status, each.end(facts.tcb_date)) for each in self.graces]
        now = self.platform.tcb_statuses | {status for status, end in ends if at < end}
        found = tcb_status(facts, replace(self.platform, tcb_statuses=now))
        ended = [end for status, end in ends if status is facts.tcb_status]
        if found is not None and ended:
            found["wanted"] += f" ({found['seen']} was accepted until {max(ended).isoformat()})"
        return found

    def _advisories(self, facts: Facts, at: datetime) -> list[Mismatch]:
        if self.advisories is None:
            return []
        found = []
        for each in facts.advisory_ids:
            end = self.advisories.get(each)
            if each not in self.advisories or (end is not None and at >= end):
                until = "" if end is None else f" (it was accepted until {end.isoformat()})"
                wanted = " or ".join(sorted(self.advisories))
                found.append({"rule": "advisory", "seen": each, "wanted": f"only {wanted}{until}"})
        return found

    def _identity(self, facts: Facts) -> list[Mismatch]:
        if facts.td is not None:
            td = facts.td
            return [] if self.any_td else _nearest("tdx", [each.mismatches(td) for each in self.tds])
        return [] if self.any_enclave else _nearest("sgx", [each.mismatches(facts) for each in self.enclaves])


class TypedEngine:
    """Judges typed policies; fits `PolicyEngine`. Safe to share between threads.

    Args:
        yaml: reads YAML; None: a policy in YAML does not load. Raises `MalformedPolicy` and nothing else.
    """

    def __init__(self, yaml: YamlReader | None = None) -> None:
        self._yaml = yaml
        self._read: Recent[bytes, TypedPolicy] = Recent(MAX_READ)

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        """What the policy says of these claims at this instant (aware); see `PolicyEngine`."""
        try:
            mismatches = self._policy(policy).mismatches(Facts.of_claims(claims), at)
        except MalformedPolicy as exc:
            seen = exc.message if exc.seen is None else f"{exc.message}: {exc.seen}"
            mismatches = ({"rule": "policy", "seen": seen[:200], "wanted": "a policy that loads, and claims"},)
        return PolicyOutcome(policy=policy, matched=not mismatches, mismatches=mismatches)

    def lasts(self, policy: Policy, /) -> bool:
        """Whether what it said of this policy holds for all evidence of a kind (see `Facts`), and at any instant."""
        found = self._read.get(policy.hash)
        return found is not None and found.timeless

    def check(self, policy: Policy, /) -> None:
        """Returns if the policy can be judged by.

        Raises:
            MalformedPolicy: it cannot.
        """
        self._policy(policy)

    def _policy(self, policy: Policy) -> TypedPolicy:
        if policy.language is not PolicyLanguage.TYPED or policy.kind is not PolicyKind.APPRAISAL:
            raise MalformedPolicy(
                "typed policies are policies of appraisal",
                seen=f"{policy.language.value}, {policy.kind.value}",
                hint="what a token is to say besides is written in Rego",
            )
        key = policy.hash
        found = self._read.get(key)
        if found is None:
            found = read_typed(policy.text, yaml=self._yaml)
            self._read.put(key, found)
        return found


def read_typed(text: str, *, yaml: YamlReader | None = None) -> TypedPolicy:
    """A typed policy. What starts with a brace is JSON; what starts with `name:` is YAML; all else is TOML.

    Raises:
        MalformedPolicy: it is none; says what is wrong with it.
    """
    text_bytes(text)
    if text.lstrip().startswith("{"):
        table = _json(text)
    elif not _is_yaml(text):
        table = _toml(text)
    elif yaml is not None:
        table = yaml(text)
    else:
        raise MalformedPolicy("YAML is not read here", wanted="TOML or JSON", hint="pip install 'ambergate[yaml]'")
    if not isinstance(table, dict):
        raise MalformedPolicy("the policy is no table", seen=type(table).__name__)
    return TypedPolicy.from_mapping(table)


def _json(text: str) -> object:
    try:
        return EACH_ONCE.decode(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedPolicy("the policy is not JSON", seen=str(exc)[:200]) from exc


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        raise MalformedPolicy("the policy is not TOML", seen=str(exc)[:200]) from exc


def _is_yaml(text: str) -> bool:
    """By the first line that says something: TOML has `[` or `name =` there, YAML `name:`."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    name, colon, _ = first.partition(":")
    return first.startswith(("---", "%")) or (bool(colon) and "=" not in name and not first.startswith("["))


def _tables(table: Mapping[str, object], name: str) -> list[dict[str, object]]:
    value = table.get(name)
    if value is None and name not in table:
        return []
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TABLES:
        raise MalformedPolicy(f"{name} is no list of tables", wanted=f"[[{name}]], 1 to {MAX_TABLES} of them")
    for each in value:
        if not isinstance(each, dict):
            raise MalformedPolicy(f"{name} is no list of tables", seen=repr(each)[:64], wanted=f"[[{name}]]")
    return value


def _grace(table: Mapping[str, object]) -> TcbGrace:
    refuse_unknown(table, ("status", "until", "days_after_tcb_date"))
    (status,) = AppraisalPolicy.from_mapping({"tcb_statuses": [table.get("status")]}).tcb_statuses
    if ("until" in table) == ("days_after_tcb_date" in table):
        hint = "give one of until and days_after_tcb_date"
        raise MalformedPolicy("a grace has one end", seen=sorted(table), hint=hint)
    if "until" in table:
        return TcbGrace(status=status, until=_instant("until", table["until"]), after_tcb_date=None)
    days = number("days_after_tcb_date", table["days_after_tcb_date"], MAX_DAYS)
    return TcbGrace(status=status, until=None, after_tcb_date=timedelta(days=days))


def _advisory(table: Mapping[str, object]) -> tuple[str, datetime | None]:
    refuse_unknown(table, ("id", "until", "reason"))
    name, reason = table.get("id"), table.get("reason", "")
    if not isinstance(name, str) or not name or not isinstance(reason, str):
        raise MalformedPolicy("an advisory has no id", seen=repr(name)[:64], wanted='id = "INTEL-SA-00615"')
    return name, _instant("until", table["until"]) if "until" in table else None


def _instant(name: str, value: object) -> datetime:
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(when, datetime) and when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MalformedPolicy(f"{name} is no instant", seen=str(value)[:64], wanted="2027-01-31T00:00:00Z")


def _nearest(kind: str, alternatives: list[list[Mismatch]]) -> list[Mismatch]:
    """Nothing, if one of the alternatives fits; else why those that came nearest do not."""
    if not alternatives:
        return [
            {"rule": kind, "seen": f"evidence of {kind.upper()}", "wanted": f"what the policy names: no [[{kind}]]"}
        ]
    if not all(alternatives):
        return []
    if len(alternatives) == 1:
        return alternatives[0]
    ranked = sorted(enumerate(alternatives), key=lambda each: len(each[1]))[:MAX_ALTERNATIVES_TOLD]
    return [{**each, "rule": f"{kind}[{index}].{each['rule']}"} for index, found in ranked for each in found]
