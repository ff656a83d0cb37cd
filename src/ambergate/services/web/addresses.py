"""Whose request this is, by address: what counts as one address, and whose word about others' addresses is taken."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    Headers = Iterable[tuple[bytes, bytes]]

MAX_FORWARDED: Final = 2048  # bytes of X-Forwarded-For that are read, from its end
_HOME: Final = 64  # bits; what one customer gets at least (RFC 6177), so that one of them is not 2^64 addresses


def group_of(host: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 that an IPv6 address is in."""
    address = _parsed(host)
    if address is None or address.version == 4:
        return host if address is None else str(address)
    return str(ipaddress.IPv6Network((int(address) >> _HOME << _HOME, _HOME)))


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed. By default there is none, and the header is not looked at.

    Args:
        networks: theirs.
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._networks)

    def trusts(self, host: str) -> bool:
        """Whether this is one of them."""
        address = _parsed(host)
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, headers: Headers) -> str:
        """The address that a request comes from, as far as anybody who is trusted says.

        From the peer backwards: each proxy wrote the address that it was connected from behind what it was told. The
        first that is no trusted proxy's is the client's. What stands before it, the client wrote itself.
        """
        if not self or not self.trusts(peer):
            return peer
        client = peer
        for hop in reversed(_hops(headers)):
            address = _hop(hop)
            if address is None:
                break
            client = str(address)
            if not self.trusts(client):
                break
        return client


def _hops(headers: Headers) -> list[str]:
    text = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    return text[-MAX_FORWARDED:].decode("latin-1").split(",")


def _hop(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port behind it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return _parsed(text)


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
