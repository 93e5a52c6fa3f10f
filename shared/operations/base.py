"""The base of operations: parameters and their consequences, without the arithmetic."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import JobError
from ..geometry.roi import Shape
from ..schema.bounded_model import BoundedModel
from .reducer import Reducer

UNNAMED = "input"
"""The name of an input that has none."""


class Operation(BoundedModel, ABC):
    """Parameters of one operation; frozen, checked when made.

    Attributes
    ----------
    name : str
        As in a job file.
    kernel : str
        ``module:function``; called in a worker with the operation, it returns the kernel.
    version : int
        Goes up with a change of the result; half-done outputs are not gone on with then.
    peak_factor : float
        Bytes at the peak (input, output and temporary arrays) for each byte of the larger of input block
        and output block.
    per_axis : tuple of str
        Parameters that may have an entry per axis.
    depends_on_blocks : bool
        Another cut into blocks may change voxels.
    keeps_range : bool
        The input's range of values holds for the result.
    has_table : bool
        Its result is a table, which a reducer adds up of the records of all blocks; else a volume.
    takes_several : bool
        It takes any number of inputs, by their names; else one.
    preload : tuple of str
        Modules that workers share if their nursery imports them.
    """

    name: ClassVar[str]
    kernel: ClassVar[str]
    version: ClassVar[int] = 1
    peak_factor: ClassVar[float] = 3.0
    per_axis: ClassVar[tuple[str, ...]] = ()
    depends_on_blocks: ClassVar[bool] = False
    keeps_range: ClassVar[bool] = False
    has_table: ClassVar[bool] = False
    takes_several: ClassVar[bool] = False
    preload: ClassVar[tuple[str, ...]] = ()

    @property
    def user_functions(self) -> tuple[str, ...]:
        """The user's own functions that the kernel calls, as ``module:name``."""
        return ()

    @property
    def steps(self) -> tuple[Operation, ...]:
        """The operations that are done one after the other: this one alone, but of a chain."""
        return (self,)

    @property
    def preloads(self) -> tuple[str, ...]:
        """Modules that workers share if their nursery imports them."""
        return self.preload

    @property
    def checks_halo(self) -> bool:
        """True if a job is to find out whether the halo is enough."""
        return False

    def halo_per_axis(self, axes: str) -> Shape:
        """Voxels that must be read around a block, per axis.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        tuple of int

        Raises
        ------
        JobError
            If a parameter that has entries per axis does not fit `axes`.
        """
        return (0,) * len(axes)

    def scale(self, axes: str) -> Shape:
        """Voxels of the input for one voxel of the result, per axis.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        tuple of int
            At the end of an axis fewer voxels may be left for the last one of the result.

        Raises
        ------
        JobError
            As `halo_per_axis`.
        """
        return (1,) * len(axes)

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """The parameters that are lengths, by their attribute, with an entry per axis.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        dict

        Raises
        ------
        JobError
            As `halo_per_axis`.
        """
        return {}

    def resolved(self, axes: str) -> Self:
        """The same operation with an entry per axis in each parameter that is a length.

        So its meaning no longer depends on which axes the volume has, or is said to have.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        Operation

        Raises
        ------
        JobError
            As `halo_per_axis`.
        """
        return self.model_copy(update=self.lengths(axes))

    @abstractmethod
    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the result for an input of `dtype`; always of native byte order."""

    def dtype_of(self, dtypes: Mapping[str, np.dtype]) -> np.dtype:
        """The dtype of the result for several inputs; always of native byte order.

        Parameters
        ----------
        dtypes : dict of str to numpy.dtype
            Of each input, by its name.

        Returns
        -------
        numpy.dtype
        """
        return self.output_dtype(next(iter(dtypes.values())))

    def check_inputs(self, axes: str, dtypes: Mapping[str, np.dtype]) -> None:
        """Refuse inputs on which the operation makes no sense.

        Parameters
        ----------
        axes : str
            One letter per axis of each input.
        dtypes : dict of str to numpy.dtype
            Of each input, by its name.

        Raises
        ------
        JobError
            As `check`, and for several inputs where the operation takes one.
        """
        if len(dtypes) > 1:
            raise JobError(f"input: {self.name} takes one volume, and the job names {', '.join(dtypes)}")
        self.check(axes, next(iter(dtypes.values())))

    def check(self, axes: str, dtype: np.dtype) -> None:
        """Refuse a volume on which the operation makes no sense.

        Parameters
        ----------
        axes : str
            One letter per axis of the input.
        dtype : numpy.dtype
            Of the input.

        Raises
        ------
        JobError
            With the mismatch and what to write instead.
        """
        self.halo_per_axis(axes)

    def reducer(self) -> Reducer:
        """What adds up the records of the blocks; of operations with a table alone."""
        raise NotImplementedError(f"{self.name} has no table")

    def largest_itemsize(self, dtypes: Mapping[str, np.dtype]) -> int:
        """Bytes of a voxel where they are most: in all inputs together, or in the result.

        Parameters
        ----------
        dtypes : dict of str to numpy.dtype
            Of each input, by its name.

        Returns
        -------
        int
        """
        return max(sum(dtype.itemsize for dtype in dtypes.values()), self.dtype_of(dtypes).itemsize)

    def bytes_per_byte(self) -> float:
        """The `peak_factor`, unless a parameter says another one."""
        return self.peak_factor

    def check_keeps_shape(self, axes: str, where: str) -> None:
        """Refuse an operation whose result has another shape than its input.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.
        where : str
            What can't do that, for the message.

        Raises
        ------
        JobError
        """
        if any(s != 1 for s in self.scale(axes)):
            raise JobError(f"{self.name} changes the shape of the volume, and {where} can't; run it as a job")

    def to_plain(self, *, defaults: bool = True) -> dict[str, Any] | list[dict[str, Any]]:
        """As in a job file: one key, the name, and the parameters below it; plain JSON.

        `registry.parse_operation` takes it back.

        Parameters
        ----------
        defaults : bool
            Write out the parameters that have their default value, too.
        """
        return {self.name: self.model_dump(mode="json", exclude_defaults=not defaults)}

    def plain_identity(self, axes: str) -> dict[str, Any] | list[dict[str, Any]]:
        """The identity by the name of the operation; of a chain, a list with that of each step.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        dict or list of dict
        """
        return {self.name: self.identity(axes)}

    def identity(self, axes: str) -> dict[str, Any]:
        """All parameters that decide the result, the defaults written out; plain JSON.

        Two operations of the same identity make the same of any volume. A single number in it is
        for all axes, also t and c.

        Parameters
        ----------
        axes : str
            One letter per axis of the volume.

        Returns
        -------
        dict
        """
        lengths = self.lengths(axes)
        meant = {
            key: value
            for key, value in lengths.items()
            if getattr(self, key) != value[0] or len({*value}) > 1
        }
        plain = self.model_copy(update=meant).model_dump(mode="json")
        return plain if self.version == 1 else {**plain, "version": self.version}


def peak_bytes(operation: Operation, shape: Shape, dtypes: np.dtype | Mapping[str, np.dtype]) -> int:
    """Estimate the bytes that a worker needs at once for a block.

    Parameters
    ----------
    operation : Operation
    shape : tuple of int
        Voxels per axis of the block, its halo included.
    dtypes : numpy.dtype, or dict of str to numpy.dtype
        Of the only input, or of each by its name.

    Returns
    -------
    int
    """
    by_name = {UNNAMED: dtypes} if isinstance(dtypes, np.dtype) else dtypes
    return math.ceil(operation.bytes_per_byte() * operation.largest_itemsize(by_name) * math.prod(shape))
