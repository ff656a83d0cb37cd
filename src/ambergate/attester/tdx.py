"""Quotes from inside a TDX machine, through the kernel's configfs-tsm.

The protocol: a directory made below `/sys/kernel/config/tsm/report` is an entry, with files of its own. 64 bytes are
written to `inblob`; `outblob` then reads as a quote over them; `generation` counts the writes, so that who finds it
one further than before has read the quote over his own bytes. Removing the directory ends the entry.
Linux, Documentation/ABI/testing/configfs-tsm (later configfs-tsm-report), and drivers/virt/coco/tsm.c.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
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
from ambergate.core.errors import MalformedEvidence, TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NO_TSM: Final = "tsm"  # code of the error when the kernel offers no entry
NO_QUOTE: Final = "tsm-quote"  # code of the error when the platform gave no quote
CONFLICT: Final = "tsm-conflict"  # code of the error when somebody else kept writing
PROVIDER: Final = "tdx_guest"  # the kernel's name for a TDX machine's quotes
ATTEMPTS: Final = 3  # how often a quote is asked for when somebody else writes to our entry
_NAME_BYTES: Final = 8  # of randomness in an entry's name
_LOG = logging.getLogger(__name__)

# Where a TDX quote repeats the report data: a header of 48 bytes (in version 5 six more tell the kind of body), 520 of
# report body before it. Intel "TDX DCAP Quoting Library API", appendix A.3.
_REPORT_DATA_AT: Final = {4: 48 + 520, 5: 48 + 6 + 520}
_TEE_TDX: Final = 0x81  # of the header's TEE type, at 4

_ROOT_ONLY: Final = "the kernel lets root alone ask for quotes: run this as root"
_MOUNT: Final = (
    "in a TDX machine with Linux 6.7 or later: modprobe tdx_guest, and mount -t configfs none /sys/kernel/config "
    "(in a container, give it that directory)"
)
_SERVICE: Final = (
    "the host has no quote for this machine: is its quote generation service running (systemctl status qgsd), does "
    "QEMU have quote-generation-socket, and does the service's log (journalctl -u qgsd) blame the PCCS?"
)
_ASKED: Final = {
    errno.EBUSY: "an earlier request is still with the host: ask again when it has answered",
    errno.ENXIO: f"the quote provider has gone: {_MOUNT}",
    errno.ENOTTY: f"the quote provider has gone: {_MOUNT}",
    errno.EACCES: _ROOT_ONLY,
    errno.EPERM: _ROOT_ONLY,
    errno.EFBIG: "the quote is longer than this kernel hands on: take a newer one",
}
_MADE: Final = {
    errno.ENXIO: f"no quote provider is loaded: {_MOUNT}",
    errno.ENOENT: _MOUNT,
    errno.ENOTDIR: _MOUNT,
    errno.EACCES: _ROOT_ONLY,
    errno.EPERM: _ROOT_ONLY,
    errno.EROFS: "configfs is mounted read-only here: mount it for writing, in a container too",
    errno.EBUSY: "the kernel is at work on configfs: ask again",
}


class TdxMachine:
    """The TDX machine (trust domain) that this process runs in.

    Proves nothing by itself: the verifier of the quotes decides. Each quote has an entry of its own, so any number of
    threads and processes can ask at once; the kernel lets them queue.

    Args:
        root: the directory of the entries, `/sys/kernel/config/tsm/report`.
        random: randomness, for the entries' names.
    """

    tee: Final = "TDX"

    def __init__(self, root: Path, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._root = root
        self._random = random

    def check(self) -> None:
        """Tell whether there can be quotes.

        Raises:
            Unavailable: the kernel gives no entry, or not for a TDX machine.
        """
        with self._entry() as entry:
            _require_provider(entry)

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote of this machine over exactly 64 bytes. Waits for the host, which the kernel gives 30 seconds.

        Raises:
            Unavailable: the kernel or the host failed.
            TimedOut: the host did not answer.
            MalformedEvidence: what came is not a TDX quote over these bytes.
        """
        require_report_data(report_data)
        with self._entry() as entry:
            _require_provider(entry)
            quote = _quoted(entry, report_data)
        _require_quote_over(quote, report_data)
        return quote

    @contextlib.contextmanager
    def _entry(self) -> Iterator[Path]:
        """An entry of our own, removed whatever happens: the kernel would keep it for ever."""
        path = self._root / f"amber-{os.getpid()}-{self._random(_NAME_BYTES).hex()}"
        try:
            path.mkdir()
        except OSError as exc:
            raise Unavailable(
                "the kernel gives no entry for a quote",
                code=NO_TSM,
                seen=f"{self._root}: {told(exc)}",
                hint=_MADE.get(exc.errno or 0, _MOUNT),
            ) from exc
        try:
            yield path
        finally:
            try:
                path.rmdir()
            except OSError as exc:
                _LOG.warning("%s could not be removed: %s", path, told(exc))


def _require_provider(entry: Path) -> None:
    with _reading("provider"):
        provider = word_of(read_whole(entry / "provider", limit=MAX_WORD))
    if provider != PROVIDER:
        raise Unavailable(
            "this machine's evidence is of another kind than TDX",
            code="tsm-provider",
            seen=provider or "no provider",
            wanted=PROVIDER,
        )


def _quoted(entry: Path, report_data: bytes) -> bytes:
    """The bytes of `outblob` that belong to our bytes in `inblob`."""
    for _ in range(ATTEMPTS):
        before = _generation(entry)
        with _reading("inblob"):
            write_once(entry / "inblob", report_data)
        with _reading("outblob"):
            quote = read_whole(entry / "outblob", limit=MAX_QUOTE)
        if _generation(entry) == before + 1:
            if not quote:
                raise Unavailable("the platform's quote is empty", code=NO_QUOTE, seen="0 bytes", hint=_SERVICE)
            return quote
    raise Unavailable(
        "somebody else writes to our entry",
        code=CONFLICT,
        seen=f"another generation than expected, {ATTEMPTS} times",
        hint=f"who else, as root, writes below {entry.parent}?",
    )


def _generation(entry: Path) -> int:
    with _reading("generation"):
        word = word_of(read_whole(entry / "generation", limit=MAX_WORD))
    if not (word.isascii() and word.isdigit()):
        raise Unavailable("the entry's generation is no number", code=NO_TSM, seen=word[:20] or "nothing")
    return int(word)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Say what it means when one of the entry's files fails."""
    try:
        yield
    except TimeoutError as exc:
        raise TimedOut("the host gave no quote in time", code=NO_QUOTE, seen=told(exc), hint=_SERVICE) from exc
    except FileNotFoundError as exc:
        raise Unavailable(
            f"the entry has no {name}",
            code=NO_TSM,
            seen=told(exc),
            wanted="configfs-tsm",
            hint=f"did somebody else remove it? else this is no configfs: {_MOUNT}",
        ) from exc
    except OSError as exc:
        code = NO_QUOTE if name == "outblob" else NO_TSM
        hint = _ASKED.get(exc.errno or 0, _SERVICE if name == "outblob" else None)
        raise Unavailable(f"the kernel's {name} failed", code=code, seen=told(exc), hint=hint) from exc


def _require_quote_over(quote: bytes, report_data: bytes) -> None:
    version, tee = int.from_bytes(quote[:2], "little"), int.from_bytes(quote[4:8], "little")
    at = _REPORT_DATA_AT.get(version)
    if at is None or tee != _TEE_TDX:
        raise MalformedEvidence(
            "the platform gave no TDX quote",
            seen=f"{len(quote)} bytes, version {version}, TEE type {tee:#x}",
            wanted=f"version 4 or 5, TEE type {_TEE_TDX:#x}",
        )
    if quote[at : at + REPORT_DATA_SIZE] != report_data:
        raise MalformedEvidence(
            "the platform's quote is not over the bytes that were asked for",
            seen=f"{len(quote)} bytes, report data {quote[at : at + REPORT_DATA_SIZE].hex() or 'missing'}",
        )
