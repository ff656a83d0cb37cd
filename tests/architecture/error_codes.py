"""Every code that an error or an answer of ours can have, by the source: `code=...`, `CODE = ...`, `{"code": ...}`.

A code that is put together is a family: `settings-*`. A code that is only handed on (`code=error.code`) is some other
error's, and found there.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES: Final = ("code", "CODE")


@dataclass
class _Module:
    """One module: its constants, what it imports, and what each of its functions and classes takes for `code`."""

    name: str
    tree: ast.Module
    constants: dict[str, str] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)

    def read(self) -> None:
        """Fill in what the tree says."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                self.imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
                names = [argument.arg for argument in node.args.args]
                self.places |= {node.name: names.index("code")} if "code" in names else {}
            elif isinstance(node, ast.ClassDef):
                fields = [one.target.id for one in node.body if _is_field(one)]  # type: ignore[attr-defined]
                self.places |= {node.name: fields.index("code")} if "code" in fields else {}
        for statement in self.tree.body:
            if (name := _assigned(statement)) is not None and _is_text(statement.value):  # type: ignore[attr-defined]
                self.constants[name] = statement.value.value  # type: ignore[attr-defined]


@lru_cache(maxsize=2)
def codes_of(source: Path) -> dict[str, str]:
    """Each code or family, and a module that has it."""
    modules = {}
    for path in sorted(source.rglob("*.py")):
        name = ".".join((source.name, *path.relative_to(source).with_suffix("").parts)).removesuffix(".__init__")
        modules[name] = _Module(name, ast.parse(path.read_text(encoding="utf-8")))
        modules[name].read()
    return {code: name for name, module in modules.items() for code in _codes(module, modules)}


def _codes(module: _Module, modules: dict[str, _Module]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        for value in _values(node, module):
            yield from _resolved(value, module, modules)


def _values(node: ast.AST, module: _Module) -> Iterator[ast.expr]:
    """Expressions that become a code."""
    if isinstance(node, ast.keyword) and node.arg == "code":
        yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        place = module.places.get(node.func.id)
        yield from node.args[place : place + 1] if place is not None else ()
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from (value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code")
    elif isinstance(node, ast.Assign | ast.AnnAssign) and _assigned(node) in _NAMES and node.value is not None:
        yield node.value


def _resolved(value: ast.expr, module: _Module, modules: dict[str, _Module]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp | ast.BoolOp | ast.Call):
        for one in _alternatives(value, module):
            yield from _resolved(one, module, modules)
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in value.values)
    elif isinstance(value, ast.Name):
        home, name = module.imported.get(value.id, (module.name, value.id))
        if home in modules and name in modules[home].constants:
            yield modules[home].constants[name]


def _alternatives(value: ast.IfExp | ast.BoolOp | ast.Call, module: _Module) -> list[ast.expr]:
    """What an expression may come to; of a call, what a function of the module returns."""
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    if isinstance(value, ast.BoolOp):
        return value.values
    called = module.functions.get(value.func.id) if isinstance(value.func, ast.Name) else None
    found = ast.walk(called) if called is not None else iter(())
    return [node.value for node in found if isinstance(node, ast.Return) and node.value is not None]


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _assigned(node: ast.stmt) -> str | None:
    """The one name that a statement gives a value."""
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None
