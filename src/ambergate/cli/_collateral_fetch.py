"""`amber collateral fetch`: Intel's statements over HTTPS, proven before they are written."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ambergate.cli._collateral_files import place, write_file
from ambergate.cli._collateral_proof import Judged, judge_one, read_anchors, require_all
from ambergate.cli._collateral_tell import archive_members, change_members, tell_archive, tell_changes
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.core.collateral.archive import CAS, TEES, Entry, Key, encode_archive, pack
from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import Malformed, MalformedEvidence, NotGenuine, SettingsError, Unavailable
from ambergate.core.measurements import Fmspc
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.pcs.addresses import APIS, INTEL_PCS, UPDATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ambergate.core.quote.layout import Quote
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.pcs.several import FirstOf

FILE: Final = click.Path(dir_okay=False, path_type=Path)
QUOTE: Final = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
anchor_option: Callable[[Any], Any] = click.option(
    "--anchor", "anchor_files", type=FILE, multiple=True, help="A root in PEM; Intel's when not given. Repeatable."
)
rollback_option: Callable[[Any], Any] = click.option(
    "--dangerously-allow-rollback", "allow_rollback", is_flag=True, help="Replace newer statements by older ones."
)
tls_option: Callable[[Any], Any] = click.option(
    "--tls-ca", type=FILE, help="PEM roots that verify the servers; the system's when not given."
)


def _fmspcs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Fmspc, ...]:
    """Twelve hex digits each; anything else is a usage error."""
    try:
        return tuple(Fmspc.from_hex(value) for value in values)
    except ValueError as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


@click.command()
@click.argument("quotes", metavar="[QUOTE]...", nargs=-1, type=QUOTE)
@click.option(
    "--fmspc", "fmspcs", metavar="HEX", multiple=True, callback=_fmspcs, help="A platform family. Repeatable."
)
@click.option("--ca", type=click.Choice(CAS), help="Which CA certified it: needed with --fmspc.")
@click.option("--tee", type=click.Choice(TEES, case_sensitive=False), help="With --fmspc; SGX when not given.")
@click.option("--pccs", metavar="URL", multiple=True, help="A PCCS; Intel's PCS when not given. Repeatable: in order.")
@click.option("--update", type=click.Choice(UPDATES), default="standard", show_default=True, help="Which set.")
@click.option("--api", type=click.Choice(APIS), default="v4", show_default=True, help="Of the PCS; v3 is SGX only.")
@tls_option
@anchor_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A directory; or a file, named *.json.")
@rollback_option
@json_option
@reports_errors
def fetch(  # noqa: PLR0913  click passes one argument an option
    quotes: tuple[Path, ...],
    *,
    fmspcs: tuple[Fmspc, ...],
    ca: str | None,
    tee: str | None,
    pccs: tuple[str, ...],
    update: str,
    api: str,
    tls_ca: Path | None,
    anchor_files: tuple[Path, ...],
    out: Path,
    allow_rollback: bool,
    as_json: bool,
) -> None:
    """Fetch what verifies each QUOTE, or what is said of the families of --fmspc, and write it if it is genuine.

    A directory gets one file a family, as services read them; a file named *.json gets them all, for `import`.
    """
    keys = _keys(quotes, fmspcs, ca, tee)
    anchors = read_anchors(anchor_files)
    with _sources(pccs or (INTEL_PCS,), update=update, api=api, tls_ca=tls_ca) as source:
        judged = [_fetched(key, source, anchors, several=len(pccs) > 1) for key in keys]
    entries = require_all(judged, "nothing is written")
    if out.suffix == ".json" and not out.is_dir():
        archive = pack(entries, created_at=now())
        write_file(out, encode_archive(archive))
        if as_json:
            echo_json({"out": str(out), **archive_members(archive)})
        else:
            tell_archive(out, archive)
        return
    changes = place(out, entries, allow_rollback=allow_rollback)
    if as_json:
        echo_json({"out": str(out), "entries": change_members(changes)})
    else:
        click.echo(f"written into {out}:")
        tell_changes(changes)


def read_quote(file: Path) -> Quote:
    """The quote in a file, or on standard input.

    Raises:
        MalformedEvidence: it is none; names the file.
        SettingsError: it cannot be read.
    """
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(MAX_QUOTE + 1)
        else:
            with file.open("rb") as stream:
                raw = stream.read(MAX_QUOTE + 1)
    except OSError as exc:
        raise SettingsError("the quote cannot be read", seen=f"{file}: {exc.strerror}") from exc
    try:
        return parse_quote(raw)
    except MalformedEvidence as exc:
        raise MalformedEvidence(f"{file}: {exc.message}", seen=exc.seen, wanted=exc.wanted, hint=exc.hint) from exc


def progress(line: str) -> None:
    """What is going on, when somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"amber: {line}", err=True)


def _keys(quotes: Sequence[Path], fmspcs: Sequence[Fmspc], ca: str | None, tee: str | None) -> list[Key]:
    """Whom to ask about, each once."""
    if not quotes and not fmspcs:
        message = "say what to fetch: a QUOTE, or --fmspc and --ca"
        raise click.UsageError(message)
    if bool(fmspcs) != (ca is not None) or (tee is not None and not fmspcs):
        message = "--fmspc and --ca go together, and --tee with them: the same family has statements of either CA"
        raise click.UsageError(message)
    needed = [needs_of(read_quote(quote)) for quote in quotes]
    keys = [Key(needs.tee, needs.fmspc, needs.ca) for needs in needed]
    keys += [Key(tee or "SGX", fmspc, ca) for fmspc in fmspcs if ca is not None]
    return list(dict.fromkeys(keys))


@contextlib.contextmanager
def _sources(urls: Sequence[str], *, update: str, api: str, tls_ca: Path | None) -> Iterator[FirstOf]:
    from ambergate.pcs.online import OnlineCollateral
    from ambergate.pcs.several import FirstOf
    from ambergate.pcs.transport import tls_context

    context = tls_context(tls_ca)
    with contextlib.ExitStack() as stack:
        online = [(url, OnlineCollateral(url, api=api, update=update, verify=context)) for url in urls]
        for _, source in online:
            stack.enter_context(source)
        yield FirstOf(online)


def _fetched(key: Key, source: FirstOf, anchors: Sequence[TrustAnchor], *, several: bool) -> Judged:
    """The statements of the first source that has genuine ones; of a single one, with what is wrong with them."""

    def ask(one: CollateralSource) -> Judged:
        collateral = one.collateral(fmspc=key.fmspc, ca=key.ca, tee=key.tee)
        judged = judge_one(str(key), Entry.of(key, collateral), anchors, at=now())
        if judged.error is not None and several:
            raise Unavailable("what it has is not genuine", seen=_reason(judged.error)) from judged.error
        return judged

    progress(f"fetching {key}")
    return source.first(ask)


def _reason(error: NotGenuine | Malformed) -> str:
    return f"step {error.step}: {error.message}" if isinstance(error, NotGenuine) else error.message
