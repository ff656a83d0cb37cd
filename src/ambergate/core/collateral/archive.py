"""Collateral of many platform families in one file, to carry to a site that has no network.

A JSON object: what it is, when it was made, and for each family the statements as they are, their SHA-256, and what
people want to know without a tool: evaluation numbers, dates, the window in which all of it holds. Over everything
goes one more SHA-256, which can be read out over the telephone.

The digests find what was damaged on the way. They prove nothing: whoever changes the file makes new ones. What the
statements are worth, only `verify_collateral` says.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ambergate.core.collateral import documents
from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.crl import read_crl
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import Fmspc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

FORMAT: Final = "ambergate collateral"
VERSION: Final = 1
MAX_ARCHIVE: Final = 4 * 1024 * 1024  # bytes; a family's statements take about 30 KiB
MAX_ENTRIES: Final = 128
TEES: Final = ("SGX", "TDX")
CAS: Final = ("platform", "processor")

_WHAT: Final = "the collateral file"
_MEMBERS: Final = ("format", "version", "created_at", "entries", "sha256")
_ENTRY: Final = ("tee", "fmspc", "ca", "collateral", "sha256", "statements", "window")
_DOCUMENTS: Final = tuple(field.name for field in fields(Collateral))


class Key(NamedTuple):
    """Whom statements are about."""

    tee: str  # "SGX" or "TDX"
    fmspc: Fmspc
    ca: str  # "processor" or "platform"

    def __str__(self) -> str:
        """As the files of a collateral directory are named."""
        return f"{self.tee.lower()}-{self.fmspc.hex()}-{self.ca}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """How new one statement is."""

    number: int | None  # tcbEvaluationDataNumber; None: a revocation list
    issued: datetime
    next_update: datetime

    def older_than(self, other: Statement) -> bool:
        """Whether it belongs to an earlier TCB recovery, or was issued earlier."""
        return (self.number or 0) < (other.number or 0) or self.issued < other.issued


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What statements say of themselves. Nothing of it is proven."""

    tcb_info: Statement
    qe_identity: Statement
    pck_crl: Statement
    root_ca_crl: Statement
    not_before: datetime  # the window in which all of it holds, certificates included
    not_after: datetime

    @classmethod
    def of(cls, collateral: Collateral) -> Self:
        """Read the statements.

        Raises:
            MalformedCollateral: one of them does not parse.
        """
        info, identity = read_tcb_info(collateral.tcb_info), read_qe_identity(collateral.qe_identity)
        lists = [read_crl(collateral.pck_crl), read_crl(collateral.root_ca_crl)]
        statements = [
            *(
                Statement(number=each.evaluation_data_number, issued=each.issue_date, next_update=each.next_update)
                for each in (info, identity)
            ),
            *(Statement(number=None, issued=each.this_update, next_update=each.next_update) for each in lists),
        ]
        chains = (
            collateral.pck_crl_issuer_chain,
            collateral.tcb_info_issuer_chain,
            collateral.qe_identity_issuer_chain,
        )
        certificates = [each for chain in chains for each in read_pem_chain(chain.encode("utf-8", "replace"))]
        return cls(
            **dict(zip(_STATEMENTS, statements, strict=True)),
            not_before=max([each.issued for each in statements] + [each.not_before for each in certificates]),
            not_after=min([each.next_update for each in statements] + [each.not_after for each in certificates]),
        )

    @property
    def statements(self) -> dict[str, Statement]:
        """Each statement by its name."""
        return {name: getattr(self, name) for name in _STATEMENTS}

    def older_than(self, other: Summary) -> tuple[str, ...]:
        """The names of the statements that are older than the other's."""
        theirs = other.statements
        return tuple(name for name, own in self.statements.items() if own.older_than(theirs[name]))


_STATEMENTS: Final = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The statements about one family. Nothing of them is proven."""

    key: Key
    collateral: Collateral
    summary: Summary

    @classmethod
    def of(cls, key: Key, collateral: Collateral) -> Self:
        """An entry with what its statements say of themselves.

        Raises:
            MalformedCollateral: one of them does not parse.
        """
        return cls(key=key, collateral=collateral, summary=Summary.of(collateral))


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The file as types."""

    created_at: datetime
    entries: tuple[Entry, ...]
    digest: str  # SHA-256 over everything else, 64 hex digits


def pack(entries: Iterable[Entry], *, created_at: datetime) -> Archive:
    """An archive of these entries, in the order of their keys.

    Args:
        entries: each key once.
        created_at: the instant; aware.

    Raises:
        MalformedCollateral: none, too many, or two about one family.
    """
    found = tuple(sorted(entries, key=lambda entry: str(entry.key)))
    _check_keys([entry.key for entry in found])
    at = created_at.astimezone(UTC).replace(microsecond=0)
    return Archive(created_at=at, entries=found, digest=_digest(_members(at, found)))


def encode_archive(archive: Archive) -> bytes:
    """The archive as `decode_archive` reads it.

    Raises:
        MalformedCollateral: it would be longer than `MAX_ARCHIVE`.
    """
    members = _members(archive.created_at, archive.entries) | {"sha256": archive.digest}
    encoded = json.dumps(members, indent=1).encode("ascii")
    _check_size(encoded)
    return encoded


def decode_archive(data: bytes) -> Archive:
    """Read an archive. Proves that it is as it was made, if nobody changed it on purpose, and nothing else.

    Raises:
        MalformedCollateral: not an archive of this version, a digest that differs, or an entry that says of its
            statements what they do not say.
    """
    _check_size(data)
    members, digest = _load(data)
    if members.get("format") != FORMAT or members.get("version") != VERSION:
        raise MalformedCollateral(
            f"{_WHAT} is of another format",
            seen=f"{members.get('format')!r:.64}, version {members.get('version')!r:.16}",
            wanted=f"{FORMAT!r}, version {VERSION}",
        )
    _only(members, _MEMBERS, _WHAT)
    stated = documents.octets(members, "sha256", _WHAT, width=32).hex()
    if digest != stated:
        raise _damaged("", digest, stated)
    rows = documents.array(members, "entries", _WHAT)
    if len(rows) > MAX_ENTRIES:
        raise MalformedCollateral(f"{_WHAT} has too many entries", seen=len(rows), wanted=f"at most {MAX_ENTRIES}")
    entries = tuple(_entry(documents.as_object(row, "an entry")) for row in rows)
    _check_keys([entry.key for entry in entries])
    return Archive(created_at=documents.instant(members, "created_at", _WHAT), entries=entries, digest=digest)


def _entry(members: dict[str, object]) -> Entry:
    key = Key(
        _one_of(members, "tee", TEES),
        Fmspc(documents.octets(members, "fmspc", "an entry", width=Fmspc.WIDTH)),
        _one_of(members, "ca", CAS),
    )
    _only(members, _ENTRY, f"the entry {key}")
    texts = documents.member(members, "collateral", f"the entry {key}")
    digests = documents.member(members, "sha256", f"the entry {key}")
    for part in (texts, digests):
        _only(part, _DOCUMENTS, f"the entry {key}")
    collateral = Collateral(**{name: documents.text(texts, name, f"the entry {key}") for name in _DOCUMENTS})
    for name, digest in _digests(collateral).items():
        stated = documents.octets(digests, name, f"the entry {key}", width=32).hex()
        if digest != stated:
            raise _damaged(f"{name} of {key} in ", digest, stated)
    try:
        entry = Entry.of(key, collateral)
    except MalformedCollateral as exc:
        raise MalformedCollateral(f"{key}: {exc.message}", seen=exc.seen, wanted=exc.wanted, hint=exc.hint) from exc
    for name, told in _told(entry.summary).items():
        if members[name] != told:
            raise MalformedCollateral(
                f"{key}: the entry's {name} is not what its documents say",
                seen=f"{json.dumps(members[name]):.200}",
                wanted=json.dumps(told),
            )
    return entry


def _members(created_at: datetime, entries: Sequence[Entry]) -> dict[str, object]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "created_at": _instant(created_at),
        "entries": [
            {
                "tee": entry.key.tee,
                "fmspc": entry.key.fmspc.hex(),
                "ca": entry.key.ca,
                **_told(entry.summary),
                "sha256": _digests(entry.collateral),
                "collateral": asdict(entry.collateral),
            }
            for entry in entries
        ],
    }


def _told(summary: Summary) -> dict[str, object]:
    statements: dict[str, object] = {}
    for name, statement in summary.statements.items():
        number = {} if statement.number is None else {"evaluation_number": statement.number}
        dates = {"issued": _instant(statement.issued), "next_update": _instant(statement.next_update)}
        statements[name] = {**number, **dates}
    window = {"not_before": _instant(summary.not_before), "not_after": _instant(summary.not_after)}
    return {"statements": statements, "window": window}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _digests(collateral: Collateral) -> dict[str, str]:
    return {name: _sha256(text.encode("utf-8", "surrogatepass")) for name, text in asdict(collateral).items()}


def _digest(members: dict[str, object]) -> str:
    """Over everything but itself, whatever the file's white space and the order of its members."""
    rest = {name: value for name, value in members.items() if name != "sha256"}
    return _sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode("ascii"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _load(data: bytes) -> tuple[dict[str, object], str]:
    """The members, and the digest over them: both fail on the same kinds of nonsense, such as endless nesting."""
    try:
        members = documents.load_json(data.decode("utf-8"), _WHAT, documents.EACH_ONCE)
        return members, _digest(members)
    except (ValueError, RecursionError) as exc:
        raise MalformedCollateral(f"{_WHAT} is not JSON", seen=f"{exc!s:.200}", wanted="a JSON object") from exc


def _only(members: dict[str, object], names: Sequence[str], what: str) -> None:
    if set(members) != set(names):
        differing = sorted(set(members) ^ set(names))
        raise MalformedCollateral(
            f"{what} has other members", seen=f"{', '.join(differing)!r:.200} differ", wanted=", ".join(names)
        )


def _one_of(members: dict[str, object], name: str, known: Sequence[str]) -> str:
    value = documents.text(members, name, "an entry")
    if value not in known:
        raise MalformedCollateral(f"an entry's {name} is unknown", seen=value[:64], wanted=" or ".join(known))
    return value


def _check_keys(keys: Sequence[Key]) -> None:
    if not 1 <= len(keys) <= MAX_ENTRIES:
        raise MalformedCollateral(
            f"{_WHAT} has no entry, or too many", seen=len(keys), wanted=f"1 to {MAX_ENTRIES} families"
        )
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise MalformedCollateral(f"{_WHAT} has a family twice", seen=", ".join(twice), wanted="each once")


def _check_size(data: bytes) -> None:
    if len(data) > MAX_ARCHIVE:
        raise MalformedCollateral(f"{_WHAT} is too long", seen=f"{len(data)} bytes", wanted=f"at most {MAX_ARCHIVE}")


def _damaged(what: str, seen: str, wanted: str) -> MalformedCollateral:
    return MalformedCollateral(
        f"{what}{_WHAT} is not what it was when the file was made",
        seen=f"SHA-256 {seen}",
        wanted=f"SHA-256 {wanted}",
        hint="copy the file again, and compare its digest with the one that the export told",
    )
