"""The two verifiers, each asked for one outcome: ours cold, and dcap-qvl."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import MalformedCollateral, MalformedEvidence, NotGenuine
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.triple import Triple

MAX_SECONDS: Final = 1.0  # of CPU, for one verification of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Either a status with advisory ids, or why it was refused."""

    status: str | None = None
    advisory_ids: tuple[str, ...] = ()
    where: str = ""  # our failing step, or "parse" (the quote) or "bundle"
    why: str = ""
    stray: bool = False  # refused by something that is not an error of the verifier's own
    seconds: float = 0.0  # of CPU

    @property
    def accepted(self) -> bool:
        """Whether the evidence was found genuine."""
        return self.status is not None

    def __str__(self) -> str:
        if self.accepted:
            return f"{self.status} {','.join(self.advisory_ids)}".strip()
        return f"refused{' at ' + self.where if self.where else ''}: {self.why}"


@contextmanager
def quietly() -> Iterator[None]:
    """Without what `cryptography` warns of when it reads damaged certificates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours(triple: Triple) -> Outcome:
    """`verify_quote` on bytes, with nothing remembered."""
    started = time.thread_time()
    outcome = _ours(triple)
    return replace(outcome, seconds=time.thread_time() - started)


def theirs(triple: Triple) -> Outcome:
    """dcap-qvl on the same bytes and the same text."""
    where = "bundle"
    try:
        bundle = dcap_qvl.QuoteCollateralV3.from_json(triple.bundle)
        where = ""
        if triple.root_der is None:
            report = dcap_qvl.verify(triple.raw, bundle, triple.at)
        else:
            report = dcap_qvl.verify_with_root_ca(triple.raw, bundle, triple.root_der, triple.at)
    except ValueError as exc:
        lines = (line.strip() for line in str(exc).splitlines())
        return Outcome(where=where, why=" <- ".join(line for line in lines if line and line != "Caused by:"))
    return Outcome(status=report.status, advisory_ids=tuple(dict.fromkeys(report.advisory_ids)))


def _ours(triple: Triple) -> Outcome:
    where = "parse"
    try:
        quote = parse_quote(triple.raw)
        where = "bundle"
        collateral = Collateral.from_json(triple.bundle)
        verified = verify_quote(quote, collateral, at=triple.instant, anchor=_anchor(triple.root_der))
    except NotGenuine as exc:
        return Outcome(where=exc.step, why=_told(exc))
    except (MalformedEvidence, MalformedCollateral) as exc:
        return Outcome(where=where, why=_told(exc))
    except Exception as exc:  # noqa: BLE001  this is what is looked for
        return Outcome(where=where, why=f"{type(exc).__name__}: {exc}", stray=True)
    return Outcome(status=verified.tcb_status.value, advisory_ids=verified.advisory_ids)


def _told(exc: NotGenuine | MalformedEvidence | MalformedCollateral) -> str:
    return exc.message if exc.seen is None else f"{exc.message} (seen {exc.seen[:200]})"


@lru_cache(maxsize=64)
def _anchor(root_der: bytes | None) -> TrustAnchor:
    if root_der is None:
        return TrustAnchor.intel()
    key = x509.load_der_x509_certificate(root_der).public_key()
    return TrustAnchor(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:], "a software platform")
