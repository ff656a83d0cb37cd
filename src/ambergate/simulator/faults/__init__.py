"""Named faults: for every verification step a lie that must fail there, and every status that must be reported.

Each fault forges its evidence with real signatures wherever an honest party would have signed, so that the one step
it aims at is the only one that can refuse it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ambergate.simulator.faults import chains, crls, quotes, statements, tcb, tdx
from ambergate.simulator.faults.scene import SPECIMEN, TD_SPECIMEN, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAULTS", "SPECIMEN", "TD_SPECIMEN", "Fault"]

_MODULES: Final = (quotes, chains, crls, statements, tcb, tdx)

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {fault.name: fault for module in _MODULES for fault in module.FAULTS}
)
