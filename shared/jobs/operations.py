"""Operations on a block: parameters and their consequences, without the arithmetic.

An operation stands in a job file as a mapping with one key, its name: ``{gaussian: {sigma: 2}}``;
one that needs no parameters may be a bare word: ``copy``. Only the workers know how to compute
a block, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ..errors import JobError
from ..geometry.roi import Shape
from ..outside_text import clean
from .bounded_model import validation_error
from .complaints import complaints_of, left_out
from .fields import (
    CountPerAxis,
    DtypeName,
    ExactNumber,
    Factor,
    FiniteFloat,
    Keyed,
    PlainArguments,
    Switch,
    Text,
    Truncation,
    WidthPerAxis,
    nearest,
    shown,
)
from .lengths import per_axis
from .operation import Operation

# Below this scipy leaves an axis as it is; a halo would be read for nothing.
SMALLEST_SIGMA = 1e-15
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class Gaussian(Operation):
    """Gaussian smoothing, voxel for voxel what scipy.ndimage.gaussian_filter makes of the whole volume.

    The dtype stays, and integers are cut, not rounded, as scipy does it. A sigma of 0 leaves its
    axis as it is. The mode "wrap" is not offered: a block at one end of the volume would need
    voxels from the other end, and a halo is one box around the block.
    """

    name: ClassVar[str] = "gaussian"
    keeps_range: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = ("scipy.ndimage",)
    memory_factor: ClassVar[float] = 2.5

    sigma: WidthPerAxis
    truncate: Truncation = 4.0
    mode: Literal["reflect", "nearest", "mirror", "constant"] = "reflect"
    cval: FiniteFloat = 0.0

    def sigmas(self, axes: str) -> tuple[float, ...]:
        """Standard deviation per axis, in voxels."""
        return per_axis(self.sigma, axes, "operation.gaussian.sigma")

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`; the radius at which scipy cuts its kernel."""
        return tuple(
            int(self.truncate * sigma + 0.5) if sigma > SMALLEST_SIGMA else 0 for sigma in self.sigmas(axes)
        )

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"sigma": self.sigmas(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the input."""
        return dtype.newbyteorder("=")

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError for bool, float16 and long doubles, which scipy's kernel refuses."""
        super().check(axes, dtype)
        if dtype.kind == "b":
            raise JobError(
                "gaussian can't smooth a volume of bool: nothing lies between 0 and 1 to hold the result; "
                "copy it to uint8 or float32 first"
            )
        if dtype.kind not in "iufc" or dtype.newbyteorder("=") in (np.float16, np.longdouble, np.clongdouble):
            raise JobError(
                f"gaussian does not take {dtype.name}; copy the volume to float32 or float64 first"
            )


class Threshold(Operation):
    """1 where a voxel meets all the given bounds, else 0; as uint8. NaN meets none.

    Bounds are compared exactly with any dtype: the number as it is written, not as it would
    be rounded to the volume's dtype.
    """

    name: ClassVar[str] = "threshold"
    memory_factor: ClassVar[float] = 3.25

    above: ExactNumber | None = None
    at_least: ExactNumber | None = None
    below: ExactNumber | None = None
    at_most: ExactNumber | None = None

    @model_validator(mode="after")
    def _some_value_passes(self) -> Threshold:
        if not self.bounds():
            raise validation_error("needs a bound: above, at_least, below or at_most")
        # With an open bound marked by 1, the stricter one of two equal ones sorts last (first).
        lower = max(
            ((b, int(k == "above")) for k, b in self.bounds().items() if k in ("above", "at_least")),
            default=None,
        )
        upper = min(
            ((b, -int(k == "below")) for k, b in self.bounds().items() if k in ("below", "at_most")),
            default=None,
        )
        if lower and upper and (lower[0] > upper[0] or (lower[0] == upper[0] and (lower[1] or upper[1]))):
            bounds_text = " and ".join(f"{key} {bound}" for key, bound in self.bounds().items())
            raise validation_error(f"no number is {bounds_text.replace('_', ' ')}")
        return self

    def bounds(self) -> dict[str, int | float]:
        """The bounds that were given, by their key."""
        keys = ("above", "at_least", "below", "at_most")
        return {key: bound for key in keys if (bound := getattr(self, key)) is not None}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """Always uint8."""
        return np.dtype(np.uint8)

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError if no voxel of `dtype` can reach a bound, or it is no real dtype."""
        if not _is_real(dtype):
            raise JobError(
                f"threshold does not take {dtype.name}, only bool, integers and floats of up to 64 bits"
            )
        lowest, highest = value_range(dtype)
        for key, bound in self.bounds().items():
            if not lowest <= bound <= highest:
                raise JobError(
                    f"operation.threshold.{key}: {bound} is outside of what {dtype.name} holds "
                    f"({lowest} to {highest}), so all voxels would come out the same"
                )


class Copy(Operation):
    """The voxels as they are, perhaps in another dtype.

    Without `clip` a voxel that `dtype` can't hold exactly fails its block; only the rounding of
    a float to a narrower float is always taken as meant. With `clip` each becomes the nearest
    value that `dtype` holds, halves to even. NaN never becomes an integer.
    """

    name: ClassVar[str] = "copy"
    keeps_range: ClassVar[bool] = True
    memory_factor: ClassVar[float] = 3.0

    dtype: DtypeName | None = None
    clip: Switch = False

    @model_validator(mode="after")
    def _clip_has_a_dtype(self) -> Copy:
        if self.clip and self.dtype is None:
            raise validation_error("clip means nothing without a dtype to clip to")
        return self

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The given dtype, else that of the input."""
        return dtype.newbyteorder("=") if self.dtype is None else np.dtype(self.dtype)

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError if complex numbers or long doubles are to get another dtype."""
        if self.dtype is not None and not _is_real(dtype):
            raise JobError(
                f"copy can't turn {dtype.name} into {self.dtype}; leave dtype out to copy it as it is"
            )


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


def _instead_of(function: Any) -> str:
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
        raise validation_error(_instead_of(value))
    return value


class PythonFunction(Operation):
    """A function of the user's own: ``function(block, **args)`` gives an array of the block's shape.

    The block comes with its halo. If the function has a parameter `context`, that holds the
    position of the block. `dtype` is that of the result (default: the dtype of its input);
    `fill_masked` the value of masked voxels. `halo_check` looks whether the halo is enough.
    """

    name: ClassVar[str] = "python"
    depends_on_blocks: ClassVar[bool] = True

    function: Annotated[Text, BeforeValidator(_no_callable), AfterValidator(_function_name)]
    halo: CountPerAxis = 0
    dtype: DtypeName | None = None
    fill_masked: FiniteFloat | None = None
    halo_check: Switch = True
    memory_factor: Factor = 4.0
    args: PlainArguments = Field(default_factory=dict)

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`."""
        return per_axis(self.halo, axes, "operation.python.halo")

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"halo": self.halo_per_axis(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The given dtype, else that of the input."""
        return dtype.newbyteorder("=") if self.dtype is None else np.dtype(self.dtype)

    def identity(self, axes: str) -> dict[str, Any]:
        """As `Operation.identity`."""
        identity = super().identity(axes)
        if self.fill_masked is None:  # as before there was such a parameter
            del identity["fill_masked"]
        return {key: value for key, value in identity.items() if key not in ("memory_factor", "halo_check")}


AnyOperation = Gaussian | Threshold | Copy | PythonFunction
OPERATIONS: dict[str, type[AnyOperation]] = {
    kind.name: kind for kind in (Copy, Gaussian, PythonFunction, Threshold)
}


def _is_real(dtype: np.dtype) -> bool:
    return dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)


def value_range(dtype: np.dtype) -> tuple[int | float, int | float]:
    """The smallest and the largest finite value of a bool, integer or float dtype, exactly."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    info = np.finfo(dtype)
    return float(info.min), float(info.max)


def peak_bytes(operation: Operation, shape: Shape, dtype: np.dtype) -> int:
    """Estimate the bytes that a worker needs at once for a block.

    Parameters
    ----------
    operation : Operation
    shape : tuple of int
        Voxels per axis of the block, its halo included.
    dtype : numpy.dtype
        Of the input.

    Returns
    -------
    int
    """
    itemsize = max(dtype.itemsize, operation.output_dtype(dtype).itemsize)
    factor = cast(AnyOperation, operation).memory_factor
    return math.ceil(factor * itemsize * math.prod(shape))


def _name_of(value: object) -> str:
    """The name of the operation in a value; the discriminator of the union, after `_names_one`."""
    if isinstance(value, Operation):
        return value.name
    return value if isinstance(value, str) else next(iter(value))  # pyright: ignore[reportArgumentType, reportCallIssue]


def _names_one(value: object) -> object:
    """Refuse a value that names no operation; pydantic's own message for it would mention tags."""
    if isinstance(value, Operation):
        return value
    if callable(value):
        raise validation_error(_instead_of(value))
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Mapping) else None
    if names is None:
        raise validation_error(
            f"must be the name of an operation, or a mapping from it to its parameters (is {shown(value)})"
        )
    if len(names) != 1:
        keys = f": {clean(', '.join(map(str, names[:8])), 200)}" if names else ""
        raise validation_error(
            f"must have exactly one key, the name of the operation (has {len(names)}{keys})"
        )
    if names[0] not in OPERATIONS:
        guess = nearest(names[0], OPERATIONS)
        hint = f"did you mean {guess}? Known are" if guess else "known are"
        raise validation_error(
            f"there is no operation {clean(str(names[0]), 60)}; {hint} {', '.join(OPERATIONS)}"
        )
    return value


OperationField = Annotated[
    Annotated[Gaussian, Keyed("gaussian"), Tag("gaussian")]
    | Annotated[Threshold, Keyed("threshold"), Tag("threshold")]
    | Annotated[Copy, Keyed("copy"), Tag("copy")]
    | Annotated[PythonFunction, Keyed("python"), Tag("python")],
    Discriminator(_name_of),
    BeforeValidator(_names_one),
]


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(OperationField)


def parse_operation(value: object) -> AnyOperation:
    """Make an operation from a value as in a job file, such as ``{"gaussian": {"sigma": 2}}``.

    Raises
    ------
    JobError
        One line per mistake.
    """
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        complaints = complaints_of(error, _adapter().json_schema())
        lines = (str(replace(one, path=("operation", *one.path))) for one in complaints)
        raise JobError("\n".join([*lines, *left_out(error)])) from None
