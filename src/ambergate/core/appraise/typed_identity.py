"""Whom a typed policy names: enclaves and TDs, each by what fixes it, and nobody by half of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from ambergate.core.appraise.policy import AppraisalPolicy, measurements, number, refuse_unknown
from ambergate.core.appraise.rules import IDENTITY_RULES
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrSeam, MrSignerSeam, MrTd, Rtmr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.core.appraise.facts import Facts, Td
    from ambergate.core.appraise.rules import Mismatch
    from ambergate.core.octets import Octets

_SIGNED: Final = ("mr_signer", "isv_prod_id", "minimum_isv_svn")


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """One `[[sgx]]`: these programs, or this signer's product at this security version or a later one, or both."""

    named: AppraisalPolicy

    @classmethod
    def read(cls, table: Mapping[str, object]) -> Self:
        """Read one.

        Raises:
            MalformedPolicy: an unknown member, another type, no identity or half of one.
        """
        refuse_unknown(table, ("mr_enclave", *_SIGNED))
        lacking = [name for name in _SIGNED if name not in table]
        if lacking and (len(lacking) < len(_SIGNED) or "mr_enclave" not in table):
            hint = "name mr_enclave, or mr_signer with isv_prod_id and minimum_isv_svn; 0 is a minimum too"
            raise MalformedPolicy("an enclave is named by half", seen=f"no {', no '.join(lacking)}", hint=hint)
        return cls(AppraisalPolicy.from_mapping(table))

    def mismatches(self, facts: Facts) -> list[Mismatch]:
        """What does not fit."""
        return [found for rule in IDENTITY_RULES if (found := rule(facts, self.named)) is not None]


# What of a TD can be named -> its type, and how it is read from the facts.
_MEASURED: Final[Mapping[str, tuple[type[Octets], Callable[[Td], Octets]]]] = {
    "mr_td": (MrTd, lambda td: td.mr_td),
    "rtmr0": (Rtmr, lambda td: td.rtmrs[0]),
    "rtmr1": (Rtmr, lambda td: td.rtmrs[1]),
    "rtmr2": (Rtmr, lambda td: td.rtmrs[2]),
    "rtmr3": (Rtmr, lambda td: td.rtmrs[3]),
    "mr_seam": (MrSeam, lambda td: td.mr_seam),
    "mr_signer_seam": (MrSignerSeam, lambda td: td.mr_signer_seam),
}


@dataclass(frozen=True, slots=True)
class TdIdentity:
    """One `[[tdx]]`: a TD by its initial contents, and by what else is named."""

    measured: tuple[tuple[str, frozenset[Any]], ...]
    minimum_seam_svn: int | None

    @classmethod
    def read(cls, table: Mapping[str, object]) -> Self:
        """Read one.

        Raises:
            MalformedPolicy: an unknown member, another type, or no `mr_td`.
        """
        refuse_unknown(table, (*_MEASURED, "minimum_seam_svn"))
        if "mr_td" not in table:
            raise MalformedPolicy("a TD is named by half", seen="no mr_td", hint="name its initial contents")
        measured = tuple(
            (name, measurements(kind, name, table[name])) for name, (kind, _) in _MEASURED.items() if name in table
        )
        minimum = table.get("minimum_seam_svn")
        return cls(measured, None if minimum is None else number("minimum_seam_svn", minimum, 0xFFFF))

    def mismatches(self, td: Td) -> list[Mismatch]:
        """What does not fit."""
        found = [
            {"rule": name, "seen": str(seen), "wanted": " or ".join(sorted(map(str, allowed)))}
            for name, allowed in self.measured
            if (seen := _MEASURED[name][1](td)) not in allowed
        ]
        if self.minimum_seam_svn is not None and td.seam_svn < self.minimum_seam_svn:
            found.append({"rule": "seam_svn", "seen": str(td.seam_svn), "wanted": f">= {self.minimum_seam_svn}"})
        return found
