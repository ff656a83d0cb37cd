"""Keys rotated under load, and on two nodes: no good token is refused by who keeps the key set as it says."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest
from cryptography import x509
from tests.integration.attestation.scene import (
    AT,
    ISSUER,
    SIMULATED,
    Clock,
    Service,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.core.token.check import KeySet, check_token
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.app import State, open_state
from ambergate.services.attestation.config import load
from ambergate.services.attestation.key_plan import LEAD, MARGIN, STANDBY_AFTER
from ambergate.services.attestation.memory import TRUST
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Postgres

    from ambergate.services.web.server import TlsFiles

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LIFETIME = timedelta(minutes=5)


@dataclass
class Party:
    """A relying party that keeps the key set for as long as it was told, to the second, and asks for no id's sake."""

    client: httpx.Client
    keys: dict[str, tuple[datetime, KeySet]] = field(default_factory=dict)

    def check(self, token: str, at: datetime) -> None:
        path = str(jwt.get_unverified_header(token)["jku"]).partition(":8443")[2]
        held = self.keys.get(path)
        if held is None or at - held[0] >= self._age:
            answer = self.client.get(path)
            self._age = timedelta(seconds=int(answer.headers["cache-control"].removeprefix("max-age=")))
            held = self.keys[path] = (at, KeySet.from_json(answer.text))
        check_token(token, held[1], issuer=ISSUER, at=at, accept_simulated=True)

    _age = timedelta()


@dataclass
class Load:
    """Applications that ask for tokens without pause; what they got, by the instant at which they got it."""

    service: Service
    tokens: list[tuple[datetime, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, algorithm: str) -> None:
        service = self.service
        with httpx.Client(
            base_url=service.client.base_url, verify=service.context(), trust_env=False, headers=service.client.headers
        ) as client:
            while not self.stop.is_set():
                nonce = client.get("/appraisal/v1/nonce").json()
                at = service.clock.instant
                body = {**service.evidence(nonce), "token_signing_alg": algorithm}
                answer = client.post("/appraisal/v1/attest", json=body)
                if answer.status_code != 200:
                    self.faults.append(answer.text)
                else:
                    self.tokens.append((at, answer.json()["token"]))


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def token_of(service: Service, algorithm: str = "PS384") -> str:
    answer = service.attest({**service.evidence(service.nonce()), "token_signing_alg": algorithm})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def rotated(state: State, at: datetime) -> set[str]:
    return {key.id for key in state.token_keys.rotate(at, plan.Rules(token_lifetime=LIFETIME))}


@pytest.fixture
def opened(tls: TlsFiles, tmp_path: Path) -> Iterator[tuple[Service, State]]:
    platform = new_platform(tmp_path)
    config = configure(tmp_path, tls)
    with open_state(config, at=AT) as state, serving(config, state, directory_roots(config), platform) as service:
        yield service, state


def settled(service: Service, state: State, at: datetime) -> None:
    """Turn the clock, and let the service do what is due then."""
    service.clock.instant = at
    for path in ("/certs", "/certs/es256"):
        assert service.client.get(path).status_code == 200
    state.token_keys.close()


@pytest.mark.slow
def test_rotated_under_load_nobody_refuses_a_good_token(opened: tuple[Service, State]) -> None:
    """Three rotations within an hour and a half of the service's clock, while tokens are asked for without pause."""
    service, state = opened
    load = Load(service)
    threads = [threading.Thread(target=load.run, args=(algorithm,)) for algorithm in ("PS384", "ES256")]
    parties = [Party(service.client), Party(service.client)]
    broker = TrustedIssuers(
        [
            TrustedIssuer(
                issuer=ISSUER, keys=IssuerKeys(lambda: service.client.get("/certs").text), accept_simulated=True
            )
        ]
    )
    for thread in threads:
        thread.start()
    checked, end = 0, AT + 90 * MINUTE
    try:
        while service.clock.instant < end:
            at = service.clock.instant + 30 * SECOND
            settled(service, state, at)
            if (at - AT) % (25 * MINUTE) == 24 * MINUTE:
                rotated(state, at)
            good = [(issued, token) for issued, token in load.tokens[-400:] if issued + LIFETIME - SECOND > at]
            for number, (_, token) in enumerate(good[-12:] + good[:4]):
                parties[number % 2].check(token, at)
                if jwt.get_unverified_header(token)["alg"] == "PS384":
                    broker.claims(token, at)
                checked += 1
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()
    assert load.faults == []
    assert len({kid(token) for _, token in load.tokens}) == 8, "four keys of each kind have signed"
    assert checked > 300


Node = tuple[Service, State]


@pytest.fixture
def nodes(tls: TlsFiles, tmp_path: Path, postgres: Postgres) -> Iterator[list[Node]]:
    """Two on one PostgreSQL; the second's clock is two seconds behind."""
    platform = new_platform(tmp_path)
    configure(tmp_path, tls)
    file = tmp_path / "attestation.toml"
    file.write_text(file.read_text().replace("attestation.sqlite", postgres.fresh()))
    config = load(file)
    with ExitStack() as stack:
        opened = []
        for clock in (Clock(), Clock(AT - 2 * SECOND)):
            state = stack.enter_context(open_state(config, at=AT))
            node = serving(config, state, directory_roots(config), platform, clock=clock)
            opened.append((stack.enter_context(node), state))
        yield opened


def later(nodes: list[Node], time: timedelta) -> None:
    for service, state in nodes:
        settled(service, state, service.clock.instant + time)


@pytest.mark.slow
def test_two_nodes_follow_one_rotation(nodes: list[Node]) -> None:
    """What one node publishes checks what the other signs, at every instant around the change."""
    (first, state), _ = nodes
    assert len({kid(token_of(service)) for service, _ in nodes}) == 1, "they sign with the same keys"
    later(nodes, STANDBY_AFTER)
    later(nodes, LEAD - TRUST)
    kept = [service.keys() for service, _ in nodes]  # by relying parties, until the key set's age
    later(nodes, TRUST)
    started = rotated(state, first.clock.instant)
    signed = set()
    for _ in range(6):
        tokens = [token_of(service) for service, _ in nodes]
        signed |= set(map(kid, tokens))
        for keys in (*kept, *(service.keys() for service, _ in nodes)):
            for token in tokens:
                check_token(token, keys, issuer=ISSUER, at=first.clock.instant, accept_simulated=True)
        later(nodes, SECOND)
    assert len(signed) == 2
    assert {kid(token_of(service)) for service, _ in nodes} <= started, "within five seconds, both sign with it"


def test_a_revoked_key_is_gone_everywhere_within_five_seconds(opened: tuple[Service, State]) -> None:
    service, state = opened
    settled(service, state, AT + STANDBY_AFTER)
    settled(service, state, AT + STANDBY_AFTER + LEAD)
    token = token_of(service)
    state.token_keys.revoke(kid(token), service.clock.instant, plan.Rules(token_lifetime=LIFETIME))
    service.clock.instant += TRUST
    published = {key["kid"] for key in service.client.get("/certs").json()["keys"]}
    assert kid(token) not in published
    assert kid(token_of(service)) in published
    crl = x509.load_der_x509_crl(service.client.get("/crl/ats-ca-crl.der").content)
    leaf = next(key for key in state.token_keys.store.all() if key.id == kid(token))
    assert crl.get_revoked_certificate_by_serial_number(x509.load_der_x509_certificate(leaf.certificate).serial_number)
    assert not len(x509.load_der_x509_crl(service.client.get("/crl/root-ca-crl.der").content))


def test_what_was_rotated_stays_so_after_a_restart(tls: TlsFiles, tmp_path: Path) -> None:
    platform = new_platform(tmp_path)
    config = configure(tmp_path, tls, SIMULATED + "[tokens]\nrotate_days = 1\n")
    roots = directory_roots(config)
    with open_state(config, at=AT) as state, serving(config, state, roots, platform) as service:
        settled(service, state, AT + STANDBY_AFTER)
        first = token_of(service)
    late = AT + timedelta(days=1) + MINUTE
    with (
        open_state(config, at=late) as state,
        serving(config, state, roots, platform, clock=Clock(late)) as service,
    ):
        settled(service, state, late)
        assert kid(token_of(service)) == kid(first), "it was down when it was time to say so: nobody knows from when on"
        settled(service, state, late + MARGIN)
        settled(service, state, late + LEAD)
        assert kid(token_of(service)) != kid(first), "the schedule's doing"


PROGRAM = """\
import sys
from datetime import datetime, timedelta
from pathlib import Path
from ambergate.services.attestation.app import open_token_keys
from ambergate.services.attestation.config import load
config = load(Path(sys.argv[1]))
at = datetime.fromisoformat(sys.argv[2])
with open_token_keys(config) as keeper:
    print("ready", flush=True)
    while True:
        at += timedelta(minutes=25)
        keeper.keep_up(at, config.key_rules)
        keeper.rotate(at, config.key_rules)
        known = [key.id for key in keeper.store.all() if key.kind == "rsa" and key.revoked_at is None]
        keeper.revoke(min(known), at, config.key_rules)
        print(at.isoformat(), flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_keys_are_whole(tls: TlsFiles, tmp_path: Path) -> None:
    config = configure(tmp_path, tls, more="")
    with open_state(config, at=AT):
        pass
    at, seen = AT, 0
    for kill in range(4):
        program = [sys.executable, "-c", PROGRAM, str(tmp_path / "attestation.toml"), at.isoformat()]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            told = [process.stdout.readline() for _ in range(kill)]  # the moment is another each time
            threading.Event().wait(0.07 * (kill + 1))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        whole = [line for line in told if line.endswith("\n")]
        at = datetime.fromisoformat(whole[-1].strip()) if whole else at
        with open_state(config, at=at) as state:
            keys = state.token_keys.store.all()
        TokenPki(keys, at + 50 * MINUTE)
        assert len({key.id for key in keys}) == len(keys) >= seen
        seen = len(keys)
        at += 50 * MINUTE
    assert seen > 6
