"""Operations that are done one after the other in one pass: one read, one write, nothing between."""

# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import JobError
from ..geometry.roi import Shape
from .base import UNNAMED, Operation
from .reducer import Reducer


class Chain(Operation):
    """Several operations, one after the other; the result is that of one job after the other.

    A block is read with the halos of all steps. Each step sees its own volume: what the step before has made,
    with that volume's edges.

    Attributes
    ----------
    parts : tuple of Operation
        Two or more.
    """

    name: ClassVar[str] = "chain"
    kernel: ClassVar[str] = "blockmill.workers.kernels.chain:chain_kernel"

    parts: tuple[Any, ...]  # operations, which pydantic is not to look at again

    @property
    def steps(self) -> tuple[Operation, ...]:
        """The operations, the first one first."""
        return self.parts

    # What other operations are as a class, a chain is by its steps.
    @property
    def takes_several(self) -> bool:
        """True if the first step does."""
        return self.steps[0].takes_several

    @property
    def has_table(self) -> bool:
        """True if the last step makes one."""
        return self.steps[-1].has_table

    @property
    def keeps_range(self) -> bool:
        """True if all steps do."""
        return all(step.keeps_range for step in self.steps)

    @property
    def depends_on_blocks(self) -> bool:
        """True if any step does."""
        return any(step.depends_on_blocks for step in self.steps)

    @property
    def user_functions(self) -> tuple[str, ...]:
        """Those of all steps."""
        return tuple(function for step in self.steps for function in step.user_functions)

    @property
    def preloads(self) -> tuple[str, ...]:
        """Those of all steps."""
        return tuple(module for step in self.steps for module in step.preloads)

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`: the halos of all steps, in voxels of the input."""
        halo, scale = (0,) * len(axes), (1,) * len(axes)
        for step in self.steps:
            more = step.halo_per_axis(axes)
            halo = tuple(h + s * m for h, s, m in zip(halo, scale, more, strict=True))
            scale = tuple(s * t for s, t in zip(scale, step.scale(axes), strict=True))
        return halo

    def scale(self, axes: str) -> Shape:
        """As `Operation.scale`."""
        return tuple(map(math.prod, zip(*(step.scale(axes) for step in self.steps), strict=True)))

    def resolved(self, axes: str) -> Self:
        """As `Operation.resolved`."""
        return type(self)(parts=tuple(step.resolved(axes) for step in self.steps))

    def dtypes_between(self, dtypes: Mapping[str, np.dtype]) -> list[np.dtype]:
        """The dtype of the result of each step.

        Parameters
        ----------
        dtypes : dict of str to numpy.dtype
            Of each input, by its name.

        Returns
        -------
        list of numpy.dtype
        """
        first, *others = self.steps
        found = [first.dtype_of(dtypes)]
        for step in others:
            found.append(step.output_dtype(found[-1]))
        return found

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """As `Operation.output_dtype`."""
        return self.dtype_of({UNNAMED: dtype})

    def dtype_of(self, dtypes: Mapping[str, np.dtype]) -> np.dtype:
        """As `Operation.dtype_of`."""
        return self.dtypes_between(dtypes)[-1]

    def check_inputs(self, axes: str, dtypes: Mapping[str, np.dtype]) -> None:
        """As `Operation.check_inputs`, of each step with what comes to it."""
        first, *others = self.steps
        first.check_inputs(axes, dtypes)
        dtype = first.dtype_of(dtypes)
        for before, step in zip(self.steps, others, strict=False):
            if before.has_table:
                raise JobError(f"operation: {before.name} gives no voxels, and {step.name} comes after it")
            step.check_inputs(axes, {UNNAMED: dtype})
            dtype = step.output_dtype(dtype)

    def largest_itemsize(self, dtypes: Mapping[str, np.dtype]) -> int:
        """As `Operation.largest_itemsize`."""
        first = self.steps[0].largest_itemsize(dtypes)
        return max(first, *(dtype.itemsize for dtype in self.dtypes_between(dtypes)))

    def bytes_per_byte(self) -> float:
        """The largest of all steps."""
        return max(step.bytes_per_byte() for step in self.steps)

    def to_plain(self, *, defaults: bool = True) -> list[dict[str, Any]]:
        """As `Operation.to_plain`: a list with each step."""
        return [plain for step in self.steps if isinstance(plain := step.to_plain(defaults=defaults), dict)]

    def plain_identity(self, axes: str) -> list[dict[str, Any]]:
        """As `Operation.plain_identity`."""
        return [{step.name: step.identity(axes)} for step in self.steps]

    def reducer(self) -> Reducer:
        """That of the last step."""
        return self.steps[-1].reducer()


def chained(steps: Sequence[Operation]) -> Chain:
    """One operation that does several ones, one after the other.

    Parameters
    ----------
    steps : sequence of Operation
        Two or more.

    Returns
    -------
    Chain
    """
    return Chain(parts=tuple(steps))
