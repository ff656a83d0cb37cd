"""What one address may take of a process: requests in time, and connections at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ambergate.services.web.addresses import Proxies

if TYPE_CHECKING:
    from ambergate.services.web.rates import Rate

# Connections of one address at once: a quarter of all (`seats.MAX_CONNECTIONS`), more than any pool of a client has.
ADDRESS_CONNECTIONS: Final = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Each process counts for itself.

    Attributes:
        rate: of requests, of one address; None: as many as it likes.
        connections: of one address at once; trusted proxies have no such limit, since they are many clients.
        proxies: whose `X-Forwarded-For` is believed.
    """

    rate: Rate | None = None
    connections: int = ADDRESS_CONNECTIONS
    proxies: Proxies = field(default_factory=Proxies)
