"""What tests of `amber collateral` share: a software platform of today, its files, and the command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from ambergate.cli.main import main
from ambergate.core.collateral.archive import Entry, Key, encode_archive, pack
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.simulator.documents import STANDARD
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.documents import Edition

# These commands judge by the system's clock, and so does this platform.
NOW = datetime.now(UTC)
PLATFORM = SimulatedPlatform.create(at=NOW)
OTHER = SimulatedPlatform.create(at=NOW, ca="processor")
SGX = Key("SGX", PLATFORM.fmspc, "platform")
TDX = Key("TDX", PLATFORM.fmspc, "platform")


def said(
    key: Key = SGX, *, at: datetime = NOW, status: TcbStatus = TcbStatus.UP_TO_DATE, edition: Edition = STANDARD
) -> Collateral:
    """What one set says."""
    publish = PLATFORM.collateral if key.tee == "SGX" else PLATFORM.td_collateral
    return publish(at=at, status=status, edition=edition)


def amber(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["collateral", *map(str, arguments)])


def read(result: Result, code: int = 0) -> Any:  # noqa: ANN401  JSON
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@dataclass(frozen=True)
class Site:
    """A folder with the platform's root, quotes, and a directory of collateral."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Site:
        site = cls(folder)
        (folder / "root.pem").write_text(PLATFORM.root_pem)
        (folder / "other.pem").write_text(OTHER.root_pem)
        (folder / "quote").write_bytes(PLATFORM.quote(SPECIMEN, bytes(64)))
        (folder / "td.quote").write_bytes(PLATFORM.td_quote(TD_SPECIMEN, bytes(64)))
        site.keep(folder / "kept", said(), said(TDX))
        return site

    @property
    def anchor(self) -> tuple[str, str]:
        return "--anchor", str(self.folder / "root.pem")

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def keep(self, directory: Path, sgx: Collateral | None = None, tdx: Collateral | None = None) -> Path:
        directory.mkdir(exist_ok=True)
        for key, collateral in ((SGX, sgx), (TDX, tdx)):
            if collateral is not None:
                (directory / f"{key}.json").write_text(collateral.to_json())
        return directory

    def carry(self, name: str, *entries: tuple[Key, Collateral]) -> Path:
        path = self.folder / name
        made = pack([Entry.of(key, collateral) for key, collateral in entries], created_at=NOW)
        path.write_bytes(encode_archive(made))
        return path


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, whatever its name."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())} if directory.exists() else {}


LATER = NOW + timedelta(minutes=30)
EARLIER = NOW - timedelta(days=2)
