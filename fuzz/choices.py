"""Every difference from dcap-qvl that is meant: by name, with where it was decided, and what makes a case one of it.

Where a difference comes of how something is spelled, the case is spelled plainly and both are asked again: only if
ours then accepts, and the two agree (or differ by another choice), was the spelling the cause.

"QVL" is Intel's quote verification library, by the steps that `docs/checks.md` cites; where no step stands, its parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuzz.predicates import accepted, both, refused

from fuzz import predicates as p

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuzz.case import Case


@dataclass(frozen=True, slots=True)
class Choice:
    """One way in which ours differs on purpose."""

    name: str
    reason: str
    source: str  # an ADR, or what of Intel's the choice follows
    holds: Callable[[Case], bool]
    plainly: Callable[[Case], Case] | None = None  # how to spell the case so that the difference goes away


def choice_of(case: Case, among: tuple[Choice, ...] | None = None) -> Choice | None:
    """The first choice that explains why the two verifiers differ; None: nothing does."""
    return next((choice for choice in among or CHOICES if _explains(choice, case)), None)


def _explains(choice: Choice, case: Case) -> bool:
    if not choice.holds(case):
        return False
    if choice.plainly is None:
        return True
    plain = choice.plainly(case)
    if plain.triple.raw == case.triple.raw and plain.members == case.members:
        return False  # it was spelled plainly already
    return plain.ours.accepted if plain.same else choice_of(plain) is not None


def _straightened(case: Case) -> Case:
    return case.straightened


def _with_plain_lists(case: Case) -> Case:
    return case.with_plain_lists


# Members, in our parsers' words, that dcap-qvl reads past.
_UNREAD: Final = (
    r"^(tcbInfo\.(pceId|tcbType|version|issueDate)"
    r"|(a TCB level|a QE level|a level of a TDX module)\.(tcbDate|advisoryIDs)"
    r"|a TDX module\.(attributes|attributesMask|mrsigner)|enclaveIdentity\.(issueDate|version)) "
    r"|^a TDX module identity\.tcbLevels is not an array"
    r"|^the TCB info's version is not supported|^tcb\.sgxtcbcomp01svn is not an integer"
)
_DOCUMENTS: Final = r"3\.6\..*|4\.6\..*"
_CHAIN_STEPS: Final = r"2\.[123]\..*|[34]\.[123]\..*|5\.[367]\..*"
_CHAIN_WORDS: Final = "CaUsedAsEndEntity|UnknownIssuer|Failed to (parse|extract) |too short|Too many intermediate"

# What we refuse and dcap-qvl accepts.
STRICTER: Final = (
    Choice(
        "text-is-utf-8",
        "half of a surrogate pair is refused, also where nobody asked for it",
        "RFC 8259, section 8.2",
        both(p.lone_surrogate, refused(_DOCUMENTS, "is not JSON")),
    ),
    Choice(
        "padding-bounded",
        "bytes behind the signature data have a limit",
        "ADR 0009",
        both(p.long_tail, refused("parse", "^(too many bytes follow the signature data|a quote is not that long)")),
    ),
    Choice(
        "no-slack",
        "the parts fill the signature data exactly",
        "ADR 0010",
        refused("parse", "is followed by bytes that belong to nothing"),
    ),
    Choice(
        "outer-type",
        "versions 4 and 5 keep the QE report in certification data of type 6",
        "QVL Quote::validate",
        both(p.another_outer_type, refused("parse", "^the outer certification data type is wrong")),
    ),
    Choice(
        "whole-chain",
        "a chain is exactly its certificates, root included; dcap-qvl looks for a path to its own root",
        "QVL VerifyPCKCertificate 3 to 12, VerifyTCBInfo 1 to 7",
        refused(_CHAIN_STEPS),
        plainly=_straightened,
    ),
    Choice(
        "role-names",
        "certificates are known by Intel's words in their common names, and CAs are CAs",
        "QVL VerifyPCKCertificate 3, VerifyTCBInfo 3",
        both(p.misnamed, refused(r"2\.1\..*|[34]\.1\..*", "^the chain does not hold the certificates that it should")),
    ),
    Choice(
        "crl-this-update",
        "a revocation list does not hold before its thisUpdate",
        "QVL VerifyPCKCertificate 18",
        refused(r"5\.[45]\..*", "is not valid yet"),
    ),
    Choice(
        "crl-profile",
        "a revocation list has a number and an authority key id",
        "QVL VerifyPCKCertificate 13, 14",
        refused(r"2\.[68]\..*", "^a CRL lacks extensions"),
    ),
    Choice(
        "sgx-extension",
        "the whole SGX extension is read; dcap-qvl reads FMSPC, CPUSVN and PCESVN",
        "QVL VerifyPCKCertificate 2",
        refused(r"2\.12\..*"),
    ),
    Choice(
        "document-content",
        "members of TCB info and QE identity that dcap-qvl does not look at have their types and widths",
        "QVL TcbInfo::parse, EnclaveIdentityV2",
        refused(_DOCUMENTS, _UNREAD),
    ),
    Choice(
        "status-words",
        "every level has one of Intel's seven words, reached or not",
        "QVL TcbInfo::parse, EnclaveIdentityV2",
        refused(_DOCUMENTS, "^the TCB status is unknown"),
    ),
    Choice(
        "instant-format",
        "instants are spelled as Intel spells them, and no other way of RFC 3339",
        "QVL TcbInfo::parse, EnclaveIdentityV2",
        refused(_DOCUMENTS, r"^(tcbInfo|enclaveIdentity)\.(issueDate|nextUpdate) is not an instant"),
    ),
    Choice(
        "equal-levels",
        "no two levels are equal",
        "QVL TcbInfo::parse",
        refused(r"3\.6\..*", "^two (TCB levels|levels of a TDX module) are equal"),
    ),
    Choice(
        "sixteen-components",
        "a level has sixteen components",
        "QVL TcbInfo::parse",
        refused(r"3\.6\..*", r"^tcb\.(sgx|tdx)tcbcomponents (has another length|is not an array)"),
    ),
    Choice(
        "json-bounds",
        "nesting and digits beyond what the interpreter reads are refused, also where nobody asked for them",
        "bounds before bytes (CONTRIBUTING)",
        refused(_DOCUMENTS + "|bundle", "is not JSON .*(recursion|digits)"),
    ),
    Choice("pce-id", "the TCB info's pceId is the platform's", "QVL VerifyQuote 11", refused(r"6\.3\.pce_id")),
)

# What we accept and dcap-qvl refuses.
MORE_TOLERANT: Final = (
    Choice(
        "repeated-member",
        "of two members of one name in what Intel signed, the last is read",
        "ADR 0019",
        both(p.repeated_member, accepted("duplicate field|invalid (type|value|number)|expected value|out of range")),
    ),
    Choice(
        "debug",
        "a debug enclave or TD is told, and judged by policy",
        "ADR 0011",
        both(p.debug, accepted("Debug mode is enabled")),
    ),
    Choice(
        "sept-ve",
        "SEPT_VE_DISABLE is told, and judged by policy",
        "ADR 0011",
        both(p.sept_ve_enabled, accepted("SEPT_VE_DISABLE is not enabled")),
    ),
    Choice(
        "service-td",
        "MRSERVICETD is told, and judged by policy",
        "ADR 0011",
        both(p.service_td, accepted("Invalid MR service TD")),
    ),
    Choice(
        "td-attributes",
        "the other TD attributes are told; Intel's library does not look at them",
        "QVL Quote::validate",
        both(p.other_td_attributes, accepted("Reserved bits in TD attributes are set|(profiling|PKS|KL) is enabled")),
    ),
    Choice(
        "tcb-info-2",
        "TCB info of version 2 is read",
        "QVL TcbInfo::parse",
        both(lambda case: case.tcb_info.get("version") == 2, accepted("missing field `(sgxtcbcomponents|id)`")),
    ),
    Choice(
        "sgx-in-4-and-5",
        "SGX quotes of versions 4 and 5 are read",
        "QVL Quote::validate",
        both(p.sgx_in_newer, accepted("SGX TEE quote must have version 3")),
    ),
    Choice(
        "auth-data-length",
        "QE authentication data has any length",
        "QVL Quote::parse",
        both(p.other_auth_length, accepted("Invalid QE auth data length")),
    ),
    Choice(
        "chain-spelling",
        "certificates stand in any order, in any line lengths, with text around them",
        "QVL VerifyPCKCertificate 3",
        accepted(_CHAIN_WORDS),
        plainly=_straightened,
    ),
    Choice(
        "leaf-is-ca",
        "basic constraints of leaves are not enforced",
        "QVL VerifyPCKCertificate",
        both(p.leaf_is_ca, accepted("CaUsedAsEndEntity")),
    ),
    Choice(
        "root-revokes-itself",
        "who holds the root's key is trusted with its list: the root is not looked up on it",
        "QVL VerifyPCKCertificate 15, 16",
        both(p.root_revokes_itself, accepted("CertRevoked")),
    ),
    Choice(
        "crl-spelling",
        "revocation lists come as hex with white space around, or as PEM, too",
        "QvE wrapper",
        both(accepted("Invalid character|Odd number of digits"), lambda case: case.theirs.where == "bundle"),
        plainly=_with_plain_lists,
    ),
    Choice(
        "crl-last-second",
        "a revocation list holds up to and in the second of its nextUpdate",
        "QVL VerifyPCKCertificate 18",
        accepted(r"CrlExpired \{ time: UnixTime\((\d+)\), next_update: UnixTime\(\1\) \}"),
    ),
    Choice(
        "module-status",
        "only the level that a TDX module reaches must have one of its three words",
        "QVL VerifyQuote 20",
        both(p.other_module_status, accepted(r"Unrecognized TCB status \w+ in TDX module identity")),
    ),
    Choice(
        "module-svn",
        "levels of TDX modules have ISVSVNs up to 65,535",
        "QVL TcbInfo::parse",
        both(p.wide_module_svn, accepted("Failed to decode TcbInfo <- invalid value: integer `\\d+`, expected u8")),
    ),
    Choice(
        "minus-zero",
        "-0 is the integer 0",
        "RFC 8259, section 6",
        both(p.minus_zero, accepted("invalid type: floating point `-0.0`, expected u")),
    ),
    Choice(
        "pce-svn-width",
        "a PCESVN above 32,767 is three octets of DER",
        "PCK Certificate Profile 1.3.5",
        both(p.wide_pce_svn, accepted("PceSvn length mismatch")),
    ),
)

# Where the two read one thing in two ways: status, advisories, or acceptance may differ.
READ_OTHERWISE: Final = (
    Choice(
        "qe-status",
        "a quoting enclave of any other status counts as out of date",
        "QVL EnclaveReportVerifier",
        p.other_qe_status,
    ),
    Choice(
        "module-today",
        "TEE_TCB_SVN_2 serves the relaunch advice alone, by QVL's conditions: a TD is not refused for it",
        "ADR 0011",
        p.judged_by_today,
    ),
    Choice(
        "components",
        "a platform's SVNs are the sixteen components; dcap-qvl goes by the octets of CPUSVN",
        "QVL VerifyQuote 20",
        both(p.components_are_not_cpu_svn, p.another_level),
    ),
    Choice(
        "level-order",
        "levels are ordered by rank, whatever the file's order",
        "QVL TcbInfo::parse",
        both(p.out_of_order, p.another_level),
    ),
)

CHOICES: Final = (*STRICTER, *MORE_TOLERANT, *READ_OTHERWISE)
