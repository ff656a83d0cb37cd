"""The values that a release policy is written with: each read strictly, each written in one way.

A reader takes where the value stands (`any[1].mr_enclave`) and what stands there, and gives the value or raises
`MalformedPolicy`. Lists come out sorted and without repetition, so that equal policies have equal JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ambergate.core.errors import MalformedPolicy
from ambergate.core.token.jose import strict_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ambergate.core.octets import Octets

M = TypeVar("M", bound="Octets")
T = TypeVar("T")

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
TEES: Final = ("SGX", "TDX")  # as tokens name them
NONCES: Final = ("required", "bound")
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # as `datetime.weekday` counts
MAX_VALUES: Final = 1000  # per list; our limit
MAX_TEXT: Final = 1024  # characters of an issuer, an advisory's id or a reason; our limit
MAX_GRACE_DAYS: Final = 3650
MAX_DATA: Final = 8192  # characters of one member of runtime data, as JSON
MAX_UINT16: Final = 0xFFFF  # ISVPRODID and ISVSVN are 16 bits wide (Intel SDM volume 3D, SECS)
MAX_AGE: Final = 366 * 86400  # seconds
_DAY: Final = 24 * 60  # minutes
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_TIME: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbGrace:
    """One TCB status more, until an instant, or for so many days after the date of the platform's TCB level."""

    status: str
    until: datetime | None = None
    days_after_tcb_date: int | None = None

    def end(self, tcb_date: datetime | None) -> datetime | None:
        """The first instant at which it no longer holds; None: it does not hold at all, for want of a TCB date."""
        if self.until is not None or tcb_date is None:
            return self.until
        assert self.days_after_tcb_date is not None
        return tcb_date + timedelta(days=self.days_after_tcb_date)

    def to_mapping(self) -> dict[str, object]:
        """As it is written."""
        end = {"until": None if self.until is None else shown(self.until), "days_after_tcb_date": None}
        end["days_after_tcb_date"] = self.days_after_tcb_date  # type: ignore[assignment]
        return {"status": self.status, **_said(end)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One of Intel's advisories that the owner accepts, for good or until an instant, and why."""

    id: str
    until: datetime | None = None
    reason: str = ""

    def to_mapping(self) -> dict[str, object]:
        """As it is written."""
        until = None if self.until is None else shown(self.until)
        return {"id": self.id, **_said({"until": until, "reason": self.reason or None})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """A window of every week: on these days, from `start` until before `end`, minutes of the day in UTC."""

    days: tuple[str, ...]
    start: int
    end: int

    def holds(self, at: datetime) -> bool:
        """Whether this instant lies in it."""
        utc = at.astimezone(UTC)
        return DAYS[utc.weekday()] in self.days and self.start <= utc.hour * 60 + utc.minute < self.end

    def __str__(self) -> str:
        return f"{', '.join(self.days)} {_clock(self.start)} to {_clock(self.end)} UTC"

    def to_mapping(self) -> dict[str, object]:
        """As it is written."""
        return {"days": list(self.days), "from": _clock(self.start), "to": _clock(self.end)}


def bad(message: str, *, seen: object = None, wanted: object = None, hint: str | None = None) -> MalformedPolicy:
    """A policy that does not load; what was seen is cut, since a policy can be anybody's."""
    return MalformedPolicy(message, seen=None if seen is None else str(seen)[:200], wanted=wanted, hint=hint)


def listed(where: str, value: object) -> list[object]:
    """The values of a member: a list, or one value standing for itself.

    Raises:
        MalformedPolicy: an empty list, or too long a one.
    """
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise bad(f"{where} allows nothing", seen="an empty list", hint="leave it out, or name what is allowed")
    if len(items) > MAX_VALUES:
        raise bad(f"{where} names too much", seen=f"{len(items)} values", wanted=f"<= {MAX_VALUES}")
    return items


def measurements(kind: type[M]) -> Callable[[str, object], tuple[M, ...]]:
    """A reader of measurements in hex."""
    wanted = f"{2 * kind.WIDTH} hex digits"

    def read(where: str, value: object) -> tuple[M, ...]:
        found: set[M] = set()
        for item in listed(where, value):
            if not isinstance(item, str):
                raise bad(f"{where} is not text", seen=type(item).__name__, wanted=wanted)
            try:
                found.add(kind.from_hex(item))
            except ValueError as exc:
                raise bad(f"{where} is no measurement", seen=str(exc), wanted=wanted) from exc
        return tuple(sorted(found, key=lambda each: each.value))

    return read


def number(limit: int, *, least: int = 0) -> Callable[[str, object], int]:
    """A reader of whole numbers from `least` to `limit`."""
    what = "16-bit number" if limit == MAX_UINT16 else "number in range"

    def read(where: str, value: object) -> int:
        if type(value) is not int or not least <= value <= limit:
            raise bad(f"{where} is no {what}", seen=repr(value)[:80], wanted=f"{least} to {limit}")
        return value

    return read


def numbers(limit: int) -> Callable[[str, object], tuple[int, ...]]:
    """A reader of lists of such numbers."""
    read = number(limit)
    return lambda where, value: tuple(sorted({read(where, item) for item in listed(where, value)}))


def flag(where: str, value: object) -> bool:
    """True or false, in so many words."""
    if not isinstance(value, bool):
        raise bad(f"{where} is neither true nor false", seen=repr(value)[:80], wanted="true or false, without quotes")
    return value


def word(known: tuple[str, ...]) -> Callable[[str, object], str]:
    """A reader of one of the known words."""

    def read(where: str, value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise bad(f"{where} is none of the known words", seen=repr(value)[:80], wanted=", ".join(known))
        return value

    return read


def statuses(where: str, value: object) -> tuple[str, ...]:
    """TCB statuses that something may be released under, in the order of `TCB_STATUSES`."""
    named = listed(where, value)
    for item in named:
        if item not in TCB_STATUSES:
            hint = "nothing is released to a revoked platform" if item == "Revoked" else None
            raise bad(f"{where} names no releasable status", seen=item, wanted=", ".join(TCB_STATUSES), hint=hint)
    return tuple(status for status in TCB_STATUSES if status in named)


def texts(where: str, value: object) -> tuple[str, ...]:
    """Texts that are compared whole, e.g. issuers."""
    return tuple(sorted({_text(where, item) for item in listed(where, value)}))


def uuids(where: str, value: object) -> tuple[str, ...]:
    """Ids of policies, hyphenated; in lower case, whatever case they are written in."""
    found: set[str] = set()
    for item in listed(where, value):
        if not isinstance(item, str) or not _UUID.fullmatch(item.lower()):
            wanted = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, hexadecimal"
            raise bad(f"{where} is no policy id", seen=repr(item)[:80], wanted=wanted)
        found.add(item.lower())
    return tuple(sorted(found))


def instant(where: str, value: object) -> datetime:
    """An instant with its time zone: a TOML date-time, or text as RFC 3339 has it."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(when, datetime) and when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise bad(f"{where} is no instant", seen=repr(value)[:64], wanted="2027-01-31T00:00:00Z")


def tables(read: Callable[[str, Mapping[str, object]], T]) -> Callable[[str, object], tuple[T, ...]]:
    """A reader of lists of tables, in the order in which they are written."""

    def read_all(where: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise bad(f"{where} is no list of tables", seen=type(value).__name__, wanted=f"[[{where}]]")
        found = []
        for index, item in enumerate(listed(where, value)):
            if not isinstance(item, dict):
                raise bad(f"{where} is no list of tables", seen=type(item).__name__, wanted=f"[[{where}]]")
            found.append(read(f"{where}[{index}]", item))
        return tuple(found)

    return read_all


def tcb_grace(where: str, table: Mapping[str, object]) -> TcbGrace:
    """One `[[tcb_grace]]`."""
    _only(where, table, ("status", "until", "days_after_tcb_date"))
    (status,) = statuses(f"{where}.status", [table.get("status")])
    if ("until" in table) == ("days_after_tcb_date" in table):
        hint = "give one of until and days_after_tcb_date"
        raise bad(f"{where}: a grace has one end", seen=", ".join(map(str, sorted(table))), hint=hint)
    if "until" in table:
        return TcbGrace(status=status, until=instant(f"{where}.until", table["until"]))
    days = number(MAX_GRACE_DAYS)(f"{where}.days_after_tcb_date", table["days_after_tcb_date"])
    return TcbGrace(status=status, days_after_tcb_date=days)


def advisory(where: str, table: Mapping[str, object]) -> Advisory:
    """One `[[advisory]]`."""
    _only(where, table, ("id", "until", "reason"))
    return Advisory(
        id=_text(f"{where}.id", table.get("id")),
        until=instant(f"{where}.until", table["until"]) if "until" in table else None,
        reason=_text(f"{where}.reason", table["reason"]) if "reason" in table else "",
    )


def weekly(where: str, table: Mapping[str, object]) -> Weekly:
    """One `[[weekly]]`."""
    _only(where, table, ("days", "from", "to"))
    named = {word(DAYS)(f"{where}.days", item) for item in listed(f"{where}.days", table.get("days", list(DAYS)))}
    start, end = (_minutes(f"{where}.{name}", table.get(name)) for name in ("from", "to"))
    if not start < end <= _DAY:
        raise bad(f"{where} ends before it begins", seen=f"{_clock(start)} to {_clock(end)}", wanted="from before to")
    return Weekly(days=tuple(day for day in DAYS if day in named), start=start, end=end)


def runtime_data(where: str, value: object) -> tuple[tuple[str, str], ...]:
    """Members of runtime data and the JSON text of what each must be: plain values that JSON has."""
    if not isinstance(value, dict) or not value:
        raise bad(f"{where} is no table with members", seen=type(value).__name__, wanted=f"[{where}] and name = value")
    if len(value) > MAX_VALUES:
        raise bad(f"{where} names too much", seen=f"{len(value)} members", wanted=f"<= {MAX_VALUES}")
    return tuple(sorted((_text(where, name), _json(f"{where}.{name}", item)) for name, item in value.items()))


def canonical(value: object) -> str:
    """JSON as one text for each value: true is not 1, and 1 is not 1.0."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def shown(instant_: datetime) -> str:
    """An instant as it is written in JSON."""
    return instant_.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(where: str, value: object) -> str:
    try:
        text = canonical(value)
        strict_value(text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise bad(
            f"{where} is nothing that JSON has", seen=type(value).__name__, wanted="text, numbers, lists"
        ) from exc
    if len(text) > MAX_DATA:
        raise bad(f"{where} is too long", seen=f"{len(text)} characters", wanted=f"<= {MAX_DATA}")
    return text


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        wanted = f"1 to {MAX_TEXT} printable characters"
        raise bad(f"{where} is no usable text", seen=repr(value)[:80], wanted=wanted)
    return value


def _minutes(where: str, value: object) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise bad(f"{where} is no time of day", seen=repr(value)[:80], wanted='"08:00", in UTC')
    return int(found[1]) * 60 + int(found[2])


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _only(where: str, table: Mapping[str, object], known: Iterable[str]) -> None:
    for name in table:
        if name not in known:
            raise bad(f"{where} has an unknown member {str(name)[:64]!r}", wanted=", ".join(known))


def _said(members: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
