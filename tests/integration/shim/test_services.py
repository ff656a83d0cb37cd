"""The shim and both services over real TLS: tokens that hold, secrets that arrive, refusals that tell."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.integration.devices.conftest import SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.shim.conftest import Place


def claims(token: str) -> Mapping[str, object]:
    payload = token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(decoded, dict)
    return decoded


def test_readers_at_once_have_tokens_of_their_own(served: Place) -> None:
    done = served.run(str(served.program), "threads", "8", "2", "/dev/amber/token", kind="session")
    tokens = [claims(line) for line in done.stdout.decode().splitlines()]
    assert len({str(token["jti"]) for token in tokens}) == 16
    assert len({json.dumps(token["verifier_nonce"]) for token in tokens}) == 16


def test_a_secret_arrives_byte_for_byte(served: Place) -> None:
    done = served.shell("cat /dev/amber/secret; head -1 /dev/amber/status >&2", kind="session")
    assert (done.stdout, done.stderr) == (SECRET, b"[INFO] provisioned\n")


def test_userdata_is_what_the_token_holds(served: Place) -> None:
    done = served.shell("printf 'data\\n' > /dev/amber/userdata; cat < /dev/amber/token", kind="session")
    assert claims(done.stdout.decode())["attester_held_data"] == base64.b64encode(b"data\n").decode()


def test_a_wrong_api_key_is_eacces_and_status_says_why(served: Place) -> None:
    script = "cat /dev/amber/token; head -1 /dev/amber/status; echo token > /dev/amber/renew; head -1 /dev/amber/status"
    done = served.shell(script, kind="session", AMBER_APIKEY="bm90LWEtcmVhbC1rZXk=")
    assert b"Permission denied" in done.stderr
    first, second = done.stdout.decode().splitlines()
    assert first == second
    assert first.startswith("[ERROR] Token retrieval failed with error: the attestation service: ")


def test_another_program_is_refused_its_secret(served: Place) -> None:
    done = served.run("/bin/cat", "/dev/amber/secret", kind="session")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Permission denied" in done.stderr
