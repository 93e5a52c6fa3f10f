"""Formulas of arithmetic: parsed without ``eval``, and typed as numpy types them."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import JobError

MAX_TEXT = 1000
MAX_NODES = 200
MAX_DEPTH = 40

FUNCTIONS = {"abs": 1, "sqrt": 1, "exp": 1, "log": 1, "min": 2, "max": 2, "where": 3}
"""Functions and their number of arguments."""
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitAnd: "&",
    ast.BitOr: "|",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_FLOAT_FUNCTIONS = frozenset(("sqrt", "exp", "log"))


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a formula.

    Attributes
    ----------
    kind : str
        "input", "number", an operator such as "+", "neg", "~", or the name of a function.
    parts : tuple of Node
    value : str, int, float or None
        The name of an input, or a number.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    value: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    root : Node
    names : tuple of str
        Of the inputs, in the order in which they come.
    """

    root: Node
    names: tuple[str, ...]

    @staticmethod
    @cache
    def parse(text: str) -> Formula:
        """Parse a formula.

        Raises
        ------
        JobError
            With what is wrong with it.
        """
        if len(text) > MAX_TEXT:
            raise JobError(f"has {len(text)} characters; a formula has at most {MAX_TEXT}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise JobError(f"is no formula such as a - b ({reason})") from error
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise JobError(f"has more than {MAX_NODES} parts")
        root = _node(tree, 0)
        names = tuple(dict.fromkeys(_names(root)))
        if not names:
            raise JobError("names no input")
        return Formula(root, names)

    def dtype(self, dtypes: Mapping[str, np.dtype]) -> np.dtype:
        """The dtype of the result, as numpy types it.

        Parameters
        ----------
        dtypes : dict of str to numpy.dtype
            Of each input, by its name.

        Returns
        -------
        numpy.dtype

        Raises
        ------
        JobError
            If an operator does not go with a dtype.
        """
        found = dtype_of(self.root, dtypes)
        return (
            np.dtype(np.uint8) if isinstance(found, np.dtype) and found == np.bool_ else np.result_type(found)
        )


Typed = np.dtype | int | float
"""The dtype of a part, or the number itself where it is one: a number takes the dtype of its partner."""


def dtype_of(node: Node, dtypes: Mapping[str, np.dtype]) -> Typed:
    """The dtype of a part of a formula; a bool marks a comparison.

    Parameters
    ----------
    node : Node
    dtypes : dict of str to numpy.dtype
        Of each input, by its name.

    Returns
    -------
    numpy.dtype, int or float

    Raises
    ------
    JobError
        If an operator does not go with a dtype.
    """
    if node.kind == "input":
        dtype = dtypes[str(node.value)].newbyteorder("=")
        return np.dtype(np.uint8) if dtype == np.bool_ else dtype
    if node.kind == "number":
        assert isinstance(node.value, int | float)
        return node.value
    parts = [dtype_of(part, dtypes) for part in node.parts]
    if node.kind in COMPARISONS.values():
        return np.dtype(np.bool_)
    if node.kind in ("&", "|", "~"):
        if any(part != np.bool_ for part in parts):
            raise JobError(f"{node.kind} takes comparisons, such as (a > 0) {node.kind} (b > 0)")
        return np.dtype(np.bool_)
    if node.kind == "where":
        condition, *parts = parts
        if condition != np.bool_:
            raise JobError("the first argument of where is a comparison, such as a > 0")
    return _promoted(node.kind, [np.dtype(np.uint8) if part == np.bool_ else part for part in parts])


def _promoted(kind: str, parts: list[Typed]) -> Typed:
    if all(isinstance(part, int | float) for part in parts):
        return 0.0 if kind in _FLOAT_FUNCTIONS or kind == "/" or _has_float(parts) else 0
    dtype = _common(parts)
    if dtype.kind in "iu" and (kind == "/" or kind in _FLOAT_FUNCTIONS):
        return np.dtype(np.float64)
    if dtype.kind == "u" and kind == "neg":
        return np.dtype(f"i{min(2 * dtype.itemsize, 8)}")
    return dtype


def _has_float(parts: list[Typed]) -> bool:
    return any(isinstance(part, float) for part in parts)


def _common(parts: list[Typed]) -> np.dtype:
    """The common dtype; numbers take that of the others, but a float among integers makes a float64."""
    dtype = np.result_type(*(part for part in parts if isinstance(part, np.dtype)))
    if dtype.kind in "iu" and _has_float(parts):
        return np.dtype(np.float64)
    return dtype


def _names(node: Node) -> list[str]:
    if node.kind == "input":
        return [str(node.value)]
    return [name for part in node.parts for name in _names(part)]


def _node(tree: ast.expr, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise JobError(f"is nested more than {MAX_DEPTH} deep")
    match tree:
        case ast.Name():
            return Node("input", value=tree.id)
        case ast.Constant():
            return Node("number", value=_number(tree.value))
        case ast.BinOp() if type(tree.op) in OPERATORS:
            return Node(OPERATORS[type(tree.op)], (_node(tree.left, depth + 1), _node(tree.right, depth + 1)))
        case ast.UnaryOp():
            return _unary(tree, depth)
        case ast.Compare() if len(tree.ops) == 1 and type(tree.ops[0]) in COMPARISONS:
            kind = COMPARISONS[type(tree.ops[0])]
            return Node(kind, (_node(tree.left, depth + 1), _node(tree.comparators[0], depth + 1)))
        case ast.Compare():
            raise JobError("compares more than two things at once; write (a > 0) & (a < 9)")
        case ast.BoolOp():
            raise JobError("has and or or; write & or | between comparisons in parentheses")
        case ast.Call():
            return _call(tree, depth)
    raise JobError(
        f"holds {ast.unparse(tree)[:60]}; a formula has names, numbers, + - * / // %, comparisons, & | ~, "
        f"and {', '.join(FUNCTIONS)}"
    )


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JobError(f"holds {value!r:.60}, which is no number")
    if isinstance(value, int) and value.bit_length() > 64:
        raise JobError("holds a number of more than 64 bits")
    if not math.isfinite(value):
        raise JobError("holds a number that is not finite")
    return value


def _unary(tree: ast.UnaryOp, depth: int) -> Node:
    part = _node(tree.operand, depth + 1)
    if isinstance(tree.op, ast.UAdd):
        return part
    if isinstance(tree.op, ast.USub):
        if part.kind == "number" and isinstance(part.value, int | float):
            return Node("number", value=-part.value)
        return Node("neg", (part,))
    if isinstance(tree.op, ast.Invert):
        return Node("~", (part,))
    raise JobError("has not; write ~ before a comparison in parentheses")


def _call(tree: ast.Call, depth: int) -> Node:
    name = tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func)[:60]
    if name not in FUNCTIONS or tree.keywords:
        raise JobError(f"calls {name}; its functions are {', '.join(FUNCTIONS)}")
    if len(tree.args) != FUNCTIONS[name]:
        raise JobError(f"calls {name} with {len(tree.args)} arguments; it takes {FUNCTIONS[name]}")
    return Node(name, tuple(_node(argument, depth + 1) for argument in tree.args))
