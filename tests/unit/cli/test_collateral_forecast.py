"""`amber collateral forecast`: for quotes and for the platforms that a service saw, in words, as JSON, as exit code."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.collateral.site import NOW, OTHER, PLATFORM, TDX, Site, amber, read, said

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import Fmspc, PceId
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.core.verify.forecast import PlatformKind
from ambergate.simulator.documents import EARLY
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.stores.engine import open_database
from ambergate.stores.platforms import PlatformStore

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.core.collateral.bundle import Collateral

OUT = TcbStatus.OUT_OF_DATE
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
CONFIG = """\
base_url = "https://attest.example:8443"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
[[anchors]]
pem = "root.pem"
simulated = true
collateral = "kept"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    site.keep(tmp_path / "early", said(status=OUT, edition=EARLY), said(TDX, edition=EARLY))
    return site


def sets(site: Site) -> tuple[object, ...]:
    return "--standard", site.kept, "--early", site.folder / "early"


def kind(raw: bytes, collateral: Collateral) -> PlatformKind:
    return PlatformKind.of(verify_quote(parse_quote(raw), collateral, at=NOW, anchor=ANCHOR))


SGX_KIND = kind(PLATFORM.quote(SPECIMEN, bytes(64)), said())
TDX_KIND = kind(PLATFORM.td_quote(TD_SPECIMEN, bytes(64)), said(TDX))


def saw(site: Site, *kinds: PlatformKind) -> Path:
    """The configuration of a service that saw these."""
    config = site.folder / "attestation.toml"
    config.write_text(CONFIG)
    engine = open_database(site.folder / "attestation.sqlite")
    store = PlatformStore(engine)
    for number, each in enumerate(kinds):
        store.saw(each, at=NOW - timedelta(minutes=number))
    engine.dispose()
    return config


def test_quotes(site: Site) -> None:
    told = read(amber("forecast", site.folder / "quote", site.folder / "td.quote", *sets(site), *site.anchor, "--json"))
    sgx, tdx = told["platforms"]
    assert (told["worse"], told["unknown"]) == (1, 0)
    assert (sgx["standard"]["status"], sgx["early"]["status"], sgx["change"]) == ("UpToDate", "OutOfDate", "worse")
    assert (sgx["standard"]["evaluation_number"], sgx["early"]["evaluation_number"]) == (17, 18)
    assert sgx["advisories_gained"] == sgx["early"]["advisory_ids"] != []
    (behind,) = sgx["behind"]
    assert (behind["part"], behind["behind"], bool(behind["remedy"])) == ("SGX component 1", 1, True)
    assert (tdx["tee"], tdx["change"], tdx["behind"], tdx["error"]) == ("TDX", "same", [], None)


def test_for_people(site: Site) -> None:
    result = amber("forecast", site.folder / "quote", *sets(site), *site.anchor)
    assert result.exit_code == 0
    for words in ("early       OutOfDate (evaluation 18)  WORSE", "behind      SGX component 1 by 1: has 14, needs 15"):
        assert words in result.output
    assert "1 kind of platforms: 1 will be worse off, 0 cannot be told" in result.output


def test_the_exit_code_tells_of_a_change_when_asked(site: Site) -> None:
    quotes = {"quote": 3, "td.quote": 0}
    for name, code in quotes.items():
        assert amber("forecast", site.folder / name, *sets(site), *site.anchor, "--fail-on-change").exit_code == code
        assert amber("forecast", site.folder / name, *sets(site), *site.anchor).exit_code == 0


def test_the_platforms_that_a_service_saw(site: Site) -> None:
    config = saw(site, SGX_KIND, TDX_KIND)
    told = read(amber("forecast", "--config", config, "--early", site.folder / "early", "--json"))
    sgx, tdx = told["platforms"]
    assert (sgx["origin"], sgx["last_seen"]) == ("seen", NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert (sgx["change"], tdx["change"], tdx["standard"]["status"]) == ("worse", "same", "UpToDate")
    people = amber("forecast", "--config", config, "--early", site.folder / "early")
    assert "last seen" in people.output
    assert "2 kinds of platforms: 1 will be worse off" in people.output


def test_nothing_in_the_forecast_names_a_machine(site: Site) -> None:
    hardware = PLATFORM.state.hardware
    assert hardware.platform_instance_id is not None
    config = saw(site, SGX_KIND, TDX_KIND)
    output = amber("forecast", "--config", config, "--early", site.folder / "early", "--json").output
    database = b"".join(path.read_bytes() for path in site.folder.glob("attestation.sqlite*"))
    for secret in (hardware.ppid, hardware.platform_instance_id, SPECIMEN.mr_enclave, SPECIMEN.mr_signer):
        assert secret.hex() not in output
        assert secret.value not in database
        assert secret.hex().encode() not in database


def test_what_cannot_be_told_is_told_and_the_rest_is(site: Site) -> None:
    strange = replace(SGX_KIND, fmspc=Fmspc(b"SIM\0\0\0"))
    foreign = replace(SGX_KIND, anchor=bytes(32))
    other_pce = replace(SGX_KIND, pce_id=PceId(b"\0\1"))
    config = saw(site, SGX_KIND, strange, foreign, other_pce)
    told = read(amber("forecast", "--config", config, "--early", site.folder / "early", "--json"), 5)
    assert [row["change"] for row in told["platforms"]] == ["worse", None, None, None]
    assert told["unknown"] == 3
    messages = [row["error"]["message"] for row in told["platforms"][1:]]
    for message, words in zip(
        messages, ("the standard set: no collateral", "root is none of those", "another PCE"), strict=True
    ):
        assert words in message
    assert amber("forecast", "--config", config, *sets(site), "--fail-on-change").exit_code == 3
    assert "unknown     the platform's root" in amber("forecast", "--config", config, *sets(site)).output


def test_a_set_that_is_not_genuine(site: Site) -> None:
    forged = said(edition=EARLY)
    site.keep(site.folder / "early", replace(forged, tcb_info=forged.tcb_info.replace("OutOfDate", "UpToDate")))
    told = read(amber("forecast", site.folder / "quote", *sets(site), *site.anchor, "--json"), 4)
    error = told["platforms"][0]["error"]
    assert error["step"] == "3.5.tcb_info_signature"
    assert error["message"].startswith("the early set: ")


def test_sets_the_other_way_round(site: Site) -> None:
    swapped = ("--standard", site.folder / "early", "--early", site.kept)
    result = amber("forecast", site.folder / "quote", *swapped, *site.anchor)
    assert result.exit_code == 1
    assert "older than the standard one" in result.output


def test_a_quote_that_is_not_genuine_forecasts_nothing(site: Site) -> None:
    raw = bytearray((site.folder / "quote").read_bytes())
    raw[100] ^= 1  # of the enclave's report
    (site.folder / "forged").write_bytes(raw)
    result = amber("forecast", site.folder / "forged", *sets(site), *site.anchor)
    assert result.exit_code == 4
    assert "forged: the quote is not signed" in result.output
    (site.folder / "other").write_bytes(OTHER.quote(SPECIMEN, bytes(64)))
    assert amber("forecast", site.folder / "other", *sets(site), *site.anchor).exit_code == 5
    (site.folder / "none").write_bytes(b"none")
    result = amber("forecast", site.folder / "none", *sets(site), *site.anchor)
    assert (result.exit_code, "none: " in result.output) == (4, True)


def test_at_another_instant(site: Site) -> None:
    at = ("--at", (NOW + timedelta(days=40)).isoformat())
    assert amber("forecast", site.folder / "quote", *sets(site), *site.anchor, *at).exit_code == 4


def test_usage(site: Site) -> None:
    assert amber("forecast").exit_code == 2
    config = site.folder / "attestation.toml"
    config.write_text(CONFIG)
    result = amber("forecast", "--config", config, "--early", site.folder / "early")
    assert (result.exit_code, "no database yet" in result.output) == (1, True)
    saw(site)
    assert "no platform was seen yet" in amber("forecast", "--config", config, *sets(site)).output
    absent = amber("forecast", site.folder / "quote", "--early", site.folder / "absent", *site.anchor)
    assert (absent.exit_code, "the early set is not there" in absent.output) == (1, True)
