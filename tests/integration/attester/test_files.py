"""The rules of the simulated `/dev/attestation`, without a mount: sizes, values of each process, and their bound."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from tests.integration.attester.conftest import AT

from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.report import write_enclave_report
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.verifier import verify_quote
from ambergate.simulator.attestation_mount import (
    MAX_PROCESSES,
    MODES,
    AttestationFiles,
    Process,
    process_of,
)
from ambergate.simulator.faults import SPECIMEN

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.simulator.platform import SimulatedPlatform

DATA = bytes(range(64))
ME, OTHER = Process(10, 1), Process(11, 2)


@pytest.fixture
def files(platform: SimulatedPlatform) -> AttestationFiles:
    return AttestationFiles(platform, SPECIMEN)


def quoted(files: AttestationFiles, process: Process) -> bytes:
    return parse_quote(files.content("quote", process)).body.report_data.value


def test_the_quote_is_genuine_and_over_what_was_written_last(
    files: AttestationFiles, platform: SimulatedPlatform
) -> None:
    for data in (DATA, DATA[::-1]):
        assert files.write("user_report_data", data, 0, ME) == 64
        quote = parse_quote(files.content("quote", ME))
        anchor = TrustAnchor.from_pem(platform.root_pem)
        verified = verify_quote(quote, platform.collateral(at=AT), at=AT, anchor=anchor)
        assert verified.quote.body.report_data.value == data


def test_processes_do_not_share_what_they_write(files: AttestationFiles) -> None:
    files.write("user_report_data", DATA, 0, ME)
    assert (quoted(files, ME), quoted(files, OTHER)) == (DATA, bytes(64))
    assert files.content("user_report_data", ME) == DATA
    assert files.content("user_report_data", OTHER) == bytes(64)


def test_a_number_that_is_used_again_is_another_process(files: AttestationFiles) -> None:
    files.write("user_report_data", DATA, 0, ME)
    assert quoted(files, Process(ME.pid, ME.started + 1)) == bytes(64)


@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 128])
def test_report_data_is_64_bytes(files: AttestationFiles, size: int) -> None:
    files.write("user_report_data", DATA, 0, ME)
    with pytest.raises(OSError, match="Invalid") as caught:
        files.write("user_report_data", bytes(size), 0, ME)
    assert caught.value.errno == errno.EINVAL
    assert quoted(files, ME) == DATA


def test_a_value_is_written_from_its_beginning(files: AttestationFiles) -> None:
    with pytest.raises(OSError, match="Invalid"):
        files.write("user_report_data", DATA, 64, ME)


@pytest.mark.parametrize("size", [0, 511, 513])
def test_target_info_is_512_bytes(files: AttestationFiles, size: int) -> None:
    with pytest.raises(OSError, match="Invalid"):
        files.write("target_info", bytes(size), 0, ME)


@pytest.mark.parametrize("name", ["quote", "report", "my_target_info", "attestation_type"])
def test_the_other_files_are_read_only(files: AttestationFiles, name: str) -> None:
    with pytest.raises(OSError, match="denied"):
        files.write(name, bytes(64), 0, ME)


def test_each_file_is_as_long_as_it_says(files: AttestationFiles) -> None:
    files.write("user_report_data", DATA, 0, ME)
    for name in MODES:
        assert len(files.content(name, ME)) == files.size(name)
    assert files.content("attestation_type", ME) == b"dcap"


def test_a_report_is_the_enclaves_and_for_its_target(files: AttestationFiles, platform: SimulatedPlatform) -> None:
    files.write("user_report_data", DATA, 0, ME)
    to_nobody = files.content("report", ME)
    files.write("target_info", files.content("my_target_info", OTHER), 0, ME)
    to_other = files.content("report", ME)
    assert to_nobody[:384] == to_other[:384] == write_enclave_report(platform.report(SPECIMEN, DATA))
    assert to_nobody[-16:] != to_other[-16:]
    assert to_other == files.content("report", ME)


def test_target_info_has_the_processors_layout(files: AttestationFiles) -> None:
    info = files.content("my_target_info", ME)
    assert info[:32] == SPECIMEN.mr_enclave.value
    assert info[32:48] == SPECIMEN.attributes.value
    assert struct.unpack_from("<I", info, 52)[0] == SPECIMEN.misc_select
    assert info[128:] == bytes(384)


def test_processes_that_ended_are_forgotten_before_there_are_too_many(platform: SimulatedPlatform) -> None:
    alive: set[int] = {0}
    files = AttestationFiles(platform, SPECIMEN, running=lambda pid: Process(pid, 1) if pid in alive else None)
    for pid in range(MAX_PROCESSES):
        files.write("user_report_data", DATA, 0, Process(pid, 1))
    files.write("user_report_data", DATA, 0, Process(MAX_PROCESSES, 1))
    assert quoted(files, Process(0, 1)) == DATA
    assert quoted(files, Process(1, 1)) == bytes(64)


def test_beyond_the_bound_no_new_process_is_taken(platform: SimulatedPlatform) -> None:
    files = AttestationFiles(platform, SPECIMEN, running=lambda pid: Process(pid, 1))
    for pid in range(MAX_PROCESSES):
        files.write("user_report_data", DATA, 0, Process(pid, 1))
    with pytest.raises(OSError, match="No space"):
        files.write("user_report_data", DATA, 0, Process(MAX_PROCESSES, 1))
    files.write("user_report_data", DATA[::-1], 0, Process(0, 1))
    assert quoted(files, Process(0, 1)) == DATA[::-1]


def test_a_thread_is_its_process() -> None:
    found = list[Process | None]()
    thread = threading.Thread(target=lambda: found.append(process_of(threading.get_native_id())))
    thread.start()
    thread.join(10)
    assert found == [process_of(os.getpid())]
    assert found[0] is not None
    assert found[0].pid == os.getpid()


@pytest.mark.parametrize(
    ("status", "stat"),
    [(None, None), ("Name:\tx\n", "1 (x) S"), ("Name:\tx\nTgid:\t7\n", "7 (x) S 1"), ("N\nTgid:\tx\n", "")],
)
def test_what_cannot_be_told_is_no_process(tmp_path: Path, status: str | None, stat: str | None) -> None:
    (tmp_path / "7").mkdir()
    if status is not None and stat is not None:
        (tmp_path / "7" / "status").write_text(status)
        (tmp_path / "7" / "stat").write_text(stat)
    assert process_of(7, tmp_path) is None
    assert process_of(0) is None


def test_a_programs_name_does_not_hide_when_it_began(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tTgid:\nUmask:\t0022\nTgid:\t7\n")
    (tmp_path / "7" / "stat").write_text("7 (a) S 1 (b)) S " + " ".join(map(str, range(4, 60))))
    assert process_of(7, tmp_path) == Process(7, 22)
