"""`/management/v1/policies` over real sockets, as the published command line speaks it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from tests.integration.attestation.managed import DOES_NOT, MATCHES, NONE, PATH, Managed, client, managed
from tests.integration.attestation.scene import AT, SIMULATED
from tests.unit.token.test_policy_jwt import X5C, certificate, signed, unsigned

from ambergate.core.token.policy_jwt import CLAIM
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from cryptography import x509

    from ambergate.services.web.server import TlsFiles

# Every member that the published command line knows: it refuses an answer with any other.
MEMBERS = {
    *("policy_id", "policy", "policy_name", "policy_type", "service_offer_id", "attestation_type", "creator_id"),
    *("updater_id", "deleted", "created_time", "modified_time", "policy_jwt", "policy_hash", "policy_signature"),
    *("version", "signed_by_tenant"),
}
TYPED = '[[sgx]]\nmr_signer = ["' + "ab" * 32 + '"]\nisv_prod_id = [1]\nminimum_isv_svn = 1\n'


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    with managed(tmp_path_factory.mktemp("managed"), tls) as site:
        yield site


def refusal(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["error"]
    return dict(told)


def test_create_list_show_update_delete(site: Managed) -> None:
    offer = str(uuid4())
    made = site.made("web-servers", service_offer_id=offer)
    assert set(made) == MEMBERS - {"policy_jwt"}
    assert UUID(made["policy_id"]).version == 4
    assert (made["policy"], made["policy_name"], made["policy_type"]) == (MATCHES, "web-servers", "Appraisal policy")
    assert (made["service_offer_id"], made["attestation_type"]) == (offer, "SGX Attestation")
    assert (made["version"], made["deleted"], made["signed_by_tenant"]) == ("v1", False, False)
    assert (made["creator_id"], made["updater_id"]) == (str(site.admin_id), str(site.admin_id))
    assert made["policy_hash"] == base64.b64encode(hashlib.sha384(MATCHES.encode()).digest()).decode()
    assert made["policy_signature"] == ""
    assert made["created_time"] == made["modified_time"]
    assert made["created_time"].endswith("Z")
    assert datetime.fromisoformat(made["created_time"]) == site.service.clock.instant

    one = f"{PATH}/{made['policy_id']}"
    shown = site.admin.get(one)
    assert (shown.status_code, shown.json(), shown.headers["policy-language"]) == (200, made, "rego")
    assert made in site.admin.get(PATH).json()

    site.service.clock.instant += timedelta(seconds=1)
    body = {"policy_id": made["policy_id"], "policy": DOES_NOT, "policy_name": "renamed"}
    changed = site.admin.put(one, json=body)
    assert changed.status_code == 200
    told = changed.json()
    assert set(told) == MEMBERS - {"policy_jwt"}
    assert (told["policy"], told["policy_name"], told["version"]) == (DOES_NOT, "renamed", "v2")
    assert told["created_time"] == made["created_time"] < told["modified_time"]
    assert site.admin.get(one).json() == told

    gone = site.admin.delete(one)
    assert (gone.status_code, gone.content) == (204, b"")
    assert refusal(site.admin.get(one), 404)["code"] == "unknown-policy"
    refusal(site.admin.put(one, json=body), 404)
    refusal(site.admin.delete(one), 404)
    assert made["policy_id"] not in {each["policy_id"] for each in site.admin.get(PATH).json()}


def test_what_is_not_sent_stays(site: Managed) -> None:
    made = site.made("stays", TYPED, policy_language="typed")
    one = f"{PATH}/{made['policy_id']}"
    renamed = site.admin.put(one, json={"policy_name": "stays-too", "policy": None, "policy_id": ""})
    assert (renamed.json()["policy"], renamed.json()["policy_name"]) == (TYPED, "stays-too")
    assert renamed.headers["policy-language"] == "typed"
    assert site.admin.put(one, json={}).json()["version"] == "v3", "each update is a version"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy_name": "x"}, "malformed-policy"),
        ({"policy_name": "with space"}, "malformed-policy"),
        ({"policy_name": None}, "malformed-policy"),
        ({"policy": None}, "malformed-policy"),
        ({"policy": ""}, "malformed-policy"),
        ({"policy": "no rego at all {"}, "malformed-policy"),
        ({"policy": "a" * 20_481}, "malformed-policy"),
        ({"policy": MATCHES, "policy_language": "typed"}, "malformed-policy"),
        (
            {"policy": TYPED, "policy_language": "typed", "policy_type": "Token customization policy"},
            "malformed-policy",
        ),
        ({"policy_language": "python"}, "malformed-request"),
        ({"policy_type": "Appraisal"}, "malformed-request"),
        ({"policy_type": None}, "malformed-request"),
        ({"policy_id": str(uuid4())}, "malformed-request"),
        ({"policy_id": "0"}, "malformed-request"),
        ({"service_offer_id": "none"}, "malformed-request"),
        ({"attestation_type": "x" * 65}, "malformed-request"),
        ({"attestation_type": "a\nb"}, "malformed-request"),
        ({"unknown": 1}, "malformed-request"),
        ({"policy": 1}, "malformed-request"),
        ({"policy": signed(claims={CLAIM: MATCHES, "exp": 1})}, "policy-signature"),
    ],
)
def test_what_is_no_policy(site: Managed, change: dict[str, Any], code: str) -> None:
    before = site.admin.get(PATH).json()
    assert refusal(site.admin.post(PATH, json={**site.body("never-made"), **change}))["code"] == code
    assert site.admin.get(PATH).json() == before


def test_a_mistake_in_rego_is_told_with_its_line(site: Managed) -> None:
    told = refusal(
        site.admin.post(PATH, json=site.body("mistaken", "default a = false\na = true { input.nothing == 1 }"))
    )
    assert "2" in json.dumps(told), "the line"


def test_a_name_is_taken_once(site: Managed) -> None:
    made = site.made("taken")
    told = refusal(site.admin.post(PATH, json=site.body("taken")))
    assert told["code"] == "policy-name-taken"
    assert made["policy_id"] in told["seen"]


def test_one_that_keys_name_stays(site: Managed) -> None:
    made = site.made("attached")
    terms = Terms(policy_ids=(UUID(made["policy_id"]),))
    with site.holder(terms):
        told = refusal(site.admin.delete(f"{PATH}/{made['policy_id']}"))
    assert told["code"] == "policy-attached"
    assert told["hint"]


@pytest.mark.parametrize("path", ["x", "1", NONE.replace("-", ""), "%00", "../nonce"])
def test_ids_that_are_none(site: Managed, path: str) -> None:
    for answer in (site.admin.get(f"{PATH}/{path}"), site.admin.delete(f"{PATH}/{path}")):
        assert answer.status_code in {400, 404}


def test_the_zero_id_is_nobodys(site: Managed) -> None:
    refusal(site.admin.get(f"{PATH}/{NONE}"), 404)


def test_media_types(site: Managed) -> None:
    assert site.admin.get(PATH, headers={"accept": "text/html"}).status_code == 415
    wrong = site.admin.post(PATH, content=json.dumps(site.body("xml")), headers={"content-type": "text/xml"})
    assert wrong.status_code == 415
    assert site.admin.patch(PATH).status_code == 405


def test_who_may_not_manage(site: Managed) -> None:
    """Neither a key that attests, nor nobody, nor an unknown key; with each of the methods."""
    made = site.made("theirs-not")
    one = f"{PATH}/{made['policy_id']}"
    calls = [("GET", PATH), ("POST", PATH), ("GET", one), ("PUT", one), ("DELETE", one)]
    with site.holder(Terms()) as attests, client(site.service, "unknown") as unknown:
        for method, path in calls:
            body = site.body("by-others") if method in {"POST", "PUT"} else None
            assert refusal(attests.request(method, path, json=body), 403)["code"] == "not-permitted"
            assert refusal(unknown.request(method, path, json=body), 401)["code"] == "bad-api-key"
    assert site.admin.get(one).json() == made


def test_nobody_manages_where_anybody_may_attest(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    more = SIMULATED + "[tokens]\ninsecure_allow_anonymous = true\n"
    with managed(tmp_path_factory.mktemp("anonymous"), tls, more) as site:
        del site.admin.headers["x-api-key"]
        assert site.admin.get("/appraisal/v1/nonce").status_code == 200
        refusal(site.admin.get(PATH), 401)
        refusal(site.admin.post(PATH, json=site.body("anybodys")), 401)


def test_a_key_that_manages_gets_no_token(site: Managed) -> None:
    assert site.admin.get("/appraisal/v1/nonce").status_code == 403
    assert site.admin.post("/appraisal/v2/attest", json=site.service.evidence(None)).status_code == 403


def test_a_signed_policy(site: Managed) -> None:
    """It is kept with its signature; that nobody need sign is the configuration's."""
    token = signed(claims={CLAIM: MATCHES})
    made = site.made("signed", token)
    assert set(made) == MEMBERS
    assert (made["policy"], made["policy_jwt"], made["signed_by_tenant"]) == (MATCHES, token, True)
    assert made["policy_signature"] == token.rpartition(".")[2]
    one = f"{PATH}/{made['policy_id']}"
    assert site.admin.put(one, json={"policy_name": "signed-2"}).json()["policy_jwt"] == token
    plain = site.admin.put(one, json={"policy": unsigned({CLAIM: DOES_NOT})}).json()
    assert (plain["policy"], plain["signed_by_tenant"], plain["policy_signature"]) == (DOES_NOT, False, "")
    assert refusal(site.admin.put(one, json={"policy": token[:-8]}))["code"] == "policy-signature"


@pytest.fixture(scope="module")
def signers_only(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    folder = tmp_path_factory.mktemp("signers")
    (folder / "pipeline.pem").write_bytes(pem(certificate(days=900)))
    with managed(folder, tls, SIMULATED + '[policies]\nsigners = ["pipeline.pem"]\n') as site:
        yield site


def pem(of: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return of.public_bytes(Encoding.PEM)


def test_where_signers_are_named_nobody_else_writes_policies(signers_only: Managed) -> None:
    made = signers_only.made("signed", signed(claims={CLAIM: MATCHES}))
    one = f"{PATH}/{made['policy_id']}"
    stranger = signed_by_a_stranger()
    for policy in (MATCHES, unsigned({CLAIM: MATCHES}), stranger):
        for answer in (
            signers_only.admin.post(PATH, json=signers_only.body("unsigned", policy)),
            signers_only.admin.put(one, json={"policy": policy}),
        ):
            told = refusal(answer)
            assert told["code"] == "policy-not-signed"
            assert "signers" in told["wanted"]
    assert signers_only.admin.get(one).json() == made


def signed_by_a_stranger() -> str:
    import jwt  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    x5c = [base64.b64encode(certificate(key).public_bytes(Encoding.DER)).decode()]
    assert x5c != [X5C]
    return jwt.encode({CLAIM: MATCHES}, key, algorithm="PS384", headers={"x5c": x5c})


def test_many_writers_at_once(site: Managed) -> None:
    made = site.made("contended", TYPED, policy_language="typed")
    one = f"{PATH}/{made['policy_id']}"
    body = site.body("one-of-many", TYPED, policy_language="typed")
    statuses: list[int] = []

    def work(number: int) -> None:
        with client(site.service, site.admin.headers["x-api-key"]) as other:
            statuses.append(other.put(one, json={"policy": f"# {number}\n{TYPED}"}).status_code)
            statuses.append(other.post(PATH, json=body).status_code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 8 + [201] + [400] * 7
    assert site.admin.get(one).json()["version"] == "v9"
    assert site.state.policies.get(UUID(made["policy_id"]), version=1).policy.text == TYPED
    assert site.service.clock.instant >= AT
