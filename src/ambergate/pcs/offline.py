"""Collateral from a directory: for sites without a network, for the software platform, for tests.

Files are named `<tee>-<fmspc>-<ca>.json`, e.g. `sgx-00606a000000-platform.json`, and hold a `Collateral` as JSON.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ambergate.core.collateral.bundle import MAX_BUNDLE, Collateral
from ambergate.core.errors import Unavailable
from ambergate.pcs.fetcher import Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.core.measurements import Fmspc


class DirectoryCollateral:
    """Reads collateral from a directory, afresh at every call, so that a refreshed file is seen at once.

    Args:
        directory: where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._prefix = os.path.join(directory, "")  # noqa: PTH118

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a platform family (see `CollateralSource`).

        Raises:
            Unavailable: no such file, or it cannot be read.
            MalformedCollateral: the file is not collateral.
        """
        path = self._path(Wanted.of(fmspc, ca, tee))
        try:
            with path.open("rb") as file:
                text = file.read(MAX_BUNDLE + 1)
        except OSError as exc:
            raise Unavailable(
                f"no collateral for FMSPC {fmspc} under the {ca} CA",
                seen=f"{path.name}: {exc.strerror}",
                wanted=f"a file in {self._directory}",
                hint="`amber collateral fetch` gets it; a simulated platform writes its own: `amber simulator refresh`",
            ) from exc
        return Collateral.from_json(text)

    def fingerprint(self, *, fmspc: Fmspc, ca: str, tee: str) -> object:
        """The file's identity, size and time of change; None when there is no such file."""
        try:
            found = os.stat(f"{self._prefix}{Wanted.of(fmspc, ca, tee)}.json")  # noqa: PTH116  with every request
        except (OSError, Unavailable):
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _path(self, wanted: Wanted) -> Path:
        return self._directory / f"{wanted}.json"
