"""`amber collateral fetch` before a real HTTPS server: what it asks, what it proves, what it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.integration.collateral.site import NOW, PLATFORM, SGX, TDX, Site, amber, contents, read, said

from ambergate.cli.main import main
from ambergate.core.collateral.archive import decode_archive
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.simulator.documents import EARLY
from ambergate.simulator.pcs import Armed
from ambergate.simulator.pcs.faults import Misfortune

if TYPE_CHECKING:
    from click.testing import Result

    from ambergate.simulator.pcs import SimulatedPcs

UNREACHABLE = "https://127.0.0.1:1"


def fetch(site: Site, pcs: SimulatedPcs | str, *arguments: object, out: str = "fetched") -> Result:
    url = pcs if isinstance(pcs, str) else pcs.url
    tls = ("--tls-ca", site.folder / "tls.pem")
    return amber("fetch", *arguments, "--pccs", url, *tls, *site.anchor, "--out", site.folder / out)


def test_what_quotes_need_verifies_them(site: Site, pcs: SimulatedPcs) -> None:
    told = read(fetch(site, pcs, site.folder / "quote", site.folder / "td.quote", site.folder / "quote", "--json"))
    assert [(each["name"], each["change"]) for each in told["entries"]] == [(str(SGX), "new"), (str(TDX), "new")]
    source = DirectoryCollateral(site.folder / "fetched")
    for name, tee in (("quote", "SGX"), ("td.quote", "TDX")):
        collateral = source.collateral(fmspc=PLATFORM.fmspc, ca="platform", tee=tee)
        quote = parse_quote((site.folder / name).read_bytes())
        verify_quote(quote, collateral, at=NOW, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))


def test_a_quote_on_standard_input(site: Site, pcs: SimulatedPcs) -> None:
    tls = ("--tls-ca", site.folder / "tls.pem", "--out", site.folder / "fetched")
    arguments = ["collateral", "fetch", "-", "--pccs", pcs.url, *map(str, tls), *site.anchor]
    result = CliRunner().invoke(main, arguments, input=(site.folder / "quote").read_bytes())
    assert (result.exit_code, set(contents(site.folder / "fetched"))) == (0, {f"{SGX}.json"})


def test_a_family_by_name_from_either_api(site: Site, pcs: SimulatedPcs) -> None:
    named = ("--fmspc", PLATFORM.fmspc.hex(), "--ca", "platform")
    assert fetch(site, pcs, *named, "--tee", "tdx").exit_code == 0
    assert fetch(site, pcs, *named, "--api", "v3").exit_code == 0
    assert set(contents(site.folder / "fetched")) == {f"{SGX}.json", f"{TDX}.json"}
    kept = DirectoryCollateral(site.folder / "fetched").collateral(fmspc=PLATFORM.fmspc, ca="platform", tee="SGX")
    assert read_tcb_info(kept.tcb_info).version == 2


def test_into_a_file_to_carry(site: Site, pcs: SimulatedPcs) -> None:
    result = fetch(site, pcs, site.folder / "quote", out="carried.json")
    assert result.exit_code == 0
    archive = decode_archive((site.folder / "carried.json").read_bytes())
    assert [entry.key for entry in archive.entries] == [SGX]
    assert archive.digest in result.output
    again = read(fetch(site, pcs, site.folder / "quote", "--json", out="carried.json"))
    assert again["sha256"] == json.loads((site.folder / "carried.json").read_text())["sha256"]


def test_the_early_set_is_the_other_one(site: Site, pcs: SimulatedPcs) -> None:
    quote = site.folder / "quote"
    early = read(fetch(site, pcs, quote, "--update", "early", "--json"))["entries"][0]
    assert early["after"]["tcb_info"]["evaluation_number"] == EARLY.number
    before = contents(site.folder / "fetched")
    refused = read(fetch(site, pcs, quote, "--json"), 3)["error"]
    assert refused["code"] == "collateral-rolled-back"
    assert contents(site.folder / "fetched") == before
    back = read(fetch(site, pcs, quote, "--dangerously-allow-rollback", "--json"))["entries"][0]
    assert back["change"] == "older"


def test_what_is_not_genuine_is_not_written(site: Site, pcs: SimulatedPcs) -> None:
    (site.folder / "root.pem").write_text((site.folder / "other.pem").read_text())
    result = fetch(site, pcs, site.folder / "quote")
    assert result.exit_code == 4
    assert "nothing is written" in result.output
    assert "2.2.pck_chain_anchor" in result.output
    assert contents(site.folder / "fetched") == {}


def test_one_that_cannot_be_had_leaves_all_unwritten(site: Site, pcs: SimulatedPcs) -> None:
    unknown = ("--fmspc", "00606a000000", "--ca", "platform")
    result = fetch(site, pcs, site.folder / "quote", *unknown, "--json")
    assert read(result, 5)["error"]["code"].startswith("collateral-")
    assert contents(site.folder / "fetched") == {}


@pytest.mark.parametrize("fault", ["stale", "wrong-chain"])
def test_the_next_source_is_asked_when_one_is_not_genuine(site: Site, pcs: SimulatedPcs, fault: str) -> None:
    pcs.misfortune = Misfortune([Armed.parse(fault)])
    quote = site.folder / "quote"
    assert fetch(site, pcs, quote).exit_code == 4
    neither = read(fetch(site, pcs, quote, "--pccs", UNREACHABLE, "--json"), 5)
    assert "what it has is not genuine" in neither["error"]["seen"]
    assert contents(site.folder / "fetched") == {}
    pcs.misfortune = Misfortune([Armed.parse(f"{fault}:4")])  # the four documents of the first source
    assert fetch(site, pcs, quote, "--pccs", pcs.url).exit_code == 0


def test_a_second_source_when_the_first_is_not_there(site: Site, pcs: SimulatedPcs) -> None:
    first = ("--pccs", UNREACHABLE)
    told = read(amber("fetch", site.folder / "quote", *first, "--pccs", pcs.url, "--tls-ca", site.folder / "tls.pem",
                      *site.anchor, "--out", site.folder / "fetched", "--json"))  # fmt: skip
    assert [each["name"] for each in told["entries"]] == [str(SGX)]


def test_tls_is_verified(site: Site, pcs: SimulatedPcs) -> None:
    (site.folder / "tls.pem").write_text(PLATFORM.root_pem)
    assert fetch(site, pcs, site.folder / "quote").exit_code == 5
    (site.folder / "tls.pem").write_text("")
    assert fetch(site, pcs, site.folder / "quote").exit_code == 1


def test_usage(site: Site) -> None:
    quote = site.folder / "quote"
    for arguments in (
        (),
        ("--fmspc", "00606a000000"),
        ("--ca", "platform"),
        (quote, "--tee", "SGX"),
        ("--fmspc", "no hex", "--ca", "platform"),
        (quote, "--update", "late"),
    ):
        assert fetch(site, UNREACHABLE, *arguments).exit_code == 2
    (site.folder / "tls.pem").write_text(PLATFORM.root_pem)
    assert fetch(site, UNREACHABLE, site.folder / "absent").exit_code == 1
    (site.folder / "none").write_bytes(b"none")
    assert fetch(site, UNREACHABLE, site.folder / "none").exit_code == 4
    assert fetch(site, "http://127.0.0.1:1", quote).exit_code == 1


def test_forecast_from_a_server(site: Site, pcs: SimulatedPcs) -> None:
    sources = ("--early", pcs.url, "--standard", pcs.url, "--tls-ca", site.folder / "tls.pem")
    told = read(amber("forecast", site.folder / "quote", *sources, *site.anchor, "--json"))
    assert told["platforms"][0]["change"] == "worse"
    site.keep(site.folder / "today", said())
    mixed = ("--early", pcs.url, "--standard", site.folder / "today", "--tls-ca", site.folder / "tls.pem")
    assert amber("forecast", site.folder / "quote", *mixed, *site.anchor, "--fail-on-change").exit_code == 3
