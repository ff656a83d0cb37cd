"""Everything the root's holder publishes about a platform, before it is signed and bundled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ambergate.core.collateral.bundle import Collateral
from ambergate.simulator.keys import sign_raw
from ambergate.simulator.pki import Entity, RevocationList, pem_chain

if TYPE_CHECKING:
    from ambergate.simulator.documents import Edition, QeIdentity, TcbInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The parts of a collateral bundle; replace any of them to publish something else, properly signed."""

    root: Entity
    pck_ca: Entity
    tcb_signing: Entity
    qe_signing: Entity  # Intel uses one certificate for both kinds of document
    root_crl: RevocationList
    pck_crl: RevocationList
    tcb_info: TcbInfo
    qe_identity: QeIdentity

    def under(self, edition: Edition) -> Publication:
        """The same under another edition's number."""
        return replace(
            self,
            tcb_info=replace(self.tcb_info, evaluation_data_number=edition.number),
            qe_identity=replace(self.qe_identity, evaluation_data_number=edition.number),
        )

    def collateral(self) -> Collateral:
        """The bundle, every part signed by whom this publication names."""
        tcb_info, qe_identity = self.tcb_info.text(), self.qe_identity.text()
        return Collateral(
            pck_crl_issuer_chain=pem_chain(self.pck_ca, self.root),
            root_ca_crl=self.root_crl.der().hex(),
            pck_crl=self.pck_crl.der().hex(),
            tcb_info_issuer_chain=pem_chain(self.tcb_signing, self.root),
            tcb_info=tcb_info,
            tcb_info_signature=sign_raw(self.tcb_signing.key, tcb_info.encode()).hex(),
            qe_identity_issuer_chain=pem_chain(self.qe_signing, self.root),
            qe_identity=qe_identity,
            qe_identity_signature=sign_raw(self.qe_signing.key, qe_identity.encode()).hex(),
        )
