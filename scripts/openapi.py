"""Write docs/openapi/*.json from the services' types and tables, or with --check see that they are so already."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ambergate.services.attestation import operations as attestation
from ambergate.services.keybroker import operations as keybroker

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "openapi"
DOCUMENTS = {"attestation": attestation.openapi, "keybroker": keybroker.openapi}


def main() -> int:
    """Write, or check."""
    stale = []
    for name, made in DOCUMENTS.items():
        text = json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        file = FOLDER / f"{name}.json"
        if "--check" not in sys.argv[1:]:
            FOLDER.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(str(file))
    if stale:
        print(f"not what the types say: {', '.join(stale)}; run scripts/openapi.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
