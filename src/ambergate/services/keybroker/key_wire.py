"""Bodies about keys, as Intel's Key Broker Service has them, and ours. Unknown members are refused."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from ambergate.core.errors import Malformed
from ambergate.core.release.material import KeyKind
from ambergate.services.keybroker.keyring import BUILT_IN
from ambergate.services.keybroker.managed_keys import NewKey
from ambergate.services.keybroker.wire import instant, parse_key_id

if TYPE_CHECKING:
    from ambergate.services.keybroker.ports import Stored
    from ambergate.stores.key_search import FoundKey

_NONE: Final = "00000000-0000-0000-0000-000000000000"  # an id that is not set, as Go writes it
KMIP: Final = "kmip"  # the key manager that `kmip_key_id` speaks of, by its name in the configuration
_PEM: Final = "-----BEGIN "
MAX_VERSION: Final = 999_999_999  # as in paths and queries: nine digits; a database takes no number of any size


class KeyInformation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key_information`: what a key is to be. `key_data`: base64, or PEM."""

    algorithm: str
    key_length: int | None = None
    curve_type: str | None = None
    key_data: str | None = None
    kmip_key_id: str | None = None

    def __repr__(self) -> str:
        return "KeyInformation(...)"


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kbs/v1/keys`."""

    key_information: KeyInformation
    transfer_policy_id: str

    def new_key(self) -> NewKey:
        """What is asked for.

        Raises:
            Malformed: no kind that is kept, no policy, or key data that is none.
        """
        info = self.key_information
        if info.kmip_key_id and info.key_data:
            raise Malformed("a key comes from one place", code="malformed-request", wanted="key_data or kmip_key_id")
        return NewKey(
            kind=KeyKind.of(info.algorithm, bits=info.key_length or None, curve=info.curve_type or None),
            policy_id=parse_key_id(self.transfer_policy_id),
            material=key_data(info.key_data) if info.key_data else None,
            known_as=info.kmip_key_id or None,
            manager=KMIP if info.kmip_key_id else BUILT_IN,
        )

    def __repr__(self) -> str:
        return "KeyRequest(...)"


class KeyUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /kbs/v1/keys/{id}`."""

    transfer_policy_id: str


class OwnKeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /broker/v1/keys`: ours; opaque secrets, labels and key managers too."""

    policy_id: str
    algorithm: str = "OPAQUE"
    bits: int | None = None
    curve: str | None = None
    label: str = ""
    manager: str = BUILT_IN
    material: str | None = None
    known_as: str | None = None

    def new_key(self) -> NewKey:
        """What is asked for. Raises as `KeyRequest.new_key`."""
        if self.material is not None and self.known_as is not None:
            raise Malformed("a key comes from one place", code="malformed-request", wanted="material or known_as")
        return NewKey(
            kind=KeyKind.of(self.algorithm, bits=self.bits, curve=self.curve),
            policy_id=parse_key_id(self.policy_id),
            material=None if self.material is None else key_data(self.material),
            known_as=self.known_as,
            label=_label(self.label),
            manager=self.manager,
        )

    def __repr__(self) -> str:
        return "OwnKeyRequest(...)"


class VersionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /broker/v1/keys/{id}/versions`: the next version, made or given."""

    material: str | None = None

    def __repr__(self) -> str:
        return "VersionRequest(...)"


class StateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /broker/v1/keys/{id}/state`: of one version, or of all."""

    state: Literal["enabled", "disabled"]
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)] | None = None

    def checked(self) -> tuple[bool, int | None]:
        """Whether to enable, and which version."""
        return self.state == "enabled", self.version


def key_data(text: str) -> bytes:
    """A key as text: PEM as it is, anything else standard base64.

    Raises:
        Malformed: (`malformed-key`) neither. It is not repeated.
    """
    if text.lstrip().startswith(_PEM):
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Malformed("the key is not base64, nor PEM", code="malformed-key", wanted="standard base64") from exc


def kbs_form(key: FoundKey) -> dict[str, object]:
    """The key as that service tells it. Its code says `key_info` where its documentation has `key_information`."""
    info: dict[str, object] = {"algorithm": key.kind.algorithm}
    if key.kind.bits is not None:
        info["key_length"] = key.kind.bits
    if key.kind.curve is not None:
        info["curve_type"] = key.kind.curve
    return {
        "id": str(key.id),
        "key_info": info,
        "transfer_policy_id": _NONE if key.policy_id is None else str(key.policy_id),
        "transfer_link": f"/kbs/v1/keys/{key.id}/transfer",
        "created_at": instant(key.created_at),
    }


def own_form(key: FoundKey) -> dict[str, object]:
    """The key as we tell it."""
    return {
        "id": str(key.id),
        "label": key.label,
        "algorithm": key.kind.algorithm,
        "bits": key.kind.bits,
        "curve": key.kind.curve,
        "manager": key.manager,
        "version": key.version,
        "state": key.state,
        "policy_id": None if key.policy_id is None else str(key.policy_id),
        "created_at": instant(key.created_at),
    }


def with_versions(key: FoundKey, versions: tuple[Stored, ...]) -> dict[str, object]:
    """The key, its versions, and the policy that decides."""
    return {
        **own_form(key),
        "versions": [{"version": each.version, "state": each.state} for each in versions],
        "policy": versions[-1].policy.to_mapping() if versions else None,
    }


def _label(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise Malformed("the label is unusable", code="malformed-request", wanted="<= 200 printable characters")
    return text
