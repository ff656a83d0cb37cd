"""Compiles the shim into wheels. Without it a wheel is pure, and the shim is compiled where it is used.

`AMBERGATE_SHIM` says which is wanted: `never` a pure wheel, `required` one with the shim or none at all, `auto` (or
nothing) whatever this machine has a compiler for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "libamber_dev.so"
CHOICES = ("auto", "never", "required")


class ShimHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the library to a wheel, and says of the wheel for which machines it is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files.

        Args:
            version: `editable` for an install in place, which compiles for itself.
            build_data: what hatchling is to do.

        Raises:
            ValueError: AMBERGATE_SHIM is none of its words.
            RuntimeError: the shim is required, and there is no compiler.
        """
        wanted = os.environ.get("AMBERGATE_SHIM", "auto")
        if wanted not in CHOICES:
            raise ValueError(f"AMBERGATE_SHIM is {wanted!r}, and not one of {', '.join(CHOICES)}")
        if version == "editable" or wanted == "never":
            return
        compiler = os.environ.get("CC", "cc")
        if shutil.which(compiler) is None:
            if wanted == "required":
                raise RuntimeError(f"AMBERGATE_SHIM is 'required', and there is no C compiler {compiler!r}")
            return
        source = Path(self.root) / "src" / "ambergate" / "devices" / "shim" / "build.sh"
        target = Path(self.root) / "build" / "shim" / LIBRARY
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["/bin/sh", str(source), str(target)], check=True)  # noqa: S603 - our own script
        build_data["force_include"][str(target)] = f"ambergate/devices/shim/{LIBRARY}"
        build_data["pure_python"] = False
        # No part of it is an extension of the interpreter: any Python 3, one machine.
        machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{machine}"
