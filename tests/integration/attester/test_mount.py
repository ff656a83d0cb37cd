"""`amber simulator attestation mount`: the attester for Gramine reads it, the verifier believes it under its root."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.attester.conftest import AT, SECONDS, mounted

from ambergate.attester.detect import detect
from ambergate.attester.gramine import GramineEnclave
from ambergate.core.errors import NotGenuine
from ambergate.core.quote.codec import parse_quote
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.verifier import verify_quote
from ambergate.simulator.cpu import EnclaveIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.simulator.platform import SimulatedPlatform

pytestmark = pytest.mark.fuse

AMBER: Final = (sys.executable, "-m", "ambergate.cli")
DATA: Final = bytes(range(64))


def command(place: Path, platform: Path, *more: str) -> list[str]:
    return [*AMBER, "simulator", "attestation", "mount", str(place), "--platform", str(platform), *more]


@pytest.fixture
def place(with_fuse: None, tmp_path: Path) -> Path:
    del with_fuse
    (tmp_path / "attestation").mkdir()
    return tmp_path / "attestation"


@pytest.fixture
def root(place: Path, platform_folder: Path) -> Iterator[Path]:
    with mounted(command(place, platform_folder), place, "directory"):
        yield place


def judged(platform: SimulatedPlatform, quote: bytes) -> bytes:
    """The report data of a quote that the verifier accepts under the simulator's root."""
    anchor = TrustAnchor.from_pem(platform.root_pem)
    verified = verify_quote(parse_quote(quote), platform.collateral(at=AT), at=AT, anchor=anchor)
    return verified.quote.body.report_data.value


def test_the_attester_for_gramine_gets_quotes_that_verify(root: Path, platform: SimulatedPlatform) -> None:
    source = detect(root, root / "none", ())
    assert isinstance(source, GramineEnclave)
    for data in (DATA, bytes(64), DATA[::-1]):
        assert judged(platform, source.quote(data)) == data


def test_under_intels_root_its_quotes_are_worth_nothing(root: Path, platform: SimulatedPlatform) -> None:
    quote = parse_quote(GramineEnclave(root).quote(DATA))
    with pytest.raises(NotGenuine):
        verify_quote(quote, platform.collateral(at=AT), at=AT)


def test_threads_of_a_process_take_turns(root: Path) -> None:
    enclave, quotes = GramineEnclave(root), dict[int, bytes]()

    def ask(byte: int) -> None:
        quotes[byte] = enclave.quote(bytes([byte]) * 64)

    threads = [threading.Thread(target=ask, args=(byte,)) for byte in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    said = {byte: parse_quote(quote).body.report_data.value for byte, quote in quotes.items()}
    assert said == {byte: bytes([byte]) * 64 for byte in range(8)}


# Writes its report data when told, reads its quote when told: each line of input is one step.
CONVERSATION: Final = """
import sys
root, byte = sys.argv[1:]
sys.stdin.readline()
with open(root + "/user_report_data", "wb", buffering=0) as file:
    file.write(bytes([int(byte)]) * 64)
print("written", flush=True)
sys.stdin.readline()
print(open(root + "/quote", "rb").read().hex(), flush=True)
"""


def test_processes_do_not_mix_their_report_data(root: Path, platform: SimulatedPlatform) -> None:
    """Each writes before any reads: with one state for all, all would get the last one's quote."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONVERSATION, str(root), str(byte)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for byte in (1, 2)
    ]
    quotes = []
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("write\n")
        process.stdin.flush()
        assert process.stdout.readline() == "written\n"
    for process in processes:
        output, _ = process.communicate("read\n", timeout=SECONDS)
        quotes.append(bytes.fromhex(output))
    assert [judged(platform, quote) for quote in quotes] == [b"\x01" * 64, b"\x02" * 64]
    assert judged(platform, (root / "quote").read_bytes()) == bytes(64), "this process has written nothing"


def test_an_open_quote_stays_as_it_is(root: Path) -> None:
    (root / "user_report_data").write_bytes(DATA)
    with (root / "quote").open("rb", buffering=0) as file:
        (root / "user_report_data").write_bytes(bytes(64))
        first = file.read(100)
        assert parse_quote(first + file.readall()).body.report_data.value == DATA
        file.seek(0)
        assert file.read(100) == first


@pytest.mark.parametrize("size", [1, 63, 65, 100])
def test_report_data_is_64_bytes(root: Path, size: int) -> None:
    with pytest.raises(OSError, match="Invalid") as caught:
        (root / "user_report_data").write_bytes(bytes(size))
    assert caught.value.errno == errno.EINVAL


def test_a_shell_can_speak_it_too(root: Path, platform: SimulatedPlatform) -> None:
    """As Gramine's documentation shows it; dd writes and reads in processes of its own, the shell itself does not."""
    script = "head -c 64 /dev/zero > user_report_data && cat attestation_type && wc -c < quote"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=root, capture_output=True, text=True, check=True)
    size = len((root / "quote").read_bytes())
    assert done.stdout == f"dcap{size}\n"
    assert (root / "quote").stat().st_size == size
    assert judged(platform, (root / "quote").read_bytes()) == bytes(64)


def test_the_files_are_gramines_and_no_others_can_be_made(root: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()}
    assert modes == {
        "attestation_type": 0o444,
        "my_target_info": 0o444,
        "quote": 0o444,
        "report": 0o444,
        "target_info": 0o666,
        "user_report_data": 0o666,
    }
    with pytest.raises(PermissionError):
        (root / "new").write_bytes(b"")
    with pytest.raises(PermissionError):
        (root / "quote").unlink()
    with pytest.raises(PermissionError):
        (root / "quote").write_bytes(b"a quote of my own")
    with pytest.raises(OSError, match="Invalid"):
        os.truncate(root / "user_report_data", 32)
    assert len((root / "report").read_bytes()) == 432


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_says_loudly_what_it_is_and_ends_with_a_signal(place: Path, platform_folder: Path, sent: int) -> None:
    with mounted(command(place, platform_folder), place, "directory") as process:
        assert os.path.ismount(place)
        process.send_signal(sent)
        _, told = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    assert told.startswith("amber: SIMULATED attestation: ")
    assert list(place.iterdir()) == []


def test_the_program_that_is_measured_can_be_named(
    place: Path, platform_folder: Path, platform: SimulatedPlatform, tmp_path: Path
) -> None:
    (tmp_path / "program").write_bytes(b"a program")
    more = ("--program", str(tmp_path / "program"), "--debug", "--json")
    with mounted(command(place, platform_folder, *more), place, "{") as process:
        body = parse_quote((place / "quote").read_bytes()).body
        expected = EnclaveIdentity.of_program([b"a program"], debug=True)
        assert (body.debug, getattr(body, "mr_enclave", None)) == (True, expected.mr_enclave)
        process.terminate()
        assert process.stdout is not None
        described = json.loads("{" + process.stdout.read())
    assert (described["simulated"], described["mr_enclave"]) == (True, expected.mr_enclave.hex())
    assert Path(described["root"]).read_text() == platform.root_pem


@pytest.mark.parametrize("missing", ["directory", "platform"])
def test_what_is_not_there_is_told(place: Path, platform_folder: Path, tmp_path: Path, missing: str) -> None:
    nowhere = tmp_path / "nowhere"
    arguments = command(nowhere, platform_folder) if missing == "directory" else command(place, nowhere)
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 1
    assert str(nowhere) in json.loads(done.stdout)["error"]["seen"]
    assert not os.path.ismount(place)
