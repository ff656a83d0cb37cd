"""A secret is released by what a token means, whatever form it has; and refused by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.keybroker.scene import SECRET
from tests.integration.keybroker.test_transfer import opened

from ambergate.core.token.names import AMBER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.keybroker.forge import Forge
    from tests.integration.keybroker.scene import Broker

Members = dict[str, Any]


def nested(flat: Members) -> Members:
    about = {name: flat[name] for name in flat if name.startswith(("attester_", "sgx_", "dbgstat"))}
    return {**{name: flat[name] for name in flat if name not in about}, "ver": "2.0.0", "sgx": about}


def of_2022(flat: Members) -> Members:
    old = {AMBER_NAMES[name]: value for name, value in flat.items() if name in AMBER_NAMES}
    status = {"UpToDate": "OK", "OutOfDate": "OUT_OF_DATE"}[flat["attester_tcb_status"]]
    return {
        **{name: flat[name] for name in ("iss", "iat", "exp", "jti")},
        **old,
        "ver": "1.0",
        "amber_tcb_status": status,
    }


def slim(flat: Members) -> Members:
    return {name: flat[name] for name in flat if name not in ("eat_profile", "intuse", "verifier_instance_ids")}


FORMS: dict[str, Callable[[Members], Members]] = {"v2": nested, "amber-2022": of_2022, "slim": slim}


@pytest.mark.parametrize("form", FORMS)
def test_an_approved_enclave_gets_its_secret(broker: Broker, forge: Forge, form: str) -> None:
    response = broker.transfer(forge.token(claims=FORMS[form](forge.claims())))
    assert response.status_code == 200, response.text
    assert opened(forge, response) == SECRET


REFUSED: dict[str, Members] = {
    "isv_svn": {"sgx_isvsvn": 1},
    "mr_enclave": {"sgx_mrenclave": "00" * 32},
    "tcb_status": {"attester_tcb_status": "OutOfDate"},
    "debug": {"sgx_is_debuggable": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", REFUSED)
def test_another_does_not(broker: Broker, forge: Forge, form: str, rule: str) -> None:
    response = broker.transfer(forge.token(claims=FORMS[form](forge.claims(**REFUSED[rule]))))
    assert response.status_code == 401, response.text
    assert [mismatch["rule"] for mismatch in response.json()["mismatches"]] == [rule]


@pytest.mark.parametrize("form", FORMS)
def test_nor_does_a_software_platform(broker: Broker, forge: Forge, form: str) -> None:
    response = broker.transfer(forge.token(claims={**FORMS[form](forge.claims()), "tee_simulated": True}))
    assert response.status_code == 401, response.text
    assert "wrapped_key" not in response.json()


def test_nor_a_token_of_azures_form(broker: Broker, forge: Forge) -> None:
    flat = forge.claims()
    azure = {name: flat[name] for name in ("iss", "iat", "nbf", "exp", "jti")}
    token = forge.token(claims={**azure, "x-ms-sgx-mrenclave": flat["sgx_mrenclave"], "x-ms-ver": "1.0"})
    assert broker.transfer(token).status_code == 401
