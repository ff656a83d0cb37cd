"""The file that carries collateral to a site without a network: what goes in comes out, and damage is found."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.collateral import archive
from ambergate.core.collateral.archive import Archive, Entry, Key, Summary, decode_archive, encode_archive, pack
from ambergate.core.errors import MalformedCollateral
from ambergate.core.verify import TrustAnchor, verify_collateral
from ambergate.simulator.documents import EARLY
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("archive"))
COLLATERAL = PLATFORM.collateral(at=AT)
SGX = Entry.of(Key("SGX", PLATFORM.fmspc, "platform"), COLLATERAL)
TDX = Entry.of(Key("TDX", PLATFORM.fmspc, "platform"), PLATFORM.td_collateral(at=AT))
MADE = pack([TDX, SGX], created_at=AT)
DATA = encode_archive(MADE)


def signed_over(members: dict[str, Any]) -> bytes:
    """The file with the digest that somebody who changed it on purpose would put in."""
    rest = {name: value for name, value in members.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return json.dumps({**rest, "sha256": hashlib.sha256(text.encode()).hexdigest()}).encode()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    members = json.loads(DATA)
    change(members)
    return signed_over(members)


def test_what_goes_in_comes_out() -> None:
    assert decode_archive(DATA) == MADE
    assert [str(entry.key) for entry in MADE.entries] == [
        f"{tee}-{PLATFORM.fmspc.hex()}-platform" for tee in ("sgx", "tdx")
    ]
    assert decode_archive(DATA).entries[0].collateral == COLLATERAL


def test_white_space_and_the_order_of_members_do_not_matter() -> None:
    members = json.loads(DATA)
    assert decode_archive(json.dumps(dict(reversed(members.items())), indent=7).encode()) == MADE


def test_people_read_in_it_what_the_verifier_proves() -> None:
    members = json.loads(DATA)
    verified = verify_collateral(COLLATERAL, at=AT, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))
    row = members["entries"][0]
    told = row["statements"]["tcb_info"]
    assert told["evaluation_number"] == verified.tcb_info.evaluation_data_number
    assert datetime.fromisoformat(told["issued"]) == verified.tcb_info.issue_date
    window = {name: datetime.fromisoformat(text) for name, text in row["window"].items()}
    assert window == verified.window._asdict()
    assert row["sha256"]["tcb_info"] == hashlib.sha256(COLLATERAL.tcb_info.encode()).hexdigest()
    assert members["created_at"] == "2026-05-01T12:00:00Z"


def test_a_changed_byte_is_found() -> None:
    for old, new in ((b"UpToDate", b"UpToDatf"), (b"2026-05-01T12:00:00Z", b"2026-05-01T12:00:01Z")):
        with pytest.raises(MalformedCollateral, match="is not what it was"):
            decode_archive(DATA.replace(old, new, 1))


def set_to(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(members: dict[str, Any]) -> None:
        inner: Any = members
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("format", value="another"), "of another format"),
        (set_to("version", value=2), "of another format"),
        (set_to("more", value=1), "has other members"),
        (set_to("entries", value=[]), "not an array with elements"),
        (set_to("entries", value=[1]), "not an object"),
        (set_to("created_at", value="yesterday"), "not an instant"),
        (set_to("entries", 0, "tee", value="SEV"), "tee is unknown"),
        (set_to("entries", 0, "ca", value="root"), "ca is unknown"),
        (set_to("entries", 0, "fmspc", value="00"), "not hex of its width"),
        (set_to("entries", 0, "more", value=1), "has other members"),
        (set_to("entries", 0, "collateral", "more", value=""), "has other members"),
        (set_to("entries", 0, "collateral", "tcb_info", value=1), "not text"),
        (set_to("entries", 0, "collateral", "tcb_info", value="{}"), "tcb_info of sgx-"),
        (set_to("entries", 0, "sha256", "pck_crl", value="00" * 32), "pck_crl of sgx-"),
        (set_to("entries", 0, "statements", "tcb_info", "evaluation_number", value=99), "not what its documents say"),
        (set_to("entries", 0, "window", "not_after", value="2099-01-01T00:00:00Z"), "not what its documents say"),
        (lambda members: members["entries"].append(members["entries"][0]), "has a family twice"),
        (lambda members: members.pop("created_at"), "has other members"),
    ],
)
def test_a_file_of_another_shape(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(MalformedCollateral, match=message):
        decode_archive(changed(change))


def test_statements_that_do_not_parse_name_their_entry() -> None:
    def change(members: dict[str, Any]) -> None:
        row = members["entries"][1]
        row["collateral"]["root_ca_crl"] = "00"
        row["sha256"]["root_ca_crl"] = hashlib.sha256(b"00").hexdigest()

    with pytest.raises(MalformedCollateral, match=r"^tdx-.*: a CRL"):
        decode_archive(changed(change))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{", b'{"a":1,"a":1}', b"[" * 100_000, b'{"sha256":"00"}'])
def test_bytes_that_are_no_such_file(data: bytes) -> None:
    with pytest.raises(MalformedCollateral):
        decode_archive(data)


def test_lengths_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MalformedCollateral, match="too long"):
        decode_archive(b" " * (archive.MAX_ARCHIVE + 1))
    with pytest.raises(MalformedCollateral, match="no entry"):
        pack([], created_at=AT)
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    with pytest.raises(MalformedCollateral, match="too many"):
        decode_archive(DATA)
    with pytest.raises(MalformedCollateral, match="too many"):
        pack([SGX, TDX], created_at=AT)
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 1000)
    with pytest.raises(MalformedCollateral, match="too long"):
        encode_archive(MADE)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_any_damage_is_refused_or_does_not_matter(place: int, octet: int) -> None:
    try:
        found = decode_archive(DATA[:place] + bytes([octet]) + DATA[place + 1 :])
    except MalformedCollateral:
        return
    assert found == MADE  # another digit's case, another white space


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(MalformedCollateral):
        decode_archive(data)


def test_older_is_a_lower_number_or_an_earlier_date() -> None:
    today = Summary.of(COLLATERAL)
    assert today.older_than(today) == ()
    early = Summary.of(PLATFORM.collateral(at=AT, edition=EARLY))
    assert (early.older_than(today), today.older_than(early)) == ((), ("tcb_info", "qe_identity"))
    tomorrow = Summary.of(PLATFORM.collateral(at=AT + timedelta(days=1)))
    assert today.older_than(tomorrow) == ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")
    assert early.older_than(tomorrow) == ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")
    list_only = replace(today, pck_crl=tomorrow.pck_crl)
    assert today.older_than(list_only) == ("pck_crl",)


def test_an_archive_is_what_pack_makes() -> None:
    assert isinstance(MADE, Archive)
    assert len(MADE.digest) == 64
    assert pack([SGX], created_at=AT).digest != MADE.digest
