"""One simulated platform: processor, quoting enclave, and the root's holder who vouches for both.

Everything is signed for real, under this platform's own root. Nothing here proves anything about hardware.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ambergate.core.collateral.pck import PckExtension
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import SettingsError
from ambergate.core.measurements import CpuSvn, Fmspc, PceId, PlatformInstanceId, Ppid, ReportData
from ambergate.core.quote.codec import encode_quote
from ambergate.simulator.cpu import EnclaveIdentity, Processor
from ambergate.simulator.documents import (
    STANDARD,
    Edition,
    QeIdentity,
    TcbInfo,
    TdxModuleIdentity,
    module_levels,
    platform_levels,
    qe_levels,
    td_levels,
)
from ambergate.simulator.keys import make_key
from ambergate.simulator.period import PUBLISHED_FOR, Period
from ambergate.simulator.pki import PCK_CA_NAMES, ROOT_CRL_LIFETIME, Hierarchy, RevocationList, pem_chain
from ambergate.simulator.publication import Publication
from ambergate.simulator.quoting import AUTH_DATA_SIZE, QUOTING_ENCLAVE, TD_QUOTING_ENCLAVE, TD_VERSION, QuotingEnclave
from ambergate.simulator.state import PlatformState, read_state, write_atomically, write_state
from ambergate.simulator.td import MODULE_ISV_SVN, MODULE_VERSION, TDX_MODULE, TdIdentity

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.report import EnclaveReport
    from ambergate.core.quote.td_report import TdReport

COLLATERAL_FOLDER: Final = "collateral"

# SVNs as a patched server of 2024 has them; two are above 127, which DER writes in two octets.
COMPONENTS: Final = (14, 14, 3, 3, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
PCE_SVN: Final = 13
# Simulated FMSPCs spell "SIM", then three random bytes; Intel's begin with 00.
_FMSPC_PREFIX: Final = b"SIM"
_PLATFORM_ID_SIZE: Final = 16  # bytes


@dataclass(frozen=True, slots=True)
class SimulatedPlatform:
    """A software platform, of SGX and of TDX, with its own root."""

    state: PlatformState

    @classmethod
    def create(
        cls,
        *,
        at: datetime,
        random: Callable[[int], bytes] = secrets.token_bytes,
        ca: str = "platform",
    ) -> Self:
        """A new platform: root, CAs, PCK, TCB signing key, quoting enclave. Takes a few milliseconds.

        Args:
            at: the instant of making; certificates are valid from 30 days before it, and for years.
            random: where keys, serials and identifiers come from; same bytes, same keys.
            ca: which CA certifies the platform: `platform` (several packages) or `processor`.

        Raises:
            SettingsError: another `ca`.
        """
        if ca not in PCK_CA_NAMES:
            raise SettingsError("there is no such CA", seen=ca, wanted=" or ".join(PCK_CA_NAMES))
        hardware = _hardware(random, with_instance=ca == "platform")
        return cls(
            PlatformState(
                hardware=hardware,
                pki=Hierarchy.create(hardware, at=at, random=random),
                attestation_key=make_key(random),
                auth_data=random(AUTH_DATA_SIZE),
                platform_id=random(_PLATFORM_ID_SIZE),
            )
        )

    def sibling(self, *, at: datetime, random: Callable[[int], bytes] = secrets.token_bytes) -> SimulatedPlatform:
        """Another machine of the same family, as new in all its parts, under the same CAs and the same statements.

        Its PCK key and certificate, its attestation key and all that identifies a machine are its own.
        """
        own = _hardware(random, with_instance=self.state.pki.ca == "platform")
        hardware = replace(self.state.hardware, ppid=own.ppid, platform_instance_id=own.platform_instance_id)
        return SimulatedPlatform(
            PlatformState(
                hardware=hardware,
                pki=self.state.pki.sibling(hardware, at=at, random=random),
                attestation_key=make_key(random),
                auth_data=random(AUTH_DATA_SIZE),
                platform_id=random(_PLATFORM_ID_SIZE),
            )
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The platform that `save` kept in this directory.

        Raises:
            SettingsError: there is none, or its files are unusable.
        """
        return cls(read_state(directory))

    def save(self, directory: Path) -> None:
        """Keep the platform: private keys in `platform/` (0700, files 0600), the root in `root_ca.pem` for all.

        Raises:
            SettingsError: the directory holds a platform already, or cannot be written.
        """
        write_state(self.state, directory)

    def save_collateral(self, directory: Path, *, at: datetime, status: TcbStatus = TcbStatus.UP_TO_DATE) -> Path:
        """Sign the collateral anew and keep it as `collateral/sgx-<fmspc>-<ca>.json`, for TDs as `tdx-...` beside it.

        Returns:
            The path of the former.

        Raises:
            SettingsError: the directory cannot be written.
        """
        path = directory / self.collateral_path
        _keep(path, self.collateral(at=at, status=status))
        _keep(directory / self.td_collateral_path, self.td_collateral(at=at, status=status))
        return path

    @property
    def root_pem(self) -> str:
        """The simulated root's certificate. Whoever takes it for a trust anchor accepts forgeries, by intent."""
        return self.state.pki.root.pem

    @property
    def fmspc(self) -> Fmspc:
        """Which TCB info speaks of this platform."""
        return self.state.hardware.fmspc

    @property
    def ca(self) -> str:
        """Which CA certified the platform: `platform` or `processor`."""
        return self.state.pki.ca

    @property
    def collateral_path(self) -> Path:
        """Where `save_collateral` keeps the bundle for enclaves, below its directory."""
        return Path(COLLATERAL_FOLDER, f"sgx-{self.fmspc.hex()}-{self.ca}.json")

    @property
    def td_collateral_path(self) -> Path:
        """Where `save_collateral` keeps the bundle for TDs, below its directory."""
        return Path(COLLATERAL_FOLDER, f"tdx-{self.fmspc.hex()}-{self.ca}.json")

    @property
    def processor(self) -> Processor:
        """The processor."""
        return Processor(self.state.hardware.cpu_svn)

    @property
    def quoting_enclave(self) -> QuotingEnclave:
        """The quoting enclave, certified by this platform's PCK."""
        pki = self.state.pki
        return QuotingEnclave(
            processor=self.processor,
            identity=QUOTING_ENCLAVE,
            attestation_key=self.state.attestation_key,
            certification_key=pki.pck.key,
            certificates=pem_chain(pki.pck, pki.pck_ca, pki.root),
            auth_data=self.state.auth_data,
            platform_id=self.state.platform_id,
            pce_svn=self.state.hardware.pce_svn,
        )

    @property
    def td_quoting_enclave(self) -> QuotingEnclave:
        """The quoting enclave for TDs: another program with a key of its own, certified by the same PCK."""
        return replace(
            self.quoting_enclave,
            identity=TD_QUOTING_ENCLAVE,
            attestation_key=_derived(self.state.attestation_key, b"TD quoting enclave"),
        )

    def quote(self, enclave: EnclaveIdentity, report_data: bytes) -> bytes:
        """A version 3 quote over what the enclave says of itself.

        Args:
            enclave: who reports.
            report_data: exactly 64 bytes of the enclave's choice.

        Raises:
            SettingsError: another number of bytes.
        """
        return encode_quote(self.quoting_enclave.quote(self.report(enclave, report_data)))

    def report(self, enclave: EnclaveIdentity, report_data: bytes) -> EnclaveReport:
        """The processor's report of the enclave, not yet quoted.

        Raises:
            SettingsError: `report_data` is not 64 bytes.
        """
        return self.processor.ereport(enclave, _report_data(report_data))

    def td_quote(
        self, td: TdIdentity, report_data: bytes, *, version: int = TD_VERSION, extended: bool = False
    ) -> bytes:
        """A quote over what the TDX module says of the TD.

        Args:
            td: who reports.
            report_data: exactly 64 bytes of the TD's choice.
            version: of the quote, 4 or 5.
            extended: a report of version 1.5, which only a version 5 quote can hold.

        Raises:
            SettingsError: another number of bytes, or a version that cannot hold the report.
        """
        if version not in ((5,) if extended else (4, 5)):
            raise SettingsError(
                "no quote of this version holds such a report", seen=version, wanted="5" if extended else "4 or 5"
            )
        report = self.td_report(td, report_data, extended=extended)
        return encode_quote(self.td_quoting_enclave.quote(report, version=version))

    def td_report(self, td: TdIdentity, report_data: bytes, *, extended: bool = False) -> TdReport:
        """The TDX module's report of the TD, not yet quoted.

        Raises:
            SettingsError: `report_data` is not 64 bytes.
        """
        return TDX_MODULE.tdreport(td, _report_data(report_data), extended=extended)

    def collateral(
        self, *, at: datetime, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
    ) -> Collateral:
        """Freshly signed collateral, valid from an hour before `at` to thirty days after it.

        Args:
            at: the instant of signing.
            status: what the TCB info shall say of this platform.
            edition: which set of statements it belongs to: `documents.STANDARD`, `EARLY`, or another.
        """
        return self.publication(at=at, status=status, edition=edition).collateral()

    def publication(
        self, *, at: datetime, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
    ) -> Publication:
        """The parts of `collateral`, not yet signed."""
        pki, hardware = self.state.pki, self.state.hardware
        month = Period.around(at, after=PUBLISHED_FOR)
        return Publication(
            root=pki.root,
            pck_ca=pki.pck_ca,
            tcb_signing=pki.tcb_signing,
            qe_signing=pki.tcb_signing,
            root_crl=RevocationList(issuer=pki.root, period=Period.around(at, after=ROOT_CRL_LIFETIME)),
            pck_crl=RevocationList(issuer=pki.pck_ca, period=month),
            tcb_info=TcbInfo(
                fmspc=hardware.fmspc,
                pce_id=hardware.pce_id,
                levels=platform_levels(hardware, status, edition),
                period=month,
            ),
            qe_identity=QeIdentity(enclave=QUOTING_ENCLAVE, levels=qe_levels(QUOTING_ENCLAVE, edition), period=month),
        ).under(edition)

    def td_collateral(
        self, *, at: datetime, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
    ) -> Collateral:
        """`collateral` for TDs: TCB info of TDX, identity of the TD quoting enclave."""
        return self.td_publication(at=at, status=status, edition=edition).collateral()

    def td_publication(
        self, *, at: datetime, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
    ) -> Publication:
        """The parts of `td_collateral`, not yet signed."""
        published = self.publication(at=at, status=status, edition=edition)
        module = TdxModuleIdentity(version=MODULE_VERSION, levels=module_levels(MODULE_ISV_SVN, edition))
        tcb_info = replace(
            published.tcb_info,
            id="TDX",
            levels=td_levels(self.state.hardware, TDX_MODULE.tee_tcb_svn, status, edition),
            tdx_modules=(module,),
        )
        identity = replace(
            published.qe_identity, id="TD_QE", enclave=TD_QUOTING_ENCLAVE, levels=qe_levels(TD_QUOTING_ENCLAVE, edition)
        )
        return replace(published, tcb_info=tcb_info, qe_identity=identity)


def _report_data(octets: bytes) -> ReportData:
    if len(octets) != ReportData.WIDTH:
        raise SettingsError(
            "report data has another length", seen=f"{len(octets)} bytes", wanted=f"{ReportData.WIDTH} bytes"
        )
    return ReportData(octets)


def _keep(path: Path, collateral: Collateral) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, collateral.to_json())
    except OSError as exc:
        raise SettingsError(f"{path} cannot be written", seen=exc.strerror, wanted="a writable directory") from exc


def _derived(key: ec.EllipticCurvePrivateKey, purpose: bytes) -> ec.EllipticCurvePrivateKey:
    """A key that follows from another one and a purpose, so that a kept platform needs to keep the other one only."""
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    return make_key(lambda size: hashlib.shake_256(purpose + b"\0" + secret).digest(size))


def _hardware(random: Callable[[int], bytes], *, with_instance: bool) -> PckExtension:
    """A server platform. CPUSVN holds the components' octets, as on Intel's platforms."""
    flag = True if with_instance else None
    return PckExtension(
        ppid=Ppid(random(Ppid.WIDTH)),
        components=COMPONENTS,
        pce_svn=PCE_SVN,
        cpu_svn=CpuSvn(bytes(COMPONENTS)),
        pce_id=PceId(bytes(PceId.WIDTH)),
        fmspc=Fmspc(_FMSPC_PREFIX + random(Fmspc.WIDTH - len(_FMSPC_PREFIX))),
        sgx_type=1 if with_instance else 0,
        platform_instance_id=PlatformInstanceId(random(PlatformInstanceId.WIDTH)) if with_instance else None,
        dynamic_platform=flag,
        cached_keys=flag,
        smt_enabled=flag,
    )
