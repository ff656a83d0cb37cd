"""Hooks of schemathesis (`scripts/openapi_fuzz.py`): genuine values in a third of the bodies, where only such get far.

Which bodies, hangs on nothing but the body: a run with the same seed is the same run.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import schemathesis

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER: Final = Path(os.environ["AMBER_FUZZ"])
_POLICY: Final = "default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 3 }\n"


def _attest(body: dict[str, Any]) -> dict[str, Any]:
    return {"quote": (_FOLDER / "quote").read_text(), "token_signing_alg": body.get("token_signing_alg")}


def _policy(body: dict[str, Any]) -> dict[str, Any]:
    name = "p" + _drawn(body)[:12]
    return {
        "policy": _POLICY,
        "policy_name": name,
        "policy_type": "Appraisal policy",
        "attestation_type": "SGX Attestation",
    }


def _user(body: dict[str, Any]) -> dict[str, Any]:
    name = "u" + _drawn(body)[:12]
    return {"username": name, "password": f"{name} and no other one", "permissions": ["keys:search", "users:search"]}


def _release_policy(_: dict[str, Any]) -> dict[str, Any]:
    attributes = {"mrsigner": ["ab" * 32], "isvprodid": [7], "mrenclave": ["cd" * 32], "isvsvn": 1}
    return {"attestation_type": ["SGX"], "sgx": {"attributes": attributes}}


def _key(_: dict[str, Any]) -> dict[str, Any]:
    return {"key_information": {"algorithm": "AES", "key_length": 256}, "transfer_policy_id": _made[-1]}


def _drawn(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


_made = ["00000000-0000-4000-8000-000000000000"]  # ids of release policies
_GENUINE: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "post_appraisal_v1_attest": _attest,
    "post_appraisal_v2_attest": _attest,
    "post_appraisal_v1_appraise": _attest,
    "post_attest_sgxenclave": _attest,
    "post_management_v1_policies": _policy,
    "post_kbs_v1_users": _user,
    "post_kbs_v1_key_transfer_policies": _release_policy,
    "post_kbs_v1_keys": _key,
}
# The user whose token all calls have: who is changed or forgotten by chance can call no more.
_OWN: Final = os.environ.get("AMBER_FUZZ_USER", "")


@schemathesis.serializer("application/x-pem-file")
def pem(_: object, value: object) -> bytes:
    """Whatever was generated, as it is."""
    return str(value).encode(errors="replace")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], **kwargs: object) -> None:
    """Put a genuine body in the place of some that the document allows. What it does not allow stays as it is."""
    del context, kwargs
    operation = str(case.operation.definition.raw.get("operationId"))
    if case.method.upper() != "GET" and (case.path_parameters or {}).get("id") == _OWN:
        case.path_parameters["id"] = _made[0]
    make, meta = _GENUINE.get(operation), case.meta
    if make is None or not isinstance(case.body, dict) or meta is None or meta.generation.mode.is_negative:
        return
    if int(_drawn(case.body)[:2], 16) % 3 == 0:
        case.body = make(case.body)


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response
) -> None:
    """Remember the release policy that was made: a key needs one."""
    del context
    if (
        case.operation.definition.raw.get("operationId") == "post_kbs_v1_key_transfer_policies"
        and response.status_code == 201
    ):
        _made.append(str(response.json()["id"]))
