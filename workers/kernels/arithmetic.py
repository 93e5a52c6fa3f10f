"""Formulas of blocks: whole numbers exactly, floats as numpy computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...shared.errors import BlockError
from ...shared.operations.arithmetic import Arithmetic
from ...shared.operations.dtypes import value_range
from ...shared.operations.formula import COMPARISONS, Node, dtype_of
from .context import BlockContext, Kernel, crop
from .conversion import converted

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of a part of a formula.

    Whole numbers are int64, or Python's own numbers where 64 bits might not do; `bounds` are what they can't
    leave, None for floats. Comparisons are bools.
    """

    array: Any
    bounds: tuple[int, int] | None


def arithmetic_kernel(spec: Arithmetic) -> Kernel:
    """The kernel of `spec`."""
    root = spec.formula.root

    def arithmetic(blocks: dict[str, NDArray], context: BlockContext) -> NDArray:
        voxels = {name: crop(block, context) for name, block in blocks.items()}
        dtypes = {name: block.dtype for name, block in voxels.items()}
        target = spec.dtype_of(dtypes)
        with np.errstate(all="ignore"):  # inf and NaN are what the operation promises
            value = _evaluate(root, voxels, dtypes)
        result = np.asarray(value.array)
        if result.dtype == np.bool_:
            return result.astype(target)
        if result.dtype.kind == "f" and target == result.dtype:
            return np.ascontiguousarray(result)
        return converted(result, target, spec.clip, context, "arithmetic")

    return arithmetic


def _evaluate(node: Node, voxels: dict[str, NDArray], dtypes: dict[str, np.dtype]) -> _Value:
    if node.kind == "input":
        return _whole(voxels[str(node.value)])
    if node.kind == "number":
        return _Value(node.value, (node.value, node.value) if isinstance(node.value, int) else None)
    parts = [_evaluate(part, voxels, dtypes) for part in node.parts]
    if node.kind in ("&", "|", "~"):
        return _Value(_LOGIC[node.kind](*(part.array for part in parts)), None)
    condition = parts.pop(0).array if node.kind == "where" else None
    parts = [_counted(part) for part in parts]
    if all(part.bounds is not None for part in parts) and node.kind not in _FLOAT_ONLY:
        return _exact(node.kind, parts, condition)
    return _as_floats(node, parts, condition, dtypes)


def _whole(block: NDArray) -> _Value:
    """An input's voxels: integers as int64, those of uint64 as Python's numbers where they need it."""
    dtype = block.dtype
    if dtype.kind == "f":
        return _Value(block.astype(dtype.newbyteorder("="), copy=False), None)
    low, high = (int(bound) for bound in value_range(dtype))
    if high > _HIGHEST:
        high = max(int(block.max()), 0) if block.size else 0  # most labels are small
    return _Value(block.astype(np.int64 if high <= _HIGHEST else object), (low, high))


def _counted(part: _Value) -> _Value:
    """A comparison among numbers counts as 0 and 1."""
    if isinstance(part.array, np.ndarray | np.bool_) and part.array.dtype == np.bool_:
        return _Value(part.array.astype(np.int64), (0, 1))
    return part


def _exact(kind: str, parts: list[_Value], condition: Any) -> _Value:
    """The value of an operator of whole numbers: in 64 bits where they do, else by Python's own numbers."""
    arrays = [part.array for part in parts]
    bounds = _bounds_of(kind, [part.bounds or (0, 0) for part in parts])
    all_bounds = [bounds, *(part.bounds or (0, 0) for part in parts)]
    if all(low >= _LOWEST and high <= _HIGHEST for low, high in all_bounds):
        arrays = [np.asarray(array, np.int64) for array in arrays]
    else:
        arrays = [np.asarray(array, object) for array in arrays]
    if kind in ("//", "%") and np.any(arrays[1] == 0):
        raise BlockError(f"arithmetic: a whole number is divided by 0 ({kind}); divide by a float for inf")
    result = _apply(kind, arrays, condition)
    if kind in COMPARISONS.values():
        return _Value(np.asarray(result, np.bool_), None)
    return _Value(result, bounds)


def _bounds_of(kind: str, bounds: list[tuple[int, int]]) -> tuple[int, int]:
    """Bounds that the result of an operator of whole numbers can't leave."""
    (low, high), *others = bounds
    if kind == "neg":
        return -high, -low
    if kind == "abs":
        return 0, max(abs(low), abs(high))
    if kind == "+":
        return low + others[0][0], high + others[0][1]
    if kind == "-":
        return low - others[0][1], high - others[0][0]
    if kind == "*":
        products = [a * b for a in (low, high) for b in others[0]]
        return min(products), max(products)
    if kind == "//":
        most = max(abs(low), abs(high))
        return -most - 1, most + 1
    if kind == "%":
        most = max(map(abs, others[0]))
        return -most, most
    if kind == "min":
        return min(low, others[0][0]), min(high, others[0][1])
    if kind == "max":
        return max(low, others[0][0]), max(high, others[0][1])
    return min(low, others[-1][0]), max(high, others[-1][1])  # where, and comparisons, for their operands


def _as_floats(node: Node, parts: list[_Value], condition: Any, dtypes: dict[str, np.dtype]) -> _Value:
    """The value of an operator with a float in it: each part in the dtype that numpy takes for all."""
    found = [dtype_of(part, dtypes) for part in node.parts[-len(parts) :]]
    arrays = [part.array for part in parts]
    if any(isinstance(one, np.dtype) for one in found):
        common = _float_dtype(node.kind, found)
        arrays = [_in(array, common) for array in arrays]
    result = _apply(node.kind, arrays, condition)
    return _Value(result, None)


def _in(array: Any, dtype: np.dtype) -> Any:
    return np.asarray(array).astype(dtype)


def _float_dtype(kind: str, found: list[Any]) -> np.dtype:
    dtypes = [np.dtype(np.uint8) if one == np.bool_ else one for one in found if isinstance(one, np.dtype)]
    common = np.result_type(*dtypes)
    return common if common.kind == "f" else np.dtype(np.float64)


def _apply(kind: str, arrays: list[Any], condition: Any) -> Any:
    return np.where(condition, *arrays) if kind == "where" else _FUNCTIONS[kind](*arrays)


_FLOAT_ONLY = frozenset(("/", "sqrt", "exp", "log"))
_LOGIC: dict[str, Callable[..., Any]] = {"&": np.logical_and, "|": np.logical_or, "~": np.logical_not}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.remainder,
    "neg": np.negative,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
