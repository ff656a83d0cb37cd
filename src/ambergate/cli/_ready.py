"""`ready` of a service: asks the one that runs here whether it is, for supervisors and containers' health checks."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
from typing import TYPE_CHECKING, Final, Protocol

import click

from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._services import serve_config_option
from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ambergate.services.web.tls import TlsFiles

    class Listens(Protocol):
        """What both services' configurations say of where they are."""

        @property
        def host(self) -> str: ...
        @property
        def port(self) -> int: ...
        @property
        def tls(self) -> TlsFiles: ...


MAX_ANSWER: Final = 64 * 1024  # bytes; a check tells a line
MAX_CHECKS: Final = 100


def ready_command(load: Callable[[Path | None], Listens]) -> click.Command:
    """`ready` of a service."""

    @click.command("ready")
    @serve_config_option
    @click.option("--timeout", type=click.FloatRange(0.1, 60.0), default=5.0, show_default=True, help="Seconds.")
    @json_option
    @reports_errors
    def ready(config: Path | None, *, timeout: float, as_json: bool) -> None:
        """Ask the service of this configuration, on this machine, whether it is ready; exit with 5 if it is not.

        That it is this service is known by the certificate that the configuration names, whoever signed it.
        """
        status, checks = ask(load(config), seconds=timeout)
        failing = {name: check for name, check in checks.items() if not (isinstance(check, dict) and check.get("ok"))}
        if status != http.client.OK or failing:
            seen = ", ".join(f"{name}: {_detail(check)}" for name, check in failing.items())
            raise Unavailable("the service is not ready", code="not-ready", seen=seen or f"HTTP status {status}")
        if as_json:
            echo_json({"ready": True, "checks": checks})
        else:
            click.echo(f"ready: {', '.join(checks)}")

    return ready


def ask(listens: Listens, *, seconds: float) -> tuple[int, dict[str, object]]:
    """`GET /readyz` of the service: its status, and its checks by their names.

    Raises:
        SettingsError: the configuration does not say where it is.
        Unavailable: it does not answer, or what answers is not it.
    """
    if not listens.port:
        raise SettingsError("the service has no port of its own", seen="listen.port = 0", wanted="a number")
    certificate = _certificate(listens.tls)
    # Nobody is told anything here, and what is read is believed only of who has the key of that certificate.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(_reached(listens.host), listens.port, timeout=seconds, context=context)
    try:
        connection.connect()
        tls = connection.sock
        if not isinstance(tls, ssl.SSLSocket) or tls.getpeercert(binary_form=True) != certificate:
            seen = f"another certificate than {listens.tls.certificate} at port {listens.port}"
            raise Unavailable("what answers is not this service", code="other-service", seen=seen)
        connection.request("GET", "/readyz", headers={"accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER + 1)
    except (OSError, http.client.HTTPException) as exc:
        raise Unavailable("the service does not answer", seen=f"port {listens.port}: {exc}") from exc
    finally:
        connection.close()
    return answer.status, _checks(content)


def _certificate(files: TlsFiles) -> bytes:
    """The server's own certificate, the first of its file, DER."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = files.certificate.read_text(encoding="ascii")
        first = text[text.index(begin) : text.index(end) + len(end)]
        return ssl.PEM_cert_to_DER_cert(first)
    except (OSError, ValueError) as exc:
        raise SettingsError("the certificate cannot be read", seen=f"{files.certificate}: {exc}") from exc


def _reached(host: str) -> str:
    """Where an address to listen on is reached from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _checks(content: bytes) -> dict[str, object]:
    try:
        document = json.loads(content) if len(content) <= MAX_ANSWER else None
    except (ValueError, RecursionError):
        document = None
    checks = document.get("checks", {}) if isinstance(document, dict) else None
    if not isinstance(checks, dict) or len(checks) > MAX_CHECKS:
        raise Unavailable("what answers is not this service", code="other-service", seen="no answer of /readyz")
    return checks


def _detail(check: object) -> str:
    return str(check.get("detail", "fails"))[:200] if isinstance(check, dict) else "fails"
