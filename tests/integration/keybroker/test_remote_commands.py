"""`amber keybroker` about a running broker: the same commands, over HTTPS, as one of its users."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.integration.keybroker.forge import MR_ENCLAVE, Forge
from tests.integration.keybroker.scene import PASSWORD, Broker, Person

from ambergate.cli.main import main
from ambergate.core.release.envelope import open_sealed

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


class Remote:
    """A person at another machine."""

    def __init__(self, broker: Broker, ca: Path, folder: Path, *permissions: str) -> None:
        self.person = Person(broker, *permissions)
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "policy.toml").write_text(f'mr_enclave = "{MR_ENCLAVE}"\n')
        self.folder = folder
        self.options = ["--url", f"https://127.0.0.1:{broker.port}", "--cacerts", str(ca)]
        self.options += ["--user", self.person.name, "--user-password-file", str(folder / "password")]

    def run(self, *args: str, give: bytes | str | None = None) -> Result:
        command = [arg.replace("POLICY", str(self.folder / "policy.toml")) for arg in args]
        return CliRunner().invoke(main, ["keybroker", *command, *self.options], input=give, catch_exceptions=False)

    def told(self, *args: str, give: bytes | str | None = None) -> Any:  # noqa: ANN401  any JSON
        done = self.run(*args, "--json", give=give)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def remote(broker: Broker, ca: Path, tmp_path: Path) -> Remote:
    return Remote(broker, ca, tmp_path)


def released(broker: Broker, forge: Forge, key_id: str) -> bytes | int:
    response = broker.transfer(forge.token(), key_id)
    if response.status_code != 200:
        return response.status_code
    return open_sealed(forge.workload_key, *(b64decode(response.json()[n]) for n in ("wrapped_key", "wrapped_swk")))


def test_a_key_over_its_life(broker: Broker, remote: Remote, forge: Forge) -> None:
    made = remote.run("key", "import", "--policy", "POLICY", "--label", "from afar", give=b"first \x00\xff")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert released(broker, forge, key) == b"first \x00\xff"
    assert key in remote.run("key", "list").stdout
    assert remote.run("key", "rotate", "--id", key).stdout == f"{key} is at version 2\n"
    assert remote.told("key", "disable", "--id", key, "--version", "1")["versions"][0]["state"] == "disabled"
    assert "all versions enabled" in remote.run("key", "enable", "--id", key).stdout
    assert remote.told("key", "destroy", "--id", key, "--version", "1")["destroyed"] == [1]
    shown = remote.told("key", "versions", "--id", key)
    assert [each["state"] for each in shown["versions"]] == ["destroyed", "enabled"]
    other = remote.told("policy", "create", "POLICY")["id"]
    assert remote.told("key", "set-policy", "--id", key, "--policy-id", other)["transfer_policy_id"] == other
    assert remote.told("key", "delete", "--id", key) == {"id": key, "deleted": True}
    assert remote.run("key", "versions", "--id", key).exit_code == 1


def test_keys_are_made_of_each_kind(remote: Remote) -> None:
    aes = remote.told("key", "generate", "--policy", "POLICY", "--algorithm", "AES", "--bits", "256")
    assert (aes["algorithm"], aes["bits"]) == ("AES", 256)
    again = remote.told("key", "generate", "--policy-id", aes["policy_id"])
    assert (again["algorithm"], again["policy_id"]) == ("OPAQUE", aes["policy_id"])


def test_policies(remote: Remote) -> None:
    policy = remote.told("policy", "create", "POLICY")
    assert policy in remote.told("policy", "list")
    assert f"mr_enclave = {MR_ENCLAVE}" in remote.run("policy", "show", policy["id"]).stdout
    assert remote.run("policy", "delete", policy["id"]).exit_code == 0
    assert remote.run("policy", "show", policy["id"]).exit_code == 1


def test_users(broker: Broker, remote: Remote) -> None:
    (remote.folder / "new").write_text("a good password\n")
    name = f"clerk-of-{remote.person.name}"
    given = ("--password-file", str(remote.folder / "new"))
    made = remote.told("user", "create", name, "--permission", "keys:search", *given)
    assert (made["username"], made["permissions"]) == (name, ["keys:search"])
    assert made in remote.told("user", "list")
    assert remote.told("user", "grant", name, "--permission", "keys:create")["permissions"] == ["keys:create"]
    assert remote.run("user", "password", name, *given).exit_code == 0
    assert name in remote.run("user", "list").stdout
    assert remote.run("user", "delete", name).exit_code == 0
    assert remote.run("user", "delete", name).exit_code == 1
    assert broker.state.users.named(name) is None


def test_what_a_user_may_not_is_refused(broker: Broker, ca: Path, tmp_path: Path) -> None:
    clerk = Remote(broker, ca, tmp_path, "keys:search")
    assert clerk.run("key", "list").exit_code == 0
    refused = clerk.run("policy", "create", "POLICY")
    assert (refused.exit_code, "may not do this" in refused.stderr) == (3, True)
    told = json.loads(clerk.run("policy", "create", "POLICY", "--json").stdout)
    assert told["error"]["code"] == "not-permitted"


def test_a_wrong_password_is_refused(broker: Broker, remote: Remote) -> None:
    (remote.folder / "password").write_text("wrong wrong\n")
    assert remote.run("key", "list").exit_code == 3
    broker.state.failures.forget("address 127.0.0.1")


def test_a_password_is_asked_for(remote: Remote) -> None:
    remote.options = remote.options[:-2]
    done = remote.run("key", "list", give=PASSWORD + "\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output


def test_one_broker_is_named(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "broker.toml").write_text("")
    both = [*remote.options, "--config", str(tmp_path / "broker.toml")]
    for options, code in (([], 2), (both, 2), (remote.options[:4], 1)):
        done = CliRunner().invoke(main, ["keybroker", "key", "list", *options])
        assert done.exit_code == code, done.output


def test_a_broker_that_is_not_there(remote: Remote) -> None:
    remote.options[1] = "https://127.0.0.1:1"
    assert remote.run("key", "list").exit_code == 5


def test_what_only_the_brokers_machine_can(remote: Remote) -> None:
    refused = remote.run("key", "generate", "--policy", "POLICY", "--id", "ae6281b3-e4fe-3db5-82fd-000000000009")
    assert (refused.exit_code, "chooses the key's id" in refused.stderr) == (1, True)
    assert remote.run("key", "generate", "--policy", "POLICY", "--bytes", "16").exit_code == 1
    assert remote.run("key", "generate").exit_code == 2
