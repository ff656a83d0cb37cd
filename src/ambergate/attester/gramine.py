"""Quotes from inside a Gramine enclave, through `/dev/attestation`.

The protocol: `attestation_type` says `dcap`; 64 bytes are written to `user_report_data`; `quote` then reads as a
quote over them. The files hold one conversation for the whole process, so conversations take turns.
Gramine documentation, "Attestation and Secret Provisioning", section on `/dev/attestation`.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import MalformedEvidence, SettingsError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

REPORT_DATA_SIZE: Final = 64  # bytes; sgx_report_data_t
MAX_QUOTE: Final = 256 * 1024  # bytes; our limit, Gramine's own quotes have about 5 KiB
# Where an SGX quote repeats the report data: 48 bytes of header, 320 of report body before it.
_REPORT_DATA: Final = slice(368, 368 + REPORT_DATA_SIZE)
_CHUNK: Final = 16 * 1024  # bytes for one read

_TURN = threading.Lock()  # one conversation at a time: what the files remember belongs to the process


class GramineEnclave:
    """The enclave that this process runs in.

    Args:
        root: the directory of the pseudo-files, `/dev/attestation` in Gramine.
    """

    tee: Final = "SGX"

    def __init__(self, root: Path) -> None:
        self._root = root

    def attestation_type(self) -> str:
        """What Gramine says it can do: `dcap`, `none`, or another word.

        Raises:
            SettingsError: Gramine does not offer attestation here.
        """
        return self._read("attestation_type").decode("ascii", "replace").strip("\0\n ")

    def check(self) -> None:
        """Tell whether there can be quotes.

        Raises:
            SettingsError: the manifest does not say `sgx.remote_attestation = "dcap"`.
        """
        kind = self.attestation_type()
        if kind != "dcap":
            raise _no_dcap(seen=f"attestation type {kind or 'empty'}")

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote of this enclave over exactly 64 bytes.

        Raises:
            SettingsError: the manifest does not say `sgx.remote_attestation = "dcap"`.
            Unavailable: Gramine or the quoting enclave failed.
            MalformedEvidence: what came is not a quote over these bytes.
        """
        if len(report_data) != REPORT_DATA_SIZE:
            message = f"report data is {REPORT_DATA_SIZE} bytes, got {len(report_data)}"
            raise ValueError(message)
        self.check()
        with _TURN:
            self._write("user_report_data", report_data)
            quote = self._read("quote")
        if quote[_REPORT_DATA] != report_data:
            raise MalformedEvidence(
                "Gramine's quote is not over the bytes that were asked for",
                seen=f"{len(quote)} bytes, report data {quote[_REPORT_DATA].hex() or 'missing'}",
                hint="does something else in this process use /dev/attestation?",
            )
        return quote

    def _read(self, name: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            descriptor = os.open(self._root / name, os.O_RDONLY)
            try:
                while chunk := os.read(descriptor, _CHUNK):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > MAX_QUOTE:
                        raise Unavailable(f"Gramine's {name} has no end", wanted=f"<= {MAX_QUOTE} bytes")
            finally:
                os.close(descriptor)
        except FileNotFoundError as exc:
            raise _no_dcap(seen=f"no {self._root / name}") from exc
        except OSError as exc:
            raise _failed(name, exc) from exc
        return b"".join(chunks)

    def _write(self, name: str, data: bytes) -> None:
        """All bytes in one write: Gramine takes each write as a whole value."""
        try:
            descriptor = os.open(self._root / name, os.O_WRONLY)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise _failed(name, exc) from exc
        if written != len(data):
            raise Unavailable(f"Gramine took {written} of {len(data)} bytes of {name}", code="gramine")


def _no_dcap(*, seen: str) -> SettingsError:
    return SettingsError(
        "Gramine offers no DCAP attestation here",
        code="settings-remote-attestation",
        seen=seen,
        wanted='sgx.remote_attestation = "dcap" in the manifest, and gramine-sgx',
    )


def _failed(name: str, error: OSError) -> Unavailable:
    return Unavailable(
        f"Gramine's {name} failed",
        code="gramine",
        seen=error.strerror,
        hint="is the AESM service running on the host, and its socket reachable?",
    )
