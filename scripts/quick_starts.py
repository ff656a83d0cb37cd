"""Run every quick start in a fresh clone of the last commit: set up as README says it, then each page as it is written.

    python -m scripts.quick_starts [--here] [PAGE ...]

`--here` takes this checkout and its .venv in the place of a clone. Without pages: README.md and docs/quick-start.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from scripts.pages import NotAsWritten, blocks_of, run_block, run_page

PROJECT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (
    "README.md",
    *sorted(f"docs/quick-start/{path.name}" for path in (PROJECT / "docs/quick-start").iterdir()),
)
_SETUP_SECONDS: Final = 1800.0  # a slow network


def main() -> None:
    """Run them; the exit code is 1 when one does not do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--here", action="store_true", help="in this checkout, not in a fresh clone")
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PAGE", help="of the repository")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quick-starts-") as folder:
        try:
            project = PROJECT if given.here else _clone(Path(folder) / "clone")
            for number, name in enumerate(given.pages, 1):
                room = Path(folder) / str(number)
                room.mkdir()
                _page(project, name, room)
        except (NotAsWritten, subprocess.SubprocessError) as error:
            print(f"✗ {error}", flush=True)
            sys.exit(1)


def _clone(place: Path) -> Path:
    print("a fresh clone is set up, which takes minutes where packages come from far", flush=True)
    began = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(place)], check=True)
    for block in blocks_of((place / "README.md").read_text(encoding="utf-8")):
        if block.in_clone:
            run_block(block, place, seconds=_SETUP_SECONDS)
    print(f"  ✓ {time.monotonic() - began:.0f} s", flush=True)
    return place


def _page(project: Path, name: str, room: Path) -> None:
    page = (project / name).read_text(encoding="utf-8")
    count = sum(not block.in_clone for block in blocks_of(page))
    print(name, flush=True)
    began = time.monotonic()
    python = str(project / ".venv" / "bin" / "python")
    for number, block in enumerate(run_page(page, room, python=python), 1):
        print(f"  ✓ {number:2}/{count}  {time.monotonic() - began:5.1f} s  {block.title[:90]}", flush=True)


if __name__ == "__main__":
    main()
