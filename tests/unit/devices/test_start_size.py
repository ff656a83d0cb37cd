"""What `amber run` imports before the program starts: the program waits for it."""

from __future__ import annotations

import json
import subprocess
import sys

# Loaded behind the start, or never; together they cost more than the start may take.
LATER = {"ssl", "http", "email", "hashlib", "cryptography", "httpx", "joserfc", "msgspec", "sqlalchemy", "starlette"}
REPORT = "import json, sys, ambergate.cli.main, ambergate.cli.run; print(json.dumps(sorted(sys.modules)))"


def test_the_start_waits_for_no_tls_no_cryptography_and_no_service() -> None:
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-I", "-c", REPORT], text=True)))
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(LATER)
    assert not any(
        name.startswith(("ambergate.services", "ambergate.simulator", "ambergate.core.verify")) for name in loaded
    )
