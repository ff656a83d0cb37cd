"""Policies and keys over real TLS: the requests that Intel's Key Broker Service documents, and what they get."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from tests.integration.keybroker.forge import AT, MR_ENCLAVE, MR_SIGNER, Forge
from tests.integration.keybroker.outside import key_manager
from tests.integration.keybroker.scene import KEY_ID, PASSWORDS, Broker, Person, running_broker

from ambergate.core.release.envelope import open_sealed
from ambergate.core.release.material import KeyKind
from ambergate.services.keybroker import requests
from ambergate.services.keybroker.app import Options
from ambergate.services.keybroker.trust import TrustedIssuers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from ambergate.services.web.server import TlsFiles

JSON = {"accept": "application/json", "content-type": "application/json"}
ACCEPT = {"accept": "application/json"}
POLICIES = "/kbs/v1/key-transfer-policies"
KEYS = "/kbs/v1/keys"
IDS = ["37965f5f-ccaf-4cdc-a356-a8ed5268a5bf", "9846bf40-e380-4842-ae15-1b60996d1190"]
SGX = {
    "attestation_type": ["SGX"],
    "sgx": {"attributes": {"mrsigner": [MR_SIGNER], "isvprodid": [7], "mrenclave": [MR_ENCLAVE], "isvsvn": 1}},
}
TDX = {
    "attestation_type": ["TDX"],
    "tdx": {
        "attributes": {
            "mrsignerseam": ["00" * 48],
            "mrseam": ["0f" * 48],
            "mrtd": ["cf" * 48],
            "rtmr0": "b9" * 48,
            "seamsvn": 0,
            "enforce_tcb_upto_date": False,
        },
        "policy_ids": IDS,
    },
}
PEM_KIND = {"content-type": "application/x-pem-file", "accept": "application/json"}


@pytest.fixture
def admin(broker: Broker) -> Person:
    return Person(broker)


@pytest.fixture(scope="module")
def lax(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose operator lets users have keys without attestation."""
    options = Options(passwords=PASSWORDS, dangerously_allow_unattested_transfer=True)
    folder = tmp_path_factory.mktemp("lax")
    with running_broker(TrustedIssuers([]), tls, folder, options=options) as broker:
        yield broker


def policy(person: Person, document: dict[str, Any] | None = None) -> str:
    made = person("POST", POLICIES, json=document or SGX, headers=JSON)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def made(person: Person, policy_id: str | None = None, **info: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    body = {"key_information": info, "transfer_policy_id": policy_id or policy(person)}
    return person("POST", KEYS, json=body, headers=JSON)


@pytest.mark.parametrize("document", [SGX, TDX])
def test_policies_as_documented(admin: Person, document: dict[str, Any]) -> None:
    """Created, retrieved, searched and deleted; told as they came."""
    created = admin("POST", POLICIES, json=document, headers=JSON)
    assert created.status_code == 201
    found = created.json()
    assert found == {"id": found["id"], "created_at": AT.isoformat().replace("+00:00", "Z"), **document}
    one = f"{POLICIES}/{found['id']}"
    assert admin("GET", one, headers=ACCEPT).json() == found
    assert found in admin("GET", POLICIES, headers=ACCEPT).json()
    assert admin("DELETE", one).status_code == 204
    assert (admin("GET", one).status_code, admin("DELETE", one).status_code) == (404, 404)


def test_any_release_policy_can_be_one(admin: Person) -> None:
    """What Intel's form cannot say."""
    document = {"release_policy": {"mr_enclave": [MR_ENCLAVE], "max_token_age_seconds": 60}}
    found = admin("GET", f"{POLICIES}/{policy(admin, document)}").json()
    assert found["release_policy"] == document["release_policy"]


@pytest.mark.parametrize(
    "document", [{}, {"attestation_type": ["SGX"]}, {**SGX, "more": 1}, [], "x", {**SGX, "tdx": {}}]
)
def test_what_is_no_policy(admin: Person, document: object) -> None:
    assert admin("POST", POLICIES, json=document, headers=JSON).status_code == 400


def test_a_policy_that_keys_are_under_stays(admin: Person) -> None:
    policy_id = policy(admin)
    key = made(admin, policy_id, algorithm="AES", key_length=256).json()
    refused = admin("DELETE", f"{POLICIES}/{policy_id}")
    assert (refused.status_code, refused.json()["code"]) == (400, "policy-in-use")
    assert admin("DELETE", f"{KEYS}/{key['id']}").status_code == 204
    assert admin("DELETE", f"{POLICIES}/{policy_id}").status_code == 204


def test_keys_as_documented(admin: Person) -> None:
    """Created, retrieved, searched, put under another policy and deleted, with the bodies of Intel's documentation."""
    first, second = policy(admin), policy(admin)
    created = made(admin, first, algorithm="AES", key_length=256)
    assert created.status_code == 201
    key = created.json()
    assert key == {
        "id": key["id"],
        "key_info": {"algorithm": "AES", "key_length": 256},
        "transfer_policy_id": first,
        "transfer_link": f"/kbs/v1/keys/{key['id']}/transfer",
        "created_at": AT.isoformat().replace("+00:00", "Z"),
    }
    assert UUID(key["id"]).version == 4
    one = f"{KEYS}/{key['id']}"
    assert admin("GET", one, headers=ACCEPT).json() == key
    assert admin("GET", f"{KEYS}?transferPolicyId={first}&algorithm=aes&keyLength=256").json() == [key]
    assert admin("GET", f"{KEYS}?transferPolicyId={second}").json() == []
    updated = admin("PUT", one, json={"transfer_policy_id": second}, headers=JSON)
    assert (updated.status_code, updated.json()) == (201, {**key, "transfer_policy_id": second})
    assert admin("GET", f"{KEYS}?transferPolicyId={second}").json() == [updated.json()]
    assert admin("DELETE", one).status_code == 204
    for method in ("GET", "DELETE"):
        assert admin(method, one).status_code == 404
    assert admin("PUT", one, json={"transfer_policy_id": second}).status_code == 404


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"algorithm": "aes", "key_length": 128}, {"algorithm": "AES", "key_length": 128}),
        ({"algorithm": "RSA", "key_length": 2048}, {"algorithm": "RSA", "key_length": 2048}),
        ({"algorithm": "EC", "curve_type": "secp384r1"}, {"algorithm": "EC", "curve_type": "secp384r1"}),
        (
            {"algorithm": "ec", "curve_type": "prime256v1", "key_length": 256},
            {"algorithm": "EC", "curve_type": "secp256r1"},
        ),
        (
            {"algorithm": "EC", "curve_type": "secp521r1", "key_length": 0},
            {"algorithm": "EC", "curve_type": "secp521r1"},
        ),
    ],
)
def test_keys_are_made_of_each_algorithm(admin: Person, info: dict[str, Any], told: dict[str, object]) -> None:
    response = made(admin, **info)
    assert (response.status_code, response.json()["key_info"]) == (201, told)


def test_a_made_key_reaches_the_enclave_that_its_policy_names(admin: Person, forge: Forge) -> None:
    key = made(admin, algorithm="AES", key_length=256).json()
    body = admin.broker.transfer(forge.token(), key["id"]).raise_for_status().json()
    wrapped = (b64decode(body[name], validate=True) for name in ("wrapped_key", "wrapped_swk"))
    assert len(open_sealed(forge.workload_key, *wrapped)) == 32
    refused = admin.broker.transfer(forge.token(claims=forge.claims(sgx_isvsvn=0)), key["id"])
    assert [each["rule"] for each in refused.json()["mismatches"]] == ["isv_svn"]


def test_another_policy_counts_from_the_next_release_on(admin: Person, forge: Forge) -> None:
    key = made(admin, algorithm="AES", key_length=256).json()
    other = {"release_policy": {"mr_enclave": ["ab" * 32]}}
    admin("PUT", f"{KEYS}/{key['id']}", json={"transfer_policy_id": policy(admin, other)})
    assert admin.broker.transfer(forge.token(), key["id"]).status_code == 401


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_registered_keys_come_out_as_they_went_in(lax: Broker) -> None:
    """AES as base64, private keys as PEM; what is handed on is Intel's form: raw, PKCS#1, SEC 1."""
    admin, receiver = Person(lax), rsa.generate_private_key(65537, 4096)
    curve = ec.generate_private_key(ec.SECP256R1())
    raw = b"\x00\xff" * 16
    oaep = padding.OAEP(padding.MGF1(hashes.SHA384()), hashes.SHA384(), None)
    public = receiver.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for info in (
        {"algorithm": "AES", "key_length": 256, "key_data": b64encode(raw).decode()},
        {"algorithm": "EC", "curve_type": "secp256r1", "key_data": pem(curve)},
    ):
        key = made(admin, **info).json()
        answer = admin("POST", f"{KEYS}/{key['id']}", content=public, headers=PEM_KIND)
        assert (answer.status_code, set(answer.json())) == (200, {"wrapped_key"})
        plain = receiver.decrypt(b64decode(answer.json()["wrapped_key"]), oaep)
        if info["algorithm"] == "AES":
            assert plain == raw
        else:
            found = load_der_private_key(plain, None)
            assert isinstance(found, ec.EllipticCurvePrivateKey)
            assert found.private_numbers() == curve.private_numbers()
    record = lax.decisions[-1]
    assert (record["event"], record["verdict"], record["user"]) == ("transfer", "released", admin.name)
    assert record["token"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 400),
        (b"x" * 10_000, 413),
        (rsa.generate_private_key(65537, 1024).public_key(), 400),
        (rsa.generate_private_key(3, 2048).public_key(), 400),
        (ec.generate_private_key(ec.SECP256R1()).public_key(), 400),
    ],
)
def test_what_no_key_is_wrapped_for(lax: Broker, body: Any, status: int) -> None:  # noqa: ANN401  a key or octets
    admin = Person(lax)
    octets = body if isinstance(body, bytes) else body.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    refused = admin("POST", f"{KEYS}/{KEY_ID}", content=octets, headers=PEM_KIND)
    assert refused.status_code == status
    assert "wrapped_key" not in refused.text


def test_a_key_that_does_not_fit_is_not_cut(lax: Broker) -> None:
    admin = Person(lax)
    key = made(admin, algorithm="RSA", key_length=2048).json()
    public = rsa.generate_private_key(65537, 2048).public_key()
    octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert admin("POST", f"{KEYS}/{key['id']}", content=octets, headers=PEM_KIND).status_code == 413
    assert admin("POST", f"{KEYS}/{uuid4()}", content=octets, headers=PEM_KIND).status_code == 404
    assert admin("POST", f"{KEYS}/{key['id']}", content=octets, headers=JSON).status_code == 415


def test_no_key_leaves_without_attestation_unless_the_operator_says_so(admin: Person) -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    refused = admin("POST", f"{KEYS}/{KEY_ID}", content=octets, headers=PEM_KIND)
    assert (refused.status_code, refused.json()["code"]) == (401, "attestation-needed")
    record = admin.broker.decisions[-1]
    assert (record["verdict"], record["user"], record["code"]) == ("refused", admin.name, "attestation-needed")


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"algorithm": "AES"},
        {"algorithm": "DES", "key_length": 256},
        {"algorithm": "AES", "key_length": 512},
        {"algorithm": "RSA", "key_length": 1024},
        {"algorithm": "EC"},
        {"algorithm": "EC", "curve_type": "secp256k1"},
        {"algorithm": "AES", "key_length": 256, "key_data": "not base64!"},
        {"algorithm": "AES", "key_length": 256, "key_data": b64encode(bytes(16)).decode()},
        {"algorithm": "EC", "curve_type": "secp256r1", "key_data": b64encode(bytes(32)).decode()},
        {"algorithm": "AES", "key_length": 256, "kmip_key_id": "7110194b-a703-4657-9d7f-3e02b62f2ed8"},
        {"algorithm": "AES", "key_length": 256, "kmip_key_id": "1", "key_data": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"algorithm": "AES", "key_length": 256, "more": 1},
    ],
)
def test_what_makes_no_key(admin: Person, info: dict[str, Any]) -> None:
    response = made(admin, **info)
    assert response.status_code == 400
    assert str(info.get("key_data", "no key")) not in response.text


def test_a_key_needs_a_policy_that_is_there(admin: Person) -> None:
    info = {"algorithm": "AES", "key_length": 256}
    assert made(admin, str(uuid4()), **info).json()["code"] == "unknown-policy"
    for body in ({"key_information": info}, {"key_information": info, "transfer_policy_id": "x"}, {}):
        assert admin("POST", KEYS, json=body, headers=JSON).status_code == 400


def test_a_key_that_was_not_made_leaves_its_policy_free(admin: Person) -> None:
    policy_id = policy(admin)
    assert made(admin, policy_id, algorithm="AES", key_length=256, key_data="AAAA").status_code == 400
    assert admin("DELETE", f"{POLICIES}/{policy_id}").status_code == 204


@pytest.mark.parametrize(
    "query",
    [
        "id=x",
        "algorithm=DES",
        "keyLength=x",
        "keyLength=-1",
        "curveType=P-192",
        "transferPolicyId=1",
        "algorithm=a&algorithm=b",
    ],
)
def test_an_unknown_query_is_refused(admin: Person, query: str) -> None:
    assert admin("GET", f"{KEYS}?{query}").status_code == 400


def test_a_list_comes_in_pages_and_is_never_cut(admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_id = policy(admin)
    ids = sorted(made(admin, policy_id, algorithm="AES", key_length=128).json()["id"] for _ in range(3))
    mine = f"{KEYS}?transferPolicyId={policy_id}"
    pages = [admin("GET", f"{mine}&limit=2").json(), admin("GET", f"{mine}&limit=2&after={ids[1]}").json()]
    assert [[each["id"] for each in page] for page in pages] == [ids[:2], ids[2:]]
    for wrong in ("limit=0", "limit=x", "limit=100000", "after=x"):
        assert admin("GET", f"{mine}&{wrong}").status_code == 400
    monkeypatch.setattr(requests, "MAX_LISTED", 2)
    assert admin("GET", mine).json()["code"] == "too-many"


def test_keys_of_the_brokers_own_machine_are_seen_too(admin: Person) -> None:
    """They are under no policy that has an id."""
    found = admin("GET", f"{KEYS}/{KEY_ID}").json()
    assert (found["key_info"], found["transfer_policy_id"]) == ({"algorithm": "OPAQUE"}, str(UUID(int=0)))


@pytest.mark.parametrize(("method", "path"), [("POST", KEYS), ("GET", KEYS), ("POST", POLICIES), ("GET", POLICIES)])
def test_media_types(admin: Person, method: str, path: str) -> None:
    assert admin(method, path, headers={"accept": "text/html"}).status_code == 415
    if method == "POST":
        assert admin(method, path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_all_of_it_is_written_down(admin: Person) -> None:
    before = len(admin.broker.decisions)
    secret = b64encode(b"a key that nobody may see, 32 b.").decode()
    key = made(admin, algorithm="AES", key_length=256, key_data=secret).json()
    admin("DELETE", f"{KEYS}/{key['id']}")
    records = admin.broker.decisions[before:]
    assert [(each["event"], each["verdict"]) for each in records] == [
        (event, verdict) for event in ("policy.create", "key.create", "key.delete") for verdict in ("begun", "done")
    ]
    assert {each["user"] for each in records} == {admin.name}
    assert "nobody may see" not in str(records)
    assert secret not in str(records)


def test_a_key_of_a_kmip_server_is_registered_by_its_id(
    broker: Broker, admin: Person, tls: TlsFiles, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As documented; the server's key stays when ours is deleted."""
    with key_manager("kmip", tls, tmp_path, request) as server, broker.knowing("kmip", server):
        uid = json.loads(server.create("the owner's", KeyKind.of("AES", bits=256)))["uids"][0]
        key = made(admin, algorithm="AES", key_length=256, kmip_key_id=uid)
        assert key.status_code == 201, key.text
        for info in ({"kmip_key_id": "none"}, {"kmip_key_id": uid, "key_length": 128}):
            refused = made(admin, **{"algorithm": "AES", "key_length": 256, **info})
            assert (refused.status_code, refused.json()["code"]) == (400, "key-not-adopted")
        assert admin("DELETE", f"{KEYS}/{key.json()['id']}").status_code == 204
        assert made(admin, algorithm="AES", key_length=256, kmip_key_id=uid).status_code == 201
