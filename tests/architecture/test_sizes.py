"""One file, one subject; one function, one deed."""

from __future__ import annotations

import ast
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_MAX_FILE = 400  # lines
_MAX_FUNCTION = 50  # lines
_FILES = sorted(
    path for folder in ("src", "tests", "bench", "fuzz", "scripts") for path in (_PROJECT / folder).rglob("*.py")
)


def _functions(tree: ast.Module) -> list[tuple[str, int]]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node.name, _code_lines(node)) for node in found]


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The function's lines without its docstring, which may be as long as it needs to be."""
    first = node.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    spared = (first.end_lineno or first.lineno) - first.lineno + 1 if docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - spared


def test_files_are_short() -> None:
    assert len(_FILES) > 100
    sizes = {str(path.relative_to(_PROJECT)): len(path.read_text(encoding="utf-8").splitlines()) for path in _FILES}
    assert {path: lines for path, lines in sizes.items() if lines > _MAX_FILE} == {}


def test_functions_are_short() -> None:
    found = [(path.name, *one) for path in _FILES for one in _functions(ast.parse(path.read_text(encoding="utf-8")))]
    assert len(found) > 1000
    assert [one for one in found if one[2] > _MAX_FUNCTION] == []
