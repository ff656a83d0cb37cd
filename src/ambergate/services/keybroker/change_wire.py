"""Bodies about policy changes that owners must approve. Unknown members are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ambergate.core.release.owners import digest
from ambergate.services.keybroker.policy_changes import LIFETIME, MAX_LIFETIME
from ambergate.services.keybroker.wire import instant

if TYPE_CHECKING:
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.policy_changes import Standing
    from ambergate.stores.policy_changes import PendingChange


class ChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /broker/v1/policy-changes`.

    `policy`: as in `POST /kbs/v1/key-transfer-policies`; `days`: until the change lapses.
    """

    key_id: str
    policy: dict[str, Any]
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIFETIME.days)] = LIFETIME.days


class ApprovalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /broker/v1/policy-changes/{id}/approvals`: what an owner signed, a compact JWS."""

    approval: str


def change_form(pending: PendingChange) -> dict[str, object]:
    """A change as it is listed: policies by SHA-256 of their stored form, approvals by how many were handed in."""
    change = pending.change
    return {
        "id": change.id,
        "key_id": change.key_id,
        "from": change.before,
        "to": digest(change.after),
        "approvals": len(change.approvals),
        "proposed_by": pending.proposed_by,
        "proposed_at": instant(pending.proposed_at),
        "expires_at": change.expires_at.isoformat(),
    }


def whole_change(pending: PendingChange, before: ResourcePolicy, standing: Standing) -> dict[str, object]:
    """A change as owners need it: `amber keybroker change sign` shows and signs what is in it."""
    change = pending.change
    return {
        "id": change.id,
        "key_id": change.key_id,
        "before": before.to_mapping(),
        "after": pending.policy.to_mapping(),
        "expires_at": change.expires_at.isoformat(),
        "proposed_by": pending.proposed_by,
        "proposed_at": instant(pending.proposed_at),
        **standing_form(standing),
    }


def standing_form(standing: Standing) -> dict[str, object]:
    """How a change stands: owners by SHA-256 of their public keys."""
    return {
        "approved_by": sorted(standing.approved_by),
        "needed": standing.needed,
        "in_force": standing.in_force,
    }
