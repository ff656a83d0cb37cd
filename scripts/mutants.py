"""The mutants of a Python file: what is changed for `scripts/mutate.py`.

Comparisons (bounds, and the opposite), `and` and `or` and each of their operands, `not`, conditions, numbers (one more,
one less), truth values, arithmetic, bounds of slices, identifiers of steps and other single words, `min` and `max`,
`any` and `all`, the two ends of a window, returned values (None), and statements left out: calls, raises, `continue`.

Not changed: annotations, decorators, docstrings, sentences, f-strings, and what errors say they saw, wanted and advise.
"""

from __future__ import annotations

import ast
import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import CodeType

Change: TypeAlias = "tuple[str, ast.AST]"

_OPPOSITES: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "ge": "gt"}
_ATTRIBUTES: Final = {"not_before": "not_after", "not_after": "not_before"}
_TOLD: Final = ("seen", "wanted", "hint")  # arguments of errors
_WORD: Final = re.compile(r"[\w.:-]+")
_LEFT_OUT: Final = ("TypeVar",)
_UNTOUCHED: Final = ("__slots__", "__all__")


class Mutant(NamedTuple):
    """One change."""

    id: str  # of its text and that around it: it survives changes elsewhere in the file
    path: Path
    lines: tuple[int, ...]
    what: str
    function: str | None  # the outermost function that it is in; None: it takes part in importing the module
    code: CodeType  # of the whole module

    @property
    def where(self) -> str:
        return f"{self.path.name}:{self.lines[0]}"


class _Site(NamedTuple):
    """A node that may be changed, and where it hangs."""

    node: ast.AST
    parent: ast.AST
    field: str
    place: int | None
    function: str | None

    def put(self, node: ast.AST) -> None:
        if self.place is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.place] = node


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant of a file, each compiled."""
    tree = ast.parse(path.read_text())
    found = []
    for statement in tree.body:
        around = ast.unparse(statement)
        seen: dict[str, int] = {}
        for site in _sites(statement, tree):
            for what, changed in _changes(site):
                ast.copy_location(changed, site.node)
                site.put(ast.fix_missing_locations(changed))
                code = compile(tree, str(path), "exec", dont_inherit=True)
                site.put(site.node)
                seen[what] = seen.get(what, 0) + 1
                text = f"{path.name}\0{around}\0{what}\0{seen[what]}"
                name = hashlib.sha256(text.encode()).hexdigest()[:10]
                found.append(Mutant(name, path, _lines(site.node), what, site.function, code))
    return found


def _lines(node: ast.AST) -> tuple[int, ...]:
    place = node.ifs[0] if isinstance(node, ast.comprehension) else node  # the former has no place of its own
    first, last = getattr(place, "lineno", 0), getattr(place, "end_lineno", 0)
    return tuple(range(first, last + 1))


def _sites(statement: ast.stmt, tree: ast.Module) -> Iterator[_Site]:
    """The nodes of a statement of the module that may be changed."""
    yield from _below(_Site(statement, tree, "body", tree.body.index(statement), None))


def _below(site: _Site) -> Iterator[_Site]:
    node = site.node
    if _is_left_alone(node):
        return
    if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arguments | ast.keyword):
        yield site
    inside = site.function
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "ctx", "op", "ops", "bases", "type_comment"):
            continue
        if isinstance(node, ast.FunctionDef) and field == "body":
            inside = site.function or node.name
        values = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in values:
            if isinstance(child, ast.AST) and not (field == "body" and index == 0 and _is_text(child)):
                yield from _below(_Site(child, node, field, index, inside))


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg=name):
            return name in _TOLD
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            made_by = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
            return name in _UNTOUCHED or made_by in _LEFT_OUT
        case ast.FunctionDef(decorator_list=[ast.Name(id="overload")]):
            return True
        case _:
            return False


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _changes(site: _Site) -> Iterator[Change]:
    for new in _alternatives(site):
        before = "" if isinstance(site.node, ast.stmt) and isinstance(new, ast.Pass) else " -> " + _short(new)
        yield _short(site.node) + (before or " left out"), new


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) < 100 else text[:97] + "..."


def _alternatives(site: _Site) -> Iterator[ast.AST]:
    node = site.node
    if isinstance(node, ast.stmt):
        yield from _statements(node)
        return
    if isinstance(node, ast.comprehension):
        for at in range(len(node.ifs)):
            rest = [each for i, each in enumerate(node.ifs) if i != at]
            yield ast.comprehension(node.target, node.iter, rest, node.is_async)
        return
    if not isinstance(node, ast.expr):
        return
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BoolOp):
        yield from _connectives(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    else:
        yield from _expressions(node)
    is_condition = site.field == "test" and not isinstance(site.parent, ast.Assert)
    if is_condition and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue():
            yield ast.Pass()
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case _:
            return


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for at, operator in enumerate(node.ops):
        for other in _OPPOSITES[type(operator)]:
            operators = [other() if i == at else each for i, each in enumerate(node.ops)]
            yield ast.Compare(node.left, operators, node.comparators)


def _connectives(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for at in range(len(node.values)):
        rest = [each for i, each in enumerate(node.values) if i != at]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, str) and _WORD.fullmatch(value):
        yield ast.Constant(value + "-other")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"\1")


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            yield ast.BinOp(left, _ARITHMETIC[type(op)](), right)
        case ast.Slice(lower=lower, upper=upper, step=step):
            if lower is not None:
                yield ast.Slice(None, upper, step)
            if upper is not None:
                yield ast.Slice(lower, None, step)
        case ast.Name(id=name) if name in _NAMES:
            yield ast.Name(_NAMES[name], node.ctx)
        case ast.Attribute(value=value, attr=name) if name in _ATTRIBUTES:
            yield ast.Attribute(value, _ATTRIBUTES[name], node.ctx)
        case ast.IfExp(body=body, orelse=other):
            yield body
            yield other
        case _:
            return
