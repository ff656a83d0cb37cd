"""A checkpoint is believed only as it was signed, of this log, by this key."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.checkpoints import MAX_NOTE, Checkpoint, CheckpointKey, CheckpointSigner
from ambergate.stores.merkle import EMPTY_ROOT

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
ORIGIN = "attest.example:8443/audit/v1"
SIGNER = CheckpointSigner(ORIGIN, bytes(range(32)))
OTHER = CheckpointSigner(ORIGIN, bytes(32))
NOTE = SIGNER.signed(20852, EMPTY_ROOT, at=AT)


def test_what_was_signed_is_read() -> None:
    assert SIGNER.key.opened(NOTE) == Checkpoint(origin=ORIGIN, size=20852, root=EMPTY_ROOT, at=AT)


def test_the_text_is_a_signed_note() -> None:
    lines = NOTE.split("\n")
    root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert lines[:5] == [ORIGIN, "20852", root, "time 2026-11-27T14:00:00Z", ""]
    name, signature = lines[5].removeprefix("— ").split(" ")
    assert (name, base64.b64decode(signature)[:4], lines[6:]) == (ORIGIN, SIGNER.key.id, [""])


def test_a_known_key_id() -> None:
    """The example of Go's golang.org/x/mod/sumdb/note, whose form this is: name, and hash of name and key."""
    key = CheckpointKey.from_text("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.origin, key.id.hex()) == ("PeterNeumann", "c74f20a3")


def test_a_key_in_words_is_the_same_key() -> None:
    assert CheckpointKey.from_text(SIGNER.key.text() + "\n") == SIGNER.key
    assert SIGNER.key.text().startswith(f"{ORIGIN}+{SIGNER.key.id.hex()}+")


def test_fractions_of_a_second_are_not_signed() -> None:
    note = SIGNER.signed(1, EMPTY_ROOT, at=AT + timedelta(milliseconds=7))
    assert SIGNER.key.opened(note).at == AT


def test_another_key_or_log_is_not_believed() -> None:
    with pytest.raises(NotIntact, match="another key"):
        OTHER.key.opened(NOTE)
    with pytest.raises(NotIntact, match="another log"):
        CheckpointSigner("elsewhere", bytes(range(32))).key.opened(NOTE)


def test_a_signature_of_another_key_under_this_ones_id_does_not_hold() -> None:
    text, _, _ = NOTE.partition("\n\n")
    forged = OTHER.signed(20852, EMPTY_ROOT, at=AT).rpartition(" ")[2]
    signature = base64.b64encode(SIGNER.key.id + base64.b64decode(forged)[4:]).decode()
    with pytest.raises(NotIntact, match="does not hold"):
        SIGNER.key.opened(f"{text}\n\n— {ORIGIN} {signature}\n")


def test_more_signatures_do_not_matter() -> None:
    """Those of witnesses, say."""
    witnessed = NOTE.replace("\n\n", "\n\n— witness AAAAAAAA\n")
    assert SIGNER.key.opened(witnessed) == SIGNER.key.opened(NOTE)


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_any_other_text_is_not_believed(at: int, letter: str) -> None:
    changed = NOTE[:at] + letter + NOTE[at + 1 :]
    if changed != NOTE and changed.rstrip("\n") != NOTE.rstrip("\n"):
        with pytest.raises((Malformed, NotIntact)):
            SIGNER.key.opened(changed)


@given(st.text(max_size=400))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (SIGNER.key.opened, CheckpointKey.from_text):
        with pytest.raises((Malformed, NotIntact)):
            read(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20852", "020852"),
        ("20852", "-1"),
        ("20852", "9" * 19),
        ("20852", "9" * 20),
        ("20852", "20852\nanother line"),
        ("time ", "at "),
        ("14:00:00Z", "14:00:00"),
        ("\n\n", "\n"),
        ("— ", "- "),
        ("47DEQ", "47D Q"),
        ("uFU=", "uFU"),
        (ORIGIN, "two words"),
        (ORIGIN, "a+b"),
        ("20852", "2" * MAX_NOTE),
    ],
)
def test_other_forms_are_malformed(old: str, new: str) -> None:
    with pytest.raises(Malformed):
        SIGNER.key.opened(NOTE.replace(old, new))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b+c",
        SIGNER.key.text().replace("+A", "+B", 1),
        SIGNER.key.text() + "=",
        SIGNER.key.text().replace(ORIGIN, "other"),
        f"{ORIGIN}+00000000+{base64.b64encode(bytes(33)).decode()}",
        "two words" + SIGNER.key.text().removeprefix(ORIGIN),
    ],
)
def test_other_keys_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        CheckpointKey.from_text(text)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "ü", "x" * 257])
def test_a_log_has_a_plain_name(origin: str) -> None:
    with pytest.raises(Malformed):
        CheckpointSigner(origin, bytes(32))


def test_nothing_printed_holds_the_key() -> None:
    assert repr(SIGNER) == f"CheckpointSigner({ORIGIN})"
