"""Terms: on what an API key is given, checked before they are kept and when they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError
from ambergate.core.token.jose import ALGORITHMS
from ambergate.core.token.names import OFFERED

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

SCOPES: Final = ("attest", "manage")
MAX_POLICIES: Final = 10  # of one key, as of one request: wire protocol, 5.2
MAX_RATE: Final = 100_000.0  # requests per second
MIN_RATE: Final = 0.001  # requests per second: one in a quarter of an hour
MAX_BURST: Final = 1_000_000  # requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a key may do, until when and how often, and what it sets for its holder's requests.

    Attributes:
        scopes: of `SCOPES`.
        expires_at: the first instant at which it opens nothing any more; None: no end.
        policy_ids: policies that are evaluated where a request names none.
        policy_must_match: whether there is a token only if all evaluated policies match.
        default_algorithm: signs where a request names none.
        profile: shape of the tokens where a request names none.
        rate: requests per second, in each process; None: as many as there are.
        burst: requests at once; goes with `rate`.

    Raises:
        SettingsError: any of them is unusable.
    """

    scopes: frozenset[str] = frozenset({"attest"})
    expires_at: datetime | None = None
    policy_ids: tuple[UUID, ...] = ()
    policy_must_match: bool = False
    default_algorithm: str | None = None
    profile: str | None = None
    rate: float | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        """Look at each."""
        if not self.scopes or not self.scopes <= set(SCOPES):
            raise SettingsError("a key needs scopes", seen=sorted(self.scopes), wanted=" or ".join(SCOPES))
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise SettingsError("the key's end must say its time zone", seen=self.expires_at)
        if len(self.policy_ids) > MAX_POLICIES or len(set(self.policy_ids)) != len(self.policy_ids):
            wanted = f"at most {MAX_POLICIES}, each once"
            raise SettingsError("a key cannot have these policies", seen=len(self.policy_ids), wanted=wanted)
        if self.default_algorithm is not None and self.default_algorithm not in ALGORITHMS:
            seen, wanted = self.default_algorithm, " or ".join(ALGORITHMS)
            raise SettingsError("the signing algorithm is not offered", seen=seen, wanted=wanted)
        if self.profile is not None and self.profile not in OFFERED:
            raise SettingsError("this is no token profile", seen=self.profile, wanted=" or ".join(OFFERED))
        self._check_rate()

    def _check_rate(self) -> None:
        if (self.rate is None) != (self.burst is None):
            raise SettingsError("rate and burst go together", seen=f"rate {self.rate}, burst {self.burst}")
        if self.rate is not None and not MIN_RATE <= self.rate <= MAX_RATE:
            raise SettingsError("the rate is out of range", seen=self.rate, wanted=f"{MIN_RATE} to {MAX_RATE}")
        if self.burst is not None and not 1 <= self.burst <= MAX_BURST:
            raise SettingsError("the burst is out of range", seen=self.burst, wanted=f"1 to {MAX_BURST}")
