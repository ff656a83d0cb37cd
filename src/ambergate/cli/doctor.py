"""`amber doctor`: what this host has and lacks for SGX with DCAP."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import EXIT_ERROR, EXIT_OK, echo_json, json_option, now, reports_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ambergate.doctor.findings import Finding
    from ambergate.doctor.host import Answer

_MARKS = {"good": ("✓", "green"), "note": ("·", None), "warning": ("!", "yellow"), "missing": ("✗", "red")}
_SECONDS = 5.0


@click.command()
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("/"),
    help="Look at the host whose file system is there, a mounted disk for example.",
)
@click.option("--offline", is_flag=True, help="Ask no address.")
@json_option
@reports_errors
def command(root: Path, *, offline: bool, as_json: bool) -> None:
    """Say what this host has and lacks for SGX with DCAP, and how to mend it.

    Changes nothing. The exit code is 0 when quotes can be had, as far as can be seen, and 1 when something is missing.
    """
    from ambergate.doctor.examine import examine, usable
    from ambergate.doctor.host import Host

    host = Host(
        root=root,
        environ=os.environ,
        uid=os.geteuid(),
        gids=frozenset((*os.getgroups(), os.getegid())),
        at=now(),
        ask=None if offline else _ask,
        built=datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC),
    )
    findings = examine(host)
    verdict = usable(findings)
    if as_json:
        echo_json({"usable": verdict, "findings": [finding.as_dict() for finding in findings]})
    else:
        _tell(findings, usable=verdict)
    raise SystemExit(EXIT_OK if verdict else EXIT_ERROR)


def _tell(findings: Sequence[Finding], *, usable: bool) -> None:
    for finding in findings:
        mark, colour = _MARKS[finding.weight.value]
        seen = f" ({finding.seen})" if finding.seen else ""
        click.echo(f"{click.style(mark, fg=colour)} {finding.message}{seen}")
        if finding.remedy and finding.weight.value != "good":
            click.echo(f"    next: {finding.remedy}")
    lacking = sum(finding.weight.value == "missing" for finding in findings)
    click.echo("quotes can be had here" if usable else f"no quotes here: {lacking} things are missing")


def _ask(url: str, headers: Mapping[str, str], *, insecure_any_certificate: bool) -> Answer:
    """Ask an address; whatever happens is an answer."""
    import httpx

    from ambergate.doctor.host import Answer

    verify = False if insecure_any_certificate else ssl.create_default_context()
    try:
        with (
            httpx.Client(verify=verify, timeout=_SECONDS, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers=dict(headers)) as answer,  # however much it says, nobody reads it
        ):
            status = answer.status_code
    except (httpx.HTTPError, OSError, ValueError) as exc:
        certificate = "certificate" in str(exc).lower()
        return Answer(status=None, said=f"{type(exc).__name__}: {exc}"[:200], verified=not certificate)
    return Answer(status=status)
