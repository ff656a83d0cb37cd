"""Keys to be released: the catalogue says which there are, and each is taken from the manager that keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from ambergate.core.errors import NotFound, ReleaseRefused, SettingsError
from ambergate.services.keybroker.ports import Catalogue, KeyManager, S, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.keywrap import KeyWrap

BUILT_IN: Final = "built-in"  # the manager that is always there


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing(Generic[S]):
    """Fits `ports.Secrets`. Safe to use from several threads, if catalogue and managers are."""

    catalogue: Catalogue[S]
    managers: Mapping[str, KeyManager]

    def find(self, key_id: UUID, version: int | None = None, /) -> S | None:
        """The version of this number, or the latest; None when there is none."""
        return self.catalogue.find(key_id, version)

    def take(self, stored: S, workload_key: WorkloadKey, /) -> bytes | KeyWrap:
        """The key, or as the manager wrapped it itself. See `ports.Secrets.take`."""
        if stored.state == "disabled":
            seen = [{"rule": "key_state", "seen": "disabled", "wanted": "enabled"}]
            raise ReleaseRefused("this key is disabled", code="key-disabled", mismatches=seen)
        try:
            reference = self.catalogue.reveal(stored)
            return self.manager(stored.manager).take(reference, stored.kind, workload_key)
        except NotFound as exc:
            raise UnknownKey("this key is no more", code=exc.code, seen=exc.seen) from exc

    def manager(self, name: str) -> KeyManager:
        """The key manager of this name.

        Raises:
            SettingsError: there is none.
        """
        try:
            return self.managers[name]
        except KeyError as exc:
            known = ", ".join(sorted(self.managers))
            raise SettingsError("there is no key manager of this name", seen=name, wanted=known) from exc
