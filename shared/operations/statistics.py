"""Statistics of all voxels of a volume: parameters, records of blocks, and how they are added up."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from pydantic import AfterValidator, Field, model_validator

from ..errors import JobError
from ..schema.bounded_model import validation_error
from ..schema.fields import Extent, FiniteFloat
from .base import Operation
from .dtypes import is_real
from .reducer import Table

MOST_BINS = 65_536
_ROOT_BITS = 128
SMALL_BITS = 16
"""Dtypes of up to so many bits have a histogram with a bin for each value."""


def _ordered(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) != 2 or not value[0] < value[1]:
        raise validation_error("must be two numbers, the lower first")
    return value


class Statistics(Operation):
    """Count, minimum, maximum, mean, standard deviation and histogram of all voxels.

    Voxels that are NaN or infinite are counted apart (`not_finite`), and left out of all else. Sums of whole
    numbers are exact. Dtypes of up to 16 bits have a histogram with a bin for each value, from which the
    median follows; others have one if `bins` and `range` are given, with the
    bins of numpy.histogram for float64.
    """

    name: ClassVar[str] = "statistics"
    kernel: ClassVar[str] = "blockmill.workers.kernels.statistics:statistics_kernel"
    has_table: ClassVar[bool] = True
    peak_factor: ClassVar[float] = 12.0

    bins: Annotated[Extent, Field(le=MOST_BINS)] | None = None
    range: Annotated[tuple[FiniteFloat, ...], AfterValidator(_ordered)] | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """The lower and the upper end of the bins."""
        return None if self.range is None else (self.range[0], self.range[1])

    @model_validator(mode="after")
    def _bins_have_a_range(self) -> Statistics:
        if (self.bins is None) != (self.range is None):
            raise validation_error("bins and range go together: give both, or none of them")
        return self

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """That of the input: no voxels come out."""
        return dtype.newbyteorder("=")

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError for numbers beyond 64 bits, and for what is no real number."""
        if not is_real(dtype):
            raise JobError(
                f"statistics does not take {dtype.name}, only bool, integers and floats of up to 64 bits"
            )

    def exact_bins(self, dtype: np.dtype) -> bool:
        """True if the histogram has a bin for each value of the dtype."""
        return self.bins is None and dtype.kind in "biu" and dtype.itemsize * 8 <= SMALL_BITS

    def reducer(self) -> StatisticsReducer:
        """Adds up the statistics of blocks."""
        return StatisticsReducer(self)


class StatisticsRecord(msgspec.Struct, array_like=True):
    """The statistics of some voxels.

    Attributes
    ----------
    count, not_finite : int
        Finite voxels, and others.
    lowest, highest : int, float or None
    sum, squares : tuple of str
        Of the finite voxels, and of their squares, exactly: numerator and denominator.
    exact : bool
        True if the histogram has a bin for each value.
    values, counts : bytes
        The values with a bin of their own (int32; of other histograms the number of the bin), and their
        counts (int64).
    """

    count: int = 0
    not_finite: int = 0
    lowest: int | float | None = None
    highest: int | float | None = None
    sum: tuple[str, str] = ("0", "1")
    squares: tuple[str, str] = ("0", "1")
    exact: bool = False
    values: bytes = b""
    counts: bytes = b""


def packed(number: Fraction) -> tuple[str, str]:
    """A fraction as texts: msgpack's integers have 64 bits."""
    return f"{number.numerator:x}", f"{number.denominator:x}"


def _unpacked(texts: tuple[str, str]) -> Fraction:
    return Fraction(int(texts[0], 16), int(texts[1], 16))


class StatisticsReducer:
    """Adds up the statistics of blocks, exactly, so that their order does not matter.

    Parameters
    ----------
    spec : Statistics
    """

    def __init__(self, spec: Statistics) -> None:
        self._spec = spec
        self._count = self._not_finite = 0
        self._lowest: int | float | None = None
        self._highest: int | float | None = None
        self._sum = self._squares = Fraction(0)
        self._bins: dict[int, int] = {}
        self._exact = False

    def add(self, block: int, record: bytes) -> None:
        """See `Reducer.add`."""
        one = _decoded(record)
        self._count += one.count
        self._not_finite += one.not_finite
        self._lowest = _least(self._lowest, one.lowest)
        self._highest = _most(self._highest, one.highest)
        self._sum += _unpacked(one.sum)
        self._squares += _unpacked(one.squares)
        self._exact |= one.exact
        values, counts = np.frombuffer(one.values, "<i4").tolist(), np.frombuffer(one.counts, "<i8").tolist()
        for value, count in zip(values, counts, strict=True):
            self._bins[value] = self._bins.get(value, 0) + count

    def state(self) -> bytes:
        """See `Reducer.state`: the record of all blocks so far."""
        values = sorted(self._bins)
        counts = [self._bins[value] for value in values]
        record = StatisticsRecord(
            self._count,
            self._not_finite,
            self._lowest,
            self._highest,
            packed(self._sum),
            packed(self._squares),
            self._exact,
            np.array(values, "<i4").tobytes(),
            np.array(counts, "<i8").tobytes(),
        )
        return msgspec.msgpack.encode(record)

    def load(self, state: bytes) -> None:
        """See `Reducer.load`."""
        self.__init__(self._spec)
        self.add(-1, state)

    def table(self) -> Table:
        """See `Reducer.table`."""
        mean = self._sum / self._count if self._count else None
        variance = self._squares / self._count - mean * mean if mean is not None else None
        table: Table = {
            "count": self._count,
            "not_finite": self._not_finite,
            "min": self._lowest,
            "max": self._highest,
            "sum": _plain(self._sum),
            "mean": None if mean is None else float(mean),
            "std": None if variance is None else _root(variance),
        }
        if self._exact:
            table["median"] = self._median()
            values = sorted(self._bins)
            table["histogram"] = {"values": values, "counts": [self._bins[value] for value in values]}
        elif self._spec.bins is not None and (limits := self._spec.limits) is not None:
            edges = np.linspace(limits[0], limits[1], self._spec.bins + 1).tolist()
            counts = [self._bins.get(number, 0) for number in range(self._spec.bins)]
            table["histogram"] = {"edges": edges, "counts": counts}
        return table

    def _median(self) -> float | None:
        """The middle value, or the mean of both middle ones, as numpy has it."""
        if not self._count:
            return None
        middle = {(self._count - 1) // 2, self._count // 2}
        found: list[int] = []
        passed = 0
        for value in sorted(self._bins):
            passed += self._bins[value]
            while middle and min(middle) < passed:
                middle.remove(min(middle))
                found.append(value)
        return sum(found) / len(found)


def _decoded(record: bytes) -> StatisticsRecord:
    try:
        return msgspec.msgpack.decode(record, type=StatisticsRecord)
    except msgspec.DecodeError as error:
        raise ValueError(f"no record of statistics: {error}") from error


def _least(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else min(a, b)


def _most(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def _plain(number: Fraction) -> int | float | None:
    """A number as JSON has it; None for a sum of floats beyond what a float holds."""
    try:
        return int(number) if number.denominator == 1 and abs(number) < 1 << 128 else float(number)
    except OverflowError:
        return None


def _root(variance: Fraction) -> float:
    """The square root of a variance, which rounding may have brought just below 0."""
    if variance <= 0:
        return 0.0
    top, bottom = variance.numerator, variance.denominator
    shift = 2 * ((_ROOT_BITS - top.bit_length() + bottom.bit_length()) // 2)  # floats may not hold the square
    scaled = (top << shift) // bottom if shift >= 0 else top // (bottom << -shift)
    return math.ldexp(float(math.isqrt(scaled)), -shift // 2)
