"""`amber demo`: the whole system on this machine, and the six steps as they happen."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import ambergate
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._stage import AMBER, Stage, prepare, seconds, services
from ambergate.core.errors import AmberError, NotGenuine, TokenRejected, Unavailable
from ambergate.devices.delivery import WAYS

if TYPE_CHECKING:
    from ambergate.cli._stage import Service
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.token.claims import AttestationClaims
    from ambergate.core.verify.anchors import TrustAnchor

_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_RUN_SECONDS: Final = 60.0
_SPECIMEN: Final = "sgx3-00606a000000-integritee-200802-t250620"
_IN_DIRECTORY: Final = 'exec "$0" "$AMBER_DIR/token" "$AMBER_DIR/token" "$AMBER_DIR/secret"'


@dataclass(frozen=True)
class Act:
    """The program that is run, where, and how it gets its files."""

    stage: Stage
    program: Path
    environment: dict[str, str]
    way: str


@dataclass(frozen=True)
class Output:
    """The tokens of two reads, and whether they came from a file that was written before the program's start."""

    token: str
    other: str
    by_files: bool


class Narrator:
    """Tells each step as it happens, and remembers it for machines. Safe to call from several threads."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._began = seconds()
        self.steps: list[dict[str, object]] = []

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self._quiet:
            with self._lock:
                click.echo(text)

    def step(self, name: str, text: str, **facts: object) -> None:
        """A step that gave what it should."""
        elapsed = seconds() - self._began
        with self._lock:
            self.steps.append({"step": name, "text": text, "seconds": round(elapsed, 3), **facts})
            if not self._quiet:
                click.echo(f"{click.style('✓', fg='green')} {elapsed:5.1f}s  {text}")
                for fact, value in facts.items():
                    click.echo(f"            {fact.replace('_', ' ')}: {value}")


@click.command()
@click.option(
    "--delivery",
    "way",
    type=click.Choice(WAYS),
    default="auto",
    show_default=True,
    help="How the program gets its files, as for `amber run`.",
)
@json_option
@reports_errors
def command(*, way: str, as_json: bool) -> None:
    """Run the whole system on this machine and show the six steps.

    Starts a software platform, the attestation service and the key broker on loopback, runs an unmodified program
    that reads /dev/amber/token and /dev/amber/secret, then verifies a quote and changes one byte of it. Ends with 0
    only if every step gave what it should.
    """
    narrator = Narrator(quiet=as_json)
    try:
        with tempfile.TemporaryDirectory(prefix="amber-demo-") as folder:
            _play(Path(folder), way, narrator)
    except AmberError as error:
        if as_json:
            echo_json({"ok": False, "steps": narrator.steps, "error": error.as_dict()})
            sys.exit(1)
        raise
    if as_json:
        echo_json({"ok": True, "steps": narrator.steps, "error": None})
    else:
        click.echo(
            "\nEvery step gave what it should. Nothing here proves anything about hardware: the platform is software."
        )


def _play(folder: Path, way: str, narrator: Narrator) -> None:
    narrator.say("A software platform, an attestation service and a key broker start on this machine:")
    stage = prepare(folder)
    program = _program(folder)
    measurements = _measure(program)
    platform = json.loads(stage.amber("simulator", "show", "simulator", "--json"))
    narrator.step("platform", "software platform made", fmspc=platform["fmspc"])
    api_key = json.loads(stage.amber("apikey", "create", "--config", "attestation.toml", "--label", "demo", "--json"))[
        "key"
    ]
    secret = f"the secret of this demonstration: {secrets.token_hex(16)}"
    key_id = _keep_secret(stage, secret, measurements)
    with services(stage, _Listener(narrator)) as running:
        narrator.step("attestation", "attestation service listens", url=stage.attestation_url, issuer=stage.issuer)
        narrator.step(
            "keybroker", "key broker listens", url=stage.broker_url, key_id=key_id, for_mrenclave=measurements[0]
        )
        narrator.say(f"\nAn unmodified program, {program.name}, runs with /dev/amber for it alone:")
        act = Act(stage, program, stage.environment(api_key, key_id), way)
        output = _run(act, secret, narrator)
        _relying_party(stage, output, measurements, narrator)
        _tell_release(running["keybroker"], key_id, narrator)
    narrator.say("\nA quote, verified; then with one byte changed:")
    _verify_and_tamper(stage, narrator)


def _program(folder: Path) -> Path:
    """Our example, compiled as it is, where a compiler and the sources are at hand; else the system's `sh`."""
    source = Path(ambergate.__file__).parents[2] / "examples" / "c" / "amber_reader.c"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is not None and source.is_file():
        built = folder / "amber_reader"
        done = subprocess.run([compiler, "-O2", "-o", str(built), str(source)], check=False, capture_output=True)  # noqa: S603
        if done.returncode == 0:
            return built
    return _shell()


def _shell() -> Path:
    return Path(shutil.which("sh") or "/bin/sh").resolve()


def _measure(program: Path) -> list[str]:
    """MRENCLAVE of the program on the software platform, and of the shell that may have to start it."""
    from ambergate.simulator.cpu import EnclaveIdentity

    return [EnclaveIdentity.of_program([each]).mr_enclave.hex() for each in (program.resolve(), _shell())]


def _keep_secret(stage: Stage, secret: str, measurements: list[str]) -> str:
    policy = f"mr_enclave = {json.dumps(measurements)}\ninsecure_accept_simulated = true\n"
    (stage.folder / "policy.toml").write_text(policy)
    kept = stage.amber(
        "keybroker", "key", "import", "--config", "broker.toml", "--policy", "policy.toml", "--json", give=secret
    )  # fmt: skip
    return str(json.loads(kept)["id"])


class _Listener:
    """Turns what the services log into the steps that it means, each told once."""

    # Which service logs which words, for the how-manieth time, and what that means.
    _MEANS: Final = (
        ("attestation", "/appraisal/v1/nonce 200", 1, "1", "1. the program reads /dev/amber/token"),
        (
            "attestation",
            "/appraisal/v1/attest 200",
            1,
            "2",
            "2. the client had a quote made and sent it for attestation",
        ),
        ("attestation", "/appraisal/v1/attest 200", 1, "3", "3. the attestation service verified it and made a token"),
        ("attestation", "/appraisal/v1/nonce 200", 2, "4", "4. the program has its token, and reads the file again"),
        ("keybroker", '"verdict": "released"', 1, "5", "5. the client sent a token to the key broker, a relying party"),
    )

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._heard: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, service: str, line: str) -> None:
        """A service logged a line."""
        with self._lock:
            means = [each for each in self._MEANS if each[0] == service and each[1] in line]
            self._heard.update({words for _, words, *_ in means})
            for _, words, time, step, text in means:
                if self._heard[words] == time:
                    self._narrator.step(step, text)


def _run(act: Act, secret: str, narrator: Narrator) -> Output:
    """Run the program; what it read."""
    program = act.program
    reader = ["/dev/amber/token", "/dev/amber/token", "/dev/amber/secret"]
    shell = program == _shell()
    script = "for f; do cat $f || exit; echo; done"
    arguments = [str(program), "-c", script, "sh", *reader] if shell else [str(program), *reader]
    done = _amber_run(act, arguments)
    if done.returncode != 0 and "nothing is at /dev/amber" in done.stderr:
        paths = [f"$AMBER_DIR/{Path(path).name}" for path in reader]
        inner = " && ".join(f'cat "{path}" && echo' for path in paths) if shell else _IN_DIRECTORY
        done = _amber_run(act, [str(_shell()), "-c", inner, str(program)])
    for line in done.stderr.splitlines():
        narrator.say(f"            {line}")
    tokens = _TOKEN.findall(done.stdout)
    if done.returncode != 0 or len(tokens) != 2 or secret not in done.stdout:
        word = "read" if secret in done.stdout else "not read"
        seen = f"exit code {done.returncode}, {len(tokens)} tokens, secret {word}"
        raise Unavailable("the program did not get what it should", seen=f"{seen}: {done.stderr[-1000:]}")
    output = Output(tokens[0], tokens[1], by_files=act.way == "directory" or "delivering by files" in done.stderr)
    if output.by_files:
        narrator.step("4", "4. the program has its token, from a file written before it started")
    header = json.loads(base64.urlsafe_b64decode(tokens[0].split(".")[0] + "=="))
    narrator.step("output", "the program printed what it read", bytes=len(tokens[0]), header=json.dumps(header))
    return output


def _amber_run(act: Act, program: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  our own command
            [*AMBER, "run", "--simulate", "--delivery", act.way, "--", *program],
            cwd=act.stage.folder,
            env=act.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
    except subprocess.TimeoutExpired as exc:
        raise Unavailable("the program did not end in time", seen=f"{_RUN_SECONDS} s") from exc


def _relying_party(stage: Stage, output: Output, measurements: list[str], narrator: Narrator) -> None:
    """Check the token as anybody would: the issuer's keys over TLS, then the claims."""
    claims = _check(stage, output.token)
    if claims.mr_enclave not in measurements:
        raise TokenRejected("the token is about another program", seen=claims.mr_enclave, wanted=measurements)
    narrator.step(
        "token",
        "the token holds under the issuer's published keys",
        mr_enclave=claims.mr_enclave,
        tcb_status=claims.tcb_status,
        debug=claims.debug,
        simulated=claims.simulated,
        expires=claims.expires_at.isoformat(),
        claims=", ".join(sorted(claims.raw)),
    )
    if output.by_files:
        if output.other != output.token:
            raise TokenRejected("two reads of one file gave two tokens", wanted="the file's token")
        narrator.step("fresh", "a second read gave the same token: files are as fresh as the program's start")
        return
    if output.other == output.token:
        raise TokenRejected("two reads gave one token", wanted="a fresh attestation for each read")
    _check(stage, output.other)
    narrator.step("fresh", "a second read gave another token: every read is a fresh attestation")


def _check(stage: Stage, token: str) -> AttestationClaims:
    from ambergate.cli.token_check import fetch_key_set
    from ambergate.core.token.check import KeySet, check_token

    keys = KeySet.from_json(fetch_key_set(f"{stage.attestation_url}/certs", stage.folder / "ca.pem"))
    return check_token(token, keys, issuer=stage.issuer, at=now(), accept_simulated=True)


def _tell_release(broker: Service, key_id: str, narrator: Narrator) -> None:
    """The broker wrote down that it released this key; the program has read the secret already."""
    if not any(key_id in line and '"verdict": "released"' in line for line in broker.log):
        raise Unavailable("the key broker has no record of the release", seen=f"{len(broker.log)} lines")
    narrator.step(
        "6",
        "6. the key broker checked the token and released the key, sealed for the program's agent alone",
        key_id=key_id,
    )


def _verify_and_tamper(stage: Stage, narrator: Narrator) -> None:
    from ambergate.core.quote.codec import parse_quote
    from ambergate.core.verify.verifier import verify_quote

    raw, collateral, at, anchor, what = _specimen(stage, narrator)
    verified = verify_quote(parse_quote(raw), collateral, at=at, anchor=anchor)
    status, under = verified.tcb_status.value, verified.anchor.name
    narrator.step("genuine", f"{what} is genuine under {under}", tcb_status=status, checks=len(verified.checks))
    position = 112  # the first byte of MRENCLAVE: header 48, 64 into the report
    changed = raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]
    try:
        verify_quote(parse_quote(changed), collateral, at=at, anchor=anchor)
    except NotGenuine as refusal:
        if refusal.step != "8.1.quote_signature":
            raise
        narrator.step(
            "tampered", f"with one bit of MRENCLAVE changed it is refused: {refusal.message}", step_id=refusal.step
        )
        return
    raise Unavailable("a changed quote was accepted", seen=f"bit 0 of byte {position} flipped", wanted="a refusal")


def _specimen(stage: Stage, narrator: Narrator) -> tuple[bytes, Collateral, datetime, TrustAnchor | None, str]:
    """A genuine quote of Intel's hardware where the vectors are at hand, else one of the software platform."""
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.anchors import TrustAnchor

    folder = Path(os.environ.get("AMBER_VECTORS", "../shared/vectors"))
    if (folder / "index.json").is_file():
        entry = next(e for e in json.loads((folder / "index.json").read_text()) if e["name"] == _SPECIMEN)
        collateral = Collateral.from_json((folder / entry["collateral"]).read_text())
        at = datetime.fromisoformat(entry["verify_at"])
        return (folder / f"{_SPECIMEN}.quote").read_bytes(), collateral, at, None, "a quote of Intel's hardware"
    narrator.say(
        f"            no genuine quote at hand (AMBER_VECTORS names none, {folder} is not there): a simulated one"
    )
    stage.amber("simulator", "quote", "simulator", "--report-data", "00" * 64, "-o", "quote.bin")
    collateral_file = next((stage.folder / "simulator" / "collateral").glob("sgx-*.json"))
    anchor = TrustAnchor.from_pem((stage.folder / "simulator" / "root_ca.pem").read_bytes())
    raw = (stage.folder / "quote.bin").read_bytes()
    return raw, Collateral.from_json(collateral_file.read_text()), now(), anchor, "a simulated quote"
