"""`amber quote`: look into quotes, and verify them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import EXIT_NOT_GENUINE, echo_json, exit_code, instant, json_option, reports_errors
from ambergate.core.collateral.bundle import MAX_BUNDLE, Collateral
from ambergate.core.collateral.needs import Needs, needs_of
from ambergate.core.errors import AmberError, Malformed, MalformedEvidence, NotGenuine
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.explain import explain
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.verifier import verify_quote

if TYPE_CHECKING:
    from ambergate.core.quote.layout import Quote
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.explain import Explanation, Refusal
    from ambergate.core.verify.verdict import CheckRecord, VerifiedQuote

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def group() -> None:
    """Show and verify quotes."""


@group.command()
@click.argument("file", type=_FILE)
@json_option
@reports_errors
def show(file: Path, *, as_json: bool) -> None:
    """Show what the quote in FILE claims. Proves nothing."""
    quote = parse_quote(_read(file, MAX_QUOTE + 1))
    members = _claims(quote)
    if as_json:
        echo_json(members)
        return
    click.echo(f"{quote.tee.name} quote, version {quote.header.version}. Claimed, not verified:")
    for name, value in members.items():
        if isinstance(value, dict):
            for inner, inner_value in value.items():
                click.echo(f"  {inner:22} {inner_value}")
        else:
            click.echo(f"  {name:22} {value}")


@group.command()
@click.argument("file", type=_FILE)
@click.option("--collateral", "collateral_file", type=_FILE, help="Intel's statements, as JSON.")
@click.option("--pccs", metavar="URL", help="Fetch Intel's statements from this PCCS.")
@click.option("--pccs-cacerts", type=_FILE, help="PEM roots that verify the PCCS; the system's when not given.")
@click.option("--at", metavar="ISO8601", help="The instant to verify at; now when not given.")
@click.option("--anchor", type=_FILE, help="Root certificate in PEM; Intel's when not given.")
@click.option("--explain", "explained", is_flag=True, help="Say who vouches for what, and what limits the TCB status.")
@json_option
@reports_errors
def verify(  # noqa: PLR0913  click passes one argument an option
    file: Path,
    collateral_file: Path | None,
    pccs: str | None,
    pccs_cacerts: Path | None,
    at: str | None,
    anchor: Path | None,
    *,
    explained: bool,
    as_json: bool,
) -> None:
    """Verify the quote in FILE. Without --collateral and --pccs, Intel's PCS is asked."""
    when = instant(at)
    trust = TrustAnchor.from_pem(_read(anchor, 64 * 1024)) if anchor else TrustAnchor.intel()
    quote: Quote | None = None
    try:
        quote = parse_quote(_read(file, MAX_QUOTE + 1))
        collateral = collateral_for(quote, collateral_file, pccs, pccs_cacerts)
        verified = verify_quote(quote, collateral, at=when, anchor=trust)
    except (NotGenuine, Malformed) as error:
        _tell_refusal(quote, error, explained=explained, as_json=as_json)
        sys.exit(EXIT_NOT_GENUINE)
    except AmberError as error:
        if not as_json:
            raise
        echo_json(_verdict(quote, None, error))
        sys.exit(exit_code(error))
    explanation = explain(verified) if explained else None
    if as_json:
        echo_json(_verdict(quote, verified, None, explanation))
        return
    _tell_verdict(verified)
    if explanation is not None:
        click.echo(f"\n{explanation.text()}")


def _tell_refusal(quote: Quote | None, error: NotGenuine | Malformed, *, explained: bool, as_json: bool) -> None:
    # Collateral that does not parse says nothing about the quote: there is nothing to explain.
    refusal = explain(error) if explained and isinstance(error, NotGenuine | MalformedEvidence) else None
    if as_json:
        echo_json(_verdict(quote, None, error, refusal))
        return
    _tell_checks(_records(error))
    click.echo(f"\nNOT GENUINE: {error.message}")
    for label, value in (("seen", error.seen), ("wanted", error.wanted), ("next", error.hint)):
        if value is not None:
            click.echo(f"  {label + ':':8}{value}")
    if refusal is not None:
        click.echo(f"\n{refusal.text()}")


def _tell_verdict(verified: VerifiedQuote) -> None:
    _tell_checks(verified.checks)
    click.echo(f"\nGENUINE under {verified.anchor.name}, at {verified.at.isoformat()}")
    click.echo(f"  TCB status  {verified.tcb_status.value} (level of {verified.tcb_date.date().isoformat()})")
    if verified.advisory_ids:
        click.echo(f"  advisories  {', '.join(verified.advisory_ids)}")
    for name, value in _report(verified.report).items():
        click.echo(f"  {name:11} {value}")
    if verified.report.debug:
        click.echo("  note: what runs under debug keeps no secret; policies refuse it")


def _tell_checks(records: tuple[CheckRecord, ...]) -> None:
    for record in records:
        mark = click.style("✓", fg="green") if record.ok else click.style("✗", fg="red")
        proves = BY_ID[record.id].proves
        click.echo(f"{mark} {record.id:30} {proves}")
        click.echo(f"  {'':30} {record.detail}")


def _verdict(
    quote: Quote | None,
    verified: VerifiedQuote | None,
    error: AmberError | None,
    explanation: Explanation | Refusal | None = None,
) -> dict[str, object]:
    records = verified.checks if verified else _records(error)
    return {
        "genuine": verified is not None,
        "tee": quote.tee.name if quote else None,
        "tcb_status": verified.tcb_status.value if verified else None,
        "advisory_ids": list(verified.advisory_ids) if verified else [],
        "checks": [{"id": record.id, "ok": record.ok, "detail": record.detail} for record in records],
        "report": _report(quote.body) if quote else {},
        "error": error.as_dict() if error else None,
        **({} if explanation is None else {"explanation": explanation.as_dict()}),
    }


def _records(error: AmberError | None) -> tuple[CheckRecord, ...]:
    from ambergate.core.verify.verdict import CheckRecord

    if isinstance(error, NotGenuine):
        return tuple(record for record in error.checks if isinstance(record, CheckRecord))
    if isinstance(error, MalformedEvidence):
        return (CheckRecord("1.1.quote_format", ok=False, detail=error.message),)
    return ()


def _claims(quote: Quote) -> dict[str, object]:
    return {
        "tee": quote.tee.name,
        "version": quote.header.version,
        "report": _report(quote.body),
        "qe_isv_svn": quote.qe_report.isv_svn,
        "certification_data": f"type {quote.certification.kind}, {len(quote.certification.data)} bytes",
        "padding": len(quote.trailing),
        **_needs_text(quote),
    }


def _needs_text(quote: Quote) -> dict[str, object]:
    try:
        needs: Needs = needs_of(quote)
    except Malformed as error:
        return {"fmspc": None, "ca": None, "note": error.message}
    return {"fmspc": needs.fmspc.hex(), "ca": needs.ca}


def _report(report: EnclaveReport | TdReport) -> dict[str, object]:
    if isinstance(report, EnclaveReport):
        return {
            "mr_enclave": report.mr_enclave.hex(),
            "mr_signer": report.mr_signer.hex(),
            "isv_prod_id": report.isv_prod_id,
            "isv_svn": report.isv_svn,
            "debug": report.debug,
            "attributes": report.attributes.hex(),
            "misc_select": f"{report.misc_select:08x}",
            "cpu_svn": report.cpu_svn.hex(),
            "report_data": report.report_data.hex(),
        }
    return {
        "mr_td": report.mr_td.hex(),
        **{f"rtmr{index}": rtmr.hex() for index, rtmr in enumerate(report.rtmrs)},
        "mr_seam": report.mr_seam.hex(),
        "mr_config_id": report.mr_config_id.hex(),
        "mr_owner": report.mr_owner.hex(),
        "mr_owner_config": report.mr_owner_config.hex(),
        "mr_service_td": report.mr_service_td.hex() if report.mr_service_td else None,
        "tee_tcb_svn": report.tee_tcb_svn.hex(),
        "td_attributes": report.td_attributes.hex(),
        "xfam": report.xfam.hex(),
        "debug": report.debug,
        "sept_ve_disable": report.sept_ve_disable,
        "report_data": report.report_data.hex(),
    }


def collateral_for(quote: Quote, file: Path | None, pccs: str | None, cacerts: Path | None) -> Collateral:
    """The statements in the file, or those that the PCCS or Intel's PCS has for the quote."""
    if file is not None:
        return Collateral.from_json(_read(file, MAX_BUNDLE + 1))
    from ambergate.pcs.online import INTEL_PCS, OnlineCollateral
    from ambergate.pcs.transport import tls_context

    needs = needs_of(quote)
    with OnlineCollateral(pccs or INTEL_PCS, verify=tls_context(cacerts)) as source:
        return source.collateral(fmspc=needs.fmspc, ca=needs.ca, tee=needs.tee)


def _read(file: Path, limit: int) -> bytes:
    """The first `limit` bytes; parsers refuse what is longer than they accept."""
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(limit)
        with file.open("rb") as stream:
            return stream.read(limit)
    except OSError as exc:
        message = f"{file}: {exc.strerror}"
        raise click.BadParameter(message) from exc
