"""Faults of the revocation lists (steps 2.6 to 2.11, 3.4, 4.4, 5.4, 5.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.simulator.faults.scene import Fault, Scene, in_collateral, in_publication
from ambergate.simulator.period import Period
from ambergate.simulator.pki import tcb_signing_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.simulator.pki import RevocationList
    from ambergate.simulator.publication import Publication


def _root_crl(change: Callable[[Scene, RevocationList], RevocationList]) -> Callable[[Scene, Publication], Publication]:
    return lambda scene, published: replace(published, root_crl=change(scene, published.root_crl))


def _pck_crl(change: Callable[[Scene, RevocationList], RevocationList]) -> Callable[[Scene, Publication], Publication]:
    return lambda scene, published: replace(published, pck_crl=change(scene, published.pck_crl))


def _expired(scene: Scene, crl: RevocationList) -> RevocationList:
    return replace(crl, period=Period.ended_before(scene.at))


def _not_yet_valid(scene: Scene, crl: RevocationList) -> RevocationList:
    return replace(crl, period=Period.starting_after(scene.at))


def _signed_by_another_key(scene: Scene, crl: RevocationList) -> RevocationList:
    return replace(crl, issuer=replace(crl.issuer, key=scene.key()))


def _flipped(hexadecimal: str) -> str:
    """The last bit, which is the signature's, the other way."""
    return hexadecimal[:-2] + f"{int(hexadecimal[-2:], 16) ^ 1:02x}"


def _qe_signing_revoked(scene: Scene, published: Publication) -> Publication:
    """A certificate of its own signs the QE identity, and is revoked; the TCB info's is not."""
    signing = published.root.issue(tcb_signing_template(scene.at, scene.random), scene.key())
    return replace(published, qe_signing=signing, root_crl=published.root_crl.revoking(signing.certificate))


FAULTS: Final[tuple[Fault, ...]] = (
    in_collateral(
        "root-crl-missing",
        "2.6.root_crl_format",
        "There is no revocation list of the root CA.",
        lambda _, collateral: replace(collateral, root_ca_crl=""),
    ),
    in_collateral(
        "root-crl-broken",
        "2.6.root_crl_format",
        "The root CA's revocation list breaks off.",
        lambda _, collateral: replace(collateral, root_ca_crl=collateral.root_ca_crl[:-64]),
    ),
    in_publication(
        "root-crl-of-another-root",
        "2.7.root_crl_signature",
        "The root CA's revocation list is of another root of the same name.",
        _root_crl(lambda scene, crl: replace(crl, issuer=scene.stranger().state.pki.root)),
    ),
    in_publication(
        "root-crl-of-the-pck-ca",
        "2.7.root_crl_signature",
        "The intermediate CA's revocation list stands in for the root's.",
        lambda _, published: replace(published, root_crl=published.pck_crl),
    ),
    in_collateral(
        "root-crl-tampered",
        "2.7.root_crl_signature",
        "One bit of the root CA's revocation list was changed.",
        lambda _, collateral: replace(collateral, root_ca_crl=_flipped(collateral.root_ca_crl)),
    ),
    in_collateral(
        "pck-crl-missing",
        "2.8.pck_crl_format",
        "There is no PCK revocation list.",
        lambda _, collateral: replace(collateral, pck_crl=""),
    ),
    in_publication(
        "pck-crl-of-other-ca",
        "2.9.pck_crl_signature",
        "The PCK revocation list is the other intermediate CA's.",
        _pck_crl(lambda scene, crl: replace(crl, issuer=scene.platform.state.pki.other_pck_ca)),
    ),
    in_publication(
        "pck-crl-signed-by-another-key",
        "2.9.pck_crl_signature",
        "The PCK revocation list names the right issuer, and another key signed it.",
        _pck_crl(_signed_by_another_key),
    ),
    in_publication(
        "pck-ca-revoked",
        "2.10.intermediate_revoked",
        "The root CA has revoked the intermediate CA.",
        _root_crl(lambda scene, crl: crl.revoking(scene.platform.state.pki.pck_ca.certificate)),
    ),
    in_publication(
        "pck-revoked",
        "2.11.pck_revoked",
        "The intermediate CA has revoked the platform.",
        _pck_crl(lambda scene, crl: crl.revoking(scene.platform.state.pki.pck.certificate)),
    ),
    in_publication(
        "root-crl-expired", "5.4.root_crl_dates", "The root CA's revocation list has expired.", _root_crl(_expired)
    ),
    in_publication(
        "root-crl-not-yet-valid",
        "5.4.root_crl_dates",
        "The root CA's revocation list is from the future.",
        _root_crl(_not_yet_valid),
    ),
    in_publication("pck-crl-expired", "5.5.pck_crl_dates", "The PCK revocation list has expired.", _pck_crl(_expired)),
    in_publication(
        "pck-crl-not-yet-valid",
        "5.5.pck_crl_dates",
        "The PCK revocation list is from the future.",
        _pck_crl(_not_yet_valid),
    ),
    in_publication(
        "tcb-signing-revoked",
        "3.4.tcb_signing_revoked",
        "The root CA has revoked the certificate that the TCB info was signed under.",
        lambda _, published: replace(
            published, root_crl=published.root_crl.revoking(published.tcb_signing.certificate)
        ),
    ),
    in_publication(
        "qe-signing-revoked",
        "4.4.qe_signing_revoked",
        "The root CA has revoked the certificate that the QE identity was signed under.",
        _qe_signing_revoked,
    ),
)
