"""Freshness and held data over the wire: what is replayed is refused, and by which step; whose key is held."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from base64 import b64decode, urlsafe_b64decode
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.integration.attestation.scene import AT, ENCLAVE, b64, bound, started
from tests.integration.attestation.test_tdx import KEY, TD, td_bound

from ambergate.client.session import Session
from ambergate.client.settings import Settings
from ambergate.core.errors import NotGenuine
from ambergate.core.release.envelope import decode_held_key
from ambergate.simulator.evidence import SimulatedEvidenceSource

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.attestation.scene import Service

    from ambergate.client.ports import EvidenceSource
    from ambergate.services.web.server import TlsFiles

AMBER: Final = (sys.executable, "-m", "ambergate.cli")


class Replaying:
    """A host that has kept a quote, and gives it again whatever it is asked for."""

    tee: Final = "SGX"

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source
        self._kept = b""

    def quote(self, report_data: bytes, /) -> bytes:
        self._kept = self._kept or self._source.quote(report_data)
        return self._kept


def evidence(service: Service, tee: str, nonce: dict[str, str]) -> dict[str, Any]:
    """An honest request over `KEY`."""
    if tee == "SGX":
        return service.evidence(nonce, KEY)
    quote = service.platform.td_quote(TD, td_bound(nonce, KEY))
    return {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(KEY)}


def refused(service: Service, body: object) -> tuple[str, str]:
    answer = service.attest(body)
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert "token" not in told
    return told["step"], told["code"]


def settings(service: Service, **changes: str) -> Settings:
    values = {
        "endpoint_url": f"https://127.0.0.1:{service.port}/appraisal/v1/",
        "endpoint_apikey": service.api_key,
        "cacerts": service.ca.read_text(),
        **changes,
    }
    made = Settings()
    for name, value in values.items():
        made = made.changed(name, value.encode())
    return made


def session(service: Service, source: EvidenceSource, **changes: str) -> Session:
    made = settings(service, **changes)
    return Session(made, source, now=service.clock, token_bytes=secrets.token_bytes)


def held(token: str) -> bytes | None:
    """What the evidence held, as the token says it."""
    payload = token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return b64decode(claims["attester_held_data"]) if "attester_held_data" in claims else None


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_a_nonce_of_another_running_service_is_refused(
    service: Service, tls: TlsFiles, tmp_path: Path, tee: str
) -> None:
    """The other one trusts the same root (its key is the same), and takes the same evidence."""
    with started(tmp_path, tls) as other:
        body = evidence(service, tee, other.nonce())
        assert other.attest(body).status_code == 200
    assert refused(service, body) == ("10.1.nonce", "nonce-unknown")


def test_a_tds_refusals_have_their_codes(service: Service) -> None:
    nonce = service.nonce()
    body = evidence(service, "TDX", nonce)
    assert service.attest(body).status_code == 200
    mismatch = ("10.2.report_data", "report-data-mismatch")
    assert refused(service, {**body, "verifier_nonce": service.nonce()}) == mismatch
    assert refused(service, {**body, "runtime_data": b64(KEY + b"\0")}) == mismatch
    assert refused(service, {name: body[name] for name in ("quote", "runtime_data")}) == mismatch
    service.clock.instant = AT + timedelta(seconds=119)
    assert service.attest(body).status_code == 200
    service.clock.instant = AT + timedelta(seconds=121)
    assert refused(service, body) == ("10.1.nonce", "nonce-expired")


@pytest.mark.parametrize("offset", [0, 31, 32, 63])
def test_report_data_of_a_td_is_compared_whole(service: Service, offset: int) -> None:
    """SHA-512 fills all of it: the half that SGX leaves at zero counts too."""
    nonce = service.nonce()
    changed = bytearray(td_bound(nonce, KEY))
    changed[offset] ^= 1
    quote = service.platform.td_quote(TD, bytes(changed))
    body = {**evidence(service, "TDX", nonce), "quote": b64(quote)}
    assert refused(service, body) == ("10.2.report_data", "report-data-mismatch")


def test_an_enclave_cannot_bind_as_a_td_does(service: Service) -> None:
    nonce = service.nonce()
    quote = service.platform.quote(ENCLAVE, td_bound(nonce, KEY))
    body = {**evidence(service, "SGX", nonce), "quote": b64(quote)}
    assert refused(service, body) == ("10.2.report_data", "report-data-mismatch")
    assert bound(nonce, KEY)[32:] == bytes(32)


def test_a_host_that_gives_an_old_quote_again_gets_no_second_token(service: Service) -> None:
    client = session(service, Replaying(SimulatedEvidenceSource(service.platform, ENCLAVE)), userdata="data")
    assert client.token()
    with pytest.raises(NotGenuine) as caught:
        client.token()
    assert (caught.value.step, caught.value.code) == ("10.2.report_data", "report-data-mismatch")


BROKER: Final = {"kbs_url": "https://127.0.0.1:9443/kbs/v1/keys/", "kbs_keyid": "a-key"}


def test_without_userdata_the_clients_own_key_is_held_as_the_broker_reads_it(service: Service) -> None:
    client = session(service, SimulatedEvidenceSource(service.platform, ENCLAVE), **BROKER)
    one, two = (held(client.token()) for _ in range(2))
    assert one is not None
    assert one == two, "one process, one key"
    assert decode_held_key(one, tee="SGX").key_size == 3072


def test_with_userdata_the_applications_bytes_are_held(service: Service) -> None:
    client = session(service, SimulatedEvidenceSource(service.platform, ENCLAVE), userdata="the app's key\n", **BROKER)
    assert held(client.token()) == b"the app's key\n"


def test_each_process_has_a_key_of_its_own_and_writes_none(service: Service, tmp_path: Path) -> None:
    service.platform.save(tmp_path / "platform")
    place = tmp_path / "place"
    place.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMBER_")}
    everywhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"), str(place))
    environ = {
        **kept,
        **everywhere,
        "AMBER_URL": f"https://127.0.0.1:{service.port}/appraisal/v1/",
        "AMBER_APIKEY": service.api_key,
        "AMBER_CACERTS": str(service.ca),
        "AMBER_KBS_URL": BROKER["kbs_url"],
        "AMBER_KBS_KEYID": BROKER["kbs_keyid"],
        "AMBER_SIMULATOR": str(tmp_path / "platform"),
    }
    keys = []
    for _ in range(2):
        done = subprocess.run(
            [*AMBER, "token", "get", "--simulate"], cwd=place, env=environ, capture_output=True, check=True, timeout=60
        )
        found = held(done.stdout.decode().strip())
        assert found is not None
        keys.append(decode_held_key(found, tee="SGX").public_numbers().n)
    assert keys[0] != keys[1]
    assert list(place.iterdir()) == []
