"""The profiles that a token may have, and the names of 2022 beside today's: tables for who writes and who reads."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Profile(enum.StrEnum):
    """The shape of a token's claims. All but the last can be asked for; that one belongs to its endpoint."""

    V1 = "v1"  # flat, `ver` 1.0.0
    V2 = "v2"  # what evidence said, under `sgx` or `tdx`; `ver` 2.0.0
    AMBER_2022 = "amber-2022"  # the names of the service's first public year, `ver` 1.0
    SLIM = "slim"  # v1 without what a client of 4095 bytes has no room for
    AZURE = "azure"  # Microsoft Azure Attestation's names, for its clients


OFFERED: Final = (Profile.V1, Profile.V2, Profile.AMBER_2022, Profile.SLIM)

V1_VERSION: Final = "1.0.0"
V2_VERSION: Final = "2.0.0"
AMBER_VERSION: Final = "1.0"

# Today's name -> that of 2022 and 2023 (wire protocol, 4.5). What has no old name is left out of such a token.
AMBER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "attester_type": "amber_evidence_type",
        "attester_tcb_status": "amber_tcb_status",
        "attester_advisory_ids": "amber_advisory_ids",
        "attester_held_data": "amber_tee_held_data",
        "attester_runtime_data": "amber_runtime",
        "sgx_mrenclave": "amber_sgx_mrenclave",
        "sgx_mrsigner": "amber_sgx_mrsigner",
        "sgx_isvprodid": "amber_sgx_isvprodid",
        "sgx_isvsvn": "amber_sgx_isvsvn",
        "sgx_config_id": "amber_sgx_config_id",
        "sgx_is_debuggable": "amber_sgx_is_debuggable",
        **{
            f"tdx_{name}": f"amber_tdx_{name}"
            for name in ("mrseam", "mrsignerseam", "mrtd", "seamsvn", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
        },
    }
)
AMBER_DEBUG: Final = "amber_tee_is_debuggable"  # 2023, of enclaves and TDs

# Wire protocol, 4.6. The three with a configuration in them were never seen in a token: they follow the pattern. What
# is younger (a TD that should be launched again) keeps its own word.
AMBER_STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "UpToDate": "OK",
        "SWHardeningNeeded": "SW_HARDENING_NEEDED",
        "ConfigurationNeeded": "CONFIG_NEEDED",
        "ConfigurationAndSWHardeningNeeded": "CONFIG_AND_SW_HARDENING_NEEDED",
        "OutOfDate": "OUT_OF_DATE",
        "OutOfDateConfigurationNeeded": "OUT_OF_DATE_CONFIG_NEEDED",
        "Revoked": "REVOKED",
    }
)
