"""`[limits]`: what one address may take, and whose word about others' addresses is taken."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec
from msgspec import Meta

from ambergate.core.errors import SettingsError
from ambergate.services.web.addresses import Proxies
from ambergate.services.web.limits import ADDRESS_CONNECTIONS, Limits
from ambergate.services.web.rates import Rate

_MOST = 1_000_000


class LimitsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`: what one address may take; an IPv6 address counts as its /64. Each worker counts for itself."""

    requests_per_second: Annotated[
        Annotated[float, Meta(gt=0, le=_MOST)] | None,
        Meta(description="Requests of one address in the long run; as many as it likes when not given."),
    ] = None
    burst: Annotated[
        Annotated[int, Meta(ge=1, le=_MOST)] | None,
        Meta(description="And at once; twice as many as in a second when not given."),
    ] = None
    connections: Annotated[
        int, Meta(ge=1, le=_MOST, description="Connections of one address at once; trusted proxies have no such limit.")
    ] = ADDRESS_CONNECTIONS
    trusted_proxies: Annotated[
        list[str], Meta(description="Addresses and networks whose `X-Forwarded-For` is believed; nobody's by default.")
    ] = []

    def limits(self) -> Limits:
        """The limits.

        Raises:
            SettingsError: no network, or a burst without a rate.
        """
        if self.requests_per_second is None and self.burst is not None:
            raise SettingsError("limits.burst means nothing alone", wanted="limits.requests_per_second too")
        rate = None
        if self.requests_per_second is not None:
            burst = self.burst or max(1, round(2 * self.requests_per_second))
            rate = Rate(self.requests_per_second, burst)
        try:
            proxies = Proxies([ipaddress.ip_network(text) for text in self.trusted_proxies])
        except ValueError as exc:
            raise SettingsError(
                "limits.trusted_proxies has no network", seen=str(exc), wanted='["10.0.0.7", "10.1.0.0/16"]'
            ) from exc
        return Limits(rate, self.connections, proxies)
