"""Faults of TDs: what only they have (steps 6.4 to 6.6, 9.2), and where they must not pass for enclaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import MrSignerSeam, MrTd, ReportData, Rtmr
from ambergate.core.quote.codec import encode_quote
from ambergate.core.quote.layout import Quote, TeeType
from ambergate.core.quote.td_report import TdReport
from ambergate.simulator.faults.scene import Fault, Scene, fault
from ambergate.simulator.quoting import sign_quote
from ambergate.simulator.td import MODULE_ISV_SVN, MODULE_VERSION, TDX_MODULE, TdxModule, module_svn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.publication import Publication

# ISVSVNs of TDX modules in the published identity: see `documents.module_levels`.
_MODULE_OUT_OF_DATE: Final = MODULE_ISV_SVN - 1
_MODULE_REVOKED: Final = 1
_MODULE_UNSUPPORTED: Final = 0
_UNKNOWN_VERSION: Final = MODULE_VERSION + 6
_OLD_MICROCODE: Final = 0
_EXTENDED: Final = Rtmr(b"\x01" * Rtmr.WIDTH)


def _fault(
    name: str, expected: str | TcbStatus, description: str, forge: Callable[[Scene], tuple[bytes, Collateral]]
) -> Fault:
    return replace(fault(name, expected, description, forge), tee=TeeType.TDX)


def _in_quote(name: str, expected: str | TcbStatus, description: str, change: Callable[[Scene, Quote], Quote]) -> Fault:
    """A fault of the TD's quote; the collateral is honest."""

    def forge(scene: Scene) -> tuple[bytes, Collateral]:
        return encode_quote(change(scene, scene.td_quote())), scene.td_publication().collateral()

    return _fault(name, expected, description, forge)


def _in_publication(
    name: str, expected: str | TcbStatus, description: str, change: Callable[[Scene, Publication], Publication]
) -> Fault:
    """A fault of what is published for TDs, properly signed; the quote is honest."""

    def forge(scene: Scene) -> tuple[bytes, Collateral]:
        return encode_quote(scene.td_quote()), change(scene, scene.td_publication()).collateral()

    return _fault(name, expected, description, forge)


def _under(module: TdxModule, status: TcbStatus = TcbStatus.UP_TO_DATE) -> Callable[[Scene], tuple[bytes, Collateral]]:
    """A TD under another TDX module, on a platform of this status."""

    def forge(scene: Scene) -> tuple[bytes, Collateral]:
        report = module.tdreport(scene.td, ReportData(scene.report_data))
        return encode_quote(scene.platform.td_quoting_enclave.quote(report)), scene.td_publication(status).collateral()

    return forge


def _of_isv_svn(isv_svn: int) -> TdxModule:
    return replace(TDX_MODULE, tee_tcb_svn=module_svn(isv_svn))


def _by_the_other_quoting_enclave(scene: Scene) -> tuple[bytes, Collateral]:
    quote = scene.platform.quoting_enclave.quote(scene.platform.td_report(scene.td, scene.report_data))
    return encode_quote(quote), scene.td_publication().collateral()


def _debug(scene: Scene) -> Scene:
    return replace(scene, td=replace(scene.td, debug=True))


def _debug_bit_cleared(scene: Scene, quote: Quote) -> Quote:
    return replace(_debug(scene).td_quote(), body=quote.body)


def _with_body(quote: Quote, change: Callable[[TdReport], TdReport]) -> Quote:
    assert isinstance(quote.body, TdReport)
    return replace(quote, body=change(quote.body))


_MODULE: Final[tuple[Fault, ...]] = (
    _fault(
        "tdx-module-unknown",
        "6.4.tdx_module_identity",
        "The TD runs under a TDX module of a version that nobody published.",
        _under(replace(TDX_MODULE, tee_tcb_svn=module_svn(version=_UNKNOWN_VERSION))),
    ),
    _in_publication(
        "tdx-module-identities-missing",
        "6.4.tdx_module_identity",
        "The TCB info describes the module of version 0 alone, and the TD runs under a later one.",
        lambda _, published: replace(published, tcb_info=replace(published.tcb_info, tdx_modules=())),
    ),
    _fault(
        "tdx-module-signer",
        "6.5.tdx_module_signer",
        "Somebody else has signed the TDX module.",
        _under(replace(TDX_MODULE, mr_signer_seam=MrSignerSeam(b"\x01" * MrSignerSeam.WIDTH))),
    ),
    _fault(
        "tdx-module-attributes",
        "6.6.tdx_module_attributes",
        "The TDX module runs with an attribute that the published one lacks.",
        _under(replace(TDX_MODULE, seam_attributes=b"\x01" + bytes(7))),
    ),
    _fault(
        "tdx-module-unsupported",
        "9.2.tdx_module_level",
        "No published level covers the TDX module: all are newer.",
        _under(_of_isv_svn(_MODULE_UNSUPPORTED)),
    ),
    _fault(
        "tdx-module-revoked",
        "9.4.tcb_not_revoked",
        "The TDX module's version is revoked.",
        _under(_of_isv_svn(_MODULE_REVOKED)),
    ),
    _fault(
        "tdx-module-out-of-date",
        TcbStatus.OUT_OF_DATE,
        "The platform is up to date, the TDX module is not.",
        _under(_of_isv_svn(_MODULE_OUT_OF_DATE)),
    ),
    _fault(
        "tdx-module-out-of-date-configuration",
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        "The platform may need another configuration, and the TDX module is out of date.",
        _under(_of_isv_svn(_MODULE_OUT_OF_DATE), TcbStatus.CONFIGURATION_NEEDED),
    ),
    _fault(
        "tdx-components-out-of-date",
        TcbStatus.OUT_OF_DATE,
        "The TDX module was launched on old microcode.",
        _under(replace(TDX_MODULE, tee_tcb_svn=module_svn(microcode=_OLD_MICROCODE))),
    ),
)

_TD: Final[tuple[Fault, ...]] = (
    _fault(
        "td-debug",
        TcbStatus.UP_TO_DATE,
        "The TD runs under debug: genuine, and nothing in it is secret.",
        lambda scene: (encode_quote(_debug(scene).td_quote()), scene.td_publication().collateral()),
    ),
    _in_publication(
        "td-tcb-info-of-sgx",
        "6.1.tcb_info_tee",
        "The TD brings the TCB info that speaks of enclaves.",
        lambda scene, published: replace(published, tcb_info=scene.publication().tcb_info),
    ),
    _in_publication(
        "td-qe-identity-of-sgx",
        "7.3.qe_identity_id",
        "The TD brings the identity of the quoting enclave that quotes enclaves.",
        lambda scene, published: replace(published, qe_identity=scene.publication().qe_identity),
    ),
    _fault(
        "td-quoted-by-the-sgx-qe",
        "7.7.qe_isvprodid",
        "The quoting enclave that quotes enclaves, a genuine one, has quoted the TD.",
        _by_the_other_quoting_enclave,
    ),
    _in_quote(
        "td-body-tampered",
        "8.1.quote_signature",
        "The TD's measurement was changed after signing.",
        lambda _, quote: _with_body(quote, lambda body: replace(body, mr_td=MrTd(bytes(48)))),
    ),
    _in_quote(
        "td-rtmr-tampered",
        "8.1.quote_signature",
        "A run-time register of the TD was changed after signing.",
        lambda _, quote: _with_body(quote, lambda body: replace(body, rtmrs=(_EXTENDED, *body.rtmrs[1:]))),
    ),
    _in_quote(
        "td-debug-bit-cleared",
        "8.1.quote_signature",
        "A debug TD's quote had its debug bit cleared after signing.",
        _debug_bit_cleared,
    ),
    _in_quote(
        "td-quote-signed-by-another-key",
        "8.1.quote_signature",
        "Another key than the certified attestation key has signed the TD's quote.",
        lambda scene, quote: sign_quote(quote, scene.key()),
    ),
)

FAULTS: Final[tuple[Fault, ...]] = (*_MODULE, *_TD)
