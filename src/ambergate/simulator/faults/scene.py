"""What a fault is, and the honest evidence that every fault starts from."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote.codec import encode_quote
from ambergate.core.quote.layout import TeeType
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.keys import make_key
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.layout import Quote
    from ambergate.simulator.publication import Publication

# Who reports when nobody says who: an enclave that no reference value should ever name.
SPECIMEN: Final = EnclaveIdentity.of_program([b"ambergate simulator: specimen"])
TD_SPECIMEN: Final = TdIdentity.of_image([b"ambergate simulator: specimen of a TD"])
NO_REPORT_DATA: Final = bytes(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A platform, an enclave and a TD on it, and an instant."""

    platform: SimulatedPlatform
    at: datetime
    enclave: EnclaveIdentity
    td: TdIdentity
    report_data: bytes
    random: Callable[[int], bytes]

    def quote(self) -> Quote:
        """The honest quote."""
        return self.platform.quoting_enclave.quote(self.platform.report(self.enclave, self.report_data))

    def publication(self, status: TcbStatus = TcbStatus.UP_TO_DATE) -> Publication:
        """What is honestly published of the platform, with this status."""
        return self.platform.publication(at=self.at, status=status)

    def td_quote(self) -> Quote:
        """The honest quote of the TD."""
        return self.platform.td_quoting_enclave.quote(self.platform.td_report(self.td, self.report_data))

    def td_publication(self, status: TcbStatus = TcbStatus.UP_TO_DATE) -> Publication:
        """What is honestly published of the platform for TDs, with this status."""
        return self.platform.td_publication(at=self.at, status=status)

    def stranger(self) -> SimulatedPlatform:
        """Another platform under another root, whose certificates bear the same names."""
        return SimulatedPlatform.create(at=self.at, random=self.random, ca=self.platform.ca)

    def key(self) -> ec.EllipticCurvePrivateKey:
        """A key that nobody vouches for."""
        return make_key(self.random)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A named lie, or a named truth that a policy may not like.

    Either `expected_step` is the verification step that must fail (`ambergate.core.verify.steps`), or
    `expected_status` is the TCB status under which the evidence must be found genuine; the other is None.
    """

    name: str
    description: str
    expected_step: str | None
    expected_status: TcbStatus | None
    forge: Callable[[Scene], tuple[bytes, Collateral]]
    tee: TeeType = TeeType.SGX  # whose evidence it is: an enclave's or a TD's

    def apply(
        self,
        platform: SimulatedPlatform,
        at: datetime,
        *,
        enclave: EnclaveIdentity = SPECIMEN,
        td: TdIdentity = TD_SPECIMEN,
        report_data: bytes = NO_REPORT_DATA,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> tuple[bytes, Collateral]:
        """The quote's bytes and the collateral, to be verified at `at` under the platform's root.

        Args:
            platform: who lies; it is not changed.
            at: the instant of the verification to come.
            enclave: who reports in a fault of SGX.
            td: who reports in a fault of TDX.
            report_data: 64 bytes of the reporter's choice.
            random: where the keys of strangers come from.
        """
        scene = Scene(platform=platform, at=at, enclave=enclave, td=td, report_data=report_data, random=random)
        return self.forge(scene)


def fault(
    name: str,
    expected: str | TcbStatus,
    description: str,
    forge: Callable[[Scene], tuple[bytes, Collateral]],
) -> Fault:
    """A fault that makes quote and collateral by itself; `expected` is a step's id or a status."""
    return Fault(
        name=name,
        description=description,
        expected_step=None if isinstance(expected, TcbStatus) else expected,
        expected_status=expected if isinstance(expected, TcbStatus) else None,
        forge=forge,
    )


def in_quote(name: str, expected: str | TcbStatus, description: str, change: Callable[[Scene, Quote], Quote]) -> Fault:
    """A fault of the quote; the collateral is honest."""
    return fault(
        name,
        expected,
        description,
        lambda scene: (encode_quote(change(scene, scene.quote())), scene.publication().collateral()),
    )


def in_bytes(name: str, expected: str, description: str, change: Callable[[bytes], bytes]) -> Fault:
    """A fault of the quote's bytes; the collateral is honest."""
    return fault(
        name,
        expected,
        description,
        lambda scene: (change(encode_quote(scene.quote())), scene.publication().collateral()),
    )


def in_publication(
    name: str, expected: str | TcbStatus, description: str, change: Callable[[Scene, Publication], Publication]
) -> Fault:
    """A fault of what is published, signed by whom the publication names; the quote is honest."""
    return fault(
        name,
        expected,
        description,
        lambda scene: (encode_quote(scene.quote()), change(scene, scene.publication()).collateral()),
    )


def in_collateral(
    name: str, expected: str, description: str, change: Callable[[Scene, Collateral], Collateral]
) -> Fault:
    """A fault made after publishing, by somebody without keys; the quote is honest."""
    return fault(
        name,
        expected,
        description,
        lambda scene: (encode_quote(scene.quote()), change(scene, scene.publication().collateral())),
    )
