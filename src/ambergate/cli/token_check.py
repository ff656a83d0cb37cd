"""`amber token check`: what a relying party does before it believes a token."""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ambergate.cli._common import echo_json, instant, json_option, reports_errors
from ambergate.core.errors import MalformedToken, SettingsError, TimedOut, TooLarge, Unavailable

if TYPE_CHECKING:
    from ambergate.core.token.claims import AttestationClaims

MAX_INPUT: Final = 256 * 1024  # bytes of a token or a key set; both have their own, lower limits
TIMEOUT: Final = 20.0  # seconds
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("token", default="-")
@click.option("--jwks", required=True, metavar="URL|FILE", help="The issuer's keys, e.g. https://attest.example/certs")
@click.option("--issuer", required=True, metavar="URL", help="Exactly what the token's `iss` must be.")
@click.option("--cacerts", type=_FILE, help="PEM roots that verify the JWKS's server; the system's when not given.")
@click.option("--require", "required", multiple=True, metavar="CLAIM=VALUE", help="A claim that must have this value.")
@click.option("--accept-simulated", is_flag=True, help="Take tokens about software platforms.")
@click.option("--at", metavar="ISO8601", help="The instant to check at; now when not given.")
@json_option
@reports_errors
def check(  # noqa: PLR0913  click passes one argument an option
    token: str,
    *,
    jwks: str,
    issuer: str,
    cacerts: Path | None,
    required: tuple[str, ...],
    accept_simulated: bool,
    at: str | None,
    as_json: bool,
) -> None:
    """Check TOKEN, or the one on standard input: signature, issuer, times, required claims.

    VALUE is read as JSON where it is (numbers, true, false), otherwise as text.
    """
    from ambergate.core.token.check import KeySet, check_token

    text = _from_stdin() if token == "-" else token  # noqa: S105  a dash is no secret
    claims = check_token(
        text.strip(),
        KeySet.from_json(_key_set(jwks, cacerts)),
        issuer=issuer,
        at=instant(at),
        require=_requirements(required),
        accept_simulated=accept_simulated,
    )
    if as_json:
        echo_json({"accepted": True, "claims": dict(claims.raw)})
    else:
        _tell(claims)


def _tell(claims: AttestationClaims) -> None:
    click.echo(f"accepted: {claims.attester_type} evidence, attested by {claims.issuer}")
    if claims.simulated:
        click.echo("  SIMULATED: a software platform; this proves nothing about hardware")
    rows = {
        "expires": claims.expires_at.isoformat(),
        "TCB status": claims.tcb_status,
        "advisories": ", ".join(claims.advisory_ids) or "none",
        "mr_enclave": claims.mr_enclave,
        "mr_signer": claims.mr_signer,
        "isv_prod_id": claims.isv_prod_id,
        "isv_svn": claims.isv_svn,
        "debug": claims.debug,
    }
    for name, value in rows.items():
        click.echo(f"  {name:12} {value}")


def _from_stdin() -> str:
    """Whatever the bytes: those that are no text are no token either, and `check_token` says so."""
    return sys.stdin.buffer.read(MAX_INPUT).decode("utf-8", "replace")


def _requirements(texts: tuple[str, ...]) -> dict[str, object]:
    requirements = [_requirement(text) for text in texts]
    names = [name for name, _ in requirements]
    if twice := {name for name in names if names.count(name) > 1}:
        message = f"{', '.join(sorted(twice))} is required twice: only one value can be the right one"
        raise click.BadParameter(message, param_hint="--require")
    return dict(requirements)


def _requirement(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        message = f"{text!r} is not CLAIM=VALUE"
        raise click.BadParameter(message, param_hint="--require")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _key_set(place: str, cacerts: Path | None) -> bytes:
    if place.startswith("https://"):
        return fetch_key_set(place, cacerts)
    if "://" in place:
        message = f"{place}: keys are fetched over https:// only"
        raise click.BadParameter(message, param_hint="--jwks")
    try:
        with Path(place).open("rb") as file:
            return file.read(MAX_INPUT + 1)
    except OSError as exc:
        message = f"{place}: {exc.strerror}"
        raise click.BadParameter(message, param_hint="--jwks") from exc


def fetch_key_set(url: str, cacerts: Path | None) -> bytes:
    """The key set at this address, bounded, over verified TLS.

    Raises:
        Unavailable: the issuer cannot be reached, or is out of order. `TimedOut` when it was too slow.
        SettingsError: `cacerts` holds no certificate.
        MalformedToken: there is no key set.
        TooLarge: it is too long.
    """
    import httpx

    try:
        trust = ssl.create_default_context(cafile=str(cacerts) if cacerts else None)
    except OSError as exc:  # of which ssl.SSLError is one
        raise SettingsError("--cacerts cannot be used", seen=f"{cacerts}: {exc}", wanted="PEM certificates") from exc
    body = bytearray()
    try:
        with (
            httpx.Client(verify=trust, timeout=TIMEOUT, trust_env=False) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as response,
        ):
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_INPUT:
                    raise TooLarge("the key set is too long", seen=url, wanted=f"at most {MAX_INPUT} bytes")
    except httpx.TimeoutException as exc:
        raise TimedOut("the issuer did not answer in time", seen=url) from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise Unavailable(
            "the issuer cannot be reached", seen=f"{url}: {exc}", hint="check --jwks and --cacerts"
        ) from exc
    if response.is_server_error:
        raise Unavailable("the issuer is out of order", seen=f"HTTP {response.status_code} from {url}")
    if response.status_code != httpx.codes.OK:
        raise MalformedToken("the address has no key set", seen=f"HTTP {response.status_code} from {url}")
    return bytes(body)
