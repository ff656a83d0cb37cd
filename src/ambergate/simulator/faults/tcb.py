"""TCB statuses, of which most are for a policy to judge and some end a verification (steps 9.1 to 9.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote.codec import encode_quote
from ambergate.simulator.documents import platform_levels
from ambergate.simulator.faults.scene import Fault, Scene, fault, in_publication
from ambergate.simulator.quoting import QUOTING_ENCLAVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.collateral.bundle import Collateral

# ISVSVNs of quoting enclaves in the published identity: see `documents.qe_levels`.
_QE_OUT_OF_DATE: Final = QUOTING_ENCLAVE.isv_svn - 1
_QE_REVOKED: Final = 1
_QE_UNSUPPORTED: Final = 0


def _with_qe(isv_svn: int, status: TcbStatus = TcbStatus.UP_TO_DATE) -> Callable[[Scene], tuple[bytes, Collateral]]:
    """A quoting enclave of another version on a platform of this status."""

    def forge(scene: Scene) -> tuple[bytes, Collateral]:
        enclave = replace(scene.platform.quoting_enclave, identity=replace(QUOTING_ENCLAVE, isv_svn=isv_svn))
        quote = enclave.quote(scene.platform.report(scene.enclave, scene.report_data))
        return encode_quote(quote), scene.publication(status).collateral()

    return forge


def _platform(name: str, status: TcbStatus, description: str) -> Fault:
    """The platform has this status; nothing is wrong with the evidence."""
    return fault(
        name,
        status,
        description,
        lambda scene: (encode_quote(scene.quote()), scene.publication(status).collateral()),
    )


def _debug(scene: Scene) -> tuple[bytes, Collateral]:
    debug = replace(scene, enclave=replace(scene.enclave, debug=True))
    return encode_quote(debug.quote()), scene.publication().collateral()


FAULTS: Final[tuple[Fault, ...]] = (
    fault("debug", TcbStatus.UP_TO_DATE, "The enclave runs under debug: genuine, and nothing in it is secret.", _debug),
    _platform(
        "sw-hardening-needed",
        TcbStatus.SW_HARDENING_NEEDED,
        "The platform is safe for enclaves that were hardened in software.",
    ),
    _platform(
        "configuration-needed",
        TcbStatus.CONFIGURATION_NEEDED,
        "The platform may need another configuration, e.g. hyperthreading off.",
    ),
    _platform(
        "configuration-and-sw-hardening-needed",
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        "The platform may need another configuration, and enclaves hardening in software.",
    ),
    _platform("tcb-out-of-date", TcbStatus.OUT_OF_DATE, "The platform lacks published updates."),
    _platform(
        "tcb-out-of-date-configuration-needed",
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        "The platform lacks published updates and may need another configuration.",
    ),
    fault(
        "qe-out-of-date",
        TcbStatus.OUT_OF_DATE,
        "The platform is up to date, its quoting enclave is not.",
        _with_qe(_QE_OUT_OF_DATE),
    ),
    fault(
        "qe-out-of-date-sw-hardening",
        TcbStatus.OUT_OF_DATE,
        "The platform needs hardening in software, and its quoting enclave is out of date.",
        _with_qe(_QE_OUT_OF_DATE, TcbStatus.SW_HARDENING_NEEDED),
    ),
    fault(
        "qe-out-of-date-configuration",
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        "The platform may need another configuration, and its quoting enclave is out of date.",
        _with_qe(_QE_OUT_OF_DATE, TcbStatus.CONFIGURATION_NEEDED),
    ),
    fault(
        "qe-out-of-date-configuration-and-sw-hardening",
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        "The platform may need another configuration and hardening, and its quoting enclave is out of date.",
        _with_qe(_QE_OUT_OF_DATE, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED),
    ),
    in_publication(
        "tcb-unsupported",
        "9.1.tcb_level",
        "No published level covers the platform: all are newer.",
        lambda scene, published: replace(
            published,
            tcb_info=replace(
                published.tcb_info,
                levels=platform_levels(scene.platform.state.hardware, TcbStatus.OUT_OF_DATE)[:1],
            ),
        ),
    ),
    fault(
        "qe-unsupported",
        "9.3.qe_tcb_level",
        "No published level covers the quoting enclave: all are newer.",
        _with_qe(_QE_UNSUPPORTED),
    ),
    fault(
        "tcb-revoked",
        "9.4.tcb_not_revoked",
        "The platform's TCB level is revoked.",
        lambda scene: (encode_quote(scene.quote()), scene.publication(TcbStatus.REVOKED).collateral()),
    ),
    fault(
        "qe-revoked",
        "9.4.tcb_not_revoked",
        "The quoting enclave's version is revoked.",
        _with_qe(_QE_REVOKED),
    ),
)
