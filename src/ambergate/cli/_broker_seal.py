"""`amber keybroker seal-init` and `unseal`: a broker that starts locked, and is opened by people who hold shares."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._broker_place import FILE, config_option
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config, version_keys_of
from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from ambergate.services.keybroker.admin_place import Listening
    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.config import Config
    from ambergate.stores.key_encryption import HeldKey, KeyEncryptionKey
    from ambergate.stores.shares import Share, ShareSet

_MAX_ANSWER = 64 * 1024  # bytes
_MAX_SHARE = 256  # bytes of a share's file
_TIMEOUT = 10.0  # seconds


@click.command("seal-init")
@config_option
@click.option("--shares", "count", type=click.IntRange(2, 16), required=True, help="How many shares there are.")
@click.option("--threshold", type=click.IntRange(2, 8), required=True, help="How many of them open the broker.")
@click.option("--file", type=click.Path(path_type=Path), help="Where to say so; the configuration's when it names one.")
@click.option(
    "--output-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write each share to a file of mode 0600 there; not given: show them, once.",
)
@json_option
@reports_errors
def seal_init(
    config: Path, *, count: int, threshold: int, file: Path | None, output_dir: Path | None, as_json: bool
) -> None:
    """Make a key-encryption key that exists in shares alone, and put the broker's databases under it.

    Stop the broker first. Hand each share to another person. Whoever has as many as it takes has every key. Cut off
    half-way, run it again: it asks for the shares, and goes on.
    """
    import secrets

    from ambergate.stores.key_encryption import LocalKey, SharedKey, open_kek
    from ambergate.stores.sealing import KEY_SIZE
    from ambergate.stores.shares import split

    settings = keybroker_config(config)
    place = settings.key_encryption_key
    target = place.file if isinstance(place, SharedKey) else file
    if target is None:
        raise SettingsError("the shares need a file that says how many there are", hint="--file broker.shares")
    if target.exists():
        if isinstance(place, SharedKey):
            raise SettingsError("the key is in shares already", seen=target, hint="amber keybroker unseal")
        _rekeyed(settings, open_kek(place), LocalKey(_gathered(target)))
        _tell_done(target, as_json=as_json)
        return
    old = None if isinstance(place, SharedKey) else open_kek(place, create=True)
    if old is None and isinstance(settings.database, Path) and settings.database.exists():
        hint = "name the key that it is under in key_encryption_key, and --file here"
        raise SettingsError("there is a database already", seen=settings.database, hint=hint)
    key = secrets.token_bytes(KEY_SIZE)
    shared, shares = split(key, threshold=threshold, count=count, token_bytes=secrets.token_bytes)
    # In this order: nothing is under the new key before its shares are told.
    _create(target, shared.to_json())
    _tell_shares(shared, target, _handed_out(shares, output_dir), as_json=as_json)
    if old is not None:
        _rekeyed(settings, old, LocalKey(key))
    if not as_json:
        _tell_done(target, as_json=False)


@click.command()
@click.option("--url", required=True, help="Of the broker: https://host[:port].")
@click.option("--cacerts", type=FILE, help="File of PEM roots; the system's when not given.")
@click.option("--share-file", type=FILE, help="File of one share; asked for when not given.")
@click.option("--socket", type=click.Path(path_type=Path), help="The broker's [admin] socket, with --url for its name.")
@click.option("--status", is_flag=True, help="Send nothing, and show how far it is.")
@json_option
@reports_errors
def unseal(
    url: str, *, cacerts: Path | None, share_file: Path | None, socket: Path | None, status: bool, as_json: bool
) -> None:
    """Send one share to a sealed broker, where it is managed, and show how far it is. Never as an argument."""
    share = None
    if not status:
        share = _read(share_file) if share_file else click.prompt("share", hide_input=True, err=True)
    state = _asked(url.rstrip("/"), cacerts, socket, share)
    if as_json:
        echo_json(state)
    elif not state["sealed"]:
        click.echo("the broker is open")
    else:
        click.echo(f"sealed: {state['progress']} of {state['threshold']} shares, of {state['shares']} that there are")
        if state["failures"]:
            click.echo(f"{state['failures']} times a share came that was never handed out")


class Gate:
    """What a broker whose key is in shares waits behind, before it opens anything.

    Args:
        read: reads the configuration.
        announce: told when shares are taken, and where.
        managed: the listener that the broker is managed at, once it is bound; empty: there is none of its own.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        announce: Callable[[ShareSet, str, int], None],
        managed: Sequence[Listening],
    ) -> None:
        self._read = read
        self._announce = announce
        self._managed = managed
        self._key: HeldKey | None = None

    def load(self) -> Config:
        """The configuration, with the key once it is there."""
        from ambergate.stores.key_encryption import SharedKey

        config = self._read()
        shared = isinstance(config.key_encryption_key, SharedKey)
        return replace(config, key_encryption_key=self._key) if shared and self._key is not None else config

    def unlocked(self, config: Config, listeners: Sequence[socket]) -> Config | None:
        """The configuration with its key, once people have brought it together; None: stopped before that."""
        import time

        from ambergate.services.keybroker.sealed import Sealed, sealed_app
        from ambergate.services.web.live import Generation, Live
        from ambergate.services.web.server import serve
        from ambergate.stores.key_encryption import HeldKey, SharedKey
        from ambergate.stores.shares import ShareSet

        place = config.key_encryption_key
        if not isinstance(place, SharedKey):
            return config
        shares = ShareSet.load(place.file)
        sealed = Sealed(shares)
        host, port = listeners[0].getsockname()[:2]
        app = sealed_app(sealed, self._managed[0] if self._managed else None)
        live = Live(Generation(app, config.tls), clock=time.monotonic)
        # Copies of the sockets: serving closes its own, and who connects meanwhile waits for the broker.
        serve(
            live,
            *(each.dup() for each in listeners),
            on_start=lambda: self._announce(shares, host, port),
            watched=lambda: sealed.key is None,
        )
        if sealed.key is None:
            return None
        self._key = HeldKey(sealed.key, shares.id, sealed.state().failures)
        return replace(config, key_encryption_key=self._key)


def note_unsealing(config: Config, state: State) -> None:
    """Write down that the broker was opened from shares, where it was.

    Raises:
        Unavailable: the audit log does not take it.
    """
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.ports import LOCAL, Change
    from ambergate.stores.key_encryption import HeldKey

    key = config.key_encryption_key
    if isinstance(key, HeldKey):
        told = {"share_set": key.set_id, "failures": key.failures}
        change = Change(what="broker.unseal", subject="broker", by=LOCAL, at=now(), details=told)
        with AuditTrail(state.audit, lambda: (None, None)).change(change):
            pass


def _handed_out(shares: Sequence[Share], folder: Path | None) -> list[str]:
    """The shares, or the files that hold them, for whoever shows them."""
    if folder is None:
        return [share.text for share in shares]
    files = [folder / f"share-{share.index}.txt" for share in shares]
    for file, share in zip(files, shares, strict=True):
        _create(file, f"{share.text}\n")
    return [str(file) for file in files]


def _gathered(file: Path) -> bytes:
    """The key, from shares that are asked for until it is there.

    Raises:
        Malformed: one of them is none of its own.
    """
    from ambergate.stores.shares import Gathering, Share, ShareSet

    gathering, key = Gathering(ShareSet.load(file)), None
    while key is None:
        text = click.prompt(
            f"share, {gathering.progress} of {gathering.shares.threshold} so far", hide_input=True, err=True
        )
        key = gathering.take(Share.parse(text))
    return key


def _create(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as exc:
        raise SettingsError("the file cannot be made", seen=f"{file}: {exc.strerror}") from exc


def _rekeyed(config: Config, old: KeyEncryptionKey, new: KeyEncryptionKey) -> None:
    from ambergate.stores.engine import open_database
    from ambergate.stores.rekey import rekey

    for database in (config.database, version_keys_of(config)):
        if database is not None:
            engine = open_database(database)
            try:
                rekey(engine, old, new)
            finally:
                engine.dispose()


def _tell_shares(shared: ShareSet, file: Path, told: list[str], *, as_json: bool) -> None:
    """Before anything is under the new key; a standard output that is closed stops it here."""
    if as_json:
        echo_json({"file": str(file), "threshold": shared.threshold, "shares": told})
    else:
        click.echo("\n".join(told))
        click.echo(f"any {shared.threshold} of these {shared.count} open the broker: one to each person", err=True)
    sys.stdout.flush()


def _tell_done(file: Path, *, as_json: bool) -> None:
    if as_json:
        echo_json({"file": str(file)})
    else:
        click.echo(f'done; set key_encryption_key = "shares:{file}", start the broker, and unseal it', err=True)


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(_MAX_SHARE).decode("ascii", errors="replace").strip()


def _asked(url: str, cacerts: Path | None, socket: Path | None, share: str | None) -> dict[str, Any]:
    """What the broker says of itself, after a share or without one.

    Raises:
        SettingsError: the share is none of its own, or it takes shares elsewhere.
        Unavailable: it does not answer, or with something else.
    """
    import httpx

    from ambergate.services.keybroker.fetch import tls_context

    try:
        transport = httpx.HTTPTransport(verify=tls_context(cacerts), uds=None if socket is None else str(socket))
        with httpx.Client(transport=transport, trust_env=False, timeout=_TIMEOUT) as client:
            answer = client.post(f"{url}/unseal", json={"share": share}) if share else client.get(f"{url}/unseal")
    except httpx.HTTPError as exc:
        seen = f"{url}: {str(exc) or type(exc).__name__}"
        raise Unavailable("the broker does not answer", seen=seen, hint="is it running, and --cacerts right?") from exc
    document = _document(answer.content)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {"sealed": False}
    if document is None:
        raise Unavailable("the broker answers with something else", seen=f"{url}: {answer.status_code}")
    if answer.status_code == httpx.codes.OK and {"sealed", "progress", "threshold", "shares", "failures"} <= set(
        document
    ):
        return document
    if document.get("code") == "sealed":
        hint = "--url with the port of its [admin], or --socket"
        raise SettingsError("the broker takes shares where it is managed", code="sealed", seen=url, hint=hint)
    raise SettingsError(str(document.get("error"))[:200], code=str(document.get("code"))[:64], seen=answer.status_code)


def _document(answer: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(answer) if len(answer) <= _MAX_ANSWER else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
