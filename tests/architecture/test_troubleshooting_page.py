"""docs/troubleshooting.md has an entry for every code of ours, and none for what is no code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.error_codes import codes_of

from ambergate.cli import _telling
from ambergate.core.verify.steps import STEPS

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OURS = PAGE.partition("\n## Codes of ours\n")[2]
SOURCE = PROJECT / "src" / "ambergate"
NO_ERRORS = {"code"}  # a difference between manifests, of those that are code


def _named() -> set[str]:
    """The codes of the tables' first columns, and of the list of collateral's."""
    rows = re.findall(r"^\| (`[^|]+) \|", OURS, re.MULTILINE)
    listed = OURS.partition("\n### Collateral\n")[2].partition("\n### ")[0]
    return {code for text in (*rows, listed) for code in re.findall(r"`([a-z*][a-z0-9*_-]*)`", text)}


def test_every_code_has_an_entry() -> None:
    codes = codes_of(SOURCE)
    assert len(codes) > 130
    named = _named() | {step.code for step in STEPS}
    assert {code: module for code, module in codes.items() if code not in named | NO_ERRORS} == {}


def test_every_entry_is_a_code() -> None:
    codes = codes_of(SOURCE).keys() | {step.code for step in STEPS}
    assert _named() - codes == set()


def test_codes_are_found_however_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "names.py").write_text('BUSY: Final = "a"\n')
    (tmp_path / "ours" / "raising.py").write_text(
        "from ours.names import BUSY as much\n"
        "class Kind(Error):\n    CODE = 'b'\n"
        "def _bad(why, code): raise Error(why, code=code)\n"
        "def _which(far): return 'c' if far else 'd'\n"
        "_bad('x', 'e')\nError(code=much)\nError(code=_which(1))\nError(code=f'f-{name}')\nanswer = {'code': 'g'}\n"
        "Error(code=other.code or 'h')\n"
    )
    assert sorted(codes_of(tmp_path / "ours")) == ["a", "b", "c", "d", "e", "f-*", "g", "h"]


def test_every_exit_code_is_told() -> None:
    told = PAGE.partition("## Exit codes of `amber`")[2].partition("\n## ")[0]
    exits = {value for name, value in vars(_telling).items() if name.startswith("EXIT_")}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", told, re.MULTILINE)} == exits


def test_findings_of_the_doctor_are_findings() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCE / "doctor").glob("*.py"))
    before = PAGE.partition("## Exit codes")[0]
    named = set(re.findall(r"`((?:aesm|cpu|gramine|kernel|memory|node|pccs|provider|qcnl)\.[a-z]+)`", before))
    assert len(named) >= 10
    assert {name for name in named if f'"{name}"' not in text and not name.startswith("node.")} == set()
