"""Collateral in words and as JSON: what it says, who signed it, how long it holds, whether any of that is true."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import click

from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import NotGenuine
from ambergate.core.verify.forecast import Change as Trend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ambergate.cli._collateral_files import Change, Found
    from ambergate.cli._collateral_forecast import Row
    from ambergate.cli._collateral_proof import Judged
    from ambergate.core.collateral.archive import Archive, Entry
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.qe_identity import QeLevel
    from ambergate.core.collateral.tcb_info import TcbLevel, TdxModuleLevel
    from ambergate.core.verify.forecast import Forecast, Outlook

_TITLES: Final = {
    "tcb_info": "TCB info",
    "qe_identity": "QE identity",
    "pck_crl": "PCK revocation list",
    "root_ca_crl": "root revocation list",
}


def found_members(found: Found, at: datetime) -> dict[str, object]:
    """What `show --json` prints."""
    archive = found.archive
    return {
        "at": iso(at),
        "genuine": all(each.verified is not None for each in found.judged),
        "archive": None if archive is None else {"created_at": iso(archive.created_at), "sha256": archive.digest},
        "entries": [judged_members(each) for each in found.judged],
    }


def judged_members(judged: Judged) -> dict[str, object]:
    """One family, proven or not."""
    verified, error = judged.verified, judged.error
    members: dict[str, object] = {
        "name": judged.name,
        "genuine": verified is not None,
        "anchor": verified.anchor.name if verified else None,
        "error": error.as_dict() if error else None,
        **(entry_members(judged.entry) if judged.entry else {}),
    }
    if verified:
        expiry = verified.earliest_expiry
        members["earliest_expiry"] = {"what": expiry.what, "not_after": iso(expiry.window.not_after)}
    return members


def entry_members(entry: Entry) -> dict[str, object]:
    """What the statements about one family say of themselves."""
    summary, signers = entry.summary, _signers(entry.collateral)
    counts = _counts(entry.collateral)
    return {
        "tee": entry.key.tee,
        "fmspc": entry.key.fmspc.hex(),
        "ca": entry.key.ca,
        "statements": {
            name: {
                "signed_by": signers[name],
                **({} if statement.number is None else {"evaluation_number": statement.number}),
                "issued": iso(statement.issued),
                "next_update": iso(statement.next_update),
                **({"levels": counts[name]} if name in counts else {}),
            }
            for name, statement in summary.statements.items()
        },
        "window": {"not_before": iso(summary.not_before), "not_after": iso(summary.not_after)},
    }


def tell_found(found: Found, at: datetime) -> None:
    """The same for people."""
    if found.archive is not None:
        click.echo(f"collateral file of {iso(found.archive.created_at)}, SHA-256 {found.archive.digest}")
    for judged in found.judged:
        _tell_judged(judged, at)
    bad = sum(each.verified is None for each in found.judged)
    click.echo(f"\n{_counted(len(found.judged))}, " + (f"{bad} NOT GENUINE now" if bad else "all genuine and in force"))


def _counted(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"


def _tell_judged(judged: Judged, at: datetime) -> None:
    mark = click.style("✓", fg="green") if judged.verified else click.style("✗", fg="red")
    click.echo(f"\n{mark} {judged.name}")
    if judged.entry:
        _tell_entry(judged.entry)
    if judged.verified:
        expiry = judged.verified.earliest_expiry
        click.echo(f"  genuine at {iso(at)} under {judged.verified.anchor.name}")
        click.echo(f"  holds until {iso(expiry.window.not_after)}: {expiry.what} ends first")
    error = judged.error
    if error:
        step = f" (step {error.step})" if isinstance(error, NotGenuine) else ""
        click.echo(f"  NOT GENUINE: {error.message}{step}")
        for label, value in (("seen", error.seen), ("wanted", error.wanted), ("next", error.hint)):
            if value is not None:
                click.echo(f"    {label + ':':8}{value}")


def _tell_entry(entry: Entry) -> None:
    signers, counts = _signers(entry.collateral), _counts(entry.collateral)
    for name, statement in entry.summary.statements.items():
        number = "" if statement.number is None else f"evaluation {statement.number}, "
        dates = f"issued {iso(statement.issued)}, next update {iso(statement.next_update)}"
        click.echo(f"  {_TITLES[name]:21} {number}{dates}")
        click.echo(f"  {'':21} signed by {signers[name]}")
        for what, statuses in counts.get(name, {}).items():
            words = ", ".join(f"{number} {status}" for status, number in statuses.items())
            click.echo(f"  {'':21} levels of {what}: {words}")


def archive_members(archive: Archive) -> dict[str, object]:
    """A file that was written."""
    entries = [{"name": str(entry.key), **entry_members(entry)} for entry in archive.entries]
    return {"created_at": iso(archive.created_at), "sha256": archive.digest, "entries": entries}


def tell_archive(path: Path, archive: Archive) -> None:
    """The same for people."""
    click.echo(f"written: {path}, {_counted(len(archive.entries))}")
    click.echo(f"  SHA-256 {archive.digest}")
    for entry in archive.entries:
        click.echo(f"  {entry.key}  evaluation {entry.summary.tcb_info.number}, until {iso(entry.summary.not_after)}")


def change_members(changes: Iterable[Change]) -> list[dict[str, object]]:
    """What became of each file of a directory."""
    return [
        {
            "name": str(change.key),
            "change": change.what,
            "before": None if change.before is None else _ages(change, before=True),
            "after": _ages(change, before=False),
            "not_after": iso(change.after.not_after),
        }
        for change in changes
    ]


def _ages(change: Change, *, before: bool) -> dict[str, object]:
    summary = change.before if before else change.after
    assert summary is not None
    return {
        name: {"evaluation_number": statement.number, "issued": iso(statement.issued)}
        for name, statement in summary.statements.items()
    }


def tell_changes(changes: Sequence[Change]) -> None:
    """The same for people."""
    width = max(len(str(change.key)) for change in changes)
    for change in changes:
        click.echo(f"  {change.key!s:{width}}  {change.what:9}  {_difference(change)}")
        click.echo(f"  {'':{width}}  {'':9}  holds until {iso(change.after.not_after)}")


def _difference(change: Change) -> str:
    after = change.after.tcb_info
    now = f"evaluation {after.number}, TCB info of {iso(after.issued)}"
    if change.before is None or change.what == "unchanged":
        return now
    before = change.before.tcb_info
    return f"{now} (was {before.number}, {iso(before.issued)})"


def forecast_members(rows: Sequence[Row], at: datetime) -> dict[str, object]:
    """What `forecast --json` prints."""
    return {
        "at": iso(at),
        "worse": sum(row.forecast is not None and row.forecast.change is Trend.WORSE for row in rows),
        "unknown": sum(row.forecast is None for row in rows),
        "platforms": [_row_members(row) for row in rows],
    }


def _row_members(row: Row) -> dict[str, object]:
    kind, found, subject = row.subject.kind, row.forecast, row.subject
    return {
        "origin": subject.origin,
        "tee": kind.tee,
        "fmspc": kind.fmspc.hex(),
        "ca": kind.ca,
        "pce_id": kind.pce_id.hex(),
        "anchor": kind.anchor.hex(),
        "tcb": {
            "components": list(kind.tcb.components),
            "pce_svn": kind.tcb.pce_svn,
            "qe_isv_svn": kind.tcb.qe_isv_svn,
            "tee_tcb_svn": kind.tcb.tee_tcb_svn.hex() if kind.tcb.tee_tcb_svn else None,
            "tee_tcb_svn2": kind.tcb.tee_tcb_svn2.hex() if kind.tcb.tee_tcb_svn2 else None,
        },
        "first_seen": iso(subject.first_seen) if subject.first_seen else None,
        "last_seen": iso(subject.last_seen) if subject.last_seen else None,
        "change": found.change.value if found else None,
        "standard": _outlook_members(found.standard) if found else None,
        "early": _outlook_members(found.early) if found else None,
        "advisories_gained": list(found.advisories_gained) if found else [],
        "behind": [
            {"part": g.part, "have": g.have, "need": g.need, "behind": g.behind, "type": g.type, "remedy": g.remedy}
            for g in (found.behind if found else ())
        ],
        "error": row.error.as_dict() if row.error else None,
    }


def _outlook_members(outlook: Outlook) -> dict[str, object]:
    return {
        "status": outlook.status.value if outlook.status else None,
        "tcb_date": iso(outlook.date) if outlook.date else None,
        "advisory_ids": list(outlook.advisory_ids),
        "evaluation_number": outlook.evaluation_data_number,
        "refused_at": outlook.refused_at,
        "reason": outlook.reason,
    }


def tell_forecasts(rows: Sequence[Row]) -> None:
    """The same for people."""
    for row in rows:
        _tell_row(row)
    worse = sum(row.forecast is not None and row.forecast.change is Trend.WORSE for row in rows)
    unknown = sum(row.forecast is None for row in rows)
    of = f"{len(rows)} kind{'' if len(rows) == 1 else 's'} of platforms"
    click.echo(f"{of}: {worse} will be worse off, {unknown} cannot be told" if rows else "no platform was seen yet")


def _tell_row(row: Row) -> None:
    kind, tcb = row.subject.kind, row.subject.kind.tcb
    seen = f"last seen {iso(row.subject.last_seen)}" if row.subject.last_seen else row.subject.origin
    click.echo(f"{kind.tee} {kind.fmspc}, {kind.ca} CA, {seen}")
    tee = f", TEE_TCB_SVN {tcb.tee_tcb_svn.hex()}" if tcb.tee_tcb_svn else ""
    svns = " ".join(map(str, tcb.components))
    click.echo(f"  stands at   components {svns}, PCE {tcb.pce_svn}, quoting enclave {tcb.qe_isv_svn}{tee}")
    if row.error:
        click.echo(f"  unknown     {row.error.message}" + (f" ({row.error.seen})" if row.error.seen else ""))
        if row.error.hint:
            click.echo(f"  next        {row.error.hint}")
    if row.forecast:
        _tell_forecast(row.forecast)
    click.echo()


def _tell_forecast(found: Forecast) -> None:
    change = "" if found.change is Trend.SAME else f"  {found.change.value.upper()}"
    for name, outlook, mark in (("standard", found.standard, ""), ("early", found.early, change)):
        word = outlook.status.value if outlook.status else f"REFUSED at {outlook.refused_at}: {outlook.reason}"
        click.echo(f"  {name:10}  {word} (evaluation {outlook.evaluation_data_number}){mark}")
    if found.advisories_gained:
        click.echo(f"  gains       {', '.join(found.advisories_gained)}")
    for gap in found.behind:
        click.echo(f"  behind      {gap.part} by {gap.behind}: has {gap.have}, needs {gap.need}; {gap.remedy}")


def iso(at: datetime) -> str:
    """The instant as Intel writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _signers(collateral: Collateral) -> dict[str, str]:
    """Who each statement's chain names as its signer; true only of what is proven."""
    tcb, qe, pck = (
        read_pem_chain(chain.encode("utf-8", "replace"))
        for chain in (
            collateral.tcb_info_issuer_chain,
            collateral.qe_identity_issuer_chain,
            collateral.pck_crl_issuer_chain,
        )
    )
    leaves = [next((c for c in chain if not c.self_issued), chain[0]).common_name for chain in (tcb, qe, pck)]
    root = next((c for c in pck if c.self_issued), pck[-1]).common_name
    return dict(zip(_TITLES, (*leaves, root), strict=True))


def _counts(collateral: Collateral) -> dict[str, dict[str, dict[str, int]]]:
    """How many levels have which status: of platforms, of TDX modules, of the quoting enclave."""
    info, identity = read_tcb_info(collateral.tcb_info), read_qe_identity(collateral.qe_identity)
    modules = {f"module {module.id}": _statuses(module.levels) for module in info.tdx_module_identities}
    return {
        "tcb_info": {"platforms": _statuses(info.levels), **modules},
        "qe_identity": {f"enclave {identity.kind}": _statuses(identity.levels)},
    }


def _statuses(levels: Sequence[TcbLevel | TdxModuleLevel | QeLevel]) -> dict[str, int]:
    return dict(Counter(level.status.value for level in levels))
