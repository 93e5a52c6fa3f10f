"""Parameters of functions of the user's own."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ..geometry.roi import Shape
from ..schema.bounded_model import validation_error
from ..schema.fields import (
    CountPerAxis,
    DtypeName,
    Factor,
    FiniteFloat,
    PlainArguments,
    Switch,
    Text,
    shown,
)
from ..schema.lengths import per_axis
from .base import Operation

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _function_name(text: str) -> str:
    if not _FUNCTION.fullmatch(text):
        raise validation_error(
            f'must name a function as "module:name", such as my_steps:smooth (is {shown(text)})'
        )
    if text.startswith("__main__:"):
        raise validation_error(_in_a_file(text.partition(":")[2]))
    return text


def _in_a_file(name: str) -> str:
    """What to do with a function that stands in a notebook, a script or a prompt."""
    return (
        "workers are processes of their own and can't see the functions of a notebook or of the running "
        f'script; put it into a file steps.py in the current folder and name it "steps:{name}"'
    )


def instead_of(function: Any) -> str:
    """What to write instead of a function."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or (
        "numpy" if isinstance(function, np.ufunc) else "__main__"
    )
    text = "a function is named, not passed"
    if module == "__main__" or not _FUNCTION.fullmatch(f"{module}:{name}"):
        plain = name.rpartition(".")[2]
        return f"{text}: {_in_a_file(plain if plain.isidentifier() else 'my_function')}"
    return f'{text}: {{"python": {{"function": "{module}:{name}"}}}}'


def _no_callable(value: object) -> object:
    if callable(value):
        raise validation_error(instead_of(value))
    return value


class PythonFunction(Operation):
    """A function of the user's own: ``function(block, **args)`` gives an array of the block's shape.

    The block comes with its halo. If the function has a parameter `context`, that holds the
    position of the block. `dtype` is that of the result (default: the dtype of its input);
    `fill_masked` the value of masked voxels. `halo_check` looks whether the halo is enough.
    """

    name: ClassVar[str] = "python"
    kernel: ClassVar[str] = "blockmill.workers.kernels.python:python_kernel"
    per_axis: ClassVar[tuple[str, ...]] = ("halo",)
    depends_on_blocks: ClassVar[bool] = True

    function: Annotated[Text, BeforeValidator(_no_callable), AfterValidator(_function_name)]
    halo: CountPerAxis = 0
    dtype: DtypeName | None = None
    fill_masked: FiniteFloat | None = None
    halo_check: Switch = True
    memory_factor: Factor = 4.0
    args: PlainArguments = Field(default_factory=dict)

    @property
    def user_functions(self) -> tuple[str, ...]:
        """As `Operation.user_functions`."""
        return (self.function,)

    @property
    def checks_halo(self) -> bool:
        """As `Operation.checks_halo`."""
        return self.halo_check

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`."""
        return per_axis(self.halo, axes, "operation.python.halo")

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"halo": self.halo_per_axis(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The given dtype, else that of the input."""
        return dtype.newbyteorder("=") if self.dtype is None else np.dtype(self.dtype)

    def bytes_per_byte(self) -> float:
        """The factor that the job says."""
        return self.memory_factor

    def identity(self, axes: str) -> dict[str, Any]:
        """As `Operation.identity`."""
        identity = super().identity(axes)
        if self.fill_masked is None:  # as before there was such a parameter
            del identity["fill_masked"]
        return {key: value for key, value in identity.items() if key not in ("memory_factor", "halo_check")}
