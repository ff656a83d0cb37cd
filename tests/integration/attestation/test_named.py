"""Named policies in the way of a request, over real sockets: which count, what tokens tell of them, and refusals."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from tests.integration.attestation.managed import DOES_NOT, MATCHES, PATH, Managed, managed
from tests.integration.attestation.scene import ENCLAVE

from ambergate.simulator.cpu import SIMULATED_SIGNER
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from ambergate.services.web.server import TlsFiles

TYPED = f'[[sgx]]\nmr_signer = ["{SIMULATED_SIGNER.hex()}"]\nisv_prod_id = [0]\nminimum_isv_svn = 3\n'
OTHERS = f'[[sgx]]\nmr_signer = ["{SIMULATED_SIGNER.hex()}"]\nisv_prod_id = [7]\nminimum_isv_svn = 9\n'
EXPORTS = 'get_token_fields[token_fields] { token_fields := { "tier": input.sgx_isvsvn } }\n'
CUSTOM = "Token customization policy"


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    with managed(tmp_path_factory.mktemp("named"), tls) as site:
        yield site


@pytest.fixture(scope="module")
def ids(site: Managed) -> dict[str, str]:
    made = {
        "matches": site.made("matches", MATCHES),
        "does-not": site.made("does-not", DOES_NOT),
        "typed": site.made("typed", TYPED, policy_language="typed"),
        "others": site.made("others", OTHERS, policy_language="typed"),
        "exports": site.made("exports", EXPORTS, policy_type=CUSTOM),
    }
    site.known()
    return {name: policy["policy_id"] for name, policy in made.items()}


def asked(site: Managed, by: httpx.Client | None = None, **more: object) -> httpx.Response:
    return (by or site.service.client).post("/appraisal/v1/attest", json={**site.service.evidence(None), **more})


def claims(site: Managed, answer: httpx.Response) -> Mapping[str, Any]:
    return site.service.claims(answer).raw


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    return dict(answer.json())


def listed(claim: list[dict[str, str]]) -> list[str]:
    return [each["id"] for each in claim]


def test_no_policies_no_claims(site: Managed) -> None:
    """Clients refuse a claim of policies that is null or empty."""
    assert not [name for name in claims(site, asked(site)) if name.startswith("policy")]


def test_a_token_tells_what_matched_and_what_did_not(site: Managed, ids: dict[str, str]) -> None:
    wanted = [ids["matches"], ids["does-not"], ids["typed"], ids["others"]]
    found = claims(site, asked(site, policy_ids=wanted))
    assert listed(found["policy_ids_matched"]) == [ids["matches"], ids["typed"]]
    assert listed(found["policy_ids_unmatched"]) == [ids["does-not"], ids["others"]]
    first = found["policy_ids_matched"][0]
    assert first["version"] == "v1"
    digest = base64.b64encode(hashlib.sha384(MATCHES.encode()).digest())
    assert first["hash"] in {digest.decode(), base64.b64encode(digest).decode()}


def test_a_policy_adds_claims(site: Managed, ids: dict[str, str]) -> None:
    found = claims(site, asked(site, policy_ids=[ids["exports"], ids["matches"]]))
    assert found["policy_defined_claims"] == {"tier": 3}


def test_what_must_match_and_does_not_gets_no_token(site: Managed, ids: dict[str, str]) -> None:
    """Every rule of every policy that did not match is told: its policy, what it saw, what it wanted."""
    wanted = [ids["matches"], ids["does-not"], ids["others"]]
    body = told(asked(site, policy_ids=wanted, policy_must_match=True))
    assert body["code"] == "policy-unmatched"
    assert {each["policy"] for each in body["mismatches"]} == {ids["does-not"], ids["others"]}
    assert {each["policy_name"] for each in body["mismatches"]} == {"does-not", "others"}
    assert {each["policy_version"] for each in body["mismatches"]} == {"v1"}
    typed = [each for each in body["mismatches"] if each["policy_name"] == "others"]
    assert {(each["seen"], each["wanted"]) for each in typed} >= {("3", ">= 9")}
    rego = [each for each in body["mismatches"] if each["policy_name"] == "does-not"]
    assert any("3" in each["seen"] for each in rego), rego
    assert all(each["rule"] and each["wanted"] for each in body["mismatches"])
    assert "does-not" in body["error"]
    assert "seen 3, wanted >= 9" in body["error"], "who reads nothing but `error` is told too"


def test_what_must_match_and_does(site: Managed, ids: dict[str, str]) -> None:
    answer = asked(site, policy_ids=[ids["matches"], ids["typed"], ids["exports"]], policy_must_match=True)
    assert "policy_ids_unmatched" not in claims(site, answer)


def test_must_match_without_policies_asks_nothing(site: Managed) -> None:
    claims(site, asked(site, policy_must_match=True))


def test_a_keys_policies_count_where_the_request_names_none(site: Managed, ids: dict[str, str]) -> None:
    with site.holder(Terms(policy_ids=(UUID(ids["does-not"]), UUID(ids["typed"])))) as holder:
        nothing: list[dict[str, object]] = [{}, {"policy_ids": []}, {"policy_ids": None}]
        for none in nothing:
            found = claims(site, asked(site, holder, **none))
            assert listed(found["policy_ids_unmatched"]) == [ids["does-not"]]
            assert listed(found["policy_ids_matched"]) == [ids["typed"]]
        assert told(asked(site, holder, policy_must_match=True))["code"] == "policy-unmatched"
        found = claims(site, asked(site, holder, policy_ids=[ids["matches"]], policy_must_match=True))
        assert listed(found["policy_ids_matched"]) == [ids["matches"]], "those of the request replace them"


def test_a_key_whose_policies_must_match(site: Managed, ids: dict[str, str]) -> None:
    """No request takes that back."""
    with site.holder(Terms(policy_ids=(UUID(ids["does-not"]),), policy_must_match=True)) as holder:
        for said in (None, False, True):
            assert told(asked(site, holder, policy_must_match=said))["code"] == "policy-unmatched"
        assert told(asked(site, holder, policy_ids=[ids["others"]]))["code"] == "policy-unmatched"
        claims(site, asked(site, holder, policy_ids=[ids["typed"]]))


def test_a_policy_named_twice_is_judged_once(site: Managed, ids: dict[str, str]) -> None:
    found = claims(site, asked(site, policy_ids=[ids["matches"], ids["matches"].upper()]))
    assert listed(found["policy_ids_matched"]) == [ids["matches"]]


def test_one_that_is_not_here_is_a_refusal(site: Managed, ids: dict[str, str]) -> None:
    unknown = str(uuid4())
    body = told(asked(site, policy_ids=[ids["matches"], unknown]))
    assert body["code"] == "unknown-policy"
    assert body["mismatches"] == [{"rule": "policy_ids", "seen": unknown, "wanted": "a policy of this service"}]
    assert "the request names" in body["hint"]


def test_a_deleted_one_is_not_here(site: Managed) -> None:
    made = site.made("short-lived")["policy_id"]
    site.known()
    claims(site, asked(site, policy_ids=[made]))
    assert site.admin.delete(f"{PATH}/{made}").status_code == 204
    site.known()
    assert told(asked(site, policy_ids=[made]))["code"] == "unknown-policy"


def test_a_new_version_counts_within_seconds(site: Managed) -> None:
    made = site.made("changing")["policy_id"]
    site.known()
    assert claims(site, asked(site, policy_ids=[made]))["policy_ids_matched"][0]["version"] == "v1"
    assert site.admin.put(f"{PATH}/{made}", json={"policy": DOES_NOT}).status_code == 200
    site.known()
    assert claims(site, asked(site, policy_ids=[made]))["policy_ids_unmatched"][0]["version"] == "v2"


def test_the_services_own_policy_comes_first(site: Managed, ids: dict[str, str]) -> None:
    """No named policy lets in what that refuses."""
    body = {**site.service.evidence(None, enclave=replace(ENCLAVE, debug=True)), "policy_ids": [ids["matches"]]}
    refused = told(site.service.attest(body))
    assert [each["rule"] for each in refused["mismatches"]] == ["debug"]


def test_every_decision_says_by_which_policies(site: Managed, ids: dict[str, str]) -> None:
    """The audit record of a token and of a refusal cites each policy with version, hash and outcome."""
    for must_match in (False, True):
        asked(site, policy_ids=[ids["matches"], ids["does-not"]], policy_must_match=must_match)
        with contextlib.closing(sqlite3.connect(site.service.folder / "attestation.sqlite")) as database:
            (text,) = database.execute("SELECT record FROM audit_entries ORDER BY seq DESC LIMIT 1").fetchone()
        record = json.loads(text)
        assert record["verdict"] == ("refused" if must_match else "issued")
        assert [(each["id"], each["version"], each["matched"]) for each in record["policies"]] == [
            (ids["matches"], 1, True),
            (ids["does-not"], 1, False),
        ]
        assert record["policies"][0]["hash"] == hashlib.sha384(MATCHES.encode()).hexdigest()
        assert record["policies"][1]["mismatches"]
