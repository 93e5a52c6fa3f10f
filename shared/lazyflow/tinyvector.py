"""A short vector of coordinates, with arithmetic element by element on plain Python numbers."""

# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutOfBounds


class TinyVector(list[Any]):
    """A list that adds, compares and so on element by element; faster than numpy on a few numbers.

    The other operand may be a scalar, or a list, tuple or 1-D array of the same length. Arrays of
    more axes, arrays on the left, and numpy's functions make an array of it, as of any list.
    ``+=`` and its like bind the name to a new vector. Unlike the original's, operands of
    different length are refused rather than cut to the shorter, and what a comparison gives
    has no truth value of its own (``if a == b`` was true of any two): ask its `all` or `any`.

    Raises
    ------
    OutOfBounds
        If the lengths of two operands differ.
    """

    __slots__ = ()
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    if TYPE_CHECKING:  # what the loops below this class put into it

        def __add__(self, other: Any) -> TinyVector: ...
        def __radd__(self, other: Any) -> TinyVector: ...
        def __iadd__(self, other: Any) -> TinyVector: ...
        def __sub__(self, other: Any) -> TinyVector: ...
        def __rsub__(self, other: Any) -> TinyVector: ...
        def __mul__(self, other: Any) -> TinyVector: ...
        def __rmul__(self, other: Any) -> TinyVector: ...
        def __truediv__(self, other: Any) -> TinyVector: ...
        def __floordiv__(self, other: Any) -> TinyVector: ...
        def __mod__(self, other: Any) -> TinyVector: ...
        def __eq__(self, other: object) -> Truths: ...
        def __ne__(self, other: object) -> Truths: ...
        def __lt__(self, other: Any) -> Truths: ...
        def __le__(self, other: Any) -> Truths: ...
        def __gt__(self, other: Any) -> Truths: ...
        def __ge__(self, other: Any) -> Truths: ...

    def copy(self) -> TinyVector:
        """A vector of the same numbers."""
        return TinyVector(self)

    def insert(self, index: Any, value: Any) -> TinyVector:
        """A new vector with `value` before `index`; unlike a list's, this leaves the old one as it is.

        Parameters
        ----------
        index : int
            As for `list.insert`.
        value : number

        Returns
        -------
        TinyVector
        """
        return TinyVector([*self[:index], value, *self[index:]])

    def all(self, axis: Any = None, out: Any = None, **more: Any) -> Any:
        """True if every element is true.

        Parameters
        ----------
        axis, out, **more
            As `numpy.all` hands them on.

        Returns
        -------
        bool
            Or what numpy makes of the other arguments.
        """
        return _reduced(all, self, axis, out, more)

    def any(self, axis: Any = None, out: Any = None, **more: Any) -> Any:
        """True if some element is true.

        Parameters
        ----------
        axis, out, **more
            As `numpy.any` hands them on.

        Returns
        -------
        bool
            Or what numpy makes of the other arguments.
        """
        return _reduced(any, self, axis, out, more)

    def ceil(self) -> TinyVector:
        """Each element rounded up to a whole number."""
        return TinyVector(map(math.ceil, self))

    def floor(self) -> TinyVector:
        """Each element rounded down to a whole number."""
        return TinyVector(map(math.floor, self))

    def as_int(self) -> TinyVector:
        """Each element as a whole number, cut towards zero."""
        return TinyVector(map(int, self))

    def __neg__(self) -> TinyVector:
        return TinyVector(map(operator.neg, self))

    def __pos__(self) -> TinyVector:
        return TinyVector(map(operator.pos, self))

    def __abs__(self) -> TinyVector:
        return TinyVector(map(abs, self))

    def __invert__(self) -> TinyVector:
        # ``~True`` is -2 in Python, and true: for truths, not is meant.
        return type(self)((not n) if isinstance(n, bool | np.bool_) else ~n for n in self)


class Truths(TinyVector):
    """The result of comparing vectors: a bool per element."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError("a comparison of vectors has one truth per element; ask its .all() or .any()")


def _reduced(
    reduce: Callable[..., Any], vector: TinyVector, axis: Any, out: Any, more: dict[str, Any]
) -> Any:
    """What `all` or `any` give; numpy's own of that name where it is asked for more than they know."""
    if axis is None and out is None and not more:
        return reduce(vector)
    return getattr(np, reduce.__name__)(np.asarray(vector), axis, out, **more)


def _operand(vector: TinyVector, other: Any) -> Iterable[Any] | None:
    """`other` as one value per element of `vector`, or None if it is no operand for arithmetic."""
    if isinstance(other, np.ndarray):
        if other.ndim > 1:  # numpy's turn, which broadcasts
            return None
        other = other.tolist() if other.ndim else other.item()
    if not isinstance(other, list | tuple):
        return None if isinstance(other, str | bytes | dict | set) or other is None else [other] * len(vector)
    if len(other) != len(vector):
        raise OutOfBounds(f"vectors of {len(vector)} and {len(other)} elements don't go together")
    return other


def _method(function: Callable[[Any, Any], Any], made: type[TinyVector], swapped: bool) -> Callable[..., Any]:
    def method(self: TinyVector, other: Any) -> Any:
        operand = _operand(self, other)
        if operand is None:
            return NotImplemented
        return made(map(function, operand, self) if swapped else map(function, self, operand))

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "and", "or", "xor"):
    _function = getattr(operator, f"__{_name}__")
    _bits = _name in ("and", "or", "xor")
    for _cls in (TinyVector, Truths):
        _made = _cls if _bits else TinyVector
        setattr(_cls, f"__{_name}__", _method(_function, _made, False))
        setattr(_cls, f"__i{_name}__", _method(_function, _made, False))
        setattr(_cls, f"__r{_name}__", _method(_function, _made, True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(TinyVector, f"__{_name}__", _method(getattr(operator, _name), Truths, False))
