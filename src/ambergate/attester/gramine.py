"""Quotes from inside a Gramine enclave, through `/dev/attestation`.

The protocol: `attestation_type` says `dcap`; 64 bytes are written to `user_report_data`; `quote` then reads as a
quote over them. The files hold one conversation for the whole process, so conversations take turns.
Gramine documentation, "Attestation and Secret Provisioning", section on `/dev/attestation`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from ambergate.attester.pseudofiles import (
    MAX_QUOTE,
    MAX_WORD,
    REPORT_DATA_SIZE,
    read_whole,
    require_report_data,
    told,
    word_of,
    write_once,
)
from ambergate.core.errors import MalformedEvidence, SettingsError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

GRAMINE: Final = "gramine"  # code of the errors that Gramine's files give
NO_QUOTE: Final = "gramine-quote"  # code of the error when the platform gave no quote
# Where an SGX quote repeats the report data: 48 bytes of header, 320 of report body before it.
_REPORT_DATA: Final = slice(368, 368 + REPORT_DATA_SIZE)
_WANTED: Final = 'sgx.remote_attestation = "dcap" in the manifest, and gramine-sgx'
# Why there is no DCAP attestation, by the word in `attestation_type`.
_OTHER_TYPES: Final = {
    "none": "sgx.remote_attestation is not set, or says none: set it, and sign the manifest again",
    "epid": "EPID is refused: Intel has ended its service, and nobody can verify its quotes; use DCAP",
}
_OLD: Final = "a Gramine of 1.2 or later says its attestation type, and does so under gramine-sgx only"
_QUOTING: Final = (
    "three things on the host: is AESM running (systemctl status aesmd), and its socket in the container "
    "(/var/run/aesmd)? does its log (journalctl -u aesmd) blame the quote provider? "
    "then check pccs_url and use_secure_cert in /etc/sgx_default_qcnl.conf, and that the PCCS knows this platform. "
    'Gramine tells AESM\'s own error with loader.log_level = "error"'
)

_TURN = threading.Lock()  # one conversation at a time: what the files remember belongs to the process


class GramineEnclave:
    """The enclave that this process runs in.

    Proves nothing by itself: the host can show any process such files. The verifier of the quotes decides.

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
            Unavailable: it would not say.
        """
        path = self._root / "attestation_type"
        try:
            return word_of(read_whole(path, limit=MAX_WORD))
        except FileNotFoundError as exc:
            raise _no_dcap(seen=f"no {path}", hint=_OLD) from exc
        except OSError as exc:
            raise _failed("attestation_type", exc) from exc

    def check(self) -> None:
        """Tell whether there can be quotes.

        Raises:
            SettingsError: the manifest does not say `sgx.remote_attestation = "dcap"`.
            Unavailable: Gramine would not say.
        """
        kind = self.attestation_type()
        if kind != "dcap":
            raise _no_dcap(seen=f"attestation type {kind or 'empty'}", hint=_OTHER_TYPES.get(kind))

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote of this enclave over exactly 64 bytes.

        Raises:
            SettingsError: the manifest does not say `sgx.remote_attestation = "dcap"`.
            Unavailable: Gramine or the quoting enclave failed.
            MalformedEvidence: what came is not a quote over these bytes.
        """
        require_report_data(report_data)
        self.check()
        with _TURN:
            self._ask(report_data)
            quote = self._answer()
        if quote[_REPORT_DATA] != report_data:
            raise MalformedEvidence(
                "Gramine's quote is not over the bytes that were asked for",
                seen=f"{len(quote)} bytes, report data {quote[_REPORT_DATA].hex() or 'missing'}",
                hint="does something else in this process use /dev/attestation?",
            )
        return quote

    def _ask(self, report_data: bytes) -> None:
        try:
            write_once(self._root / "user_report_data", report_data)
        except OSError as exc:
            raise _failed("user_report_data", exc) from exc

    def _answer(self) -> bytes:
        """Gramine asks AESM when the file is opened, and has one errno (EACCES) or a few for all that can go wrong."""
        try:
            return read_whole(self._root / "quote", limit=MAX_QUOTE)
        except OSError as exc:
            raise Unavailable(
                "Gramine got no quote from the platform", code=NO_QUOTE, seen=told(exc), hint=_QUOTING
            ) from exc


def _no_dcap(*, seen: str, hint: str | None) -> SettingsError:
    return SettingsError(
        "Gramine offers no DCAP attestation here",
        code="settings-remote-attestation",
        seen=seen,
        wanted=_WANTED,
        hint=hint,
    )


def _failed(name: str, error: OSError) -> Unavailable:
    return Unavailable(
        f"Gramine's {name} failed",
        code=GRAMINE,
        seen=told(error),
        hint="is /dev/attestation Gramine's own, and not covered by a mount of the manifest?",
    )
