"""docs/collateral-bundles.md, its commands run in their order, before a software platform instead of Intel."""

from __future__ import annotations

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.collateral.site import NOW, PLATFORM, SGX, TDX, Site, amber, said

from ambergate.core.collateral import archive
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.core.verify.forecast import PlatformKind
from ambergate.stores.engine import open_database
from ambergate.stores.platforms import PlatformStore

if TYPE_CHECKING:
    import pytest

    from ambergate.simulator.pcs import SimulatedPcs

PAGE = (Path(__file__).parents[3] / "docs" / "collateral-bundles.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
CONFIG = """\
base_url = "https://attest.example:8443"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
"""


def commands() -> list[list[str]]:
    lines = [line for block in BLOCKS for line in block.splitlines()]
    assert all(line.startswith("amber collateral ") for line in lines)
    return [shlex.split(line)[2:] for line in lines]


def prepare(site: Site) -> None:
    """The quotes, and the service's files inside; its anchor as on the page, of another root."""
    (site.folder / "quote").rename(site.folder / "node1.quote")
    (site.folder / "td.quote").rename(site.folder / "node2.quote")
    (anchors,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    simulated = anchors.replace("intel = true", 'pem = "root.pem"\nsimulated = true')
    assert simulated != anchors
    (site.folder / "attestation.toml").write_text(CONFIG + simulated)
    raw = (site.folder / "node1.quote").read_bytes()
    verified = verify_quote(parse_quote(raw), said(), at=NOW, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))
    engine = open_database(site.folder / "attestation.sqlite")
    PlatformStore(engine).saw(PlatformKind.of(verified), at=NOW)
    engine.dispose()


def test_the_commands_in_their_order(site: Site, pcs: SimulatedPcs, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(site)
    monkeypatch.chdir(site.folder)
    told = []
    for command in commands():
        online = ("--pccs", pcs.url, "--tls-ca", "tls.pem") if command[0] == "fetch" else ()
        result = amber(*command, *online, "--anchor", "root.pem")
        assert result.exit_code == (3 if "--fail-on-change" in command else 0), (command, result.output)
        told.append((command[0], result.output))
    assert [name for name, _ in told] == [
        *("fetch", "show", "export"),
        *("show", "import", "show"),
        *("fetch", "import", "forecast", "forecast"),
    ]
    digest = json.loads(Path("carried.json").read_text())["sha256"]
    assert all(digest in output for name, output in told[2:5])
    assert "1 will be worse off" in told[-1][1]
    assert {path.name for path in Path("collateral").iterdir()} == {f"{SGX}.json", f"{TDX}.json"}


def test_show_fails_once_something_has_ended(site: Site) -> None:
    later = ("--at", (NOW + timedelta(days=31)).isoformat())
    assert amber("show", site.kept, *site.anchor, *later).exit_code == 4


def test_the_page_says_the_formats_bounds() -> None:
    assert archive.MAX_ARCHIVE == 4 * 1024 * 1024
    assert f"{archive.MAX_ARCHIVE >> 20} MiB and {archive.MAX_ENTRIES} entries" in PAGE
    assert f'`"{archive.FORMAT}"`, {archive.VERSION} |' in PAGE
