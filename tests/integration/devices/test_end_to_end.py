"""A program, the files, and both services over real TLS: tokens that hold, secrets that arrive, refusals that tell."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import AMBER, SECRET, Client, Scene, compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the seed document's program does: one buffer of 8096 bytes, read until nothing more comes.
LIKE_THE_SEED = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char buffer[8096 + 1];
    size_t filled = 0;
    ssize_t count;
    int file = open("/dev/amber/token", O_RDONLY);
    if (file < 0) return 2;
    while ((count = read(file, buffer + filled, 8096 - filled)) != 0) {
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count < 0) return 3;
        filled += (size_t)count;
    }
    if (close(file) != 0) return 4;
    buffer[filled] = 0;
    printf("Read from %s: \n%s\n", "/dev/amber/token", buffer);
    return 0;
}
"""
VECTORS = Path(os.environ.get("AMBER_VECTORS", Path(__file__).parents[4] / "shared" / "vectors"))
SEED = VECTORS.parent / "specs" / "seed-gramine-integration.md"


@pytest.fixture
def client(scene: Scene, tmp_path: Path) -> Client:
    return scene.client(tmp_path)


def claims(token: str) -> Mapping[str, object]:
    payload = token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(decoded, dict)
    return decoded


def checked(scene: Scene, token: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """What `amber token check` says of a token."""
    place = scene.stage.folder
    return subprocess.run(
        [
            *(*AMBER, "token", "check", "-", "--jwks", f"{scene.stage.attestation_url}/certs", "--cacerts"),
            *(str(place / "ca.pem"), "--issuer", scene.stage.issuer, "--accept-simulated", "--json", *flags),
        ],
        input=token,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.fuse
@pytest.mark.usefixtures("with_fuse")
class TestByFuse:
    def test_a_program_like_the_seeds_prints_a_token_that_holds(
        self, scene: Scene, client: Client, tmp_path: Path
    ) -> None:
        (tmp_path / "program.c").write_text(LIKE_THE_SEED)
        program = compiled(tmp_path / "program.c", tmp_path / "program")
        self.prints_a_token_that_holds(scene, client, program)

    def test_the_seeds_own_program_prints_a_token_that_holds(
        self, scene: Scene, client: Client, tmp_path: Path
    ) -> None:
        if not SEED.exists():
            pytest.skip(f"the seed document is not at {SEED}")
        code = re.search(r"```golang\n@@[^\n]*\n(.*?)```", SEED.read_text(), re.DOTALL)
        assert code is not None
        (tmp_path / "seed.c").write_text(code.group(1))
        self.prints_a_token_that_holds(scene, client, compiled(tmp_path / "seed.c", tmp_path / "seed"))

    @staticmethod
    def prints_a_token_that_holds(scene: Scene, client: Client, program: Path) -> None:
        done = client.run(str(program))
        assert (done.returncode, done.stderr) == (0, b"")
        first, token = done.stdout.decode().splitlines()
        assert first == "Read from /dev/amber/token: "
        measured = client.call("simulator", "quote", client.environ["AMBER_SIMULATOR"], *measure_flags(client, program))
        mr_enclave = json.loads(measured.stdout)["mr_enclave"]
        assert checked(scene, token, "--require", f"sgx_mrenclave={mr_enclave}").returncode == 0
        changed = token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:]
        assert checked(scene, changed).returncode == 3

    def test_each_open_gives_a_token_of_its_own(self, client: Client, reader: Path) -> None:
        done = client.run(str(reader), "/dev/amber/token", "/dev/amber/token")
        first, second = done.stdout.decode().split()
        assert claims(first)["jti"] != claims(second)["jti"]
        assert claims(first)["verifier_nonce"] != claims(second)["verifier_nonce"]
        assert claims(first)["attester_held_data"] == claims(second)["attester_held_data"]

    def test_readers_at_once_have_tokens_of_their_own(self, client: Client) -> None:
        script = (
            "for i in 1 2 3 4 5 6 7 8; do (cat /dev/amber/token > t$i) & done; wait; for i in t*; do cat $i; echo; done"
        )
        tokens = client.shell(script).stdout.decode().split()
        assert len({str(claims(token)["jti"]) for token in tokens}) == 8

    def test_status_tells_what_happened(self, client: Client) -> None:
        done = client.shell("cat /dev/amber/token > /dev/null; cat /dev/amber/status")
        lines = done.stdout.decode().splitlines()
        assert lines[0] == "[INFO] renewed"
        details = dict(line.split(": ", 1) for line in lines[1:])
        assert details["step"] == "attest"
        assert details["http_status"] == "200"
        assert details["tcb_status"] == "UpToDate"
        assert details["request_id"].startswith("amber-")

    @pytest.mark.parametrize("envelope", ["RSA-OAEP-256", "ECDH-ES+A256KW"])
    def test_a_secret_arrives_by_jwe(self, client: Client, envelope: str) -> None:
        done = client.shell("cat /dev/amber/secret", AMBER_KBS_ENVELOPE=envelope)
        assert (done.returncode, done.stdout) == (0, SECRET)

    def test_a_secret_arrives_byte_for_byte(self, client: Client) -> None:
        done = client.shell("cat /dev/amber/secret; head -1 /dev/amber/status >&2")
        assert done.stdout == SECRET
        assert done.stderr == b"[INFO] provisioned\n"

    def test_userdata_is_what_the_token_holds(self, client: Client) -> None:
        done = client.shell("printf 'data\\n' > /dev/amber/userdata; cat /dev/amber/token")
        assert claims(done.stdout.decode())["attester_held_data"] == base64.b64encode(b"data\n").decode()

    def test_renew_says_how_it_went(self, client: Client) -> None:
        done = client.shell("echo secret > /dev/amber/renew && cat /dev/amber/renew /dev/amber/status")
        assert done.stdout.decode().startswith("secret[INFO] provisioned\n")
        refused = client.shell("echo token > /dev/amber/renew", AMBER_APIKEY="bm90LWEtcmVhbC1rZXk=")
        assert refused.returncode != 0

    def test_a_wrong_api_key_is_eacces_and_is_not_in_status(self, client: Client, reader: Path) -> None:
        key = "bm90LWEtcmVhbC1rZXk="
        done = client.run(str(reader), "/dev/amber/token", "/dev/amber/status", AMBER_APIKEY=key)
        assert done.returncode == 1
        assert b"read /dev/amber/token: Permission denied" in done.stderr
        told = done.stdout.decode()
        assert told.startswith("[ERROR] Token retrieval failed with error: the attestation service: ")
        assert "http_status: 401\n" in told
        assert key not in told

    def test_the_key_written_at_run_time_is_used(self, scene: Scene, client: Client) -> None:
        script = 'cat /dev/amber/token || { echo "$KEY" > /dev/amber/endpoint_apikey; cat /dev/amber/token; }'
        done = client.shell(script, AMBER_APIKEY="", KEY=scene.api_key)
        assert claims(done.stdout.decode())["attester_type"] == "SGX"

    def test_another_program_is_refused_its_secret_by_rule(self, client: Client) -> None:
        done = client.run("/bin/cat", "/dev/amber/secret")
        assert done.returncode == 1
        assert done.stdout == b""
        assert b"Permission denied" in done.stderr

    def test_a_refused_secret_is_told_with_its_rule(self, client: Client) -> None:
        script = "cat /dev/amber/secret || cat /dev/amber/status"
        done = client.run("/usr/bin/env", "/bin/sh", "-c", script)  # it is `env` that is measured
        told = done.stdout.decode()
        assert told.startswith("[ERROR] provision rejected: the key broker: ")
        assert "http_status: 401\n" in told
        assert "rule mr_enclave: seen " in told

    def test_a_service_that_is_gone_is_an_errno_and_status_says_why(self, client: Client, reader: Path) -> None:
        done = client.run(str(reader), "/dev/amber/token", "/dev/amber/status", AMBER_URL="https://127.0.0.1:1/")
        assert done.returncode == 1
        assert b"Connection refused" in done.stderr
        lines = done.stdout.decode().splitlines()
        assert lines[0] == "[ERROR] Token retrieval failed with error: 127.0.0.1:1 refuses the connection"
        assert "hint: is the service running?" in lines

    def test_a_service_of_another_root_is_not_spoken_to(self, client: Client, reader: Path, scene: Scene) -> None:
        environ = {name: value for name, value in scene.environ.items() if name != "AMBER_CACERTS"}
        done = Client(client.folder, environ).run(str(reader), "/dev/amber/token", "/dev/amber/status")
        assert b"read /dev/amber/token: Input/output error" in done.stderr
        assert "code: tls-not-trusted" in done.stdout.decode().splitlines()

    def test_the_address_decides_where_and_the_name_decides_whom(self, client: Client, scene: Scene) -> None:
        port = scene.stage.attestation_url.rsplit(":", 1)[1]
        named = {"AMBER_URL": f"https://localhost:{port}/appraisal/v1/"}
        assert client.shell("cat /dev/amber/token", AMBER_IP="127.0.0.1", **named).returncode == 0
        other = {"AMBER_URL": f"https://other.example:{port}/appraisal/v1/"}
        done = client.shell("cat /dev/amber/token; cat /dev/amber/status", AMBER_IP="127.0.0.1", **other)
        assert b"code: tls-not-trusted" in done.stdout

    def test_a_manifest_as_the_seed_writes_it_is_enough(self, client: Client, scene: Scene, reader: Path) -> None:
        (client.folder / "app.manifest").write_text(
            f"""
            sgx.remote_attestation = "dcap"
            sgx.amber_ip = "127.0.0.1"
            sgx.amber_url = "{scene.stage.attestation_url}/appraisal/v1/"
            sgx.amber_apikey = "{scene.api_key}"
            sgx.amber_cacerts = "{scene.stage.folder}/ca.pem"
            sgx.kbs_url = "{scene.stage.broker_url}/kbs/v1/keys/"
            sgx.kbs_keyid = "{scene.environ["AMBER_KBS_KEYID"]}"
            """
        )
        bare = {name: value for name, value in scene.environ.items() if not name.startswith("AMBER_")}
        flags = ("--manifest", "app.manifest", "--simulator", scene.environ["AMBER_SIMULATOR"])
        done = Client(client.folder, bare).run(str(reader), "/dev/amber/secret", flags=flags)
        assert done.stdout == SECRET + b"\n"
        assert b"readable by everyone" in done.stderr


class TestByDirectory:
    def test_a_program_finds_the_files_by_amber_dir(self, client: Client) -> None:
        script = 'cat "$AMBER_DIR/secret"; stat -c "%a %n" "$AMBER_DIR"/* "$AMBER_DIR" >&2'
        done = client.call("run", "--simulate", "--delivery", "directory", "--", "/bin/sh", "-c", script)
        assert done.stdout == SECRET
        modes = [row.split() for row in done.stderr.decode().splitlines() if re.match(r"\d+ /", row)]
        assert modes[-1][0] == "700"
        assert {mode for mode, _ in modes[:-1]} == {"400"}
        assert not Path(modes[-1][1]).exists()

    def test_a_token_that_cannot_be_had_stops_the_start(self, client: Client) -> None:
        arguments = ("run", "--simulate", "--delivery", "directory", "--", "/bin/echo", "started")
        done = client.call(*arguments, AMBER_URL="https://127.0.0.1:1/")
        assert done.returncode == 5
        assert b"started" not in done.stdout
        assert b"refuses the connection" in done.stderr

    def test_the_exit_code_is_the_programs(self, client: Client) -> None:
        arguments = ("run", "--simulate", "--delivery", "directory", "--", "/bin/sh", "-c", "kill -USR1 $$")
        assert client.call(*arguments).returncode == 138


class TestCommands:
    def test_token_get_prints_a_token_that_holds(self, scene: Scene, client: Client) -> None:
        done = client.call("token", "get", "--simulate", "--program", "/bin/sh")
        assert checked(scene, done.stdout.decode().strip()).returncode == 0

    def test_token_get_tells_machines(self, client: Client) -> None:
        told = json.loads(client.call("token", "get", "--simulate", "--json").stdout)
        assert told["notes"]["tcb_status"] == "UpToDate"
        assert claims(told["token"])["attester_type"] == "SGX"

    def test_secret_get_writes_a_file_for_its_owner(self, client: Client) -> None:
        done = client.call("secret", "get", "--simulate", "--program", "/bin/sh", "-o", "secret.bin")
        assert (done.returncode, done.stdout) == (0, b"")
        assert (client.folder / "secret.bin").read_bytes() == SECRET
        assert (client.folder / "secret.bin").stat().st_mode & 0o777 == 0o600

    def test_secret_get_tells_machines(self, client: Client) -> None:
        told = json.loads(client.call("secret", "get", "--simulate", "--program", "/bin/sh", "--json").stdout)
        assert base64.b64decode(told["secret"]) == SECRET

    def test_secret_get_refused_is_exit_code_3(self, client: Client) -> None:
        done = client.call("secret", "get", "--simulate", "--program", "/bin/cat", "--json")
        assert done.returncode == 3
        assert json.loads(done.stdout)["error"]["mismatches"]


def measure_flags(client: Client, program: Path) -> tuple[str, ...]:
    quote = str(client.folder / "quote")
    return ("--report-data", "00" * 64, "-o", quote, "--program", str(program), "--json")
