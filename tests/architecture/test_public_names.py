"""`__all__` is what there is: the package's promise to those who import it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ambergate

_SOURCE = Path(ambergate.__file__).parent


def _modules() -> list[str]:
    return ["ambergate", *(module.name for module in pkgutil.walk_packages(ambergate.__path__, "ambergate."))]


def _type_checking_names() -> set[str]:
    """What `ambergate/__init__.py` tells type checkers that it exports."""
    tree = ast.parse((_SOURCE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def test_every_public_name_is_there() -> None:
    for name in ambergate.__all__:
        assert getattr(ambergate, name).__module__.startswith("ambergate.core.")


def test_there_is_nothing_else() -> None:
    assert sorted(ambergate.__all__) == ambergate.__all__
    assert set(ambergate.__all__) == set(ambergate._HOMES) == _type_checking_names()
    assert set(dir(ambergate)) == {*ambergate.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'forge_quote'"):
        _ = ambergate.forge_quote


def test_modules_have_the_names_they_promise() -> None:
    for name in _modules():
        if name == "ambergate.stores.migrations.env":  # Alembic's, for itself: it runs where Alembic runs it
            continue
        module = importlib.import_module(name)
        promised = getattr(module, "__all__", [])
        assert len(set(promised)) == len(promised), name
        assert [one for one in promised if not hasattr(module, one)] == [], name
