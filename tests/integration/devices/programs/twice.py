# ruff: noqa: T201, PTH123 - as most programs do
"""What programs do with the files: the API key is written, the token read twice, then the secret and the status."""

import sys


def put(key: str) -> str:
    """Write the API key; how it went."""
    try:
        with open("/dev/amber/endpoint_apikey", "w", encoding="utf-8") as file:
            file.write(key)
    except OSError as error:
        return str(error.strerror)
    return "written"


def show(name: str) -> None:
    """Print a file."""
    try:
        with open(f"/dev/amber/{name}", encoding="utf-8") as file:
            print(f"{name}: {file.read()}")
    except OSError as error:
        print(f"{name} failed: {error.strerror}")


if len(sys.argv) > 1:
    print("key", put(sys.argv[1]))
for each in ("token", "token", "secret", "status"):
    show(each)
