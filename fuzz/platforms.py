"""Simulated platforms at random: components, statuses, levels, TDX module identities, quoting enclaves, windows.

Everything is drawn from a `random.Random`, so that a seed (or Hypothesis, which brings its own) decides. Keys and
serials follow from it too; signatures do not, since ECDSA draws a number of its own for each.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from fuzz.specimens import Maker, Specimen

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import CpuSvn, MrSignerSeam, ReportData, TeeTcbSvn
from ambergate.core.quote import encode_quote
from ambergate.simulator.documents import QeIdentity, SvnLevel, TcbInfo, TcbLevel, TdxModuleIdentity
from ambergate.simulator.faults.scene import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.period import Period
from ambergate.simulator.pki import Hierarchy, RevocationList, pck_template
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import TDX_MODULE

if TYPE_CHECKING:
    from random import Random

    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.quote import EnclaveReport, TdReport
    from ambergate.simulator.publication import Publication
    from ambergate.simulator.quoting import QuotingEnclave

_FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
_DOCUMENTED: Final = tuple(
    status
    for status in TcbStatus
    if status not in (TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
)
# A quoting enclave or a module is one of these three; another word now and then shows what becomes of it.
_USUAL: Final = (TcbStatus.UP_TO_DATE, TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE)
_ADVISORIES: Final = tuple(f"SIM-SA-{number:05}" for number in range(8))


def draw_specimens(rng: Random) -> tuple[Specimen, Specimen]:
    """One platform's evidence: of an enclave and of a TD, each at an instant inside (or at the edge) of its windows."""
    at = _FIRST + timedelta(seconds=rng.randrange(10**8))
    platform = draw_platform(rng, at)
    return _of_enclave(rng, platform, at), _of_td(rng, platform, at)


def plain_specimens(rng: Random) -> tuple[Specimen, Specimen]:
    """One platform's evidence of an enclave and of a TD, as honest and as current as the simulator makes it."""
    platform = SimulatedPlatform.create(at=_FIRST, random=rng.randbytes)
    root = platform.state.pki.root.certificate.public_bytes(Encoding.DER)
    at = int(_FIRST.timestamp())
    enclave = Specimen(
        name="simulated-sgx3",
        raw=platform.quote(SPECIMEN, bytes(64)),
        collateral=platform.collateral(at=_FIRST),
        at=at,
        root_der=root,
    )
    td = Specimen(
        name="simulated-tdx4",
        raw=platform.td_quote(TD_SPECIMEN, bytes(64)),
        collateral=platform.td_collateral(at=_FIRST),
        at=at,
        root_der=root,
    )
    return enclave, td


def draw_platform(rng: Random, at: datetime) -> SimulatedPlatform:
    """A platform whose components, PCE and certificates' dates are its own."""
    platform = SimulatedPlatform.create(at=at, random=rng.randbytes, ca=rng.choice(("platform", "processor")))
    components = tuple(rng.choice((0, 1, 2, 3, 14, 127, 128, 255)) for _ in range(16))
    # CPUSVN spells the components on real platforms; verifiers read one or the other.
    octets = components if rng.random() < 0.95 else tuple(max(0, each - 1) for each in components)
    hardware = replace(
        platform.state.hardware,
        components=components,
        cpu_svn=CpuSvn(bytes(octets)),
        pce_svn=rng.choice((0, 5, 13, 255, 256)) if rng.random() < 0.98 else 65535,
        sgx_type=rng.randrange(3),
    )
    template = replace(pck_template(hardware, at, rng.randbytes), period=draw_period(rng, at, days=4000))
    pki: Hierarchy = platform.state.pki
    pki = replace(pki, pck=pki.pck_ca.issue(template, pki.pck.key))
    return replace(platform, state=replace(platform.state, hardware=hardware, pki=pki))


def draw_period(rng: Random, at: datetime, *, days: int) -> Period:
    """A stretch of up to twice `days` that holds `at`, one in twenty starting or ending right then."""
    before, after = (rng.randrange(days * 86400) for _ in range(2))
    if rng.random() < 0.05:
        before, after = rng.choice(((0, after), (before, 0), (0, 0)))
    return Period(at - timedelta(seconds=before), at + timedelta(seconds=after))


def draw_tcb_levels(rng: Random, hardware: PckExtension, tee_tcb_svn: TeeTcbSvn | None) -> tuple[TcbLevel, ...]:
    """One to seven levels near what the platform has, in descending order as Intel publishes them, mostly."""
    tdx = tuple(tee_tcb_svn.value) if tee_tcb_svn else (0,) * 16
    drawn: dict[object, TcbLevel] = {}
    if rng.random() < 0.7:  # a level that everybody covers
        level = TcbLevel(components=(0,) * 16, pce_svn=0, status=rng.choice(_DOCUMENTED), date=_draw_date(rng))
        drawn[_rank(level)] = level
    for _ in range(rng.randrange(1, 8)):
        level = TcbLevel(
            components=_near(rng, hardware.components),
            pce_svn=max(0, min(65535, hardware.pce_svn + rng.choice((-1, 0, 0, 0, 0, 1)))),
            status=rng.choice(_DOCUMENTED),
            date=_draw_date(rng),
            advisories=_draw_advisories(rng),
            tdx_components=_near(rng, tdx) if tee_tcb_svn else tdx,
        )
        drawn.setdefault(_rank(level), level)
    levels = [drawn[rank] for rank in sorted(drawn, key=str)]
    levels.sort(key=_rank, reverse=True)
    if rng.random() < 0.1:
        rng.shuffle(levels)
    return tuple(levels)


def draw_svn_levels(rng: Random, isv_svn: int) -> tuple[SvnLevel, ...]:
    """One to four levels of a quoting enclave or TDX module around its ISVSVN, descending, mostly."""
    svns = sorted({max(0, isv_svn + rng.randrange(-4, 2)) for _ in range(rng.randrange(1, 5))}, reverse=True)
    if rng.random() < 0.1:
        rng.shuffle(svns)
    return tuple(
        SvnLevel(
            isv_svn=svn,
            status=rng.choice(_USUAL) if rng.random() < 0.85 else rng.choice(_DOCUMENTED),
            date=_draw_date(rng),
            advisories=_draw_advisories(rng),
        )
        for svn in svns
    )


def draw_publication(
    rng: Random, platform: SimulatedPlatform, at: datetime, quoting: QuotingEnclave, report: EnclaveReport | TdReport
) -> Publication:
    """What the root's holder says of this platform, with windows of their own."""
    tee_tcb_svn = getattr(report, "tee_tcb_svn", None)
    honest = platform.publication(at=at) if tee_tcb_svn is None else platform.td_publication(at=at)
    hardware = platform.state.hardware
    info: TcbInfo = replace(
        honest.tcb_info,
        levels=draw_tcb_levels(rng, hardware, tee_tcb_svn),
        period=draw_period(rng, at, days=30),
        evaluation_data_number=rng.randrange(1, 40),
        tdx_modules=() if tee_tcb_svn is None else _draw_modules(rng, tee_tcb_svn),
    )
    identity: QeIdentity = replace(
        honest.qe_identity,
        enclave=quoting.identity,
        levels=draw_svn_levels(rng, quoting.identity.isv_svn),
        period=draw_period(rng, at, days=30),
    )
    strangers = tuple(int.from_bytes(rng.randbytes(16), "big") | 1 for _ in range(rng.choice((0, 0, 1, 5))))
    return replace(
        honest,
        tcb_info=info,
        qe_identity=identity,
        root_crl=replace(honest.root_crl, period=draw_period(rng, at, days=300), revoked=strangers),
        pck_crl=RevocationList(issuer=honest.pck_ca, period=draw_period(rng, at, days=30), revoked=strangers),
    )


def _of_enclave(rng: Random, platform: SimulatedPlatform, at: datetime) -> Specimen:
    quoting = _draw_quoting(rng, platform.quoting_enclave)
    enclave = replace(SPECIMEN, debug=rng.random() < 0.05, isv_svn=rng.randrange(9))
    report = platform.processor.ereport(enclave, ReportData(rng.randbytes(64)))
    return _specimen(rng, platform, at, quoting, report, version=3 if rng.random() < 0.9 else rng.choice((4, 5)))


def _of_td(rng: Random, platform: SimulatedPlatform, at: datetime) -> Specimen:
    quoting = _draw_quoting(rng, platform.td_quoting_enclave)
    version = rng.choice((4, 4, 5))
    extended = version == 5 and rng.random() < 0.7
    module = replace(
        TDX_MODULE,
        tee_tcb_svn=_draw_module_svn(rng),
        running=_draw_module_svn(rng),
        mr_signer_seam=MrSignerSeam(bytes(47) + bytes((rng.random() < 0.03,))),
        seam_attributes=bytes(7) + bytes((rng.random() < 0.03,)),
    )
    td = replace(TD_SPECIMEN, debug=rng.random() < 0.03, sept_ve_disable=rng.random() > 0.03)
    report = module.tdreport(td, ReportData(rng.randbytes(64)), extended=extended)
    return _specimen(rng, platform, at, quoting, report, version=version)


def _specimen(
    rng: Random,
    platform: SimulatedPlatform,
    at: datetime,
    quoting: QuotingEnclave,
    report: EnclaveReport | TdReport,
    *,
    version: int,
) -> Specimen:
    publication = draw_publication(rng, platform, at, quoting, report)
    quote = quoting.quote(report, version=version)
    return Specimen(
        name=f"simulated-{quote.tee.name.lower()}{version}-{platform.fmspc}",
        raw=encode_quote(quote),
        collateral=publication.collateral(),
        at=int(at.timestamp()),
        root_der=platform.state.pki.root.certificate.public_bytes(Encoding.DER),
        maker=Maker(platform=platform, publication=publication, quote=quote, attestation_key=quoting.attestation_key),
    )


def _draw_quoting(rng: Random, quoting: QuotingEnclave) -> QuotingEnclave:
    size = 32 if rng.random() < 0.97 else rng.choice((0, 1, 31, 33, 64))
    return replace(
        quoting,
        identity=replace(quoting.identity, isv_svn=rng.choice((0, 1, 5, 8, 300))),
        auth_data=rng.randbytes(size),
    )


def _draw_module_svn(rng: Random) -> TeeTcbSvn:
    first = (rng.randrange(7), rng.choice((0, 1, 1, 1, 3)), rng.randrange(9))
    return TeeTcbSvn(bytes(first) + bytes(rng.choice((0, 0, 0, 2)) for _ in range(13)))


def _draw_modules(rng: Random, tee_tcb_svn: TeeTcbSvn) -> tuple[TdxModuleIdentity, ...]:
    versions = [version for version in (1, 2, 3) if rng.random() < 0.9]
    if rng.random() < 0.1:
        rng.shuffle(versions)
    return tuple(
        TdxModuleIdentity(version=version, levels=draw_svn_levels(rng, tee_tcb_svn.value[0])) for version in versions
    )


def _near(rng: Random, components: tuple[int, ...]) -> tuple[int, ...]:
    """The components with up to three of them lower, and now and then one higher."""
    near = list(components)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(16)
        near[place] = max(0, near[place] - rng.randrange(4))
    if rng.random() < 0.3:
        place = rng.randrange(16)
        near[place] = min(255, near[place] + 1)
    return tuple(near)


def _rank(level: TcbLevel) -> tuple[object, ...]:
    return level.components, level.pce_svn, level.tdx_components


def _draw_date(rng: Random) -> datetime:
    return datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(2500))


def _draw_advisories(rng: Random) -> tuple[str, ...]:
    return tuple(rng.sample(_ADVISORIES, rng.randrange(4)))
