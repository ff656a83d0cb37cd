"""`Terms`: what one table of a release policy says, and how its members are read and written.

What is said is checked, all of it; within a list any one value is enough. Silence is decided by the whole policy
(`ambergate.core.release.resource_policy`), never here.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import Measurement384, MrEnclave, MrSeam, MrSigner, MrSignerSeam, MrTd, Rtmr
from ambergate.core.release import values
from ambergate.core.release.values import MAX_UINT16, NONCES, TEES, bad, measurements, number, numbers, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from ambergate.core.release.values import Advisory, TcbGrace, Weekly

MAX_DEPTH: Final = 4  # of tables inside `any` and `all`
MAX_TABLES: Final = 64  # in one policy

SIGNED: Final = ("mr_signer", "isv_prod_id", "minimum_isv_svn")  # together they name a program
OF_SGX: Final = ("mr_enclave", *SIGNED)
MEASURED_TD: Final = (
    *("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam", "mr_signer_seam"),
    *("mr_config_id", "mr_owner", "mr_owner_config"),
)
OF_TDX: Final = (*MEASURED_TD, "minimum_seam_svn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one table says. Nothing (empty, None) is said by default; what each member means stands at its rule."""

    tee: str | None = None
    mr_enclave: tuple[MrEnclave, ...] = ()
    mr_signer: tuple[MrSigner, ...] = ()
    isv_prod_id: tuple[int, ...] = ()
    minimum_isv_svn: int | None = None
    mr_td: tuple[MrTd, ...] = ()
    rtmr0: tuple[Rtmr, ...] = ()
    rtmr1: tuple[Rtmr, ...] = ()
    rtmr2: tuple[Rtmr, ...] = ()
    rtmr3: tuple[Rtmr, ...] = ()
    mr_seam: tuple[MrSeam, ...] = ()
    mr_signer_seam: tuple[MrSignerSeam, ...] = ()
    mr_config_id: tuple[Measurement384, ...] = ()
    mr_owner: tuple[Measurement384, ...] = ()
    mr_owner_config: tuple[Measurement384, ...] = ()
    minimum_seam_svn: int | None = None
    tcb_statuses: tuple[str, ...] = ()
    tcb_grace: tuple[TcbGrace, ...] = ()
    advisory: tuple[Advisory, ...] = ()
    dangerously_allow_debug: bool | None = None
    dangerously_allow_sept_ve: bool | None = None
    insecure_accept_simulated: bool | None = None
    policy_ids_matched: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    max_token_age_seconds: int | None = None
    nonce: str | None = None
    runtime_data: tuple[tuple[str, str], ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    weekly: tuple[Weekly, ...] = ()
    any: tuple[Terms, ...] = ()
    all: tuple[Terms, ...] = ()

    def says(self, name: str) -> bool:
        """Whether the member is there."""
        return getattr(self, name) not in ((), None)

    def to_mapping(self) -> dict[str, object]:
        """What is said, as plain values."""
        return {name: member.write(getattr(self, name)) for name, member in MEMBERS.items() if self.says(name)}


class Problem(NamedTuple):
    """Something for which a policy does not load, and the member that it is about."""

    where: str
    error: MalformedPolicy


class Group(NamedTuple):
    """Terms and where they stand: "" for the policy's own, `any[1].` inside."""

    path: str
    terms: Terms


class Member(NamedTuple):
    """How one member is read and written."""

    read: Callable[[str, object], Any]
    write: Callable[[Any], object]


def read_terms(table: Mapping[str, object], path: str, problems: list[Problem], *, depth: int = 0) -> Terms:
    """The terms of a table. What does not load is added to `problems` and left out.

    Args:
        table: its members.
        path: where it stands; "" or ending with a dot.
        problems: takes what is wrong.
        depth: how deep it stands.
    """
    found: dict[str, Any] = {}
    for name, value in table.items():
        where = f"{path}{str(name)[:64]}"
        try:
            if name not in MEMBERS:
                raise unknown(name, where, MEMBERS)
            if name in ("any", "all"):
                found[name] = _inner(where, value, problems, depth + 1)
            else:
                found[name] = MEMBERS[name].read(where, value)
        except MalformedPolicy as exc:
            problems.append(Problem(where, exc))
    return Terms(**found)


def unknown(name: object, where: str, known: Mapping[str, object]) -> MalformedPolicy:
    """The error for a member that nobody knows, naming the one that is meant."""
    nearest = difflib.get_close_matches(str(name)[:64], known, n=1, cutoff=0)[0]
    message = f"the policy has an unknown member {where!r}"
    return bad(message, wanted=", ".join(known), hint=f"did you mean {nearest}?")


def every(terms: Terms, path: str = "") -> Iterator[Group]:
    """The terms themselves and all inside them."""
    yield Group(path, terms)
    for name, inner in (("all", terms.all), ("any", terms.any)):
        for index, each in enumerate(inner):
            yield from every(each, f"{path}{name}[{index}].")


def _inner(where: str, value: object, problems: list[Problem], depth: int) -> tuple[Terms, ...]:
    if depth > MAX_DEPTH:
        raise bad(f"{where} is nested too deeply", seen=f"{depth} levels", wanted=f"<= {MAX_DEPTH}")
    if isinstance(value, list | tuple) and len(value) > MAX_TABLES:
        raise bad(f"{where} names too much", seen=f"{len(value)} tables", wanted=f"<= {MAX_TABLES} in all")

    def read(at: str, table: Mapping[str, object]) -> Terms:
        if not table:
            raise bad(f"{at} says nothing", hint="leave it out, or name what is wanted")
        return read_terms(table, f"{at}.", problems, depth=depth)

    return tables(read)(where, value)


def _hexes(kind: type[Any]) -> Member:
    return Member(measurements(kind), lambda value: [item.hex() for item in value])


def _tables(read: Callable[[str, Mapping[str, object]], Any]) -> Member:
    return Member(tables(read), lambda value: [item.to_mapping() for item in value])


def _as_it_is(read: Callable[[str, object], Any]) -> Member:
    return Member(read, lambda value: value)


def _list(read: Callable[[str, object], Any]) -> Member:
    return Member(read, list)


_NESTED: Final = Member(lambda where, _: where, lambda value: [item.to_mapping() for item in value])

# Every member of `Terms`, in the order in which they are told. `any` and `all` are read by `read_terms`.
MEMBERS: Final[dict[str, Member]] = {
    "tee": _as_it_is(values.word(TEES)),
    "mr_enclave": _hexes(MrEnclave),
    "mr_signer": _hexes(MrSigner),
    "isv_prod_id": _list(numbers(MAX_UINT16)),
    "minimum_isv_svn": _as_it_is(number(MAX_UINT16)),
    "mr_td": _hexes(MrTd),
    "rtmr0": _hexes(Rtmr),
    "rtmr1": _hexes(Rtmr),
    "rtmr2": _hexes(Rtmr),
    "rtmr3": _hexes(Rtmr),
    "mr_seam": _hexes(MrSeam),
    "mr_signer_seam": _hexes(MrSignerSeam),
    "mr_config_id": _hexes(Measurement384),
    "mr_owner": _hexes(Measurement384),
    "mr_owner_config": _hexes(Measurement384),
    "minimum_seam_svn": _as_it_is(number(MAX_UINT16)),
    "tcb_statuses": _list(values.statuses),
    "tcb_grace": _tables(values.tcb_grace),
    "advisory": _tables(values.advisory),
    "dangerously_allow_debug": _as_it_is(values.flag),
    "dangerously_allow_sept_ve": _as_it_is(values.flag),
    "insecure_accept_simulated": _as_it_is(values.flag),
    "policy_ids_matched": _list(values.uuids),
    "issuers": _list(values.texts),
    "max_token_age_seconds": _as_it_is(number(values.MAX_AGE, least=1)),
    "nonce": _as_it_is(values.word(NONCES)),
    "runtime_data": Member(values.runtime_data, lambda value: {name: json.loads(text) for name, text in value}),
    "not_before": Member(values.instant, values.shown),
    "not_after": Member(values.instant, values.shown),
    "weekly": _tables(values.weekly),
    "any": _NESTED,
    "all": _NESTED,
}
assert list(MEMBERS) == [field.name for field in fields(Terms)]
