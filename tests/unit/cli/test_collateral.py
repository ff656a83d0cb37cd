"""`amber collateral show | export | import`: what is carried, proven at the door, and written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.collateral.site import (
    EARLIER,
    LATER,
    NOW,
    OTHER,
    PLATFORM,
    SGX,
    TDX,
    Site,
    amber,
    contents,
    read,
    said,
)

from ambergate.core.collateral.archive import Key
from ambergate.core.collateral.bundle import Collateral
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.simulator.documents import EARLY

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


def bring_in(site: Site, file: Path, *more: str, into: str = "into") -> Result:
    return amber("import", file, "--into", site.folder / into, *site.anchor, *more)


def test_show_a_directory_as_json(site: Site) -> None:
    told = read(amber("show", site.kept, *site.anchor, "--json"))
    assert (told["genuine"], told["archive"]) == (True, None)
    sgx, tdx = told["entries"]
    assert (sgx["tee"], sgx["fmspc"], sgx["ca"], tdx["tee"]) == ("SGX", PLATFORM.fmspc.hex(), "platform", "TDX")
    info = sgx["statements"]["tcb_info"]
    assert info["evaluation_number"] == 17
    assert info["signed_by"] == "Simulated SGX TCB Signing"
    assert info["levels"]["platforms"]["UpToDate"] == 1
    assert tdx["statements"]["tcb_info"]["levels"]["module TDX_01"]
    assert sgx["statements"]["root_ca_crl"]["signed_by"] == "Simulated SGX Root CA"
    assert sgx["earliest_expiry"]["what"] == "the TCB info"
    assert sgx["earliest_expiry"]["not_after"] == sgx["window"]["not_after"]


def test_show_a_directory_for_people(site: Site) -> None:
    result = amber("show", site.kept, *site.anchor)
    assert result.exit_code == 0
    for words in ("TCB info", "QE identity", "revocation list", "signed by Simulated SGX TCB Signing", "ends first"):
        assert words in result.output
    assert "2 entries, all genuine and in force" in result.output


def test_show_the_bare_statements_about_one_family(site: Site) -> None:
    told = read(amber("show", site.kept / f"{SGX}.json", *site.anchor, "--json"))
    assert [entry["ca"] for entry in told["entries"]] == ["platform"]


def test_show_says_at_which_step_it_does_not_verify(site: Site) -> None:
    result = amber("show", site.kept, "--json")
    assert {entry["error"]["step"] for entry in read(result, 4)["entries"]} == {"2.2.pck_chain_anchor"}
    ended = ("--at", (NOW + timedelta(days=31)).isoformat())
    people = amber("show", site.kept, *site.anchor, *ended)
    assert people.exit_code == 4
    assert "NOT GENUINE: the TCB info has expired (step 5.1.tcb_info_dates)" in people.output
    assert "2 NOT GENUINE now" in people.output


def test_either_of_several_roots(site: Site) -> None:
    both = ("--anchor", site.folder / "other.pem", *site.anchor)
    assert amber("show", site.kept, *both).exit_code == 0
    neither = read(amber("show", site.kept, "--anchor", site.folder / "other.pem", "--json"), 4)
    assert neither["entries"][0]["error"]["step"] == "2.2.pck_chain_anchor"


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (Key("TDX", PLATFORM.fmspc, "platform"), "TEE"),
        (Key("SGX", OTHER.fmspc, "platform"), "FMSPC"),
        (Key("SGX", PLATFORM.fmspc, "processor"), "CA"),
    ],
)
def test_statements_about_something_else_than_their_file_says(site: Site, key: Key, word: str) -> None:
    (site.kept / f"{key}.json").write_text(said().to_json())
    told = read(amber("show", site.kept, *site.anchor, "--json"), 4)
    (wrong,) = (entry for entry in told["entries"] if not entry["genuine"])
    assert (wrong["name"], wrong["error"]["code"]) == (str(key) + ".json", "collateral-of-another")
    assert word in wrong["error"]["message"]


def test_an_identity_of_the_other_quoting_enclave(site: Site) -> None:
    tdx, sgx = said(TDX), said()
    mixed = replace(sgx, qe_identity=tdx.qe_identity, qe_identity_signature=tdx.qe_identity_signature)
    site.keep(site.kept, mixed)
    assert "quoting enclave" in amber("show", site.kept, *site.anchor).output


def test_bare_statements_with_the_list_of_no_platform_ca(site: Site) -> None:
    wrong = replace(said(), pck_crl_issuer_chain=said().tcb_info_issuer_chain)
    (site.folder / "bare.json").write_text(wrong.to_json())
    result = amber("show", site.folder / "bare.json", *site.anchor)
    assert (result.exit_code, "certifies no platforms" in result.output) == (4, True)


def test_a_file_that_is_no_collateral(site: Site) -> None:
    (site.kept / f"{SGX}.json").write_text("{}")
    (site.kept / "README").write_text("not looked at")
    told = read(amber("show", site.kept, *site.anchor, "--json"), 4)
    assert [entry["error"]["code"] if entry["error"] else None for entry in told["entries"]] == [
        "malformed-collateral",
        None,
    ]
    assert amber("show", site.kept / "README").exit_code == 4
    (site.folder / "empty").mkdir()
    assert amber("show", site.folder / "empty").exit_code == 1
    assert amber("show", site.folder / "absent").exit_code == 2


def test_a_root_that_is_none(site: Site) -> None:
    (site.folder / "no.pem").write_text("no root")
    for file in ("no.pem", "absent.pem"):
        assert amber("show", site.kept, "--anchor", site.folder / file).exit_code == 1


def test_what_is_exported_is_imported_and_read_by_services(site: Site) -> None:
    out = site.folder / "carried.json"
    exported = read(amber("export", site.kept, "--out", out, *site.anchor, "--json"))
    assert exported["sha256"] in amber("show", out, *site.anchor).output
    imported = read(bring_in(site, out, "--json"))
    assert imported["sha256"] == exported["sha256"]
    assert [(each["name"], each["change"]) for each in imported["entries"]] == [(str(SGX), "new"), (str(TDX), "new")]
    source = DirectoryCollateral(site.folder / "into")
    kept = source.collateral(fmspc=PLATFORM.fmspc, ca="platform", tee="TDX")
    assert kept == Collateral.from_json((site.kept / f"{TDX}.json").read_text())
    assert contents(site.folder / "into").keys() == contents(site.kept).keys()


def test_export_for_people_and_of_what_does_not_verify(site: Site) -> None:
    out = site.folder / "carried.json"
    assert amber("export", site.kept, "--out", out).exit_code == 4
    site.keep(site.kept, said(at=NOW - timedelta(days=40)))
    refused = amber("export", site.kept, "--out", out, *site.anchor)
    assert refused.exit_code == 4
    assert f"nothing is exported: {SGX}.json: the TCB info has expired" in refused.output
    assert not out.exists()
    site.keep(site.kept, said())
    told = amber("export", site.kept, "--out", out, *site.anchor)
    assert told.exit_code == 0
    assert json.loads(out.read_text())["sha256"] in told.output
    assert amber("export", site.kept, "--out", site.folder / "no" / "where.json", *site.anchor).exit_code == 1


def test_import_proves_every_entry_before_it_writes_any(site: Site) -> None:
    forged = replace(said(TDX), tcb_info=said(TDX).tcb_info.replace("OutOfDate", "UpToDate"))
    file = site.carry("forged.json", (SGX, said()), (TDX, forged))
    result = bring_in(site, file)
    assert result.exit_code == 4
    assert f"nothing is imported: {TDX}:" in result.output
    assert "3.5.tcb_info_signature" in result.output
    assert contents(site.folder / "into") == {}


def test_import_names_every_entry_that_fails(site: Site) -> None:
    old = NOW - timedelta(days=40)
    file = site.carry("old.json", (SGX, said(at=old)), (TDX, said(TDX, at=old)))
    error = read(bring_in(site, file, "--json"), 4)["error"]
    assert error["step"] == "5.1.tcb_info_dates"
    assert error["message"].startswith(f"nothing is imported: {SGX}: the TCB info has expired")
    assert f"{TDX}: step 5.1.tcb_info_dates" in error["message"]


def test_import_needs_the_root(site: Site) -> None:
    file = site.carry("carried.json", (SGX, said()))
    result = amber("import", file, "--into", site.folder / "into")
    assert result.exit_code == 4
    assert "2.2.pck_chain_anchor" in result.output


def test_a_file_damaged_on_the_way(site: Site) -> None:
    file = site.carry("carried.json", (SGX, said()))
    file.write_bytes(file.read_bytes().replace(b"UpToDate", b"UpToDatd", 1))
    error = read(bring_in(site, file, "--json"), 4)["error"]
    assert error["code"] == "malformed-collateral"
    assert "copy the file again" in error["hint"]


def test_newer_replaces_older_and_the_same_is_left_alone(site: Site) -> None:
    into = site.keep(site.folder / "into", said(at=EARLIER), said(TDX))
    untouched = (into / f"{TDX}.json").stat()
    file = site.carry(
        "carried.json", (SGX, said(edition=EARLY)), (TDX, Collateral.from_json((into / f"{TDX}.json").read_text()))
    )
    sgx, tdx = read(bring_in(site, file, "--json"))["entries"]
    assert (sgx["change"], tdx["change"]) == ("newer", "unchanged")
    assert (sgx["before"]["tcb_info"]["evaluation_number"], sgx["after"]["tcb_info"]["evaluation_number"]) == (17, 18)
    assert (into / f"{TDX}.json").stat() == untouched
    people = bring_in(site, site.carry("again.json", (SGX, said(at=LATER, edition=EARLY))))
    assert people.exit_code == 0
    assert "newer      evaluation 18" in people.output
    assert "(was 18, " in people.output


@pytest.mark.parametrize(
    ("kept", "brought", "rule"),
    [
        ({"edition": EARLY}, {}, "tcb_info"),
        ({"edition": EARLY}, {}, "qe_identity"),
        ({"at": NOW}, {"at": EARLIER}, "pck_crl"),
        ({"at": NOW}, {"at": EARLIER, "edition": EARLY}, "tcb_info"),
    ],
)
def test_older_never_replaces_newer_unasked(
    site: Site, kept: dict[str, object], brought: dict[str, object], rule: str
) -> None:
    into = site.keep(site.folder / "into", said(**kept))  # type: ignore[arg-type]  # of a table
    before = contents(into)
    file = site.carry("carried.json", (SGX, said(**brought)), (TDX, said(TDX)))  # type: ignore[arg-type]
    error = read(bring_in(site, file, "--json"), 3)["error"]
    assert error["code"] == "collateral-rolled-back"
    assert f"{SGX} {rule}" in [mismatch["rule"] for mismatch in error["mismatches"]]
    assert contents(into) == before
    sgx, tdx = read(bring_in(site, file, "--dangerously-allow-rollback", "--json"))["entries"]
    assert (sgx["change"], tdx["change"]) == ("older", "new")


def test_an_older_revocation_list_alone_is_a_rollback(site: Site) -> None:
    into = site.keep(site.folder / "into", said())
    file = site.carry("carried.json", (SGX, replace(said(), pck_crl=said(at=EARLIER).pck_crl)))
    assert bring_in(site, file).exit_code == 3
    assert Collateral.from_json((into / f"{SGX}.json").read_text()).tcb_info == said().tcb_info


def test_a_file_that_cannot_be_read_as_collateral_is_replaced(site: Site) -> None:
    into = site.keep(site.folder / "into")
    (into / f"{SGX}.json").write_text("rubbish")
    (entry,) = read(bring_in(site, site.carry("carried.json", (SGX, said())), "--json"))["entries"]
    assert (entry["change"], entry["before"]) == ("replaced", None)


def test_statements_signed_anew_for_the_same_dates_replace_the_old_ones(site: Site) -> None:
    site.keep(site.folder / "into", said())
    (entry,) = read(bring_in(site, site.carry("carried.json", (SGX, said())), "--json"))["entries"]
    assert entry["change"] == "replaced"


def test_an_entry_about_another_family_than_it_says(site: Site) -> None:
    file = site.carry("carried.json", (SGX, said()), (Key("SGX", OTHER.fmspc, "platform"), said()))
    error = read(bring_in(site, file, "--json"), 4)["error"]
    assert error["code"] == "collateral-of-another"
    assert contents(site.folder / "into") == {}


def test_import_for_people(site: Site) -> None:
    result = bring_in(site, site.carry("carried.json", (SGX, said())))
    assert result.exit_code == 0
    assert f"{SGX}  new" in result.output
    assert "holds until" in result.output


def test_a_write_that_fails_half_way_leaves_all_as_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    into = site.keep(site.folder / "into", said(at=EARLIER))
    before = contents(into)
    file = site.carry("carried.json", (SGX, said()), (TDX, said(TDX)))
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name.startswith("tdx-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    result = bring_in(site, file)
    assert result.exit_code == 1
    assert "nothing is changed" in result.output
    assert contents(into) == before


def test_a_failure_that_cannot_be_undone_is_told_as_such(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    into = site.keep(site.folder / "into", said(at=EARLIER))
    file = site.carry("carried.json", (SGX, said()), (TDX, said(TDX)))
    real, calls = Path.replace, []

    def gone(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > 1:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", gone)
    result = bring_in(site, file)
    assert (result.exit_code, "in part only" in result.output) == (1, True)
    assert set(contents(into)) == {f"{SGX}.json"}


def test_two_do_not_write_at_once(site: Site) -> None:
    into = site.keep(site.folder / "into")
    descriptor = os.open(into, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        result = bring_in(site, site.carry("carried.json", (SGX, said())))
    finally:
        os.close(descriptor)
    assert result.exit_code == 1
    assert "somebody else is writing" in result.output
    assert contents(into) == {}


def test_a_directory_that_is_a_file(site: Site) -> None:
    file = site.carry("carried.json", (SGX, said()))
    result = amber("import", file, "--into", file / "below", *site.anchor)
    assert result.exit_code == 1
