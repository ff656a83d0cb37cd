"""Collateral from a PCCS, or from Intel's PCS itself, over HTTPS.

Source: Intel PCS API v3 and v4 ("Get TCB Info", "Get Quoting Enclave Identity", "Get Revocation List") and the PCCS of
Intel's DCAP, whose CRLs are hex text of the DER.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.signed import split_signed
from ambergate.core.errors import TimedOut, Unavailable
from ambergate.pcs import documents
from ambergate.pcs.addresses import CRL_CHAIN, INTEL_PCS, QE_CHAIN, TCB_CHAIN, Addresses
from ambergate.pcs.fetcher import Wanted
from ambergate.pcs.refusals import refusal
from ambergate.pcs.retry import RETRYABLE, RETRYABLE_CODES, RetryPolicy, pause, retry_after, system_draw
from ambergate.pcs.shared import Shared
from ambergate.pcs.transport import Deadline, Https

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from ambergate.core.measurements import Fmspc
    from ambergate.pcs.transport import Reply

TIMEOUT: Final = 10.0  # seconds that the service may be silent
_OK: Final = 200

__all__ = ("INTEL_PCS", "TIMEOUT", "OnlineCollateral")


class _Document(NamedTuple):
    """One answer taken apart: JSON text or a CRL's hex, the text's signature, the issuer chain as PEM."""

    body: str
    signature: str
    chain: str


class OnlineCollateral:
    """Fetches the four documents of one platform family. Nothing of it is believed.

    Makes four requests, one after the other, and more only where one failed in a way that another try can change; what
    families have in common is fetched once for all that are asked for within seconds (see `shared`).
    Safe to share between threads.

    Args:
        base_url: e.g. `https://pccs.example:8081`; Intel's PCS when not given.
        api: "v4", or "v3", which exists for SGX only.
        update: "standard", or "early": the TCB info of a recovery as soon as Intel publishes it.
        root_crl: the address of the root CA's revocation list; Intel's for Intel's PCS, a PCCS's own otherwise.
        verify: trust for TLS; the system's roots when not given.
        timeout: seconds that the service may be silent.
        retry: how often, how fast, and how long in all.
        clock: seconds that only go forward.
        sleep: waits so many seconds; by default until then or `close`.
        draw: a number from 0 to 1, for the waits.

    Raises:
        SettingsError: an address, API, set or TLS context that cannot be used.
    """

    def __init__(  # noqa: PLR0913  each has its name, and a default
        self,
        base_url: str = INTEL_PCS,
        *,
        api: str = "v4",
        update: str = "standard",
        root_crl: str | None = None,
        verify: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
        retry: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        draw: Callable[[], float] = system_draw,
    ) -> None:
        self._addresses = Addresses.of(base_url, api=api, update=update, root_crl=root_crl)
        self._https = Https(verify, timeout=timeout)
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._draw = draw
        self._shared: Shared[_Document] = Shared(clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Make no further request; whoever waits for the next try is told at once."""
        self._closed.set()

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a platform family (see `CollateralSource`).

        Raises:
            Unavailable: no answer, or another status than 200. `TimedOut` when it was too slow.
            MalformedCollateral: a document is not what its address promises.
        """
        wanted = Wanted.of(fmspc, ca, tee)
        deadline = Deadline(self._retry.deadline, self._clock)
        addresses = self._addresses
        tcb_info, tcb_signature, tcb_chain = self._signed(addresses.tcb_info(wanted), "tcbInfo", TCB_CHAIN, deadline)
        try:
            qe_url = addresses.qe_identity(wanted)
            qe_identity, qe_signature, qe_chain = self._shared.get(
                qe_url, lambda: self._signed(qe_url, "enclaveIdentity", QE_CHAIN, deadline), deadline
            )
            crl_url = addresses.pck_crl(wanted)
            pck_crl, _, crl_chain = self._shared.get(crl_url, lambda: self._crl(crl_url, CRL_CHAIN, deadline), deadline)
            root_url = addresses.root_crl
            root_crl, _, _ = self._shared.get(root_url, lambda: self._crl(root_url, (), deadline), deadline)
        except TimeoutError as exc:
            raise TimedOut("the collateral service did not answer in time", seen=addresses.base) from exc
        return Collateral(
            pck_crl_issuer_chain=crl_chain,
            root_ca_crl=root_crl,
            pck_crl=pck_crl,
            tcb_info_issuer_chain=tcb_chain,
            tcb_info=tcb_info,
            tcb_info_signature=tcb_signature,
            qe_identity_issuer_chain=qe_chain,
            qe_identity=qe_identity,
            qe_identity_signature=qe_signature,
        )

    def _signed(self, url: str, member: str, chain: tuple[str, ...], deadline: Deadline) -> _Document:
        reply = self._get(url, deadline)
        text, signature = split_signed(documents.text(reply), member)
        return _Document(text, signature, documents.chain(reply, chain))

    def _crl(self, url: str, chain: tuple[str, ...], deadline: Deadline) -> _Document:
        reply = self._get(url, deadline)
        return _Document(documents.crl_hex(reply), "", documents.chain(reply, chain) if chain else "")

    def _get(self, url: str, deadline: Deadline) -> Reply:
        """The answer, a 200, after as many tries as that takes and is worth."""
        failures = 0
        while not self._closed.is_set():
            asked = None
            try:
                reply = self._https.get(url, deadline)
            except Unavailable as exc:
                if exc.code not in RETRYABLE_CODES:
                    raise
                failed = exc
            else:
                if reply.status == _OK:
                    return reply
                failed = refusal(reply)
                if reply.status not in RETRYABLE:
                    raise failed
                asked = retry_after(reply.headers)
            failures += 1
            wait = pause(
                failed, failures=failures, asked=asked, policy=self._retry, draw=self._draw(), deadline=deadline
            )
            self._sleep(wait)
        raise Unavailable("the collateral is not fetched: its user has ended", seen=url)
