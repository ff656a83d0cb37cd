"""Whose request it is, by address: a client cannot say, and a trusted proxy can."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ambergate.core.errors import SettingsError
from ambergate.services.web.addresses import MAX_FORWARDED, Proxies, group_of
from ambergate.services.web.limits import ADDRESS_CONNECTIONS, Limits
from ambergate.services.web.rates import Rate
from ambergate.services.web.settings.limiting import LimitsTable

PROXIES = Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")])


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("a socket", "a socket"),
    ],
)
def test_what_counts_as_one_address(host: str, group: str) -> None:
    assert group_of(host) == group


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["10.9.9.9, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("2001:db8:ffff::1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["192.0.2.7" + "," * MAX_FORWARDED], "10.0.0.1"),
        ("192.0.2.1", ["192.0.2.7"], "192.0.2.1"),
    ],
)
def test_the_client_behind_trusted_proxies(peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    assert PROXIES.client(peer, headers) == client


def test_by_default_nobody_is_believed() -> None:
    for peer in ("127.0.0.1", "10.0.0.1", "::1"):
        assert Proxies().client(peer, [(b"x-forwarded-for", b"192.0.2.7")]) == peer


@examples(max_examples=50)
@given(value=st.binary(max_size=200))
def test_whatever_is_forwarded_it_is_an_address_or_the_peers(value: bytes) -> None:
    client = PROXIES.client("10.0.0.1", [(b"x-forwarded-for", value)])
    assert client == "10.0.0.1" or group_of(client) == group_of(group_of(client).removesuffix("/64"))


def test_the_settings() -> None:
    assert LimitsTable().limits().rate is None
    assert LimitsTable().limits().connections == ADDRESS_CONNECTIONS
    assert LimitsTable(requests_per_second=0.25).limits().rate == Rate(0.25, 1)
    assert LimitsTable(requests_per_second=10).limits().rate == Rate(10, 20)
    assert LimitsTable(requests_per_second=10, burst=3).limits().rate == Rate(10, 3)
    found: Limits = LimitsTable(trusted_proxies=["10.0.0.7", "10.1.0.0/16"]).limits()
    assert [found.proxies.trusts(host) for host in ("10.0.0.7", "10.1.2.3", "10.0.0.8")] == [True, True, False]
    for bad in (
        LimitsTable(burst=3),
        LimitsTable(trusted_proxies=["proxy"]),
        LimitsTable(trusted_proxies=["10.0.0.1/8"]),
    ):
        with pytest.raises(SettingsError, match="limits"):
            bad.limits()
