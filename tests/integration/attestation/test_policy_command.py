"""`amber policy` that manages: on the service's own database, and over the wire against the running service."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from tests.integration.attestation.managed import DOES_NOT, MATCHES, Managed, managed
from tests.unit.token.test_policy_jwt import certificate, der, signed

from ambergate.cli.main import main
from ambergate.core.token.policy_jwt import CLAIM
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from ambergate.services.web.server import TlsFiles

TYPED = '[[sgx]]\nmr_enclave = ["' + "ab" * 32 + '"]\n'


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    with managed(tmp_path_factory.mktemp("command"), tls) as site:
        (site.service.folder / "admin.key").write_text(site.admin.headers["x-api-key"] + "\n")
        yield site


@pytest.fixture(params=["local", "remote"])
def where(site: Managed, request: pytest.FixtureRequest) -> tuple[str, ...]:
    return local(site) if request.param == "local" else remote(site)


def local(site: Managed) -> tuple[str, ...]:
    return "--config", str(site.service.folder / "attestation.toml")


def remote(site: Managed, key: str = "admin.key") -> tuple[str, ...]:
    folder = site.service.folder
    url = f"https://127.0.0.1:{site.service.port}"
    return "--url", url, "--apikey-file", str(folder / key), "--cacerts", str(site.service.ca)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "one.rego").write_text(MATCHES)
    (tmp_path / "two.rego").write_text(DOES_NOT)
    (tmp_path / "wrong.rego").write_text("default a = false\na = true { input.nothing == 1 }\n")
    (tmp_path / "typed.toml").write_text(TYPED)
    lasting = base64.b64encode(der(certificate(days=36500))).decode()  # the command line's clock is the real one
    (tmp_path / "signed.rego").write_text(signed(claims={CLAIM: MATCHES}, x5c=[lasting]))
    return tmp_path


def amber(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def said(*arguments: object, code: int = 0) -> Any:  # noqa: ANN401  any JSON
    return json.loads(amber(*arguments, "--json", code=code).stdout)


def fresh(word: str) -> str:
    return f"{word}-{uuid4().hex[:8]}"


def test_a_policys_life(site: Managed, where: tuple[str, ...], files: Path) -> None:
    name = fresh("life")
    made = amber("create", files / "one.rego", "--name", name, *where)
    identity = made.stdout.strip()
    assert UUID(identity).version == 4
    assert f"{name} v1, Appraisal policy, not signed" in made.stderr
    assert name in amber("list", *where).stdout
    assert amber("show", name, *where).stdout == MATCHES
    changed = said("update", name, "--file", files / "two.rego", *where)
    assert (changed["version"], changed["policy"], changed["policy_language"]) == ("v2", DOES_NOT, "rego")
    renamed = fresh("life")
    assert said("update", identity, "--name", renamed, *where)["policy_name"] == renamed
    shown = said("show", renamed, *where)
    assert (shown["policy_id"], shown["version"], shown["policy"]) == (identity, "v3", DOES_NOT)
    assert shown["creator_id"] == (str(site.admin_id) if "--url" in where else str(UUID(int=0)))
    assert identity in [each["policy_id"] for each in said("list", *where)]
    assert amber("delete", renamed, *where).stdout == f"{identity} is deleted\n"
    assert said("show", identity, *where, code=1)["error"]["code"] == "unknown-policy"


def test_languages_and_kinds(where: tuple[str, ...], files: Path) -> None:
    assert said("create", files / "typed.toml", "--name", fresh("typed"), *where)["policy_language"] == "typed"
    custom = said("create", files / "one.rego", "--name", fresh("custom"), "--kind", "appraisal", *where)
    assert custom["policy_type"] == "Appraisal policy"
    (files / "unnamed").write_text(TYPED)
    amber("create", files / "unnamed", "--name", fresh("x"), *where, code=2)
    amber("create", files / "unnamed", "--name", fresh("x"), "--language", "typed", *where)


def test_a_signed_one(where: tuple[str, ...], files: Path) -> None:
    made = said("create", files / "signed.rego", "--name", fresh("signed"), *where)
    assert (made["signed_by_tenant"], made["policy"]) == (True, MATCHES)


def test_mistakes_are_told_alike(where: tuple[str, ...], files: Path) -> None:
    """What the service says of a policy is what the command line says of it, with the same exit code."""
    name = fresh("mistakes")
    wrong = amber("create", files / "wrong.rego", "--name", name, *where, code=4)
    assert "2" in wrong.stderr
    assert said("create", files / "one.rego", "--name", "x", *where, code=4)["error"]["code"] == "malformed-policy"
    amber("create", files / "one.rego", "--name", name, *where)
    taken = said("create", files / "one.rego", "--name", name, *where, code=1)
    assert taken["error"]["code"] == "policy-name-taken"
    for nothing in ("show", "delete"):
        assert said(nothing, "never-made", *where, code=1)["error"]["code"] == "unknown-policy"
    amber("update", name, *where, code=2)
    amber("create", files / "none.rego", "--name", name, *where, code=2)


def test_older_versions_are_shown_where_they_are(site: Managed, files: Path) -> None:
    name = fresh("older")
    identity = said("create", files / "one.rego", "--name", name, *local(site))["policy_id"]
    amber("update", name, "--file", files / "two.rego", *local(site))
    amber("delete", name, *local(site))
    old = said("show", identity, "--version", 1, *local(site))
    assert (old["policy"], old["version"], old["deleted"]) == (MATCHES, "v1", True)
    assert said("show", identity, "--version", 3, *local(site), code=1)["error"]["code"] == "unknown-policy"
    assert "own machine" in amber("show", identity, "--version", 1, *remote(site), code=1).stderr


def test_attached_it_counts_for_a_key(site: Managed, files: Path) -> None:
    name, other = fresh("attached"), fresh("attached")
    identity = amber("create", files / "two.rego", "--name", name, *local(site)).stdout.strip()
    second = amber("create", files / "one.rego", "--name", other, *local(site)).stdout.strip()
    with site.holder(Terms()) as holder:
        (key,) = (each.id for each in site.state.api_keys.all() if each.label == "somebody")
        body = site.service.evidence(None)
        assert holder.post("/appraisal/v1/attest", json=body).status_code == 200
        told = said("attach", name, "--key", key, "--must-match", *local(site))
        assert told == {"id": str(key), "policy_ids": [identity], "policy_must_match": True}
        told = said("attach", second, "--key", key, *local(site))
        assert told == {"id": str(key), "policy_ids": [identity, second], "policy_must_match": True}
        assert said("attach", second, "--key", key, *local(site)) == told, "again: as before"
        site.known()
        refused = holder.post("/appraisal/v1/attest", json=body)
        assert refused.json()["code"] == "policy-unmatched"
        assert said("delete", name, *local(site), code=1)["error"]["code"] == "policy-attached"
        assert "1 policies, all must match" in amber("detach", name, "--key", key, *local(site)).stdout
        site.known()
        assert holder.post("/appraisal/v1/attest", json=body).status_code == 200
        assert said("attach", second, "--key", key, "--need-not-match", *local(site))["policy_must_match"] is False
    assert (
        said("attach", name, "--key", uuid4(), *local(site), code=1)["error"]["hint"] == "amber apikey list shows them"
    )
    assert said("attach", "never-made", "--key", key, *local(site), code=1)["error"]["code"] == "unknown-policy"
    amber("attach", name, "--key", "42", *local(site), code=1)


def test_who_may_not_manage(site: Managed, files: Path) -> None:
    folder = site.service.folder
    (folder / "attest.key").write_text(site.service.api_key)
    (folder / "wrong.key").write_text("wrong")
    for key, code in (("attest.key", "not-permitted"), ("wrong.key", "bad-api-key")):
        for command in (("list",), ("create", files / "one.rego", "--name", "never"), ("delete", uuid4())):
            assert said(*command, *remote(site, key), code=3)["error"]["code"] == code


def test_where_the_policies_are_is_said_once(site: Managed, tmp_path: Path) -> None:
    amber("list", code=1)
    amber("list", *local(site), *remote(site), code=1)
    amber("list", "--url", f"https://127.0.0.1:{site.service.port}", code=1)
    key = remote(site)[2:4]
    amber("list", "--url", f"http://127.0.0.1:{site.service.port}", *key, code=1)
    assert "Unavailable" not in amber("list", "--url", f"https://127.0.0.1:{site.service.port}", *key, code=5).stderr
    amber("list", "--url", "https://127.0.0.1:1", *remote(site)[2:], code=5)
    (tmp_path / "roots.pem").write_text("none")
    amber("list", *remote(site)[:4], "--cacerts", tmp_path / "roots.pem", code=1)
