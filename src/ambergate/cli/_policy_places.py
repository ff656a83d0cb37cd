"""Where `amber policy` keeps policies: the service's database, or the service itself over its management API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from ambergate.cli._common import now
from ambergate.cli._http import TIMEOUT, ask
from ambergate.cli._services import attestation_config
from ambergate.core.errors import NotFound, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx

    from ambergate.core.appraise.named import PolicyKind, PolicyLanguage
    from ambergate.services.attestation.management import Management
    from ambergate.stores.policies import StoredPolicy

PATH: Final = "/management/v1/policies"
_NONE: Final = str(UUID(int=0))

Shown = dict[str, Any]


class Place(Protocol):
    """Holds policies; each is shown as `PolicyResponse` has it, with `policy_language` where that is known."""

    def all(self) -> list[Shown]:
        """Every policy."""
        ...

    def one(self, which: str, version: int | None = None) -> Shown:
        """The policy of this id or name; `NotFound`."""
        ...

    def create(self, name: str, text: str, kind: PolicyKind, language: PolicyLanguage) -> Shown:
        """A new policy."""
        ...

    def update(self, which: str, name: str | None, text: str | None, language: PolicyLanguage | None) -> Shown:
        """Its next version."""
        ...

    def delete(self, which: str) -> str:
        """Take it out of use; its id."""
        ...


@contextlib.contextmanager
def place(config: Path | None, url: str | None, apikey_file: Path | None, cacerts: Path | None) -> Iterator[Place]:
    """The place that the options name.

    Raises:
        SettingsError: they name none, or two, or it cannot be used.
    """
    if (config is None) == (url is None):
        raise SettingsError("say where the policies are", wanted="one of --config and --url")
    if config is not None:
        from ambergate.services.attestation.app import open_management

        with open_management(attestation_config(config)) as (management, _):
            yield Local(management)
        return
    assert url is not None
    if apikey_file is None:
        raise SettingsError("who manages policies has a key", wanted="--apikey-file", hint="its scope is manage")
    with _client(url, apikey_file, cacerts) as client:
        yield Remote(client)


class Local:
    """The service's database. Fits `Place`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def all(self) -> list[Shown]:
        """Every policy."""
        return [_shown(each) for each in self._management.store.all()]

    def one(self, which: str, version: int | None = None) -> Shown:
        """The policy of this id or name, or one of its versions."""
        store = self._management.store
        return _shown(store.get(self._id(which), version=version))

    def create(self, name: str, text: str, kind: PolicyKind, language: PolicyLanguage) -> Shown:
        """A new policy."""
        from ambergate.services.attestation.management import Submitted

        submitted = Submitted(name=name, text=text, language=language)
        return _shown(self._management.create(submitted, kind, at=now()))

    def update(self, which: str, name: str | None, text: str | None, language: PolicyLanguage | None) -> Shown:
        """Its next version."""
        from ambergate.services.attestation.management import Submitted

        submitted = Submitted(name=name, text=text, language=language)
        return _shown(self._management.update(self._id(which), submitted, at=now()))

    def delete(self, which: str) -> str:
        """Take it out of use; its id."""
        identity = self._id(which)
        self._management.delete(identity, at=now())
        return str(identity)

    def _id(self, which: str) -> UUID:
        try:
            return UUID(which)
        except ValueError:
            return self._management.store.named(which).policy.id


class Remote:
    """A running service. Fits `Place`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def all(self) -> list[Shown]:
        """Every policy."""
        return [dict(each) for each in self._ask("GET")]

    def one(self, which: str, version: int | None = None) -> Shown:
        """The policy of this id or name."""
        if version is not None:
            raise SettingsError("only the service's own machine shows older versions", hint="use --config there")
        return dict(self._ask("GET", self._id(which)))

    def create(self, name: str, text: str, kind: PolicyKind, language: PolicyLanguage) -> Shown:
        """A new policy."""
        body = {
            "policy_id": _NONE,
            "policy": text,
            "policy_name": name,
            "policy_type": kind.value,
            "policy_language": language.value,
        }
        return dict(self._ask("POST", body=body))

    def update(self, which: str, name: str | None, text: str | None, language: PolicyLanguage | None) -> Shown:
        """Its next version."""
        identity = self._id(which)
        body = {
            "policy_id": identity,
            "policy": text,
            "policy_name": name,
            "policy_language": None if language is None else language.value,
        }
        return dict(self._ask("PUT", identity, body=body))

    def delete(self, which: str) -> str:
        """Take it out of use; its id."""
        identity = self._id(which)
        self._ask("DELETE", identity)
        return identity

    def _id(self, which: str) -> str:
        try:
            return str(UUID(which))
        except ValueError:
            found = [str(each["policy_id"]) for each in self.all() if each.get("policy_name") == which]
        if not found:
            raise NotFound("there is no such policy", code="unknown-policy", seen=which)
        return found[0]

    def _ask(self, method: str, identity: str | None = None, *, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        shown, headers = ask(self._client, method, PATH if identity is None else f"{PATH}/{identity}", body=body)
        if isinstance(shown, dict) and "policy-language" in headers:
            shown["policy_language"] = headers["policy-language"]
        return shown


@contextlib.contextmanager
def _client(url: str, apikey_file: Path, cacerts: Path | None) -> Iterator[httpx.Client]:
    import httpx

    from ambergate.client.loading import read_file
    from ambergate.pcs.transport import tls_context
    from ambergate.services.web.settings.tables import public_url

    key = read_file(apikey_file, "--apikey-file").decode("ascii", "replace").strip()
    with httpx.Client(
        base_url=public_url(url, field="--url"),
        verify=tls_context(cacerts),
        timeout=TIMEOUT,
        trust_env=False,
        headers={"x-api-key": key, "accept": "application/json"},
    ) as client:
        yield client


def _shown(stored: StoredPolicy) -> Shown:
    import msgspec

    from ambergate.services.attestation.management_wire import response

    told: Shown = msgspec.to_builtins(response(stored))
    return {**told, "policy_language": stored.policy.language.value}
