"""The conversation with Gramine's pseudo-files, against a directory that holds what they would."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from ambergate.attester.gramine import GramineEnclave
from ambergate.core.errors import MalformedEvidence, SettingsError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(64))


def quote_over(data: bytes) -> bytes:
    """As long as a quote, with the report data where a quote has it (header 48, report body 320 before it)."""
    return bytes(368) + data + bytes(4168)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "attestation_type").write_bytes(b"dcap")
    (tmp_path / "user_report_data").write_bytes(b"")
    (tmp_path / "quote").write_bytes(quote_over(DATA))
    return tmp_path


def test_the_bytes_are_written_and_the_quote_is_read(root: Path) -> None:
    assert GramineEnclave(root).quote(DATA) == quote_over(DATA)
    assert (root / "user_report_data").read_bytes() == DATA
    assert GramineEnclave(root).tee == "SGX"


def test_the_type_may_end_as_c_strings_do(root: Path) -> None:
    (root / "attestation_type").write_bytes(b"dcap\0\n")
    assert GramineEnclave(root).attestation_type() == "dcap"


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_is_64_bytes(root: Path, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        GramineEnclave(root).quote(bytes(size))


@pytest.mark.parametrize("kind", [b"none", b"epid", b"", b"DCAP", b"\xff"])
def test_another_attestation_type_names_the_manifests_setting(root: Path, kind: bytes) -> None:
    (root / "attestation_type").write_bytes(kind)
    with pytest.raises(SettingsError) as caught:
        GramineEnclave(root).quote(DATA)
    assert 'sgx.remote_attestation = "dcap"' in str(caught.value.wanted)
    assert (root / "user_report_data").read_bytes() == b""


@pytest.mark.parametrize("quote", [b"", bytes(100), quote_over(bytes(64)), quote_over(DATA[:63] + b"\xff")])
def test_a_quote_over_other_bytes_is_no_quote(root: Path, quote: bytes) -> None:
    (root / "quote").write_bytes(quote)
    with pytest.raises(MalformedEvidence):
        GramineEnclave(root).quote(DATA)


def test_a_file_that_fails_is_told(root: Path) -> None:
    (root / "quote").unlink()
    (root / "quote").mkdir()  # reading a directory fails with EISDIR, as any failing pseudo-file would
    with pytest.raises(Unavailable, match="quote") as caught:
        GramineEnclave(root).quote(DATA)
    assert caught.value.seen == "Is a directory (EISDIR)"
    assert caught.value.code == "gramine-quote"


@pytest.mark.parametrize(
    ("kind", "advice"),
    [(b"none", "sgx.remote_attestation is not set"), (b"epid", "EPID is refused"), (None, "under gramine-sgx only")],
)
def test_what_the_manifest_must_say_instead_is_told(root: Path, kind: bytes | None, advice: str) -> None:
    (root / "attestation_type").unlink()
    if kind is not None:
        (root / "attestation_type").write_bytes(kind)
    with pytest.raises(SettingsError) as caught:
        GramineEnclave(root).check()
    assert caught.value.code == "settings-remote-attestation"
    assert advice in str(caught.value.hint)


def test_a_quote_that_does_not_come_names_what_to_look_at(root: Path) -> None:
    """Gramine shows no error of its own there: its quote file does not open, whatever went wrong below."""
    (root / "quote").unlink()
    with pytest.raises(Unavailable) as caught:
        GramineEnclave(root).quote(DATA)
    assert (caught.value.code, caught.value.seen) == ("gramine-quote", "No such file or directory (ENOENT)")
    for part in ("systemctl status aesmd", "/var/run/aesmd", "/etc/sgx_default_qcnl.conf", "pccs_url", "use_secure"):
        assert part in str(caught.value.hint)


@pytest.mark.parametrize("name", ["attestation_type", "user_report_data"])
def test_any_other_file_that_fails_is_not_blamed_on_aesm(root: Path, name: str) -> None:
    (root / name).unlink()
    (root / name).mkdir()
    with pytest.raises(Unavailable, match=name) as caught:
        GramineEnclave(root).quote(DATA)
    assert (caught.value.code, caught.value.seen) == ("gramine", "Is a directory (EISDIR)")
    assert "aesm" not in str(caught.value.hint).lower()


def test_a_turn_ends_with_its_failure(root: Path) -> None:
    """Else the next conversation of this process would wait for ever."""
    (root / "quote").rename(root / "kept")
    with pytest.raises(Unavailable):
        GramineEnclave(root).quote(DATA)
    (root / "kept").rename(root / "quote")
    assert GramineEnclave(root).quote(DATA) == quote_over(DATA)


def test_a_value_that_is_not_taken_is_told(root: Path) -> None:
    (root / "user_report_data").unlink()
    (root / "user_report_data").symlink_to("/dev/full")
    with pytest.raises(Unavailable) as caught:
        GramineEnclave(root).quote(DATA)
    assert caught.value.seen == "No space left on device (ENOSPC)"


def test_a_file_without_end_is_not_read_for_ever(root: Path) -> None:
    (root / "quote").unlink()
    (root / "quote").symlink_to("/dev/zero")
    with pytest.raises(Unavailable, match="no end"):
        GramineEnclave(root).quote(DATA)


def test_two_conversations_of_a_process_take_turns(tmp_path: Path) -> None:
    """`quote` is a pipe: the second asker would write its bytes while the first still waits for its quote."""
    (tmp_path / "attestation_type").write_bytes(b"dcap")
    (tmp_path / "user_report_data").write_bytes(b"")
    os.mkfifo(tmp_path / "quote")
    done: queue.Queue[tuple[int, bytes]] = queue.Queue()

    def ask(byte: int) -> None:
        done.put((byte, GramineEnclave(tmp_path).quote(bytes([byte]) * 64)))

    askers = [threading.Thread(target=ask, args=(byte,), daemon=True) for byte in range(4)]
    for asker in askers:
        asker.start()
    results = {}
    for _ in askers:
        with (tmp_path / "quote").open("wb") as quoting:  # opens when one asker reads: it alone has written
            quoting.write(quote_over((tmp_path / "user_report_data").read_bytes()))
        byte, quote = done.get(timeout=10)
        results[byte] = quote
    assert results == {byte: quote_over(bytes([byte]) * 64) for byte in range(4)}
