"""`amber token check`: the exit code says what became of the token, and the words say why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, Forge

from ambergate.cli.main import main
from ambergate.cli.token_check import MAX_INPUT
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import TlsFiles, bound_socket, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result
    from starlette.requests import Request

AT_TEXT = "2026-11-01T12:00:00Z"


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


@dataclass(frozen=True)
class Issuer:
    """A key set in a file and at an address."""

    file: Path
    url: str
    ca: Path


@pytest.fixture(scope="session")
def issuer(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    folder = tmp_path_factory.mktemp("issuer")
    (folder / "keys.json").write_text(json.dumps(forge.key_set()))
    made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)

    async def answer(request: Request) -> Response:
        match request.path_params["name"]:
            case "certs":
                return Response((folder / "keys.json").read_bytes())
            case "long":
                return Response(b" " * (MAX_INPUT + 1))
            case "moved":
                return RedirectResponse("/certs")
            case code:
                return Response(status_code=int(code))

    app = Starlette(routes=[Route("/{name}", answer)])
    with running(app, TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")) as port:
        yield Issuer(folder / "keys.json", f"https://127.0.0.1:{port}", folder / "ca.pem")


def check(token: str, jwks: object, *more: str, stdin: bytes | None = None, issuer: str = ISSUER) -> Result:
    command = ["token", "check", token, "--jwks", str(jwks), "--issuer", issuer, "--at", AT_TEXT, *more]
    return CliRunner().invoke(main, command, input=stdin, catch_exceptions=False)


def test_a_good_token_is_0(issuer: Issuer, forge: Forge) -> None:
    result = check(forge.token(), issuer.file)
    assert result.exit_code == 0
    for told in ("accepted: SGX", ISSUER, MR_ENCLAVE, "UpToDate", "2026-11-01T12:04:50+00:00"):
        assert told in result.stdout
    assert "SIMULATED" not in result.stdout


def test_a_good_token_for_machines(issuer: Issuer, forge: Forge) -> None:
    result = check(forge.token(), issuer.file, "--json")
    assert json.loads(result.stdout) == {"accepted": True, "claims": forge.claims()}


def test_a_token_from_standard_input(issuer: Issuer, forge: Forge) -> None:
    for text in (forge.token().encode(), b"\n " + forge.token().encode() + b"\r\n"):
        assert check("-", issuer.file, stdin=text).exit_code == 0
    command = ["token", "check", "--jwks", str(issuer.file), "--issuer", ISSUER, "--at", AT_TEXT]
    assert CliRunner().invoke(main, command, input=forge.token()).exit_code == 0


@pytest.mark.parametrize("given", [b"", b"\xff\xfe", b"a.b.c", b"A" * (MAX_INPUT + 1), b"\x00"])
def test_what_is_no_token_is_4(issuer: Issuer, given: bytes) -> None:
    assert check("-", issuer.file, stdin=given).exit_code == 4


def test_a_token_that_proves_nothing_is_3(issuer: Issuer, forge: Forge) -> None:
    foreign = forge.token(key=forge.other_key)
    for result in (
        check(foreign, issuer.file),
        check(forge.token(), issuer.file, "--at", "2026-11-01T12:04:50Z"),
        check(forge.token(), issuer.file, "--at", "2026-11-01T11:59:49Z"),
        check(forge.token(), issuer.file, issuer="https://other.example"),
    ):
        assert result.exit_code == 3
        assert result.stdout == ""
        assert "error: the token" in result.stderr
    told = json.loads(check(foreign, issuer.file, "--json").stdout)
    assert told["error"]["code"] == "bad-signature"


def test_the_instant_is_now_when_none_is_given(issuer: Issuer, forge: Forge) -> None:
    at = int(datetime.now(UTC).timestamp())
    token = forge.token(claims=forge.claims(iat=at - 60, nbf=at - 60, exp=at + 600))
    command = ["token", "check", token, "--jwks", str(issuer.file), "--issuer", ISSUER]
    assert CliRunner().invoke(main, command).exit_code == 0
    old = forge.token(claims=forge.claims(iat=at - 600, nbf=at - 600, exp=at - 60))
    command[2] = old
    assert CliRunner().invoke(main, command).exit_code == 3


def test_an_instant_without_zone_is_utc(issuer: Issuer, forge: Forge) -> None:
    assert check(forge.token(), issuer.file, "--at", "2026-11-01T12:04:49").exit_code == 0
    assert check(forge.token(), issuer.file, "--at", "2026-11-01T13:00:00+01:00").exit_code == 0


def test_software_platforms_are_taken_only_if_said(issuer: Issuer, forge: Forge) -> None:
    token = forge.token(claims=forge.claims(tee_simulated=True))
    assert check(token, issuer.file).exit_code == 3
    taken = check(token, issuer.file, "--accept-simulated")
    assert taken.exit_code == 0
    assert "SIMULATED" in taken.stdout


REQUIRED = [
    f"sgx_mrenclave={MR_ENCLAVE}",
    "sgx_isvsvn=3",
    "sgx_is_debuggable=false",
    "dbgstat=disabled",
    'ver="1.0.0"',
    "ver=1.0.0",
    'verifier_instance_ids=["7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"]',
]


@pytest.mark.parametrize("requirement", REQUIRED)
def test_a_requirement_that_is_met(issuer: Issuer, forge: Forge, requirement: str) -> None:
    assert check(forge.token(), issuer.file, "--require", requirement).exit_code == 0


@pytest.mark.parametrize(
    "requirement", ["sgx_isvsvn=4", 'sgx_isvsvn="3"', "sgx_isvsvn=true", "sgx_mrenclave=00", "nothing=null", "dbgstat="]
)
def test_a_requirement_that_is_not(issuer: Issuer, forge: Forge, requirement: str) -> None:
    result = check(forge.token(), issuer.file, "--require", "dbgstat=disabled", "--require", requirement)
    assert result.exit_code == (2 if requirement.startswith("dbgstat") else 3)


def test_all_requirements_count(issuer: Issuer, forge: Forge) -> None:
    good = ["--require", "sgx_isvsvn=3", "--require", "sgx_isvprodid=7"]
    assert check(forge.token(), issuer.file, *good).exit_code == 0
    assert check(forge.token(), issuer.file, *good, "--require", "dbgstat=enabled").exit_code == 3
    assert check(forge.token(), issuer.file, "--require", "dbgstat=enabled", *good).exit_code == 3


@pytest.mark.parametrize(
    "more",
    [
        ("--require", "sgx_isvsvn"),
        ("--require", "=3"),
        ("--require", "sgx_isvsvn=9", "--require", "sgx_isvsvn=3"),
        ("--at", "yesterday"),
        ("--jwks", "http://127.0.0.1/certs"),
        ("--jwks", "ftp://127.0.0.1/certs"),
        ("--jwks", "nowhere.json"),
        ("--cacerts", "nowhere.pem"),
        ("--unknown",),
    ],
)
def test_a_command_that_is_not_understood_is_2(issuer: Issuer, forge: Forge, more: tuple[str, ...]) -> None:
    """A claim required twice too: one of the two values would be dropped without a word."""
    assert check(forge.token(), issuer.file, *more).exit_code == 2


def test_issuer_and_keys_must_be_named(forge: Forge, issuer: Issuer) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["token", "check", forge.token(), "--jwks", str(issuer.file)]).exit_code == 2
    assert runner.invoke(main, ["token", "check", forge.token(), "--issuer", ISSUER]).exit_code == 2


def test_keys_from_the_issuer(issuer: Issuer, forge: Forge) -> None:
    assert check(forge.token(), f"{issuer.url}/certs", "--cacerts", str(issuer.ca)).exit_code == 0


def test_an_issuer_that_nobody_vouches_for_is_5(issuer: Issuer, forge: Forge) -> None:
    result = check(forge.token(), f"{issuer.url}/certs")
    assert result.exit_code == 5
    assert "--cacerts" in result.stderr


def test_an_issuer_that_is_away_is_5(issuer: Issuer, forge: Forge) -> None:
    with bound_socket("127.0.0.1", 0) as nobody:
        url = f"https://127.0.0.1:{nobody.getsockname()[1]}/certs"
        assert check(forge.token(), url, "--cacerts", str(issuer.ca)).exit_code == 5


@pytest.mark.parametrize(("path", "code"), [("503", 5), ("500", 5), ("404", 4), ("204", 4), ("moved", 4), ("long", 1)])
def test_an_issuer_without_key_set(issuer: Issuer, forge: Forge, path: str, code: int) -> None:
    """Out of order is worth another try; a redirect is not followed, since it could lead to anybody's keys."""
    assert check(forge.token(), f"{issuer.url}/{path}", "--cacerts", str(issuer.ca)).exit_code == code


def test_roots_that_are_none(issuer: Issuer, forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    result = check(forge.token(), f"{issuer.url}/certs", "--cacerts", str(tmp_path / "ca.pem"))
    assert result.exit_code == 1
    assert "--cacerts" in result.stderr


def test_a_key_set_that_is_none_is_4(forge: Forge, tmp_path: Path) -> None:
    for content in (b"", b"{}", b"\xff", b" " * (MAX_INPUT + 1), json.dumps({"keys": [{"kty": "oct"}]}).encode()):
        (tmp_path / "keys.json").write_bytes(content)
        assert check(forge.token(), tmp_path / "keys.json").exit_code == 4


def test_nothing_shows_the_token(issuer: Issuer, forge: Forge) -> None:
    """A token is good for minutes, and a log is kept for years."""
    token = forge.token(key=forge.other_key)
    result = check(token, issuer.file)
    assert all(part not in result.output for part in token.split("."))
    assert AT.isoformat() not in result.output
