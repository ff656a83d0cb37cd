"""Faults of the signed JSON statements and of their chains (steps 3, 4, 5.1, 5.2, 5.6, 5.7, 6 and 7.3)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import Fmspc, PceId
from ambergate.simulator.faults.scene import Fault, Scene, in_collateral, in_publication
from ambergate.simulator.period import Period
from ambergate.simulator.pki import Entity, pem_chain, tcb_signing_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.simulator.documents import QeIdentity, TcbInfo
    from ambergate.simulator.publication import Publication

_ZERO_SIGNATURE: Final = "0" * 128
_UNKNOWN_VERSION: Final = 9


def _tcb_info(change: Callable[[Scene, TcbInfo], TcbInfo]) -> Callable[[Scene, Publication], Publication]:
    return lambda scene, published: replace(published, tcb_info=change(scene, published.tcb_info))


def _qe_identity(change: Callable[[Scene, QeIdentity], QeIdentity]) -> Callable[[Scene, Publication], Publication]:
    return lambda scene, published: replace(published, qe_identity=change(scene, published.qe_identity))


def _signer_expired(scene: Scene, published: Publication) -> Entity:
    template = tcb_signing_template(scene.at, scene.random)
    return published.root.issue(replace(template, period=Period.ended_before(scene.at)), scene.key())


def _signer_of_stranger(scene: Scene) -> Entity:
    """A TCB signing certificate of the right names under another root."""
    return scene.stranger().state.pki.tcb_signing


def _strangers_chain(scene: Scene) -> str:
    pki = scene.stranger().state.pki
    return pem_chain(pki.tcb_signing, pki.root)


def _pck_ca_chain(scene: Scene) -> str:
    pki = scene.platform.state.pki
    return pem_chain(pki.pck_ca, pki.root)


def _impostor(scene: Scene, entity: Entity) -> Entity:
    """The right certificate beside a key that is not its own."""
    return replace(entity, key=scene.key())


def _reserialised(text: str) -> str:
    """The same JSON value, with white space."""
    return json.dumps(json.loads(text), indent=1)


_TCB_CHAIN: Final[tuple[Fault, ...]] = (
    in_collateral(
        "tcb-chain-root-only",
        "3.1.tcb_chain_format",
        "The TCB info's chain holds nothing but the root.",
        lambda scene, collateral: replace(collateral, tcb_info_issuer_chain=scene.platform.root_pem),
    ),
    in_collateral(
        "tcb-chain-is-pck-ca-chain",
        "3.1.tcb_chain_format",
        "The intermediate CA's chain stands in for the TCB info's.",
        lambda scene, collateral: replace(collateral, tcb_info_issuer_chain=_pck_ca_chain(scene)),
    ),
    in_collateral(
        "tcb-chain-of-another-root",
        "3.2.tcb_chain_anchor",
        "The TCB info's chain ends at another root of the same name.",
        lambda scene, collateral: replace(collateral, tcb_info_issuer_chain=_strangers_chain(scene)),
    ),
    in_publication(
        "tcb-signing-of-another-root",
        "3.3.tcb_chain_signature",
        "Another root of the same name has issued the TCB signing certificate.",
        lambda scene, published: replace(published, tcb_signing=_signer_of_stranger(scene)),
    ),
    in_publication(
        "tcb-signing-expired",
        "5.6.tcb_chain_dates",
        "The certificate that the TCB info was signed under has expired.",
        lambda scene, published: replace(published, tcb_signing=_signer_expired(scene, published)),
    ),
)

_TCB_INFO: Final[tuple[Fault, ...]] = (
    in_collateral(
        "tcb-info-signature-zero",
        "3.5.tcb_info_signature",
        "The TCB info's signature is all zeros.",
        lambda _, collateral: replace(collateral, tcb_info_signature=_ZERO_SIGNATURE),
    ),
    in_collateral(
        "tcb-info-signature-short",
        "3.5.tcb_info_signature",
        "The TCB info's signature lacks its last byte.",
        lambda _, collateral: replace(collateral, tcb_info_signature=collateral.tcb_info_signature[:-2]),
    ),
    in_collateral(
        "tcb-info-tampered-status",
        "3.5.tcb_info_signature",
        "Somebody has turned every status of the TCB info into UpToDate.",
        lambda _, collateral: replace(collateral, tcb_info=collateral.tcb_info.replace("OutOfDate", "UpToDate")),
    ),
    in_collateral(
        "tcb-info-reserialised",
        "3.5.tcb_info_signature",
        "The TCB info was written anew with white space: the signature covers the exact text.",
        lambda _, collateral: replace(collateral, tcb_info=_reserialised(collateral.tcb_info)),
    ),
    in_publication(
        "tcb-info-signed-by-another-key",
        "3.5.tcb_info_signature",
        "Another key than the TCB signing certificate's has signed the TCB info.",
        lambda scene, published: replace(published, tcb_signing=_impostor(scene, published.tcb_signing)),
    ),
    in_publication(
        "tcb-info-unknown-version",
        "3.6.tcb_info_format",
        "The TCB info is of a version that nobody knows.",
        _tcb_info(lambda _, info: replace(info, version=_UNKNOWN_VERSION)),
    ),
    in_publication(
        "tcb-info-without-levels",
        "3.6.tcb_info_format",
        "The TCB info lists no levels.",
        _tcb_info(lambda _, info: replace(info, levels=())),
    ),
    in_publication(
        "tcb-info-equal-levels",
        "3.6.tcb_info_format",
        "The TCB info lists one level twice, with two statuses.",
        _tcb_info(
            lambda _, info: replace(info, levels=(replace(info.levels[0], status=info.levels[-1].status), *info.levels))
        ),
    ),
    in_publication(
        "tcb-info-expired",
        "5.1.tcb_info_dates",
        "The TCB info has expired.",
        _tcb_info(lambda scene, info: replace(info, period=Period.ended_before(scene.at))),
    ),
    in_publication(
        "tcb-info-not-yet-issued",
        "5.1.tcb_info_dates",
        "The TCB info is from the future.",
        _tcb_info(lambda scene, info: replace(info, period=Period.starting_after(scene.at))),
    ),
    in_publication(
        "tcb-info-of-tdx",
        "6.1.tcb_info_tee",
        "The TCB info speaks of TDX.",
        _tcb_info(lambda _, info: replace(info, id="TDX")),
    ),
    in_publication(
        "tcb-info-wrong-fmspc",
        "6.2.fmspc",
        "The TCB info is of another platform family.",
        _tcb_info(lambda _, info: replace(info, fmspc=Fmspc(b"other."))),
    ),
    in_publication(
        "tcb-info-wrong-pceid",
        "6.3.pce_id",
        "The TCB info is of another provisioning certification enclave.",
        _tcb_info(lambda _, info: replace(info, pce_id=PceId(b"\x00\x07"))),
    ),
)

_QE_CHAIN: Final[tuple[Fault, ...]] = (
    in_collateral(
        "qe-chain-root-only",
        "4.1.qe_chain_format",
        "The QE identity's chain holds nothing but the root.",
        lambda scene, collateral: replace(collateral, qe_identity_issuer_chain=scene.platform.root_pem),
    ),
    in_collateral(
        "qe-chain-of-another-root",
        "4.2.qe_chain_anchor",
        "The QE identity's chain ends at another root of the same name.",
        lambda scene, collateral: replace(collateral, qe_identity_issuer_chain=_strangers_chain(scene)),
    ),
    in_publication(
        "qe-signing-of-another-root",
        "4.3.qe_chain_signature",
        "Another root of the same name has issued the certificate that the QE identity was signed under.",
        lambda scene, published: replace(published, qe_signing=_signer_of_stranger(scene)),
    ),
    in_publication(
        "qe-signing-expired",
        "5.7.qe_chain_dates",
        "The certificate that the QE identity was signed under has expired.",
        lambda scene, published: replace(published, qe_signing=_signer_expired(scene, published)),
    ),
)

_QE_IDENTITY: Final[tuple[Fault, ...]] = (
    in_collateral(
        "qe-identity-tampered",
        "4.5.qe_identity_signature",
        "Somebody has turned every status of the QE identity into UpToDate.",
        lambda _, collateral: replace(collateral, qe_identity=collateral.qe_identity.replace("OutOfDate", "UpToDate")),
    ),
    in_collateral(
        "qe-identity-signature-of-tcb-info",
        "4.5.qe_identity_signature",
        "The QE identity bears the TCB info's signature.",
        lambda _, collateral: replace(collateral, qe_identity_signature=collateral.tcb_info_signature),
    ),
    in_publication(
        "qe-identity-signed-by-another-key",
        "4.5.qe_identity_signature",
        "Another key than its certificate's has signed the QE identity.",
        lambda scene, published: replace(published, qe_signing=_impostor(scene, published.qe_signing)),
    ),
    in_publication(
        "qe-identity-unknown-version",
        "4.6.qe_identity_format",
        "The QE identity is of a version that nobody knows.",
        _qe_identity(lambda _, identity: replace(identity, version=_UNKNOWN_VERSION)),
    ),
    in_publication(
        "qe-identity-without-levels",
        "4.6.qe_identity_format",
        "The QE identity lists no levels.",
        _qe_identity(lambda _, identity: replace(identity, levels=())),
    ),
    in_publication(
        "qe-identity-expired",
        "5.2.qe_identity_dates",
        "The QE identity has expired.",
        _qe_identity(lambda scene, identity: replace(identity, period=Period.ended_before(scene.at))),
    ),
    in_publication(
        "qe-identity-not-yet-issued",
        "5.2.qe_identity_dates",
        "The QE identity is from the future.",
        _qe_identity(lambda scene, identity: replace(identity, period=Period.starting_after(scene.at))),
    ),
    in_publication(
        "qe-identity-of-td-qe",
        "7.3.qe_identity_id",
        "The identity is of the TD quoting enclave.",
        _qe_identity(lambda _, identity: replace(identity, id="TD_QE")),
    ),
    in_publication(
        "qe-identity-of-qve",
        "7.3.qe_identity_id",
        "The identity is of the quote verification enclave.",
        _qe_identity(lambda _, identity: replace(identity, id="QVE")),
    ),
)

FAULTS: Final[tuple[Fault, ...]] = (*_TCB_CHAIN, *_TCB_INFO, *_QE_CHAIN, *_QE_IDENTITY)
