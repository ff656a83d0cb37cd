"""How long one evaluation of a policy takes, beside the interpreter alone and beside one signature, in the same run.

    policy_typed          a typed policy that was read before
    policy_typed_first    the same, read from its text
    policy_rego_cached    a policy in Rego whose outcome is remembered
    policy_rego           the same, judged by a worker each time
    policy_rego_refused   a refusal, with the expressions that do not hold
    rego_in_process       regopy in this process: a fresh interpreter, the same module, no bounds
    p256_verify           one signature, as in the other table

By the clock on the wall, because workers spend their time elsewhere. Ratios are medians of the rounds' own ratios.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from bench.rounds import Rounds, run_rounds
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage
from ambergate.core.appraise.typed import TypedEngine
from ambergate.rego.engine import RegoEngine
from ambergate.rego.module import Module
from ambergate.rego.pool import Limits
from ambergate.rego.program import read_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.appraise.named import PolicyEngine

    Case = Callable[[], object]

RATIOS: Final = (
    ("policy_typed", "p256_verify"),
    ("policy_rego_cached", "p256_verify"),
    ("policy_rego", "rego_in_process"),
    ("policy_rego_refused", "policy_rego"),
)
AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
MR_SIGNER: Final = "0a" * 32
CLAIMS: Final[dict[str, object]] = {
    "attester_type": "SGX",
    "attester_tcb_status": "UpToDate",
    "attester_tcb_date": "2025-11-12T00:00:00Z",
    "attester_advisory_ids": ["INTEL-SA-00615"],
    "sgx_mrenclave": "0e" * 32,
    "sgx_mrsigner": MR_SIGNER,
    "sgx_isvprodid": 7,
    "sgx_isvsvn": 3,
    "sgx_report_data": "00" * 64,
    "sgx_is_debuggable": False,
}
TYPED: Final = f'[[sgx]]\nmr_signer = ["{MR_SIGNER}"]\nisv_prod_id = [7]\nminimum_isv_svn = 3\n'
REGO: Final = f"""default matches_sgx_policy = false
matches_sgx_policy = true {{
  input.sgx_is_debuggable == false
  input.attester_tcb_status == "UpToDate"
  input.sgx_mrsigner == "{MR_SIGNER}"
  input.sgx_isvprodid == 7
  input.sgx_isvsvn >= 3
}}
"""


def measure(rounds: int) -> Rounds:
    """All of it, in so many interleaved rounds."""
    with ExitStack() as opened:
        patient = Limits(seconds=30, cpu_seconds=30)
        asking = opened.enter_context(RegoEngine(workers=1, limits=patient, max_cached=0))
        remembering = opened.enter_context(RegoEngine(workers=1, limits=patient))
        return run_rounds(_cases(asking, remembering), rounds=rounds, clock=time.perf_counter_ns)


def _cases(asking: RegoEngine, remembering: RegoEngine) -> dict[str, Case]:
    typed = _policy(TYPED, PolicyLanguage.TYPED)
    rego = _policy(REGO, PolicyLanguage.REGO)
    engine = TypedEngine()
    for each, policy in ((engine, typed), (asking, rego), (remembering, rego)):
        _tells_apart(each, policy)
    other = CLAIMS | {"sgx_isvsvn": 2}
    return {
        "policy_typed": lambda: engine.evaluate(typed, CLAIMS, at=AT),
        "policy_typed_first": lambda: TypedEngine().evaluate(typed, CLAIMS, at=AT),
        "policy_rego_cached": lambda: remembering.evaluate(rego, CLAIMS, at=AT),
        "policy_rego": lambda: asking.evaluate(rego, CLAIMS, at=AT),
        "policy_rego_refused": lambda: asking.evaluate(rego, other, at=AT),
        "rego_in_process": _bare(Module(read_program(REGO, PolicyKind.APPRAISAL)).at(0)),
        "p256_verify": _signature(),
    }


def _policy(text: str, language: PolicyLanguage) -> Policy:
    return Policy(id=UUID(int=1), version=1, name="bench", kind=PolicyKind.APPRAISAL, language=language, text=text)


def _tells_apart(engine: PolicyEngine, policy: Policy) -> None:
    """An engine that is fast because it does not look has no place in the table."""
    matched = engine.evaluate(policy, CLAIMS, at=AT).matched
    if not matched or engine.evaluate(policy, CLAIMS | {"sgx_isvsvn": 2}, at=AT).matched:
        msg = "the engine does not tell claims apart"
        raise AssertionError(msg)


def _bare(module: str) -> Case:
    import regopy  # noqa: PLC0415  where it cannot be loaded, all else is still to be measured

    def once() -> object:
        interpreter = regopy.Interpreter()
        interpreter.add_module("p.rego", module)
        interpreter.set_input(CLAIMS)
        return interpreter.query("data.amber")

    return once


def _signature() -> Case:
    key = ec.generate_private_key(ec.SECP256R1())
    data, algorithm = bytes(432), ec.ECDSA(hashes.SHA256())
    signature, public = key.sign(data, algorithm), key.public_key()
    return lambda: public.verify(signature, data, algorithm)


def describe(rounds: Rounds) -> dict[str, object]:
    """The figures, for build/bench.json."""
    return {
        **{name: round(rounds.median(name), 1) for name in rounds.names},
        "unit": "microseconds on the wall, median of rounds",
        "ratios": {f"{of}/{to}": round(rounds.ratio(of, to), 3) for of, to in RATIOS},
        "rounds": rounds.count,
    }


def table(report: dict[str, object]) -> str:
    """The figures for people."""
    ratios = report["ratios"]
    assert isinstance(ratios, dict)
    figures = [name for name, value in report.items() if isinstance(value, float)]
    return "\n".join(
        (
            "one policy over one piece of evidence, by the clock on the wall\n",
            *(f"  {name:19} {report[name]:>9} us" for name in figures),
            "",
            *(f"  {name:33} {ratio:>7}" for name, ratio in ratios.items()),
        )
    )
