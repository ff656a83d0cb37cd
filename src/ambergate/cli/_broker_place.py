"""Where `amber keybroker` finds a broker: its configuration on its own machine, or its address and a user."""

from __future__ import annotations

import contextlib
import functools
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from ambergate.cli._common import reports_errors
from ambergate.cli._http import TIMEOUT, send
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOCKET: Final = click.Path(path_type=Path)
_MAX_FILE: Final = 4096  # characters of a password's file
config_option: Callable[[Any], Any] = click.option("--config", type=FILE, required=True, help="The broker's TOML file.")
_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option("--config", type=FILE, help="The broker's TOML file, on its own machine."),
    click.option("--url", metavar="URL", help="The broker's address, instead of --config."),
    click.option("--user", metavar="NAME", help="Who asks, with --url."),
    click.option(
        "--user-password-file",
        type=click.File("r", encoding="utf-8"),
        help="Its first line is the user's password; - is standard input. Asked for when not given.",
    ),
    click.option("--cacerts", type=FILE, help="PEM roots for --url; the system's when not given."),
    click.option("--socket", type=_SOCKET, help="The broker's [admin] socket, with --url for its name."),
)


def also_remote(module: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command be about a broker's configuration, or about a running broker.

    With `--config` the command itself is called; with `--url` the function of its name in `module`, with a client that
    is logged in, and the same options otherwise.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def dispatch(**given: Any) -> None:  # noqa: ANN401  options
            config, url = given.pop("config"), given.pop("url")
            how = {name: given.pop(name) for name in ("user", "user_password_file", "cacerts", "socket")}
            if (config is None) == (url is None):
                message = "say which broker: --config on its own machine, or --url"
                raise click.UsageError(message)
            if url is None:
                command(config=config, **given)
                return
            with logged_in(url, **how) as client:
                getattr(import_module(module), command.__name__)(client, **given)

        found: Callable[..., None] = reports_errors(dispatch)
        for option in reversed(_OPTIONS):
            found = option(found)
        return found

    return decorate


@contextlib.contextmanager
def logged_in(
    url: str, *, user: str | None, user_password_file: TextIO | None, cacerts: Path | None, socket: Path | None
) -> Iterator[httpx.Client]:
    """A client of this broker that holds a bearer token of this user.

    Raises:
        SettingsError: an option cannot be used.
        NotAuthorised: name or password are wrong.
        Unavailable: the broker does not answer.
    """
    import httpx

    from ambergate.pcs.transport import tls_context
    from ambergate.services.web.settings.tables import public_url

    if user is None:
        raise SettingsError("a broker is managed by its users", wanted="--user")
    transport = httpx.HTTPTransport(verify=tls_context(cacerts), uds=None if socket is None else str(socket))
    with httpx.Client(
        base_url=public_url(url, field="--url"), transport=transport, timeout=TIMEOUT, trust_env=False
    ) as client:
        body = {"username": user, "password": read_password(user_password_file, confirm=False)}
        token, _ = send(client, "POST", "/kbs/v1/token", body=body, headers={"accept": "application/jwt"})
        client.headers["authorization"] = f"Bearer {token.decode('ascii', 'replace')}"
        client.headers["accept"] = "application/json"
        yield client


def read_password(file: TextIO | None, *, confirm: bool) -> str:
    """From a file's first line, or from a terminal. There is no option that takes it: arguments are public.

    Raises:
        SettingsError: the file cannot be read.
    """
    if file is None:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))
    try:
        return file.read(_MAX_FILE).partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError("the password's file cannot be read", seen=type(exc).__name__) from exc
