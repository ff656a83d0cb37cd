"""`amber collateral forecast`: which status the platforms seen will have when the early set becomes the standard."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ambergate.cli._collateral_fetch import FILE, QUOTE, anchor_option, progress, read_quote, tls_option
from ambergate.cli._collateral_proof import prove, read_anchors
from ambergate.cli._collateral_tell import forecast_members, tell_forecasts
from ambergate.cli._common import EXIT_REFUSED, echo_json, exit_code, instant, json_option, reports_errors
from ambergate.cli._services import attestation_config
from ambergate.core.collateral.archive import Key
from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import AmberError, MalformedCollateral, NotGenuine, SettingsError
from ambergate.core.verify.forecast import Change, Forecast, PlatformKind
from ambergate.core.verify.forecast import forecast as judged_under
from ambergate.core.verify.verifier import verify_quote

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.endorsements import VerifiedCollateral
    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.services.attestation.config import Config

STANDARD: Final = "standard"
EARLY: Final = "early"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A kind of platform, and where it is known from."""

    origin: str  # "seen", or the file of a quote
    kind: PlatformKind
    first_seen: datetime | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What will become of it, or why that cannot be told."""

    subject: Subject
    forecast: Forecast | None
    error: AmberError | None


@click.command()
@click.argument("quotes", metavar="[QUOTE]...", nargs=-1, type=QUOTE)
@click.option("--config", "config_file", type=FILE, help="The attestation service's TOML file: the platforms it saw.")
@click.option("--early", metavar="URL|DIR", help="Where the early set is; the configured service when not given.")
@click.option("--standard", metavar="URL|DIR", help="Where the standard set is; as configured when not given.")
@tls_option
@anchor_option
@click.option("--at", metavar="ISO8601", help="The instant to judge at; now when not given.")
@click.option("--fail-on-change", is_flag=True, help="Exit with 3 when a platform will be worse off.")
@json_option
@reports_errors
def forecast(  # noqa: PLR0913  click passes one argument an option
    quotes: tuple[Path, ...],
    *,
    config_file: Path | None,
    early: str | None,
    standard: str | None,
    tls_ca: Path | None,
    anchor_files: tuple[Path, ...],
    at: str | None,
    fail_on_change: bool,
    as_json: bool,
) -> None:
    """Say which TCB status platforms will have when the early set of statements becomes the standard one.

    For the platforms that an attestation service saw (--config), and for those of each QUOTE. Without a
    configuration, Intel's PCS is asked for both sets. A platform is worse off under a worse status, or with more
    advisories under the same.
    """
    if not quotes and config_file is None:
        message = "say for which platforms: a QUOTE, or --config of the attestation service"
        raise click.UsageError(message)
    when = instant(at)
    with _open_sets(config_file, read_anchors(anchor_files), {EARLY: early, STANDARD: standard}, tls_ca) as sets:
        subjects = [_quoted(quote, sets, when) for quote in quotes]
        subjects += _seen(sets.config) if sets.config else []
        rows = [_row(subject, sets, when) for subject in subjects]
    if as_json:
        echo_json(forecast_members(rows, when))
    else:
        tell_forecasts(rows)
    sys.exit(_exit(rows, fail_on_change=fail_on_change))


def _exit(rows: Sequence[Row], *, fail_on_change: bool) -> int:
    if fail_on_change and any(row.forecast and row.forecast.change is Change.WORSE for row in rows):
        return EXIT_REFUSED
    return next((exit_code(row.error) for row in rows if row.error), 0)


class Sets:
    """Both sets of statements, under each root that is believed; each family is asked for once."""

    def __init__(
        self, config: Config | None, roots: dict[bytes, tuple[TrustAnchor, dict[str, CollateralSource]]]
    ) -> None:
        self.config = config
        self.roots = roots
        self._proven: dict[tuple[bytes, str, Key], VerifiedCollateral | AmberError] = {}

    def root(self, digest: bytes) -> bytes:
        """The root of this digest; one that will refuse the evidence, if it is none of ours."""
        return digest if digest in self.roots else next(iter(self.roots))

    def proven(self, root: bytes, which: str, key: Key, at: datetime) -> VerifiedCollateral:
        """A family's statements in one set.

        Raises:
            Unavailable: they cannot be had.
            NotGenuine: they are not the root's.
            MalformedCollateral: they are none, or about something else.
        """
        place = (root, which, key)
        if place not in self._proven:
            progress(f"{which} set: {key}")
            anchor, sources = self.roots[root]
            try:
                found = sources[which].collateral(fmspc=key.fmspc, ca=key.ca, tee=key.tee)
                self._proven[place] = prove(key, found, [anchor], at=at)
            except AmberError as exc:
                exc.message = f"the {which} set: {exc.message}"
                self._proven[place] = exc
        kept = self._proven[place]
        if isinstance(kept, AmberError):
            raise kept
        return kept


def _quoted(file: Path, sets: Sets, at: datetime) -> Subject:
    """The platform of a quote, which must be genuine: what a forged one says of a platform is worth nothing."""
    quote = read_quote(file)
    needs = needs_of(quote)
    root = sets.root(hashlib.sha256(needs.root_key).digest())
    try:
        collateral = sets.proven(root, STANDARD, Key(needs.tee, needs.fmspc, needs.ca), at)
        verified = verify_quote(quote, collateral.collateral, at=at, anchor=sets.roots[root][0])
    except NotGenuine as exc:
        exc.message = f"{file}: {exc.message}"
        raise
    return Subject(origin=str(file), kind=PlatformKind.of(verified))


def _seen(config: Config) -> list[Subject]:
    """The platforms in the service's database.

    Raises:
        SettingsError: there is no database yet.
    """
    from ambergate.stores.engine import open_database
    from ambergate.stores.platforms import PlatformStore

    if isinstance(config.database, Path) and not config.database.exists():
        raise SettingsError(
            "the attestation service has no database yet",
            seen=config.database,
            hint="start it and let platforms attest, or give quotes",
        )
    engine = open_database(config.database)
    try:
        seen = PlatformStore(engine).all()
    finally:
        engine.dispose()
    return [
        Subject(origin="seen", kind=each.kind, first_seen=each.first_seen, last_seen=each.last_seen) for each in seen
    ]


def _row(subject: Subject, sets: Sets, at: datetime) -> Row:
    try:
        return Row(subject=subject, forecast=_forecast(subject.kind, sets, at), error=None)
    except AmberError as exc:
        return Row(subject=subject, forecast=None, error=exc)


def _forecast(kind: PlatformKind, sets: Sets, at: datetime) -> Forecast:
    if kind.anchor not in sets.roots:
        raise SettingsError(
            "the platform's root is none of those given",
            seen=f"SHA-256 of its key {kind.anchor.hex()}",
            wanted="a root in [[anchors]], or --anchor",
        )
    key = Key(kind.tee, kind.fmspc, kind.ca)
    standard, early = (sets.proven(kind.anchor, which, key, at) for which in (STANDARD, EARLY))
    for each in (standard, early):
        if each.tcb_info.pce_id != kind.pce_id:
            raise MalformedCollateral(
                "the statements are about another PCE", seen=each.tcb_info.pce_id, wanted=kind.pce_id
            )
    numbers = [each.tcb_info.evaluation_data_number for each in (standard, early)]
    if numbers[1] < numbers[0]:
        raise SettingsError(
            "the early set is older than the standard one",
            seen=f"evaluation {numbers[1]}",
            wanted=f"{numbers[0]} or more",
            hint="are --early and --standard the other way round, or is the early directory stale?",
        )
    return judged_under(kind.tcb, standard, early)


@contextlib.contextmanager
def _open_sets(
    config_file: Path | None, anchors: Sequence[TrustAnchor], given: dict[str, str | None], tls_ca: Path | None
) -> Iterator[Sets]:
    """The configured roots and those given, each with where its sets are: as given, else as configured."""
    from ambergate.pcs.addresses import INTEL_PCS
    from ambergate.pcs.transport import tls_context

    with contextlib.ExitStack() as stack:
        context = tls_context(tls_ca)
        roots: dict[bytes, tuple[TrustAnchor, dict[str, CollateralSource]]] = {}
        for anchor in anchors:
            sources = {
                which: _source([place or INTEL_PCS], which, stack, context=context) for which, place in given.items()
            }
            roots[hashlib.sha256(anchor.key).digest()] = (anchor, sources)
        config = None
        if config_file is not None:
            config = attestation_config(config_file)
            for configured in config.anchors:
                trust = context if tls_ca or configured.cacerts is None else tls_context(configured.cacerts)
                addresses = [each for each in configured.collateral if isinstance(each, str)] or [INTEL_PCS]
                usual: dict[str, list[str | Path]] = {STANDARD: [*configured.collateral], EARLY: [*addresses]}
                sources = {
                    which: _source([place] if place else usual[which], which, stack, context=trust, api=configured.api)
                    for which, place in given.items()
                }
                roots[hashlib.sha256(configured.anchor.key).digest()] = (configured.anchor, sources)
        yield Sets(config, roots)


def _source(
    places: Sequence[str | Path], update: str, stack: contextlib.ExitStack, *, context: ssl.SSLContext, api: str = "v4"
) -> CollateralSource:
    from ambergate.pcs.offline import DirectoryCollateral
    from ambergate.pcs.online import OnlineCollateral
    from ambergate.pcs.several import FirstOf

    sources: list[tuple[str, CollateralSource]] = []
    for place in places:
        if isinstance(place, str) and "://" in place:
            online = stack.enter_context(OnlineCollateral(place, api=api, update=update, verify=context))
            sources.append((place, online))
            continue
        if not Path(place).is_dir():
            raise SettingsError(
                f"the {update} set is not there", seen=place, wanted="https://HOST[:PORT], or a directory"
            )
        sources.append((str(place), DirectoryCollateral(Path(place))))
    return FirstOf(sources)
