"""Values that people write as small expressions, worked out without ``eval``.

Description files hold texts such as ``"[ 4150-2917, 135424, 20*60 ]"`` or ``"numpy.uint8"``.
The text is parsed with `ast` and only a handful of node kinds is walked: nothing can be
called, imported or looked up, and length, depth and the size of numbers are bounded, so
that no text runs code, hangs or exhausts the memory.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import JobError

Value = int | float | list[Any] | tuple[Any, ...] | np.dtype

MAX_TEXT = 4096  # characters
MAX_NODES = 2000
MAX_DEPTH = 50
MAX_ITEMS = 1024  # of one list, after repetition
MAX_BITS = 256  # of any whole number on the way

_NUMPY_NAMES = (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intp uintp "
    "float16 float32 float64 complex64 complex128 object_"
)
_DTYPES: dict[str, np.dtype] = {name: np.dtype(getattr(np, name)) for name in _NUMPY_NAMES.split()}
_DTYPES |= {kind.__name__: np.dtype(kind) for kind in (bool, int, float, complex, object)}
# Other names that numpy has, or had, by the letters of C's types; some are gone from newer versions.
_DTYPES |= {
    name: np.dtype(code)
    for code, names in {
        "b": "byte", "B": "ubyte", "h": "short", "H": "ushort", "i": "intc", "I": "uintc", "l": "int_",
        "L": "uint", "q": "longlong", "Q": "ulonglong", "e": "half", "f": "single", "d": "double float_",
        "F": "csingle singlecomplex", "D": "cdouble complex_ cfloat", "?": "bool8",
    }.items()
    for name in names.split()
}  # fmt: skip
_QUOTED_TEXT = re.compile(r"\s*(['\"])([^'\"]*)\1\s*")
_OF_ONE: dict[str, Callable[[Any], Any]] = {"abs": abs, "int": int, "round": round}
_OF_SEVERAL: dict[str, Callable[[Any], Any]] = {"max": max, "min": min}


class _Array(list[Any]):
    """What ``numpy.array([...])`` holds: a list, but one that can't be repeated by ``* 2``."""


_DTYPE_TEXT = re.compile(r"[<>=|]?[A-Za-z][A-Za-z0-9_]{0,15}")
_DTYPE_KINDS = "biufcO"

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def evaluate(text: str) -> Value:
    """Work out a number, a list, a tuple or a dtype from its text.

    Understood are numbers, lists, tuples, ``+ - * / // % **``, signs, parentheses and
    dtype names: ``uint8``, ``numpy.uint8``, ``np.float32``, ``numpy.dtype('<u2')``, ``bool``,
    ``float``, ``object``. Lists of numbers may be repeated and joined (``[64]*3``). ``numpy.array([...])`` is
    its list; of functions there are ``abs``, ``int``, ``round``, ``max`` and ``min``, of numbers.

    Raises
    ------
    JobError
        Naming what the text holds that is not understood, or too large.
    """
    if not isinstance(text, str):
        raise JobError(f"expected a text to evaluate, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise JobError(f"the expression has {len(text)} characters, at most {MAX_TEXT} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise JobError(f"the expression {_quoted(text)} has more than {MAX_NODES} parts")
        value = _value(tree, text, 0)
        return list(value) if isinstance(value, _Array) else value
    except JobError:
        raise
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise JobError(f"can't make sense of the expression {_quoted(text)}: {reason}") from error


def dtype_from(value: object) -> np.dtype:
    """A dtype from its name: an expression as in `evaluate`, or a bare code such as ``"<u2"``.

    Raises
    ------
    JobError
        If it names no dtype of numbers, bools or objects.
    """
    if isinstance(value, np.dtype):
        return _checked_dtype(value, str(value))
    if not isinstance(value, str):
        raise JobError(f'expected the name of a dtype such as "uint8", got {_quoted(value)}')
    if _DTYPE_TEXT.fullmatch(value.strip()) and value.strip() not in _DTYPES:
        return _dtype_of_text(value.strip())
    if quoted := _QUOTED_TEXT.fullmatch(value):
        return _dtype_of_text(quoted[2])
    result = evaluate(value)
    if not isinstance(result, np.dtype):
        raise JobError(f'expected the name of a dtype such as "uint8", got {_quoted(value)}')
    return result


def _quoted(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits; lists without end
        text = f"a value of {type(value).__name__} that is too large to show"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _value(node: ast.expr, text: str, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise JobError(f"the expression {_quoted(text)} is nested more than {MAX_DEPTH} deep")
    handler = _HANDLERS.get(type(node))
    if handler is None:
        raise JobError(
            f"the expression {_quoted(text)} holds a {type(node).__name__}; only numbers, lists, tuples, "
            "arithmetic and dtype names are allowed"
        )
    return handler(node, text, depth + 1)


def _constant(node: ast.Constant, text: str, _depth: int) -> Value:
    if type(node.value) not in (int, float):
        raise JobError(f"the expression {_quoted(text)} holds {_quoted(node.value)}, which is no number")
    return _bounded(node.value)  # pyright: ignore[reportArgumentType]


def _list(node: ast.List, text: str, depth: int) -> Value:
    return [_value(item, text, depth) for item in node.elts]


def _tuple(node: ast.Tuple, text: str, depth: int) -> Value:
    return tuple(_value(item, text, depth) for item in node.elts)


def _unary(node: ast.UnaryOp, text: str, depth: int) -> Value:
    operand = _value(node.operand, text, depth)
    if not isinstance(node.op, ast.USub | ast.UAdd) or not isinstance(operand, int | float):
        raise JobError(f"the expression {_quoted(text)} has a prefix other than a sign before a number")
    return -operand if isinstance(node.op, ast.USub) else operand


def _binary(node: ast.BinOp, text: str, depth: int) -> Value:
    function = _BINARY.get(type(node.op))
    if function is None:
        raise JobError(f"the expression {_quoted(text)} uses the operator {type(node.op).__name__}")
    left, right = _value(node.left, text, depth), _value(node.right, text, depth)
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return _sequence_arithmetic(node.op, left, right, text)
    if isinstance(node.op, ast.Pow):
        _check_power(left, right)
    return _bounded(function(left, right))


def _check_power(base: float, exponent: float) -> None:
    """Refuse a power before it is worked out: ``9**9**9`` would never end."""
    if not isinstance(base, int) or not isinstance(exponent, int):
        return  # floats overflow at once
    if abs(exponent) > MAX_BITS or base.bit_length() * abs(exponent) > MAX_BITS:
        raise JobError(f"a power in the expression has more than {MAX_BITS} bits")


def _bounded(number: object) -> int | float:
    if isinstance(number, int) and number.bit_length() <= MAX_BITS:
        return number
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise JobError(f"the expression leads to a number that is not finite, not real or over {MAX_BITS} bits")


def _sequence_arithmetic(op: ast.operator, left: Value, right: Value, text: str) -> Value:
    """Joining two lists, or repeating one: all that Python's own operators do to them."""
    result: list[Any] | tuple[Any, ...] | None = None
    if isinstance(left, _Array) or isinstance(right, _Array):
        pass  # numpy would do it number by number
    elif isinstance(op, ast.Mult):
        result = _repeated(left, right) if isinstance(right, int) else _repeated(right, left)
    elif isinstance(op, ast.Add):
        result = _joined(left, right)
    if result is None or len(result) > MAX_ITEMS:
        raise JobError(
            f"the expression {_quoted(text)} does arithmetic with a list or a dtype; write the numbers out"
        )
    return result


def _joined(left: Value, right: Value) -> list[Any] | tuple[Any, ...] | None:
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left + right
    return None


def _repeated(sequence: Value, times: Value) -> list[Any] | tuple[Any, ...] | None:
    if not isinstance(sequence, list | tuple) or not isinstance(times, int):
        return None
    if len(sequence) * times > MAX_ITEMS or any(not isinstance(item, int | float) for item in sequence):
        return None  # lists of lists could grow without bound, level by level
    return sequence * times


def _name(node: ast.Name, text: str, _depth: int) -> Value:
    dtype = _DTYPES.get(node.id)
    if dtype is None:
        raise JobError(f"the expression {_quoted(text)} holds the unknown name {_quoted(node.id)}")
    return dtype


def _attribute(node: ast.Attribute, text: str, _depth: int) -> Value:
    if not isinstance(node.value, ast.Name) or node.value.id not in ("numpy", "np"):
        raise JobError(
            f"the expression {_quoted(text)} reaches for {_quoted(node.attr)}; only numpy.<dtype> is known"
        )
    dtype = _DTYPES.get(node.attr)
    if dtype is None:
        raise JobError(f"the expression {_quoted(text)} holds the unknown dtype numpy.{node.attr}")
    return dtype


def _call(node: ast.Call, text: str, depth: int) -> Value:
    """The few calls that exist; each by its name, none of them looked up anywhere."""
    name, arguments = _called(node.func), node.args
    if node.keywords or any(isinstance(item, ast.Starred) for item in arguments):
        name = ""
    if name == "numpy.dtype" and len(arguments) == 1:
        return _dtype_call(arguments[0], text, depth)
    if name in ("numpy.array", "numpy.asarray") and len(arguments) == 1:
        return _array(_value(arguments[0], text, depth), text)
    if name in _OF_ONE or name in _OF_SEVERAL:
        return _function(name, [_value(item, text, depth) for item in arguments], text)
    raise JobError(
        f"the expression {_quoted(text)} holds a call; only numpy.dtype('...'), numpy.array([...]) and "
        f"{', '.join((*_OF_ONE, *_OF_SEVERAL))} of numbers are allowed"
    )


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"numpy.{function.attr}" if function.value.id in ("numpy", "np") else ""
    return ""


def _dtype_call(argument: ast.expr, text: str, depth: int) -> np.dtype:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return _dtype_of_text(argument.value)
    dtype = _value(argument, text, depth)
    if not isinstance(dtype, np.dtype):
        raise JobError(f"the expression {_quoted(text)} asks numpy.dtype for something that is no dtype")
    return dtype


def _array(value: Value, text: str) -> _Array:
    if not isinstance(value, list | tuple):
        raise JobError(f"the expression {_quoted(text)} makes an array of something that is no list")
    return _Array(value)


def _function(name: str, values: list[Value], text: str) -> Value:
    """A function of numbers: of one, or the largest or smallest of several."""
    if name in _OF_SEVERAL and len(values) == 1 and isinstance(values[0], list | tuple):
        values = list(values[0])
    if not values or not all(isinstance(value, int | float) for value in values):
        raise JobError(f"the expression {_quoted(text)} asks for {name} of something else than numbers")
    if name in _OF_SEVERAL:
        return _bounded(_OF_SEVERAL[name](values))
    if len(values) > 1:
        raise JobError(f"the expression {_quoted(text)} asks for {name} of more than one number")
    return _bounded(_OF_ONE[name](values[0]))


def _dtype_of_text(text: str) -> np.dtype:
    if not _DTYPE_TEXT.fullmatch(text):
        raise JobError(f"{_quoted(text)} names no dtype")
    try:
        return _checked_dtype(np.dtype(text), text)
    except (TypeError, ValueError) as error:
        raise JobError(f"{_quoted(text)} names no dtype") from error


def _checked_dtype(dtype: np.dtype, text: str) -> np.dtype:
    if dtype.kind not in _DTYPE_KINDS:
        raise JobError(f"dtype {_quoted(text)} is none of numbers, bools or objects")
    return dtype


_HANDLERS: dict[type[ast.expr], Callable[[Any, str, int], Value]] = {
    ast.Constant: _constant,
    ast.List: _list,
    ast.Tuple: _tuple,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
}
