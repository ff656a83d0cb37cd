"""Quotes through configfs-tsm, by the kernel's protocol, judged by the real verifier; and each way to fail."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from tests.integration.attester.conftest import AT

from ambergate.attester.detect import detect
from ambergate.attester.tdx import ATTEMPTS, TdxMachine
from ambergate.core.errors import MalformedEvidence, TimedOut, Unavailable
from ambergate.core.quote.codec import parse_quote
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.verifier import verify_quote
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ambergate.core.verify.verdict import VerifiedQuote
    from ambergate.simulator.platform import SimulatedPlatform

pytestmark = pytest.mark.fuse

DATA = bytes(range(64))


def judged(platform: SimulatedPlatform, quote: bytes) -> VerifiedQuote:
    anchor = TrustAnchor.from_pem(platform.root_pem)
    return verify_quote(parse_quote(quote), platform.td_collateral(at=AT), at=AT, anchor=anchor)


def entries(root: Path) -> list[str]:
    return os.listdir(root)  # noqa: PTH208


def refused(root: Path) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        TdxMachine(root).quote(DATA)
    return caught.value


@pytest.mark.parametrize("version", [4, 5])
def test_the_quote_is_genuine_and_over_the_bytes(
    configfs: Callable[..., Path], platform: SimulatedPlatform, version: int
) -> None:
    root = configfs(version=version)
    source = detect(root / "none", root, ())
    assert source.tee == "TDX"
    for data in (DATA, bytes(64)):
        body = judged(platform, source.quote(data)).quote.body
        assert (body.report_data.value, getattr(body, "mr_td", None)) == (data, TD_SPECIMEN.mr_td)
    assert entries(root) == []


def test_threads_at_once_have_quotes_of_their_own(configfs: Callable[..., Path]) -> None:
    root = configfs()
    machine, quotes = TdxMachine(root), dict[int, bytes]()

    def ask(byte: int) -> None:
        quotes[byte] = machine.quote(bytes([byte]) * 64)

    threads = [threading.Thread(target=ask, args=(byte,)) for byte in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    said = {byte: parse_quote(quote).body.report_data.value for byte, quote in quotes.items()}
    assert said == {byte: bytes([byte]) * 64 for byte in range(6)}
    assert entries(root) == []


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_is_64_bytes(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        TdxMachine(tmp_path).quote(bytes(size))


def test_a_quote_over_somebody_elses_bytes_is_asked_for_again(
    configfs: Callable[..., Path], platform: SimulatedPlatform
) -> None:
    quote = TdxMachine(configfs(intruders=ATTEMPTS - 1)).quote(DATA)
    assert judged(platform, quote).quote.body.report_data.value == DATA


def test_asking_again_has_an_end(configfs: Callable[..., Path]) -> None:
    root = configfs(intruders=ATTEMPTS)
    error = refused(root)
    assert (error.code, error.seen) == ("tsm-conflict", f"another generation than expected, {ATTEMPTS} times")
    assert entries(root) == []


def test_a_write_that_did_not_count_gives_no_quote(configfs: Callable[..., Path]) -> None:
    """The kernel stores at close, and drops the errno of that: the read tells."""
    assert "EINVAL" in str(refused(configfs(deaf=True)).seen)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EBUSY, "an earlier request is still with the host"),
        (errno.EIO, "qgsd"),
        (errno.ENXIO, "modprobe tdx_guest"),
        (errno.ENOTTY, "modprobe tdx_guest"),
        (errno.EPERM, "root"),
        (errno.EFBIG, "longer than this kernel"),
    ],
)
def test_what_the_quote_provider_says_is_explained(configfs: Callable[..., Path], number: int, advice: str) -> None:
    root = configfs(outblob=number)
    error = refused(root)
    assert (error.code, errno.errorcode[number] in str(error.seen)) == ("tsm-quote", True)
    assert advice in str(error.hint)
    assert entries(root) == []


def test_a_host_that_does_not_answer_is_a_deadline_missed(configfs: Callable[..., Path]) -> None:
    error = refused(configfs(outblob=errno.ETIMEDOUT))
    assert isinstance(error, TimedOut)
    assert "qgsd" in str(error.hint)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENXIO, "modprobe tdx_guest"),
        (errno.EACCES, "run this as root"),
        (errno.EPERM, "run this as root"),
        (errno.EROFS, "read-only"),
        (errno.EBUSY, "ask again"),
        (errno.ENOMEM, "Linux 6.7"),
    ],
)
def test_what_the_kernel_says_of_an_entry_is_explained(configfs: Callable[..., Path], number: int, advice: str) -> None:
    error = refused(configfs(mkdir=number))
    assert (error.code, errno.errorcode[number] in str(error.seen)) == ("tsm", True)
    assert advice in str(error.hint)


def test_configfs_that_is_not_mounted_is_told(tmp_path: Path) -> None:
    error = refused(tmp_path / "report")
    assert (error.code, "ENOENT" in str(error.seen)) == ("tsm", True)
    assert "mount -t configfs none /sys/kernel/config" in str(error.hint)


def test_an_empty_answer_is_no_quote(configfs: Callable[..., Path]) -> None:
    error = refused(configfs(answer=""))
    assert (error.code, error.seen) == ("tsm-quote", "0 bytes")
    assert "qgsd" in str(error.hint)


@pytest.mark.parametrize("provider", ["sev_guest", "arm_cca_guest", ""])
def test_another_kind_of_machine_is_not_taken_for_tdx(configfs: Callable[..., Path], provider: str) -> None:
    root = configfs(provider=provider)
    with pytest.raises(Unavailable) as caught:
        detect(root / "none", root, ())
    assert (caught.value.code, caught.value.seen) == ("tsm-provider", provider or "no provider")
    assert entries(root) == []


@pytest.mark.parametrize("generation", ["", "-1", "many", "²"])
def test_a_generation_that_is_no_number_is_told(configfs: Callable[..., Path], generation: str) -> None:
    assert refused(configfs(generation=generation)).code == "tsm"


@pytest.mark.parametrize("answer", [b"\x04", b"not a quote" * 100, bytes(700)])
def test_bytes_that_are_no_tdx_quote_are_refused(configfs: Callable[..., Path], answer: bytes) -> None:
    root = configfs(answer=answer.hex())
    with pytest.raises(MalformedEvidence, match="no TDX quote"):
        TdxMachine(root).quote(DATA)
    assert entries(root) == []


@pytest.mark.parametrize("size", [632, 631, 600, 100])
def test_a_quote_over_other_bytes_is_refused(
    configfs: Callable[..., Path], platform: SimulatedPlatform, size: int
) -> None:
    other = platform.td_quote(TD_SPECIMEN, DATA[:-1] + b"\0")
    with pytest.raises(MalformedEvidence, match="not over the bytes"):
        TdxMachine(configfs(answer=other[:size].hex())).quote(DATA)


def test_an_enclaves_quote_is_none_of_a_tdx_machine(configfs: Callable[..., Path], platform: SimulatedPlatform) -> None:
    with pytest.raises(MalformedEvidence, match="no TDX quote"):
        TdxMachine(configfs(answer=platform.quote(SPECIMEN, DATA).hex())).quote(DATA)


def test_a_quote_without_end_is_not_read_for_ever(configfs: Callable[..., Path]) -> None:
    root = configfs(flood=True)
    error = refused(root)
    assert error.code == "no-end"
    assert entries(root) == []
