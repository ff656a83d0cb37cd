"""The simulated platform's own collateral service: Intel's PCS, or a PCCS, over real HTTPS, with named faults."""

from __future__ import annotations

from ambergate.simulator.pcs.answers import Dialect
from ambergate.simulator.pcs.faults import FAULTS, Armed, Fault, Outcome
from ambergate.simulator.pcs.request import Document
from ambergate.simulator.pcs.server import SimulatedPcs
from ambergate.simulator.pcs.shelf import Shelf

__all__ = ["FAULTS", "Armed", "Dialect", "Document", "Fault", "Outcome", "Shelf", "SimulatedPcs"]
