"""What named policies need of the world: those of the database, in memory, and engines that judge them."""

from __future__ import annotations

import contextlib
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.named import PolicyLanguage
from ambergate.core.appraise.typed import TypedEngine
from ambergate.policies.yaml_text import yaml_reader
from ambergate.rego.engine import RegoEngine
from ambergate.services.attestation.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.named import Policy, PolicyEngine, PolicyOutcome
    from ambergate.stores.policies import PolicyStore, StoredPolicy


REGO_WORKERS: Final = 2  # of all processes of a service together, though each has one at least


class KnownPolicies:
    """The policies that the database holds. Fits `ports.Policies`. Safe to share between threads.

    Args:
        store: the policies.
        now: the clock, aware.
    """

    def __init__(self, store: PolicyStore, *, now: Callable[[], datetime]) -> None:
        self._known: Memory[UUID, StoredPolicy] = Memory(store.since, now=now)

    def get(self, policy_id: UUID, /) -> Policy | None:
        """The policy as it is now, at most five seconds late; None: there is none, or it is deleted.

        Raises:
            Unavailable: the database has not answered for too long.
        """
        return _living(self._known.get(policy_id))

    def at_hand(self, policy_id: UUID, /) -> Policy | None:
        """The policy, if it is known in memory and fresh; None: `get` may know. Waits for nothing."""
        return _living(self._known.at_hand(policy_id))


def _living(found: StoredPolicy | None) -> Policy | None:
    return None if found is None or found.deleted_at is not None else found.policy


@contextlib.contextmanager
def open_engines(processes: int = 1) -> Iterator[Mapping[PolicyLanguage, PolicyEngine]]:
    """An engine for each language that can be judged here; what needs an extra that is not installed is left out.

    Args:
        processes: how many processes of this service there are beside each other: they share `REGO_WORKERS`.
    """
    engines: dict[PolicyLanguage, PolicyEngine] = {PolicyLanguage.TYPED: TypedEngine(yaml=yaml_reader())}
    with contextlib.ExitStack() as stack:
        if find_spec("regopy") is not None:
            rego = LateRego(max(1, REGO_WORKERS // processes))
            engines[PolicyLanguage.REGO] = stack.enter_context(contextlib.closing(rego))
        yield engines


class LateRego:
    """Rego's engine, whose workers start with the first policy in Rego. Fits `PolicyEngine`.

    Args:
        workers: how many policies run at once.
    """

    def __init__(self, workers: int = REGO_WORKERS) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._made: RegoEngine | None = None

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        """As `RegoEngine.evaluate`."""
        return self._engine().evaluate(policy, claims, at=at)

    def recall(self, policy: Policy, claims: Mapping[str, object], /) -> PolicyOutcome | None:
        """As `RegoEngine.recall`."""
        return None if self._made is None else self._made.recall(policy, claims)

    def lasts(self, policy: Policy, /) -> bool:
        """As `RegoEngine.lasts`."""
        return self._made is not None and self._made.lasts(policy)

    def check(self, policy: Policy, /) -> None:
        """As `RegoEngine.check`."""
        self._engine().check(policy)

    def close(self) -> None:
        """End the workers, if there are any."""
        with self._lock:
            if self._made is not None:
                self._made.close()

    def _engine(self) -> RegoEngine:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = RegoEngine(workers=self._workers)
        return self._made
