"""Which release policy a command puts a key under: one in a file, or one that has an id."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.app import State


@contextmanager
def under(
    state: State, key_id: UUID, file: Path | None, policy_id: UUID | None, read: Callable[[Path], ResourcePolicy]
) -> Iterator[ResourcePolicy]:
    """The policy that the options name, for who puts the key under it in this block; that it has an id is noted.

    Raises:
        UsageError: they name none, or two.
        NotFound: there is no policy of this id.
        MalformedPolicy: the file holds none.
    """
    check_one(file, policy_id)
    if policy_id is None:
        assert file is not None
        yield read(file)
        state.policies.forget(key_id)
        return
    before = state.policies.of_keys([key_id]).get(key_id)
    policy = state.policies.use(key_id, policy_id, at=now()).policy
    try:
        yield policy
    except BaseException:
        if before is None:
            state.policies.forget(key_id)
        else:
            state.policies.use(key_id, before, at=now())
        raise


def check_one(file: Path | None, policy_id: UUID | None) -> None:
    """A key is under one policy.

    Raises:
        UsageError: the options name none, or two.
    """
    if (file is None) == (policy_id is None):
        message = "a key is under one policy: say --policy or --policy-id"
        raise click.UsageError(message)
