"""The audit trail: each decision becomes one record, durable before its answer leaves. Fits `ports.Audit`.

A record holds what was decided, by which rules and about what: claims about the evidence, digests, ids. Never the
token, a key, the nonce, runtime data or held data. The names are a promise: `amber audit export` gives them to others.

    at, verdict ("issued" or "refused"), key_id, request_id, trace_id, quote_hash, evidence, simulated, policies,
    jti, profile, alg; of a refusal also code, step, message, mismatches; `shortened` where mismatches are left out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.evidence import evidence_claims
from ambergate.core.errors import NotGenuine, Refusal
from ambergate.services.web.records import MAX_TEXT, Recorder, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.services.attestation.decision import Decision
    from ambergate.stores.audit import AuditLog

ISSUED: Final = "issued"
REFUSED: Final = "refused"


class AuditTrail:
    """Writes decisions to the log.

    Args:
        log: where they go.
        request: the caller's id of the request that this task works for, and ours.
    """

    def __init__(self, log: AuditLog, request: Callable[[], tuple[str | None, str | None]]) -> None:
        self._recorder = Recorder(log, request)

    async def record(self, decision: Decision) -> None:
        """Returns once the decision is durable.

        Raises:
            Unavailable: it is not known to be; nothing may be told of it.
        """
        jti = decision.token_id if decision.error is None else None
        await self._recorder.append_soon(record_of(decision), jti=jti, shortened=_shortened)


def record_of(decision: Decision) -> dict[str, object]:
    """The decision as JSON-ready members, each of a bounded length."""
    error = decision.error
    record: dict[str, object] = {
        "at": decision.at.isoformat(),
        "verdict": ISSUED if error is None else REFUSED,
        "key_id": None if decision.key_id is None else str(decision.key_id),
        "quote_hash": decision.quote_hash.hex(),
        "evidence": _evidence(decision),
        "simulated": decision.simulated,
        "policies": [
            {
                "id": str(outcome.policy.id),
                "version": outcome.policy.version,
                "hash": outcome.policy.hash.hex(),
                "matched": outcome.matched,
                "mismatches": bounded(outcome.mismatches),
            }
            for outcome in decision.policies
        ],
        "jti": None if decision.token_id is None or error is not None else str(decision.token_id),
        "profile": None if decision.profile is None else decision.profile.value,
        "alg": decision.algorithm,
    }
    if error is not None:
        record |= {
            "code": error.code,
            "step": error.step if isinstance(error, NotGenuine) else None,
            "message": error.message[:MAX_TEXT],
            "mismatches": bounded(error.mismatches if isinstance(error, Refusal) else ()),
        }
    return record


def _evidence(decision: Decision) -> dict[str, object] | None:
    if decision.claims is not None:
        return dict(decision.claims)
    return None if decision.verified is None else evidence_claims(decision.verified)


def _shortened(record: Mapping[str, object]) -> dict[str, object]:
    """Without the mismatches: what was decided, by which policies and about what has to be kept in any case."""
    policies = record["policies"]
    assert isinstance(policies, list)
    kept = [{**each, "mismatches": []} for each in policies]
    return {**record, "policies": kept, **({"mismatches": []} if "mismatches" in record else {})}
