"""The first text of a policy, from what is known of an enclave or a TD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.policy import ACCEPTED
from ambergate.core.errors import MalformedPolicy
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.quote.sigstruct import SIGSTRUCT_SIZE, parse_sigstruct
from ambergate.core.token.forms import flat_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.core.quote.sigstruct import Sigstruct
    from ambergate.core.token.claims import AttestationClaims

_ENCLAVE_CLAIMS: Final = ("sgx_mrenclave", "sgx_mrsigner", "sgx_isvprodid", "sgx_isvsvn")
# Claim of a TD -> the member of a release policy that names it.
_TD_CLAIMS: Final = {
    "tdx_mrtd": "mr_td",
    "tdx_mrseam": "mr_seam",
    "tdx_mrsignerseam": "mr_signer_seam",
    **{f"tdx_rtmr{index}": f"rtmr{index}" for index in range(4)},
}
STATUSES: Final = tuple(sorted(status.value for status in ACCEPTED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a policy can name: the claim of each measurement, and where it is from."""

    origin: str
    tee: str
    claims: Mapping[str, str | int]
    debug: bool


def of_sigstruct(raw: bytes) -> Known:
    """What a signer signed. Raises `MalformedEvidence`."""
    return known_of(parse_sigstruct(raw))


def known_of(said: Sigstruct) -> Known:
    """What a SIGSTRUCT says."""
    return Known(
        origin=f"a SIGSTRUCT of {said.date}, whose signature holds",
        tee="sgx",
        claims={
            "sgx_mrenclave": said.mr_enclave.hex(),
            "sgx_mrsigner": said.mr_signer.hex(),
            "sgx_isvprodid": said.isv_prod_id,
            "sgx_isvsvn": said.isv_svn,
        },
        debug=said.debug,
    )


def of_quote(raw: bytes) -> Known:
    """What a quote claims. Proves nothing. Raises `MalformedEvidence`."""
    report = parse_quote(raw).body
    if isinstance(report, EnclaveReport):
        claims: dict[str, str | int] = {
            "sgx_mrenclave": report.mr_enclave.hex(),
            "sgx_mrsigner": report.mr_signer.hex(),
            "sgx_isvprodid": report.isv_prod_id,
            "sgx_isvsvn": report.isv_svn,
        }
        return Known(origin="a quote that nobody verified", tee="sgx", claims=claims, debug=report.debug)
    claims = {
        "tdx_mrtd": report.mr_td.hex(),
        "tdx_mrseam": report.mr_seam.hex(),
        "tdx_mrsignerseam": report.mr_signer_seam.hex(),
        "tdx_seamsvn": int.from_bytes(report.tee_tcb_svn.value[:2], "little"),
        **{f"tdx_rtmr{index}": rtmr.hex() for index, rtmr in enumerate(report.rtmrs)},
    }
    return Known(origin="a quote that nobody verified", tee="tdx", claims=claims, debug=report.debug)


def of_claims(claims: AttestationClaims) -> Known:
    """What a token says. Proves nothing of who signed it. Raises `MalformedPolicy` when it names nobody."""
    flat = flat_claims(claims.raw)
    tee = claims.attester_type.lower()
    names = (*_TD_CLAIMS, "tdx_seamsvn") if tee == "tdx" else _ENCLAVE_CLAIMS
    lacking = [name for name in names if not isinstance(flat.get(name), int | str)]
    if lacking:
        raise MalformedPolicy("the token does not name what it is about", seen=f"no {', no '.join(lacking)}")
    told: dict[str, str | int] = {name: value for name in names if isinstance(value := flat[name], int | str)}
    return Known(origin=f"a token of {claims.issuer}", tee=tee, claims=told, debug=claims.debug)


def as_release(known: Known, *, by_signer: bool) -> str:
    """A release policy of the key broker for a secret that what is known may have, and nothing else."""
    claims = known.claims
    lines = [f"# From {known.origin}.", *_debug_note(known, "dangerously_allow_debug")]
    lines += ['# tcb_statuses = ["UpToDate"]  # the default; SWHardeningNeeded and others can be added']
    if known.tee == "tdx":
        lines += [
            f'{ours} = ["{claims[told]}"]' for told, ours in _TD_CLAIMS.items() if not told.startswith("tdx_rtmr")
        ]
        lines += [f"minimum_seam_svn = {claims['tdx_seamsvn']}"]
        lines += ["# What was measured later: firmware, kernel, and what they measured."]
        lines += [f'# rtmr{index} = ["{claims[f"tdx_rtmr{index}"]}"]' for index in range(4)]
    else:
        exact, signed = _enclave_lines(known)
        lines += signed if by_signer else exact
        lines += ["# Or, instead:", *(f"# {line}" for line in (exact if by_signer else signed))]
    return "\n".join(lines) + "\n"


def _enclave_lines(known: Known) -> tuple[list[str], list[str]]:
    """The very program, and its signer's product from its security version on."""
    claims = known.claims
    return [f'mr_enclave = ["{claims["sgx_mrenclave"]}"]'], [
        f'mr_signer = ["{claims["sgx_mrsigner"]}"]',
        f"isv_prod_id = [{claims['sgx_isvprodid']}]",
        f"minimum_isv_svn = {claims['sgx_isvsvn']}",
    ]


def as_toml(known: Known, *, by_signer: bool) -> str:
    """A typed policy that welcomes what is known, and nothing else."""
    statuses = ", ".join(f'"{status}"' for status in STATUSES)
    lines = [f"# From {known.origin}.", f"tcb_statuses = [{statuses}]", *_debug_note(known, "dangerously_allow_debug")]
    lines += ["", f"[[{known.tee}]]"]
    claims = known.claims
    if known.tee == "tdx":
        lines += [f'mr_td = ["{claims["tdx_mrtd"]}"]', f'mr_seam = ["{claims["tdx_mrseam"]}"]']
        lines += [f'mr_signer_seam = ["{claims["tdx_mrsignerseam"]}"]', f"minimum_seam_svn = {claims['tdx_seamsvn']}"]
        lines += ["# What was measured later: firmware, kernel, and what they measured."]
        lines += [f'# rtmr{index} = ["{claims[f"tdx_rtmr{index}"]}"]' for index in range(4)]
        return "\n".join(lines) + "\n"
    exact, signed = _enclave_lines(known)
    lines += signed if by_signer else exact
    other = exact if by_signer else signed
    title = "This very program" if by_signer else "This signer's product, at this security version or a later one"
    return "\n".join([*lines, "", f"# {title}:", "# [[sgx]]", *(f"# {line}" for line in other)]) + "\n"


def as_rego(known: Known, *, by_signer: bool) -> str:
    """The same in Rego, of the dialect that all services of this protocol know."""
    statuses = ", ".join(f'"{status}": true' for status in STATUSES)
    name = f"matches_{known.tee}_policy"
    claims = known.claims
    if known.tee == "tdx":
        named = [_equal("tdx_mrtd", claims), _equal("tdx_mrseam", claims), _equal("tdx_mrsignerseam", claims)]
        named += [_least("tdx_seamsvn", claims)]
    elif by_signer:
        named = [_equal("sgx_mrsigner", claims), _equal("sgx_isvprodid", claims), _least("sgx_isvsvn", claims)]
    else:
        named = [_equal("sgx_mrenclave", claims)]
    lines = [
        f"# From {known.origin}.",
        *_debug_note(known, f"{known.tee}_is_debuggable"),
        f"default {name} = false",
        "",
        f"accepted := {{{statuses}}}",
        "",
        f"{name} = true {{",
        f"  input.{known.tee}_is_debuggable == false",
        "  accepted[input.attester_tcb_status]",
        *(f"  {each}" for each in named),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _debug_note(known: Known, what: str) -> list[str]:
    if not known.debug:
        return []
    return [f"# It runs under debug and keeps no secret: this policy refuses it, for {what}."]


def _equal(claim: str, claims: Mapping[str, str | int]) -> str:
    value = claims[claim]
    return f"input.{claim} == {value}" if isinstance(value, int) else f'input.{claim} == "{value}"'


def _least(claim: str, claims: Mapping[str, str | int]) -> str:
    return f"input.{claim} >= {claims[claim]}"


MAX_SIGSTRUCT: Final = SIGSTRUCT_SIZE
