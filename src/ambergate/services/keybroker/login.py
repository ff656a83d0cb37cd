"""Logging in: a name and a password for a bearer token. Who fails too often waits, longer each time.

Failures are counted for the user's name, known or not, and for the address they come from. A stranger can so make a
user wait; who must not be kept out is let in again by `amber keybroker user unlock` on the broker's machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, NotAuthorised, TooManyRequests
from ambergate.services.keybroker.ports import Change

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.services.keybroker.bearer import BearerTokens
    from ambergate.services.keybroker.passwords import Passwords
    from ambergate.services.keybroker.ports import Journal
    from ambergate.stores.login_failures import Failures, LoginFailures
    from ambergate.stores.users import UserStore

USER_FREE: Final = 5  # failures without a wait: the Key Broker Service's default
ADDRESS_FREE: Final = 20  # of one address, which many users may share
FIRST_WAIT: Final = timedelta(seconds=30)  # doubles with each further failure
LONGEST_WAIT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The use case. Safe to call from several threads."""

    users: UserStore
    failures: LoginFailures
    passwords: Passwords
    tokens: BearerTokens
    journal: Journal

    def __call__(self, username: str, password: str, *, address: str, at: datetime) -> str:
        """A bearer token.

        Raises:
            Malformed: name or password are empty.
            NotAuthorised: they are not a user's; which of the two is wrong is not told.
            TooManyRequests: the name or the address has failed too often; the password was not looked at.
            SettingsError: what is stored is not what was written.
            Unavailable: the database or the audit log does not answer, or too many are logging in.
        """
        if not username or not password:
            raise Malformed("name and password are needed", code="malformed-request", wanted="username and password")
        who = (user_key(username), address_key(address))
        for key, free in zip(who, (USER_FREE, ADDRESS_FREE), strict=True):
            self._refuse_waiting(self.failures.of(key, at=at), free, at)
        user = self.users.named(username)
        # A name that is nobody's is not written down: it may be a password, typed into the wrong field.
        subject = "(unknown)" if user is None else str(user.id)
        name = "(unknown)" if user is None else user.username
        change = Change(what="login", subject=subject, by=name, at=at, details={"address": address})
        with self.journal.change(change):
            if not self.passwords.holds(password, None if user is None else user.password) or user is None:
                self.failures.count(who, at=at)
                raise NotAuthorised("user name or password are wrong", code="bad-credentials")
            self.failures.forget(who[0])
            return self.tokens.issue(user, at=at)

    def _refuse_waiting(self, failures: Failures | None, free: int, at: datetime) -> None:
        if failures is None:
            return
        left = failures.last + wait_after(failures.number, free) - at
        if left > timedelta():
            raise TooManyRequests(
                "too many failed logins",
                code="locked-out",
                retry_after=math.ceil(left.total_seconds()),
                hint="wait, or ask for `amber keybroker user unlock` on the broker's machine",
            )


def wait_after(failures: int, free: int) -> timedelta:
    """How long nobody of this name or address may try again."""
    if failures < free:
        return timedelta()
    doublings = min(failures - free, 16)  # beyond which it is longer than the longest
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def user_key(username: str) -> str:
    """What a user's failures are counted under."""
    return f"user {username}"


def address_key(address: str) -> str:
    """What an address's failures are counted under."""
    return f"address {address}"
