"""Write docs/checks.md from the table of verification steps, or check that it is what the table says (--check)."""

from __future__ import annotations

import sys
from pathlib import Path

from ambergate.core.verify.steps import STEPS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checks.md"
SECTIONS = {
    "1": "The quote",
    "2": "The PCK certificate chain and its revocation lists",
    "3": "TCB info",
    "4": "QE identity",
    "5": "Dates",
    "6": "The platform, and the TDX module",
    "7": "The quoting enclave",
    "8": "The quote's signature",
    "9": "TCB status",
}
HEAD = """\
# The steps of a verification

Made by `scripts/checks.py` from `src/ambergate/core/verify/steps.py`; a test compares the two. Ids and codes are
stable: they stand in verdicts (`amber quote verify --json`), in errors and in the attestation service's answers. The
service adds two steps of its own: `10.1.nonce` and `10.2.report_data`.

QVL is Intel's quote verification library, QvE the enclave that wraps it.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD]
    for section, title in SECTIONS.items():
        lines.append(f"## {section}. {title}\n")
        lines.append("| step | proves that | code when it fails | source | what to do then |")
        lines.append("|---|---|---|---|---|")
        for step in STEPS:
            if step.id.split(".")[0] == section:
                note = " (TDX only)" if step.tdx_only else ""
                lines.append(f"| `{step.id}`{note} | {step.proves} | `{step.code}` | {step.source} | {step.remedy} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the page, or compare."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    print("docs/checks.md is not what the steps say: run scripts/checks.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
