"""What `amber collateral` believes: statements that a given root vouches for now, about whom they are kept for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, MalformedCollateral, NotGenuine, SettingsError
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.endorsements import verify_collateral
from ambergate.pcs.admission import OF_ANOTHER, other_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ambergate.core.collateral.archive import Entry, Key
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.endorsements import VerifiedCollateral

MAX_PEM: Final = 64 * 1024  # bytes
_OTHER_ROOT: Final = "2.2.pck_chain_anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One family's statements, and what became of proving them."""

    name: str  # of the file, or of the entry in one
    entry: Entry | None  # None: they do not parse
    verified: VerifiedCollateral | None
    error: NotGenuine | Malformed | None


def read_anchors(files: Sequence[Path]) -> tuple[TrustAnchor, ...]:
    """The roots in these PEM files; Intel's alone when there are none.

    Raises:
        SettingsError: one cannot be read, or is no root certificate.
    """
    return tuple(_read_anchor(file) for file in files) or (TrustAnchor.intel(),)


def _read_anchor(file: Path) -> TrustAnchor:
    try:
        with file.open("rb") as stream:
            return TrustAnchor.from_pem(stream.read(MAX_PEM))
    except OSError as exc:
        raise SettingsError("a root cannot be read", seen=f"{file}: {exc.strerror}", wanted="--anchor PEM") from exc
    except MalformedCollateral as exc:
        raise SettingsError(exc.message, seen=str(file), wanted=exc.wanted, hint=exc.hint) from exc


def prove(key: Key, collateral: Collateral, anchors: Sequence[TrustAnchor], *, at: datetime) -> VerifiedCollateral:
    """Statements proven under whichever of the roots they name, at an instant, to be about this family, TEE and CA.

    Raises:
        NotGenuine: they are not; with the failing step.
        MalformedCollateral: they are genuine, about something else.
    """
    verified = _under_any(collateral, anchors, at)
    if (other := other_subject(verified, key)) is not None:
        what, seen, wanted = other
        raise MalformedCollateral(
            f"the statements are about another {what}",
            code=OF_ANOTHER,
            seen=seen,
            wanted=f"{wanted}, as {key} says",
            hint="fetch them again, and leave the names of files as they are",
        )
    return verified


def _under_any(collateral: Collateral, anchors: Sequence[TrustAnchor], at: datetime) -> VerifiedCollateral:
    refused: NotGenuine | None = None
    for anchor in anchors:
        try:
            return verify_collateral(collateral, at=at, anchor=anchor)
        except NotGenuine as exc:
            if exc.step != _OTHER_ROOT:
                raise
            refused = refused or exc
    assert refused is not None
    if len(anchors) > 1:
        refused.wanted = " or ".join(f"{anchor.name}, key {anchor.key.hex()[:16]}…" for anchor in anchors)
    raise refused


def judge(entries: Iterable[Entry], anchors: Sequence[TrustAnchor], *, at: datetime) -> list[Judged]:
    """Each of them proven, or why not."""
    return [judge_one(str(entry.key), entry, anchors, at=at) for entry in entries]


def judge_one(name: str, entry: Entry, anchors: Sequence[TrustAnchor], *, at: datetime) -> Judged:
    """One of them proven, or why not."""
    try:
        verified = prove(entry.key, entry.collateral, anchors, at=at)
    except (NotGenuine, Malformed) as exc:
        return Judged(name=name, entry=entry, verified=None, error=exc)
    return Judged(name=name, entry=entry, verified=verified, error=None)


def require_all(judged: Sequence[Judged], what: str) -> list[Entry]:
    """The entries, when every one of them is proven.

    Args:
        judged: all of them.
        what: what does not happen otherwise, e.g. "nothing is imported".

    Raises:
        NotGenuine: one or more are not; names each and why.
        MalformedCollateral: the same, when it is not the verifier who refuses the first.
    """
    refused = [(each.name, each.error) for each in judged if each.error is not None]
    if not refused:
        return [each.entry for each in judged if each.entry is not None]
    name, error = refused[0]
    told = "; ".join(f"{name}: {_reason(error)}" for name, error in refused[1:])
    message = f"{what}: {name}: {error.message}" + (f" (and {told})" if told else "")
    if isinstance(error, NotGenuine):
        raise NotGenuine(
            message, step=error.step, checks=error.checks, code=error.code, seen=error.seen, wanted=error.wanted,
            hint=error.hint,
        ) from error  # fmt: skip
    raise type(error)(message, code=error.code, seen=error.seen, wanted=error.wanted, hint=error.hint) from error


def _reason(error: NotGenuine | Malformed) -> str:
    step = f"step {error.step}, " if isinstance(error, NotGenuine) else ""
    return f"{step}{error.message}" + (f", seen {error.seen}" if error.seen else "")
