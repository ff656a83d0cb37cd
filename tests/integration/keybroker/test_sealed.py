"""A broker that starts locked, as a real process: it releases nothing before enough people have come."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import threading
from base64 import b64decode
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner
from tests.integration.keybroker.forge import MR_ENCLAVE, Forge

from ambergate.cli.main import main
from ambergate.core.release.envelope import open_sealed
from ambergate.stores.audit_rows import read_entries
from ambergate.stores.engine import open_database, reading
from ambergate.stores.shares import Share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from ambergate.services.web.server import TlsFiles

pytest.importorskip("Crypto", reason="pycryptodome is not installed")

KEY_ID = "ae6281b3-e4fe-3db5-82fd-000000000001"
SECRET = b"behind a locked door"
START = 60  # seconds


@pytest.fixture
def folder(tmp_path: Path, tls: TlsFiles, forge: Forge) -> Path:
    """A broker with a key, under a key file."""
    (tmp_path / "keys.json").write_text(json.dumps(forge.key_set()))
    (tmp_path / "policy.toml").write_text(f'mr_enclave = "{MR_ENCLAVE}"\n')
    (tmp_path / "shares").mkdir()
    configure(tmp_path, tls, "broker.kek")
    made = amber(tmp_path, "key", "import", "--policy", str(tmp_path / "policy.toml"), "--id", KEY_ID, stdin=SECRET)
    assert made.exit_code == 0
    return tmp_path


def configure(folder: Path, tls: TlsFiles, key: str) -> None:
    (folder / "broker.toml").write_text(
        f'[listen]\nport = 0\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
        f'[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "{key}"\n'
        '[[issuers]]\nissuer = "https://attest.example:8443"\njwks_file = "keys.json"\n'
    )


def amber(folder: Path, *args: str, stdin: bytes | None = None) -> Result:
    config = [] if args[0] == "unseal" else ["--config", str(folder / "broker.toml")]
    return CliRunner().invoke(main, ["keybroker", *args, *config], input=stdin, catch_exceptions=False)


def seal(folder: Path, tls: TlsFiles) -> list[str]:
    """Put it under a key of three of five shares; the shares."""
    arguments = ("--shares", "5", "--threshold", "3", "--file", str(folder / "broker.shares"))
    done = amber(folder, "seal-init", *arguments, "--output-dir", str(folder / "shares"), "--json")
    assert done.exit_code == 0, done.output
    configure(folder, tls, "shares:broker.shares")
    return [(folder / "shares" / f"share-{number}.txt").read_text() for number in range(1, 6)]


class Process:
    """A running broker, and what it says on its standard output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def told(self) -> dict[str, Any]:
        """The next document."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(START, self.process.kill)
        watchdog.start()
        text = ""
        while not text.endswith("\n}\n"):
            line = self.process.stdout.readline()
            assert line, "it ended"
            text += line
        watchdog.cancel()
        return dict(json.loads(text))


@contextmanager
def serving(folder: Path) -> Iterator[Process]:
    command = [sys.executable, "-c", "from ambergate.cli.main import main; main()", "keybroker", "serve", "--json"]
    command += ["--config", str(folder / "broker.toml")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield Process(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_from_shares_to_a_release(folder: Path, tls: TlsFiles, forge: Forge, ca: Path) -> None:
    shares = seal(folder, tls)
    at = int(datetime.now(UTC).timestamp())
    token = forge.token(claims=forge.claims(iat=at - 5, nbf=at - 5, exp=at + 300))
    context = ssl.create_default_context(cafile=str(ca))
    with serving(folder) as broker:
        sealed = broker.told()["sealed"]
        url = f"https://127.0.0.1:{sealed['port']}"
        assert (sealed["threshold"], sealed["shares"]) == (3, 5)
        with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
            path, body = f"/kbs/v1/keys/{KEY_ID}/transfer", {"attestation_token": token}
            for method, where in (("POST", path), ("GET", "/kbs/v1/version"), ("GET", "/readyz"), ("PUT", "/x")):
                refused = client.request(method, where, json=body)
                assert (refused.status_code, refused.json()["code"]) == (503, "sealed"), where
            assert client.get("/healthz").json() == {"status": "ok", "sealed": True}
            forged = Share(Share.parse(shares[0]).set_id, 2, bytes(32)).text
            for number in range(1, 41):
                told = client.post("/unseal", json={"share": forged})
                assert (told.status_code, told.json()["code"]) == (400, "wrong-share")
                assert client.get("/unseal").json()["failures"] == number
            for number, share in enumerate([shares[0], shares[0], shares[2]], 1):
                told = client.post("/unseal", json={"share": share}).raise_for_status()
                assert (told.json()["sealed"], told.json()["progress"]) == (True, 1 + number // 3)
            for wrong in ({"share": "x"}, {"share": shares[0].replace("1", "2", 1)}, {}, {"share": 7}):
                assert client.post("/unseal", json=wrong).status_code == 400
        opened = send(folder, url, ca, shares[4])
        assert (opened.exit_code, "open" in opened.stdout) == (0, True)
        assert broker.told()["listening"]["port"] == sealed["port"]
        with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
            body = client.post(path, json={"attestation_token": token}).raise_for_status().json()
            assert client.get("/unseal").status_code == 404
        wrapped = (b64decode(body[name]) for name in ("wrapped_key", "wrapped_swk"))
        assert open_sealed(forge.workload_key, *wrapped) == SECRET
        again = json.loads(
            CliRunner().invoke(main, ["keybroker", "unseal", *at_broker(url, ca), "--status", "--json"]).stdout
        )
        assert again == {"sealed": False}
    records = [each for each in audit_records(folder) if each["event"] in {"broker.unseal", "transfer"}]
    assert [each["event"] for each in records] == ["broker.unseal", "broker.unseal", "transfer"]
    assert records[0]["details"]["failures"] == 40
    log = (folder / "log").read_text()
    assert not any(share.split("-")[4] in log for share in shares)
    assert "never handed out" in log


def audit_records(folder: Path) -> list[dict[str, Any]]:
    """What the broker wrote down since it was opened."""
    engine = open_database(folder / "broker.sqlite")
    with reading(engine) as connection:
        found = [json.loads(entry.record) for entry in read_entries(connection, 0, 1000)]
    engine.dispose()
    return found


def at_broker(url: str, ca: Path) -> list[str]:
    return ["--url", url, "--cacerts", str(ca)]


def send(folder: Path, url: str, ca: Path, share: str) -> Result:
    (folder / "mine").write_text(share)
    return amber(folder, "unseal", *at_broker(url, ca), "--share-file", str(folder / "mine"))


def test_a_sealed_broker_is_asked_and_stopped(folder: Path, tls: TlsFiles, ca: Path) -> None:
    shares = seal(folder, tls)
    with serving(folder) as broker:
        url = f"https://127.0.0.1:{broker.told()['sealed']['port']}"
        told = amber(folder, "unseal", *at_broker(url, ca), stdin=shares[3].encode())
        assert (told.exit_code, "sealed: 1 of 3 shares" in told.stdout) == (0, True)
        assert shares[3].strip() not in told.output
        slip = send(folder, url, ca, shares[3][:-3])
        assert (slip.exit_code, "no share" in slip.stderr) == (1, True)
    assert broker.process.returncode == 0
    assert amber(folder, "unseal", *at_broker(url, ca), "--status").exit_code == 5


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_shares_are_taken_where_the_broker_is_managed(folder: Path, tls: TlsFiles, ca: Path, kind: str) -> None:
    """And there alone, where that is a place of its own: enclaves' port tells nobody how far it is."""
    shares = seal(folder, tls)
    with (folder / "broker.toml").open("a") as file:
        file.write("[admin]\nport = 0\n" if kind == "port" else '[admin]\nsocket = "admin.sock"\n')
    with serving(folder) as broker:
        told = broker.told()
        url = f"https://127.0.0.1:{told['sealed']['port']}"
        there = at_broker(url, ca)
        refused = send(folder, url, ca, shares[0])
        assert (refused.exit_code, "where it is managed" in refused.stderr) == (1, True)
        context = ssl.create_default_context(cafile=str(ca))
        with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
            for answer in (client.get("/unseal"), client.post("/unseal", json={"share": shares[0]})):
                assert (answer.status_code, answer.json()["code"]) == (503, "sealed")
        if kind == "port":
            there = at_broker(f"https://127.0.0.1:{told['admin']['port']}", ca)
        else:
            there += ["--socket", told["admin"]["socket"]]
        for number, share in enumerate(shares[:3], 1):
            (folder / "mine").write_text(share)
            done = amber(folder, "unseal", *there, "--share-file", str(folder / "mine"))
            assert (done.exit_code, "the broker is open" in done.stdout) == (0, number == 3), done.output
        assert broker.told()["admin"] == told["admin"]


def test_without_shares_nothing_opens_it(folder: Path, tls: TlsFiles) -> None:
    """Not even the key from before: everything was sealed anew."""
    seal(folder, tls)
    sealed = amber(folder, "key", "list")
    assert (sealed.exit_code, "in shares" in sealed.stderr) == (1, True)
    configure(folder, tls, "broker.kek")
    before = amber(folder, "key", "list")
    assert (before.exit_code, "another key-encryption key" in before.stderr) == (1, True)


def test_shares_are_made_once_and_can_be_gone_on_with(folder: Path, tls: TlsFiles) -> None:
    """As when it was cut off after the shares were told: it asks for them, and puts under their key what is not."""
    arguments = ("seal-init", "--shares", "3", "--threshold", "2", "--file", str(folder / "broker.shares"))
    made = json.loads(amber(folder, *arguments, "--json").stdout)
    assert (made["threshold"], len(made["shares"])) == (2, 3)
    typed = "\n".join(made["shares"][1:]).encode()
    assert amber(folder, *arguments, stdin=typed).exit_code == 0
    wrong = amber(
        folder,
        *arguments,
        stdin=f"{made['shares'][0]}\n{Share(Share.parse(made['shares'][0]).set_id, 2, bytes(32)).text}".encode(),
    )
    assert (wrong.exit_code, "not the share of its number" in wrong.stderr) == (4, True)
    configure(folder, tls, "shares:broker.shares")
    assert amber(folder, *arguments[:5]).exit_code == 1


def test_a_fresh_broker_begins_with_shares(folder: Path, tls: TlsFiles) -> None:
    configure(folder, tls, "shares:broker.shares")
    there = amber(folder, "seal-init", "--shares", "3", "--threshold", "2")
    assert (there.exit_code, "a database already" in there.stderr) == (1, True)
    for file in folder.glob("broker.sqlite*"):
        file.unlink()
    made = amber(folder, "seal-init", "--shares", "3", "--threshold", "2")
    assert made.exit_code == 0
    assert len(made.stdout.splitlines()) == 3
    assert (folder / "broker.shares").stat().st_mode & 0o777 == 0o600
