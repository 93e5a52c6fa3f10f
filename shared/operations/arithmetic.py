"""Parameters of arithmetic on several volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator

from ..errors import JobError
from ..schema.bounded_model import validation_error
from ..schema.fields import DtypeName, Switch, Text
from .base import UNNAMED, Operation
from .dtypes import is_real
from .formula import Formula


def _parsed(text: str) -> str:
    try:
        Formula.parse(text)
    except JobError as error:
        raise validation_error(str(error)) from None
    return text


class Arithmetic(Operation):
    """A formula of the inputs, voxel by voxel: ``a - b``, ``where(mask > 0, raw, 0)``.

    It has the names of the inputs, numbers, ``+ - * / // %``, comparisons, ``& | ~`` of comparisons, and the
    functions abs, min, max, where, sqrt, exp and log. An only input has the name ``input``.

    Whole numbers are computed exactly, however large they become on the way. The dtype of the result is what
    numpy gives these operands, or `dtype`; a voxel that it can't hold fails its block, unless `clip` says to
    take the nearest value. Floats are computed in the dtype that numpy gives, with inf and NaN as numpy has
    them. Comparisons give 0 and 1, as uint8. A whole number divided by 0 fails its block.
    """

    name: ClassVar[str] = "arithmetic"
    kernel: ClassVar[str] = "blockmill.workers.kernels.arithmetic:arithmetic_kernel"
    takes_several: ClassVar[bool] = True
    peak_factor: ClassVar[float] = 8.0

    expression: Annotated[Text, AfterValidator(_parsed)]
    dtype: DtypeName | None = None
    clip: Switch = False

    @property
    def formula(self) -> Formula:
        """The parsed expression."""
        return Formula.parse(self.expression)

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the result for an only input."""
        return self.dtype_of({UNNAMED: dtype})

    def dtype_of(self, dtypes: Mapping[str, np.dtype]) -> np.dtype:
        """As `Operation.dtype_of`."""
        return np.dtype(self.dtype) if self.dtype is not None else self.formula.dtype(dtypes)

    def check_inputs(self, axes: str, dtypes: Mapping[str, np.dtype]) -> None:
        """As `Operation.check_inputs`; JobError if the formula and the inputs don't fit each other."""
        names = self.formula.names
        known = f"the job's inputs are {', '.join(dtypes)}"
        if unknown := [name for name in names if name not in dtypes]:
            raise JobError(f"operation.arithmetic.expression: there is no input {unknown[0]}; {known}")
        if unused := [name for name in dtypes if name not in names]:
            raise JobError(f"input.{unused[0]}: is not used in {self.expression}; leave it out")
        for name, dtype in dtypes.items():
            if not is_real(dtype):
                raise JobError(
                    f"arithmetic can't take {dtype.name}, as {name} has; it takes bool, integers and floats "
                    "of up to 64 bits"
                )
        self.dtype_of(dtypes)
