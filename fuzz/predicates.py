"""What makes a case one of the choices: facts of quote and collateral, our failing step and words, dcap-qvl's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fuzz.layout import fields_of

from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING, TeeType

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fuzz.case import Case

    from ambergate.core.collateral.certificates import Certificate

    Predicate = Callable[[Case], bool]

# Words that levels of quoting enclaves and of TDX modules have.
_SVN_STATUSES: Final = frozenset({"UpToDate", "OutOfDate", "Revoked"})
# Words in common names, by which Intel's library knows what a certificate is for.
_ROLES: Final = ("SGX PCK Certificate", "SGX TCB Signing", "SGX Root CA")


def refused(where: str, words: str = "") -> Predicate:
    """We refuse at one of these steps (a pattern) in these words (another); dcap-qvl accepts."""
    return lambda case: _refused(case, where, words)


def accepted(words: str) -> Predicate:
    """We accept; dcap-qvl refuses in these words (a pattern)."""
    return lambda case: _accepted(case, words)


def both(*predicates: Predicate) -> Predicate:
    """All of them hold."""
    return lambda case: all(predicate(case) for predicate in predicates)


def _refused(case: Case, where: str, words: str) -> bool:
    found = re.fullmatch(where, case.ours.where) and re.search(words, case.ours.why)
    return bool(found) and case.theirs.accepted


def _accepted(case: Case, words: str) -> bool:
    return case.ours.accepted and not case.theirs.accepted and re.search(words, case.theirs.why) is not None


# --- Facts of the quote ------------------------------------------------------------------------------------------


def long_tail(case: Case) -> bool:
    """More bytes follow the signature data, or make up the quote, than we take."""
    tail = fields_of(case.triple.raw).get("trailing", range(0))
    return len(case.triple.raw) > MAX_QUOTE or len(tail) > MAX_TRAILING


def another_outer_type(case: Case) -> bool:
    """The outer certification data is not of type 6."""
    place = fields_of(case.triple.raw).get("outer.type")
    return place is not None and case.triple.raw[place.start : place.stop] != b"\x06\x00"


def debug(case: Case) -> bool:
    """The enclave or TD runs under debug."""
    return case.quote is not None and case.quote.body.debug


def sept_ve_enabled(case: Case) -> bool:
    """A TD whose host can take pages away."""
    return case.td is not None and not case.td.sept_ve_disable


def service_td(case: Case) -> bool:
    """A TD bound to a service TD."""
    service = case.td.mr_service_td if case.td else None
    return service is not None and any(service.value)


def other_td_attributes(case: Case) -> bool:
    """A TD with attributes besides debug and SEPT_VE_DISABLE."""
    return case.td is not None and any(
        case.td.td_attributes.value[i] & m for i, m in enumerate(b"\xfe\xff\xff\xef\xff\xff\xff\xff")
    )


def sgx_in_newer(case: Case) -> bool:
    """An enclave's quote of version 4 or 5."""
    return case.quote is not None and case.quote.tee is TeeType.SGX and case.quote.header.version > 3


def other_auth_length(case: Case) -> bool:
    """QE authentication data that is not 32 bytes long."""
    return case.quote is not None and len(case.quote.qe_auth_data) != 32


def judged_by_today(case: Case) -> bool:
    """dcap-qvl judges what runs today as well: refuses for it, or advises a relaunch where QVL does not, or reverse."""
    if case.td is None or case.td.tee_tcb_svn2 in (None, case.td.tee_tcb_svn):
        return False
    refusal = _accepted(case, r"the current TDX TCB \(TEE_TCB_SVN2\)|TCB status is invalid: Revoked")
    statuses = (case.ours.status or "", case.theirs.status or "")
    advised = all(statuses) and any(status.startswith("TDRelaunchAdvised") for status in statuses)
    return refusal or advised


# --- Facts of the certificates -----------------------------------------------------------------------------------


def misnamed(case: Case) -> bool:
    """A certificate whose common name has another role's words, or nobody's."""
    pck = (_plays(each, "SGX PCK Certificate") for each in case.pck_certificates)
    signing = (_plays(each, "SGX TCB Signing") for each in case.signing_certificates)
    return not all((*pck, *signing))


def _plays(certificate: Certificate, leaf: str) -> bool:
    roles = [role for role in _ROLES if role in certificate.common_name]
    if certificate.self_issued:
        return roles == ["SGX Root CA"]
    return "CA" in certificate.common_name and not roles if certificate.is_ca else roles == [leaf]


def leaf_is_ca(case: Case) -> bool:
    """A leaf that may issue certificates."""
    return any(each.is_ca and any(role in each.common_name for role in _ROLES[:2]) for each in case.certificates)


def root_revokes_itself(case: Case) -> bool:
    """The root's own serial number stands on the root's list."""
    crl = case.root_list
    return crl is not None and any(each.self_issued and crl.revokes(each.serial) for each in case.certificates)


def wide_pce_svn(case: Case) -> bool:
    """A PCESVN that takes three octets of DER."""
    return case.hardware is not None and case.hardware.pce_svn > 0x7FFF


def components_are_not_cpu_svn(case: Case) -> bool:
    """The octets of CPUSVN are not the sixteen components."""
    return case.hardware is not None and bytes(case.hardware.components) != case.hardware.cpu_svn.value


# --- Facts of the documents --------------------------------------------------------------------------------------


def other_qe_status(case: Case) -> bool:
    """A level of the quoting enclave is neither up to date, nor out of date, nor revoked; and that is where we differ.

    dcap-qvl refuses some of these words, and takes the others for up to date.
    """
    words = {str(level.get("tcbStatus")) for level in case.qe_levels}
    overlooked = case.ours.accepted and case.theirs.accepted and "OutOfDate" in str(case.ours.status)
    return bool(words - _SVN_STATUSES) and (
        overlooked or _accepted(case, r"Unrecognized TCB status \w+ in QE Identity")
    )


def other_module_status(case: Case) -> bool:
    """A level of a TDX module is neither up to date, nor out of date, nor revoked."""
    return bool({str(level.get("tcbStatus")) for level in _module_levels(case)} - _SVN_STATUSES)


def wide_module_svn(case: Case) -> bool:
    """A level of a TDX module has an ISVSVN above 255."""
    return any(svn > 255 for svn in _module_svns(case))


def minus_zero(case: Case) -> bool:
    """A number is spelled -0."""
    return any(re.search(r":\s*-0\s*[,}]", str(case.members.get(name))) for name in ("tcb_info", "qe_identity"))


def out_of_order(case: Case) -> bool:
    """TCB levels, or a module's, do not stand in descending order."""
    try:
        lists: list[list[Any]] = [[_rank(level["tcb"]) for level in case.tcb_info["tcbLevels"]]]
        lists += [[level["tcb"]["isvsvn"] for level in module["tcbLevels"]] for module in case.modules]
        return any(each != sorted(each, reverse=True) for each in lists)
    except (KeyError, TypeError):
        return False


def another_level(case: Case) -> bool:
    """The verdicts differ in what level was found."""
    found = case.ours.accepted and case.theirs.accepted
    one = _accepted(case, "No matching TCB level found|Revoked") or _refused(case, r"9\.[124]\..*", "")
    return found or one


def lone_surrogate(case: Case) -> bool:
    """A string spells half of a surrogate pair."""
    return re.search(r"\\\\?u[dD][89a-fA-F]", case.triple.bundle) is not None


def repeated_member(case: Case) -> bool:
    """An object of the bundle, or of a document in it, has two members of one name."""
    return case.repeats


def _module_levels(case: Case) -> list[dict[str, Any]]:
    return [level for module in case.modules for level in module["tcbLevels"]]


def _module_svns(case: Case) -> list[int]:
    return [level["tcb"]["isvsvn"] for level in _module_levels(case)]


def _rank(tcb: dict[str, Any]) -> tuple[object, ...]:
    sgx, tdx = ([each["svn"] for each in tcb.get(name, ())] for name in ("sgxtcbcomponents", "tdxtcbcomponents"))
    return sgx, tcb["pcesvn"], tdx
