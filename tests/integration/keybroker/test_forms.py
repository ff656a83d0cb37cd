"""Keys from each key manager over real TLS, in each form that a workload may ask for."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.keybroker.forge import Forge
from tests.integration.keybroker.outside import key_manager
from tests.integration.keybroker.scene import KEY_ID, SECRET, Broker

from ambergate.client import keybroker
from ambergate.core.release.jwe import encode_held_ec, open_jwe
from ambergate.core.release.material import KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    import httpx
    from tests.integration.keybroker.forge import Forge

    from ambergate.services.web.server import TlsFiles

AES = KeyKind.of("AES", bits=256)


def asked(broker: Broker, forge: Forge, key: UUID = KEY_ID, token: str | None = None, **headers: str) -> httpx.Response:
    return broker.transfer(token or forge.token(), key, **{name.replace("_", "-"): v for name, v in headers.items()})


@pytest.fixture
def outside(broker: Broker, tls: TlsFiles, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A key manager of this kind, known to the broker by the name of its kind."""
    with key_manager(request.param, tls, tmp_path, request) as manager, broker.knowing(request.param, manager):
        yield request.param


@pytest.mark.parametrize("outside", ["pkcs11", "kmip", "kv", "transit"], indirect=True)
def test_a_key_of_each_manager_reaches_an_approved_enclave(broker: Broker, forge: Forge, outside: str) -> None:
    for kind in (AES, KeyKind.of("EC", curve="secp256r1"), KeyKind.of("RSA", bits=2048)):
        key = broker.make(outside, kind)
        answer = asked(broker, forge, key, amber_wrapping="key-wrap").raise_for_status()
        material = keybroker.opened(forge.workload_key, answer.json(), limit=65536)
        assert kind.canonical(material) == material
        assert ("wrapping" in answer.json()) == (outside == "pkcs11")
        (record,) = [each for each in broker.decisions if each.get("key_id") == str(key)]
        assert (record["verdict"], record["key_version"]) == ("released", 1)


@pytest.mark.parametrize("outside", ["pkcs11"], indirect=True)
def test_a_tokens_key_is_not_given_to_who_cannot_open_it(broker: Broker, forge: Forge, outside: str) -> None:
    key = broker.make(outside, AES)
    for headers in ({}, {"accept": "application/jose"}):
        answer = asked(broker, forge, key, **headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "form-not-taken")
        assert "amber-wrapping" in answer.json()["hint"]


def test_a_jwe_on_request(broker: Broker, forge: Forge) -> None:
    answer = asked(broker, forge, accept="application/jose")
    assert answer.headers["content-type"] == "application/jose"
    assert open_jwe(forge.workload_key, answer.text) == SECRET


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_jwe_for_an_ec_workload_key(broker: Broker, forge: Forge, curve: ec.EllipticCurve) -> None:
    workload = ec.generate_private_key(curve)
    held = b64encode(encode_held_ec(workload.public_key())).decode()
    token = forge.token(claims=forge.claims(attester_held_data=held))
    assert open_jwe(workload, asked(broker, forge, token=token, accept="application/jose").text) == SECRET
    refused = asked(broker, forge, token=token)
    assert (refused.status_code, refused.json()["code"]) == (400, "form-not-taken")


def test_a_point_that_is_not_on_its_curve_is_no_workload_key(broker: Broker, forge: Forge) -> None:
    held = bytearray(encode_held_ec(ec.generate_private_key(ec.SECP256R1()).public_key()))
    held[-1] ^= 1
    token = forge.token(claims=forge.claims(attester_held_data=b64encode(held).decode()))
    answer = asked(broker, forge, token=token, accept="application/jose")
    assert answer.status_code == 401
    assert [mismatch["rule"] for mismatch in answer.json()["mismatches"]] == ["workload_key"]


def test_intels_clients_get_intels_envelope(broker: Broker, forge: Forge) -> None:
    answer = asked(broker, forge, amber_wrapping="something of tomorrow")
    assert set(answer.json()) == {"wrapped_key", "wrapped_swk"}
